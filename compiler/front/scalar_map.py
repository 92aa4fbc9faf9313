"""Where each character of a scalar's value stands in the file: YAML's folding, escapes and indentation, run again with positions.

Offsets count characters. Used only when a place inside a scalar is asked for that does not stand in the file as it is.
"""

from __future__ import annotations

import re
from typing import Final

FOLD: Final = re.compile(r"[ \t]*(?:\r?\n[ \t]*)+")
HEADER: Final = re.compile(r"[|>]([0-9+-]*)[^\n]*\n")
ESCAPE_WIDTHS: Final = {"x": 4, "u": 6, "U": 10}

Places = tuple[list[int], list[int]]


def map_value(text: str, start: int, end: int, style: str, value: str) -> Places:
    """Begins and ends of the value's characters; two empty lists where the value does not follow from the text."""
    if style in ("literal", "folded"):
        return map_block(text, start, value, style == "folded")
    inner_start, inner_end = (start, end) if style == "plain" else (start + 1, end - 1)
    places = map_flow(text, inner_start, inner_end, style)
    return places if len(places[0]) == len(value) else ([], [])


def map_flow(text: str, start: int, end: int, style: str) -> Places:
    """Plain and quoted scalars: a line break between words is a space, further ones are line feeds."""
    starts: list[int] = []
    ends: list[int] = []
    position = start
    while position < end:
        step = 1
        character = text[position]
        if character in " \t\r\n" and (fold := FOLD.match(text, position, end)):
            breaks = [place for place in range(*fold.span()) if text[place] == "\n"]
            kept = breaks if len(breaks) == 1 else breaks[1:]
            starts.extend(kept)
            ends.extend(place + 1 for place in kept)
            position = fold.end()
            continue
        if style == "single" and character == "'":
            step = 2
        elif style == "double" and character == "\\":
            if fold := FOLD.match(text, position + 1, end):
                kept = [place for place in range(*fold.span()) if text[place] == "\n"][1:]
                starts.extend(kept)
                ends.extend(place + 1 for place in kept)
                position = fold.end()
                continue
            step = ESCAPE_WIDTHS.get(text[position + 1], 2)
        starts.append(position)
        ends.append(position + step)
        position += step
    return starts, ends


def map_block(text: str, start: int, value: str, folded: bool) -> Places:
    """Block scalars. An indentation given in the header counts from the parent's, which is not known here: each is tried."""
    header = HEADER.match(text, start)
    if header is None:
        return [], []
    first = re.compile(r"(?: *\r?\n)* *").match(text, header.end())
    deepest = 0 if first is None else first.end() - (text.rfind("\n", 0, first.end()) + 1)
    explicit = any(character.isdigit() for character in header.group(1))
    for indent in range(deepest, -1 if explicit else deepest - 1, -1):
        starts = map_block_lines(text, header.end(), indent, folded, len(value))
        starts = starts[: len(value)]
        shown = "".join(" " if folded and text[place] == "\n" else text[place] for place in starts)
        if len(starts) == len(value) and shown == (value.replace("\n", " ") if folded else value):
            return starts, [place + 1 for place in starts]
    return [], []


def map_block_lines(text: str, position: int, indent: int, folded: bool, limit: int) -> list[int]:
    """Places of the characters of a block's lines, at least `limit` if there are so many; line feeds stand where their lines end."""
    starts: list[int] = []
    leading: list[int] = []
    trailing: list[int] = []
    was_indented = False
    while position < len(text) and len(starts) < limit:
        stop = text.find("\n", position)
        line_feed = stop if stop >= 0 else len(text)
        end = line_feed - 1 if text[position:line_feed].endswith("\r") else line_feed
        begin = position
        while begin < end and begin - position < indent and text[begin] == " ":
            begin += 1
        if begin == end:
            trailing.append(line_feed)
        elif begin - position < indent:
            break
        else:
            is_indented = text[begin] in " \t"
            if not folded or was_indented or is_indented or not trailing:
                starts.extend(leading)
            starts.extend(trailing)
            starts.extend(range(begin, end))
            leading, trailing, was_indented = [line_feed], [], is_indented
        position = line_feed + 1
    starts.extend(leading)
    starts.extend(trailing)
    return [place for place in starts if place < len(text)]
