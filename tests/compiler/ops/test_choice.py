"""Choosing floats by their bits gives what `np.where` gives, bit for bit, whatever the numbers are and wherever the result goes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compiler.ops.activation import leaky
from compiler.ops.elementwise import choose_where

STRANGE = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.5, 1e-42]


@pytest.fixture(autouse=True)
def _numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Printed files bring `np`; their functions here have to be given it."""
    for function in (choose_where, leaky):
        monkeypatch.setitem(function.__globals__, "np", np)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("place", [None, "x", "y", "new"])
def test_choice_by_bits(dtype: Any, place: str | None) -> None:
    x, y = (item.copy() for item in np.meshgrid(np.array(STRANGE, dtype), np.array(STRANGE, dtype)))
    condition = np.random.default_rng(0).random(x.shape) < 0.5
    wanted = np.where(condition, x, y)
    out = {None: None, "x": x, "y": y, "new": np.empty_like(x)}[place]
    assert choose_where(condition, x, y, out=out).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("place", [None, "x", "new"])
@pytest.mark.parametrize("slope", [1e-3, 0.2, 1.0])
def test_leaky_for_slopes_up_to_one(slope: float, place: str | None) -> None:
    x = np.array(STRANGE, np.float32)
    wanted = np.where(x > 0, x, np.float32(slope) * x)
    out = {None: None, "x": x, "new": np.empty_like(x)}[place]
    assert np.array_equal(leaky(x, slope, out=out), wanted, equal_nan=True)
