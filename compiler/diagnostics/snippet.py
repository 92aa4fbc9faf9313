"""A line of a file with marks and words under it, cropped to a width. Units: terminal cells."""

from __future__ import annotations

import re
import unicodedata
from itertools import accumulate
from typing import Final, TypeAlias

UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]")
TAB: Final = "    "
DOTS: Final = "..."
Mark: TypeAlias = tuple[int, int, str, str]
"""Start, end, sign, words."""


def escape(text: str, keep: str = "") -> str:
    """The text with control, invisible and bidirectional characters written as `\\x1b` or `\\u202e`."""
    return UNSAFE.sub(lambda match: match.group() if match.group() in keep else escape_character(match.group()), text)


def escape_character(character: str) -> str:
    code = ord(character)
    return {9: "\\t", 10: "\\n", 13: "\\r"}.get(code, f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def display(character: str) -> str:
    return TAB if character == "\t" else escape(character)


def cells(text: str) -> int:
    """How many cells a terminal gives to a shown text."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def draw_snippet(line: str, marks: list[Mark], width: int) -> list[str]:
    """The line, then the marks with the words of the rightmost, then the other words from right to left, each under its mark."""
    shown = [display(character) for character in line[: max(end for _, end, _, _ in marks) + width]]
    edges = [0, *accumulate(cells(part) for part in shown)]

    def edge(offset: int) -> int:
        return edges[offset] if offset < len(edges) else edges[-1] + offset - len(edges) + 1

    placed = [(edge(start), max(edge(end), edge(start) + 1), sign, words) for start, end, sign, words in marks]
    code, placed = crop("".join(shown) if len(shown) == len(line) else "".join(shown) + " ", shown, edges, placed, width)
    return [code.rstrip(), *draw_marks(placed, width)]


def crop(code: str, shown: list[str], edges: list[int], placed: list[Mark], width: int) -> tuple[str, list[Mark]]:
    """The part of a long line around its first mark, with dots where something is left out."""
    if cells(code) <= width:
        return code, placed
    room = width - 2 * len(DOTS)
    begin, end = placed[0][0], placed[0][1]
    low = max(0, min(begin - room // 3, edges[-1] - room)) if end > room else 0
    lead = DOTS if low > 0 else ""
    high = low + room + (len(DOTS) if not lead else 0)
    kept = [part for part, left, right in zip(shown, edges, edges[1:], strict=False) if left >= low and right <= high]
    first = next((left for left in edges if left >= low), low)
    tail = DOTS if high < edges[-1] or code.endswith(" ") else ""
    moved = [
        ((left := max(start, first) - first + len(lead)), max(min(stop, high) - first + len(lead), left + 1), sign, words)
        for start, stop, sign, words in placed
        if first <= start < high or sign == "^"
    ]
    return lead + "".join(kept) + tail, moved


def draw_marks(placed: list[Mark], width: int) -> list[str]:
    signs = [" "] * max(end for _, end, _, _ in placed)
    for start, end, sign, _ in sorted(placed, key=lambda mark: mark[2] == "^"):
        signs[start:end] = sign * (end - start)
    first = "".join(signs).rstrip()
    waiting = [(start, escape(words)) for start, _, _, words in sorted(placed, key=lambda mark: -mark[0]) if words]
    rightmost = max(start for start, _, _, _ in placed)
    if waiting and waiting[0][0] == rightmost and len(first) + 1 + cells(waiting[0][1]) <= width:
        first += " " + waiting.pop(0)[1]
    return [first, *(" " * max(0, min(start, width - cells(words))) + words for start, words in waiting)]
