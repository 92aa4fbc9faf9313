"""Numbers as people read them: thousands apart, multiply-adds in G, bytes in KiB to TiB, symbolic sizes as they are."""

from __future__ import annotations

from compiler.ir.dims import Dim

MOST_DIGITS = 10**9
LONGEST_SYMBOLIC = 32
_BYTES = ("KiB", "MiB", "GiB", "TiB", "PiB")
_COUNTS = ("G", "T", "P", "E")


def known(amount: Dim | int) -> int | None:
    """The amount as a number; None while it holds a symbolic size."""
    return amount if isinstance(amount, int) else amount.constant


def exact(amount: Dim | int) -> int | str:
    """The amount for tools: a number, or its formula as text."""
    number = known(amount)
    return str(amount) if number is None else number


def format_count(amount: Dim | int) -> str:
    """`416,520`, `19.63 G`, or the formula of a symbolic amount (cut where it is long)."""
    number = known(amount)
    if number is None:
        return _shorten(str(amount))
    if number < MOST_DIGITS:
        return f"{number:,}"
    scaled, unit = number / 1000**3, 0
    while scaled >= 1000 and unit + 1 < len(_COUNTS):
        scaled, unit = scaled / 1000, unit + 1
    return f"{scaled:,.2f} {_COUNTS[unit]}"


def format_bytes(amount: Dim | int) -> str:
    """`312 B`, `37.5 KiB`, or the formula of a symbolic amount followed by `B`."""
    number = known(amount)
    if number is None:
        return f"{_shorten(str(amount))} B"
    if number < 1024:
        return f"{number} B"
    scaled, unit = number / 1024, 0
    while scaled >= 1024 and unit + 1 < len(_BYTES):
        scaled, unit = scaled / 1024, unit + 1
    return f"{scaled:,.1f} {_BYTES[unit]}"


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST_SYMBOLIC else f"{text[: LONGEST_SYMBOLIC - 1]}…"
