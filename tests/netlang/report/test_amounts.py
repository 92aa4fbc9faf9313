"""Numbers as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.ir.dims import Dim
from netlang.report.amounts import exact, format_bytes, format_count

H, W = Dim.symbol("H"), Dim.symbol("W")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0"),
        (416_520, "416,520"),
        (999_999_999, "999,999,999"),
        (19_632_112_640, "19.63 G"),
        (2_500_000_000_000, "2.50 T"),
        (10**24, "1,000,000.00 E"),
        (Dim.of(7), "7"),
        (2 * H * W, "2*H*W"),
    ],
)
def test_counts(amount: Dim | int, text: str) -> None:
    assert format_count(amount) == text


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (37_632, "36.8 KiB"), (2**60, "1,024.0 PiB"), (4 * H, "4*H B")]
)
def test_bytes(amount: Dim | int, text: str) -> None:
    assert format_bytes(amount) == text


def test_long_formulas_are_cut_for_people_only() -> None:
    amount = sum((Dim.symbol(f"size{number}") for number in range(20)), start=Dim.of(0))
    assert len(format_count(amount)) == 32
    assert exact(amount) == str(amount)
    assert exact(Dim.of(5)) == 5


@given(st.integers(0, 2**80))
def test_every_count_is_short(amount: int) -> None:
    assert len(format_count(amount)) <= 24
    assert len(format_bytes(amount)) <= 24
