"""Types of plain scalars after the core schema of YAML 1.2: `1e-4` is a number, `no` is a word.

Source: yaml.org/spec/1.2.2, section 10.3.2.
"""

from __future__ import annotations

import re
from math import isinf
from typing import Final

from compiler.diagnostics.quote import show
from compiler.diagnostics.record import Diagnostic, Label, SpecError
from compiler.front.limits import INTEGER
from compiler.front.tree import Scalar

INTEGER_FORM: Final = re.compile(r"[-+]?[0-9]+")
OCTAL_FORM: Final = re.compile(r"0o[0-7]+")
HEXADECIMAL_FORM: Final = re.compile(r"0x[0-9a-fA-F]+")
FLOAT_FORM: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
INFINITY_FORM: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)")
WORDS: Final[dict[str, bool | float | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
}  # fmt: skip
DIGITS: Final = 22
"""More digits than the largest integer has in base 8: such a number is refused unread."""


def plain_value(scalar: Scalar) -> int | float | bool | str | None:
    """The value of a scalar; quoted and block scalars are texts. Raises SpecError for a number out of range."""
    text = scalar.value
    if scalar.style != "plain":
        return text
    if text in WORDS:
        return WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    for form, base in ((INTEGER_FORM, 10), (OCTAL_FORM, 8), (HEXADECIMAL_FORM, 16)):
        if form.fullmatch(text):
            return read_integer(scalar, base)
    if FLOAT_FORM.fullmatch(text):
        number = float(text)
        if isinf(number):
            raise out_of_range(scalar, "a number can be no larger than 1.8e308; infinity is `.inf`")
        return number
    if INFINITY_FORM.fullmatch(text):
        return float("-inf") if text[0] == "-" else float("inf")
    return text


def read_integer(scalar: Scalar, base: int) -> int:
    digits = scalar.value.lstrip("+-")
    significant = (digits if base == 10 else digits[2:]).lstrip("0")
    if len(significant) > DIGITS:
        raise out_of_range(scalar, "integers reach from -2^63 to 2^63; write a larger number with a decimal point")
    number = int(significant, base) if significant else 0
    if number > INTEGER:
        raise out_of_range(scalar, "integers reach from -2^63 to 2^63; write a larger number with a decimal point")
    return -number if scalar.value[0] == "-" else number


def out_of_range(scalar: Scalar, help: str) -> SpecError:
    return SpecError((Diagnostic("NL009", f"the number {show(scalar.value)} is out of range", Label(scalar.span), help=help),))
