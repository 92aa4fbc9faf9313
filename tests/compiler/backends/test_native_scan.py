"""Scans in C against the step graph run node by node, and against the NumPy functions that run without a compiler.

Tolerances: 1e-10 in float64 against other sums; against the NumPy functions, which add up in nearly the same order, 1e-12 in float64 and
2e-6 in float32. These tests need a C compiler.
"""

from __future__ import annotations

import random
from typing import Any, Final

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler.backends import native_scan
from compiler.backends.native_library import find_compiler
from compiler.backends.scan_torch import load_torch_scan
from compiler.ir.cell import Cell
from tests.compiler.backends.stepping import assert_close, cell, draw_tensors, pull, written
from tests.compiler.backends.test_scan_kernels import BUNDLED, OWN, compare, drawn, own

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler is here")

ROWS_OF_NUMBERS: Final = [name for name in OWN if name not in ("a state without units", "a fast weight", "softmax in the loop")]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch, cache: str) -> None:
    """The native way, with a cache of its own, and with two threads wherever there are two rows."""
    monkeypatch.setenv("NETLANG_NATIVE", "1")
    monkeypatch.setenv("NETLANG_CACHE", cache)
    monkeypatch.setattr(native_scan, "GRAIN", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The functions in C that ran."""
    called: list[str] = []
    run = native_scan.run_rows

    def note(function: Any, *arguments: Any) -> None:
        called.append(function.__name__)
        run(function, *arguments)

    note.__name__ = "run_rows"
    monkeypatch.setattr(native_scan, "RUNTIME", (*native_scan.RUNTIME, note))
    return called


@pytest.mark.parametrize("call", ["lstm(5)", "peephole_lstm(5)", "coupled_lstm(19, peephole=true)", "gru_before(5)", "fgr(3)", "gru(33)"])
def test_bundled_cells(call: str, loops: list[str]) -> None:
    made = cell(call)
    compare(made, 3, 7, lengths=torch.tensor([7, 2, 5]))
    compare(made, 1, 1)
    assert loops


@pytest.mark.slow
@pytest.mark.parametrize("call", BUNDLED)
def test_all_bundled_cells(call: str) -> None:
    compare(cell(call), 5, 9, reverse=True)
    compare(cell(call), 13, 4, lengths=torch.tensor([1, 4, 2, 3] * 3 + [4]), reverse=True)


@pytest.mark.parametrize("name", ROWS_OF_NUMBERS)
def test_cells_that_are_not_bundled(name: str, loops: list[str]) -> None:
    compare(own(name), 3, 6)
    assert loops


@pytest.mark.parametrize("name", [name for name in OWN if name not in ROWS_OF_NUMBERS])
def test_loops_that_are_more_than_rows_of_numbers_run_as_printed(name: str, loops: list[str]) -> None:
    compare(own(name), 2, 3)
    assert not loops


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_drawn_cells(seed: int) -> None:
    draw = random.Random(seed)
    made = drawn(draw)
    compare(made, draw.randint(1, 9), draw.choice([1, 4, 20]), reverse=draw.random() < 0.3)
    compare(made, 3, 6, lengths=torch.tensor([draw.randint(1, 6) for _ in range(3)]))


def both(made: Cell, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """The scan in C and the one in NumPy."""
    scan = load_torch_scan(made)
    with monkeypatch.context() as context:
        context.setenv("NETLANG_NATIVE", "0")
        return scan, load_torch_scan(made)


def results(scan: Any, made: Cell, tensors: tuple[list[torch.Tensor], ...]) -> list[torch.Tensor]:
    """Outputs, final states and gradients."""
    sequences, states, weights = tensors
    keys = [*made.states, *(item.key for item in made.graph.parameters)]
    found = scan(*sequences, **dict(zip(keys, [*states, *weights], strict=True)))
    return [*found, *torch.autograd.grad(pull(found), [*sequences, *states, *weights])]


@pytest.mark.parametrize("call", ["peephole_lstm(37)", "gru_before(16)", "fgr(64)"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize(("rows", "steps"), [(1, 30), (19, 21)])
def test_numbers_are_those_of_numpy(
    call: str, dtype: torch.dtype, tolerance: float, rows: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cell(call)
    sequences, states, weights = draw_tensors(made, rows, steps, dtype)
    tensors = sequences, states, [(item.detach() / 8).requires_grad_() for item in weights]
    found, wanted = (results(scan, made, tensors) for scan in both(made, monkeypatch))
    assert_close(found, wanted, tolerance)


FUNCTIONS: Final = {
    "exp": "exp(a)",
    "tanh": "tanh(a)",
    "sigmoid": "sigmoid(a)",
    "log": "log(abs(a))",
    "square root": "sqrt(abs(a))",
    "square": "square(a)",
    "division": "1 / a",
    "choice": "where(a > 0, a, 0.5 * a)",
    "extrema": "max(a, 0.25) - min(a, 0.5)",
    "sine": "sin(a)",
    "softplus": "softplus(a)",
    "relu": "relu(a)",
}
EDGES: Final = [0.0, 1.0, 0.3466, 0.625, 8.5, 20.0, 88.6, 88.8, 87.4, 103.9, 104.1, 709.7, 709.9, 745.0, 746.0, 3e38, np.inf, np.nan]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_any_number_are_numpys(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch, loops: list[str]) -> None:
    """Within 2e-6 and 1e-12 of the number itself; denormal numbers, infinities and what is no number alike.

    A sigmoid is half of one plus a tanh, so that it is exact to the rounding of 1.
    """
    info = np.finfo(dtype)
    tiny = [info.tiny, info.smallest_subnormal, info.tiny / 3, info.smallest_subnormal * 5, info.eps, 1e-20, 1e-6, 3e-4]
    spread = np.geomspace(1e-7, 700.0 if dtype == "float64" else 80.0, 4000)
    with np.errstate(over="ignore"):
        numbers = np.concatenate([EDGES, tiny, spread]).astype(dtype)
    numbers = np.concatenate([numbers, -numbers])
    numbers = numbers[: numbers.size // 3 * 3]
    made = written("h: [3], z: [3]", "", ["a: x + z", f"h': {FUNCTIONS[name]}", "z': z"])
    x = torch.from_numpy(numbers.reshape(-1, 1, 3))
    native, portable = both(made, monkeypatch)
    with torch.no_grad():
        found, wanted = native(x)[0].numpy(), portable(x)[0].numpy()
    rounding = float(info.eps / 2 if name == "sigmoid" else info.smallest_subnormal * 2)
    np.testing.assert_allclose(found, wanted, rtol=2e-6 if dtype == "float32" else 1e-12, atol=rounding)
    assert loops
