"""A spec as a tree of scalars, sequences and mappings that know where they stand. Nodes compare by identity; aliases share them.

Non-goals: typing of scalars (scalars.py) and meaning of keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias, final

from compiler.front.scalar_map import map_value
from compiler.source import Span

Style: TypeAlias = Literal["plain", "single", "double", "literal", "folded"]


@final
@dataclass(frozen=True, eq=False)
class Scalar:
    """A text. `span` covers its quotes or its `|` line, and ends with its last character that is not white."""

    value: str
    span: Span
    style: Style = "plain"

    def locate(self, start: int, end: int) -> Span:
        """The span of the file in which the characters `start` up to `end` of the value stand."""
        span = self.span
        if self.is_verbatim:
            return Span(span.source, span.start + min(start, len(self.value)), span.start + min(end, len(self.value)))
        starts, ends = self.offsets
        if not starts:
            return span
        end = min(end, len(starts))
        if start >= end:
            place = starts[start] if start < len(starts) else ends[-1]
            return Span(span.source, place, place)
        return Span(span.source, starts[start], ends[end - 1])

    @property
    def is_verbatim(self) -> bool:
        """Whether the value stands in the file as it is."""
        return self.style == "plain" and self.span.end - self.span.start == len(self.value)

    @property
    def is_missing(self) -> bool:
        """Whether nothing stands here at all, as behind `key:`."""
        return self.style == "plain" and not self.value

    @cached_property
    def offsets(self) -> tuple[list[int], list[int]]:
        """Begin and end in the file of each character of the value; empty where they cannot be told."""
        return map_value(self.span.source.text, self.span.start, self.span.end, self.style, self.value)


@final
@dataclass(frozen=True, eq=False)
class Sequence:
    """A list, in brackets or with a `-` for each item."""

    items: tuple[Node, ...] = field(repr=False)
    span: Span


@final
@dataclass(frozen=True, eq=False)
class Pair:
    key: Scalar
    value: Node


@final
@dataclass(frozen=True, eq=False)
class Mapping:
    """Keys and values in the order of the file; each key is there once."""

    pairs: tuple[Pair, ...] = field(repr=False)
    span: Span

    @cached_property
    def by_name(self) -> dict[str, Pair]:
        return {pair.key.value: pair for pair in self.pairs}

    def get(self, name: str) -> Node | None:
        """The value of a key, None where the key is missing."""
        pair = self.by_name.get(name)
        return None if pair is None else pair.value


Node: TypeAlias = Scalar | Sequence | Mapping
