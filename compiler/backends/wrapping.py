"""Breaks long lines of printed Python as `ruff format` does: at the last bracket of a line, then one item a line.

Non-goals: the formatter's finer rules; a line without brackets stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

WIDTH: Final = 120
INDENT: Final = "    "
LOOP: Final = " for _ in "
PAIRS: Final = {"(": ")", "[": "]", "{": "}"}


def wrap(text: str, depth: int, comment: str = "") -> Iterator[str]:
    """The lines of one statement at an indentation of `depth` levels; a comment is dropped where it does not fit."""
    line = INDENT * depth + text
    if comment and len(line) + 2 + len(comment) <= WIDTH:
        yield f"{line}  {comment}"
    elif len(line) <= WIDTH:
        yield line
    else:
        yield from _split(text, depth)


def _split(text: str, depth: int) -> Iterator[str]:
    group = _last_group(text)
    if group is None:
        yield INDENT * depth + text
        return
    start, end = group
    yield INDENT * depth + text[: start + 1]
    yield from _body(text[start + 1 : end], depth + 1)
    yield INDENT * depth + text[end:]


def _body(text: str, depth: int) -> Iterator[str]:
    """What stands in a broken bracket: on one line where it fits, else an item a line."""
    line = INDENT * depth + text
    items = split_items(text)
    loop = next((index for index, _, level in _scan(text) if level == 0 and text.startswith(LOOP, index)), None)
    if loop is not None and len(line) > WIDTH:
        yield from wrap(text[:loop], depth)
        yield INDENT * depth + text[loop + 1 :]
        return
    if len(items) == 1 or len(line) <= WIDTH:
        yield from wrap(text, depth)
        return
    for item in items:
        yield from wrap(f"{item},", depth)


def split_items(text: str) -> list[str]:
    """The items between commas outside brackets and strings."""
    items, start = [], 0
    for index, letter, level in _scan(text):
        if letter == "," and level == 0:
            items.append(text[start:index].strip())
            start = index + 1
    rest = text[start:].strip()
    return [*items, rest] if rest else items


def _last_group(text: str) -> tuple[int, int] | None:
    """The last outermost bracket that holds something; the first, the arguments, of a function's head."""
    found, start = None, 0
    for index, letter, level in _scan(text):
        if letter in PAIRS and level == 1:
            start = index
        elif letter in PAIRS.values() and level == 0 and index > start + 1:
            found = (start, index)
            if text.startswith("def "):
                break
    return found


def _scan(text: str) -> Iterator[tuple[int, str, int]]:
    """Every character outside strings with the bracket depth after it."""
    level, quote, escaped = 0, "", False
    for index, letter in enumerate(text):
        if quote:
            if not escaped and letter == quote:
                quote = ""
            escaped = letter == "\\" and not escaped
            continue
        if letter in "'\"":
            quote = letter
            continue
        level += (letter in PAIRS) - (letter in PAIRS.values())
        yield index, letter, level
