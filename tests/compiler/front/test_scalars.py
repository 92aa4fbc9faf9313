"""Types of plain scalars: the core schema of YAML 1.2."""

from __future__ import annotations

import math
import time

import pytest

from compiler.diagnostics.record import SpecError
from compiler.front.scalars import plain_value
from compiler.front.tree import Scalar
from compiler.source import Source, Span


def scalar(text: str, style: str = "plain") -> Scalar:
    return Scalar(text, Span(Source("spec.yaml", text), 0, len(text)), style)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-17", -17), ("+3", 3), ("010", 10), ("0o17", 15), ("0xFf", 255), ("0", 0), ("-0", 0), ("000", 0),
        ("9223372036854775808", 2**63),
        ("-9223372036854775808", -(2**63)), ("1e-4", 1e-4), ("1E4", 1e4), ("1.", 1.0), (".5", 0.5), ("-1.5e+3", -1500.0),
        (".inf", math.inf), ("-.INF", -math.inf),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("no", "no"), ("yes", "yes"), ("on", "on"),
        ("1:30", "1:30"),
        ("1_000", "1_000"), ("0b1", "0b1"), ("2001-01-01", "2001-01-01"), ("e5", "e5"), (".", "."), ("+", "+"), ("1e", "1e"), ("x", "x"),
        ("-", "-"), ("0x", "0x"),
        ("٣", "٣"),
    ],
)  # fmt: skip
def test_plain(text: str, value: object) -> None:
    found = plain_value(scalar(text))
    assert found == value
    assert type(found) is type(value)


def test_not_a_number() -> None:
    found = plain_value(scalar(".nan"))
    assert isinstance(found, float)
    assert math.isnan(found)


def test_quoted_is_text() -> None:
    assert plain_value(scalar("1", "double")) == "1"
    assert plain_value(scalar("", "single")) == ""


@pytest.mark.parametrize(
    "text", ["9223372036854775809", "-9223372036854775809", "0x8000000000000001", "0o7777777777777777777777", "1e999", "-1e999"]
)
def test_out_of_range(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        plain_value(scalar(text))
    assert caught.value.diagnostics[0].code == "NL009"


@pytest.mark.parametrize("text", ["1" * 65536, "0x" + "f" * 65536, "0o" + "7" * 65536, "1" * 60000 + ".0"])
def test_long_digits_cost_nothing(text: str) -> None:
    began = time.process_time()
    with pytest.raises(SpecError):
        plain_value(scalar(text))
    assert time.process_time() - began < 0.02
