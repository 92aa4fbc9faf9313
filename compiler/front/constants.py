"""Arithmetic and comparison of constants: Python's numbers within 64 bits, and sizes.

Every failure is a ConstantError with words for a message; nothing here can take long or overflow.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, final

from compiler.ir.dims import Dim, DimOverflow, compare
from compiler.ir.signature import Word

LIMIT = 2**63
LARGEST_EXPONENT = 64


@final
class ConstantError(Exception):
    """Why two constants cannot be combined; `undecided` when it depends on a size that is not known."""

    def __init__(self, message: str, undecided: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.undecided = undecided


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}
_ORDER: dict[str, Callable[[Any, Any], bool]] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
COMPARISONS = ("==", "!=", *_ORDER)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Dim) and not isinstance(value, bool)


def combine(symbol: str, left: Any, right: Any) -> Any:
    """`left symbol right` of two constants; raises ConstantError."""
    if symbol in COMPARISONS:
        return _compare(symbol, left, right)
    if symbol not in _ARITHMETIC or not (_is_number(left) and _is_number(right)):
        raise ConstantError(f"`{symbol}` is not defined for these constants")
    if isinstance(left, Dim) or isinstance(right, Dim):
        left, right = _sizes(symbol, left, right)
    elif symbol == "**" and isinstance(left, int) and isinstance(right, int) and not 0 <= right <= LARGEST_EXPONENT:
        if right < 0:
            left = float(left)
        else:
            raise ConstantError(f"the exponent {right} is above {LARGEST_EXPONENT}")
    try:
        result = _ARITHMETIC[symbol](left, right)
    except ZeroDivisionError:
        raise ConstantError("this divides by zero") from None
    except (OverflowError, DimOverflow):
        raise ConstantError("the result is too large") from None
    return checked(result)


def _sizes(symbol: str, left: Any, right: Any) -> tuple[Any, Any]:
    if symbol == "/":
        raise ConstantError("a size that is not known divides only with `//`", undecided=True)
    if isinstance(left, float) or isinstance(right, float):
        raise ConstantError("a size that is not known combines only with integers", undecided=True)
    if symbol == "**" and not isinstance(right, int):
        raise ConstantError("an exponent must be a known integer", undecided=True)
    if symbol == "**" and not 0 <= right <= 8:
        raise ConstantError(f"a size cannot be raised to {right}")
    return (Dim.of(left) if symbol != "**" else left), right


def checked(value: Any) -> Any:
    """The constant, a size without symbols as an int; refuses what does not fit 64 bits or is no number."""
    if isinstance(value, Dim) and value.constant is not None:
        value = value.constant
    if isinstance(value, complex):
        raise ConstantError("the result is not a real number")
    if isinstance(value, int) and not -LIMIT <= value < LIMIT:
        raise ConstantError("the result does not fit 64 bits")
    return value


def _compare(symbol: str, left: Any, right: Any) -> bool:
    left, right = (item.text if isinstance(item, Word) else item for item in (left, right))
    if symbol in ("==", "!="):
        return _equal(left, right) == (symbol == "==")
    if not (_is_number(left) and _is_number(right)):
        raise ConstantError(f"`{symbol}` compares numbers only")
    if isinstance(left, Dim) or isinstance(right, Dim):
        return _ordered(symbol, Dim.of(left), Dim.of(right))
    return _ORDER[symbol](left, right)


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(_equal(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, Dim) or isinstance(right, Dim):
        if not (isinstance(left, int | Dim) and isinstance(right, int | Dim)):
            return False
        answer = compare(Dim.of(left), Dim.of(right))
        if answer is None:
            raise ConstantError(f"whether `{left}` equals `{right}` depends on sizes that are not known", undecided=True)
        return answer
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    return bool(left == right)


def _ordered(symbol: str, left: Dim, right: Dim) -> bool:
    difference = left - right
    low, high = difference.lower_bound(), difference.upper_bound()
    test = _ORDER[symbol]
    edges = [math.inf if edge is None else edge for edge in (high,)] + [-math.inf if edge is None else edge for edge in (low,)]
    answers = {test(edge, 0) for edge in edges}
    if len(answers) != 1:
        raise ConstantError(f"whether `{left} {symbol} {right}` depends on sizes that are not known", undecided=True)
    return answers.pop()
