"""Diagnostic codes as pages and as a list."""

from __future__ import annotations

from collections.abc import Iterable

from compiler.diagnostics.codes import CODES, Code
from netlang.report.tables import draw_table

BOLD = "\x1b[1m"
RESET = "\x1b[0m"


def find_code(text: str) -> Code | None:
    """The code meant by `NL203`, `nl203` or `203`."""
    name = text.strip().upper()
    return CODES.get(name) or CODES.get(f"NL{name}")


def near_codes(text: str) -> list[str]:
    """The up to three codes of the same family with the nearest numbers."""
    digits = "".join(character for character in text if character.isdecimal())[:6]
    if not digits:
        return []
    number = int(digits)
    family = [name for name in CODES if int(name[2:]) // 100 == number // 100]
    return sorted(sorted(family, key=lambda name: abs(int(name[2:]) - number))[:3])


def draw_code(code: Code, *, color: bool) -> str:
    """A code's page."""
    head = f"{code.code}: {code.title}"
    return f"{BOLD}{head}{RESET}\n\n{code.explanation}\n" if color else f"{head}\n\n{code.explanation}\n"


def draw_codes(codes: Iterable[Code], *, width: int | None, color: bool) -> str:
    """The list of codes with their titles."""
    return draw_table([("code", "left"), ("", "left")], [(item.code, item.title) for item in codes], width=width, color=color)
