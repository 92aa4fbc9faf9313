"""Printed text with slots, and how texts that differ only in their slots become one class with parameters.

A slot is a constant that may differ from one use of a block to the next. Texts are alike when everything but their slots is
equal; slots that agree in every text share one parameter, and slots that never differ stay constants.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, final

from compiler.backends.names import Names, identifier
from compiler.backends.wrapping import wrap


@final
@dataclass(frozen=True, slots=True)
class Slot:
    """A constant of printed code.

    `role` is what it stands for; `lead` the text before it (`, stride=`), which goes with it when it has its `default`.
    """

    role: str
    text: str
    lead: str = ""
    default: str | None = None


@final
@dataclass(frozen=True, slots=True)
class SizeNote:
    """A size in a shape comment; it has no say in whether texts are alike. `letter` stands for it where it is not one number."""

    text: str
    letter: str = "D"


Piece: TypeAlias = str | Slot | SizeNote
Pieces: TypeAlias = tuple[Piece, ...]


@final
@dataclass(frozen=True, slots=True)
class Line:
    """One statement at an indentation, with its comment."""

    depth: int
    code: Pieces
    comment: Pieces = ()

    @property
    def key(self) -> object:
        return self.depth, _key(self.code)


def _key(pieces: Pieces) -> object:
    """What must be equal for texts to be alike."""
    merged: list[object] = []
    for piece in pieces:
        if isinstance(piece, str):
            if merged and isinstance(merged[-1], str):
                merged[-1] += piece
            else:
                merged.append(piece)
        elif isinstance(piece, Slot):
            merged.append((piece.role, piece.lead, piece.default))
    return tuple(merged)


def lines_key(lines: Iterable[Line]) -> object:
    return tuple(line.key for line in lines)


@final
@dataclass(frozen=True, slots=True)
class Landmarks:
    """What a parameter's name is chosen by: the channels (or features) that go in and out, and the block's constants."""

    inward: str = ""
    outward: str = ""
    constants: tuple[tuple[str, str], ...] = ()


@final
@dataclass(slots=True)
class Parameter:
    """A parameter of a shared class: its name, its value in each text, its default."""

    name: str
    values: tuple[str, ...]
    default: str | None

    @property
    def annotation(self) -> str:
        found = {_annotation(ast.literal_eval(value)) for value in self.values}
        return " | ".join(sorted(found))

    @property
    def by_position(self) -> bool:
        return self.name.endswith(("channels", "features")) and self.default is None

    @property
    def signature(self) -> str:
        return f"{self.name}: {self.annotation}" + (f" = {self.default}" if self.default is not None else "")


def _annotation(value: object) -> str:
    if isinstance(value, tuple):
        return f"tuple[{_annotation(value[0])}, ...]" if value else "tuple[()]"
    return "None" if value is None else type(value).__name__


@final
@dataclass(slots=True)
class Shared:
    """Alike texts as one: `parameters` are what differs, in the order in which they are passed."""

    variants: Sequence[Sequence[Line]]
    landmarks: Sequence[Landmarks]
    parameters: list[Parameter] = field(default_factory=list)
    _by_vector: dict[tuple[str, ...], Parameter] = field(default_factory=dict)
    _letters: dict[tuple[str, ...], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        slots: dict[tuple[str, ...], list[Slot]] = {}
        for vector, slot in self._slots():
            if len(set(vector)) > 1:
                slots.setdefault(vector, []).append(slot)
        names = Names({"self", "x", "parameters", "prefix"})
        for vector, members in slots.items():
            defaults = {slot.default for slot in members}
            (default,) = defaults if len(defaults) == 1 else (None,)
            self._by_vector[vector] = Parameter(names.claim(self._name(vector, members)), vector, default)
        self.parameters = sorted(self._by_vector.values(), key=lambda item: (item.default is not None, not item.by_position))

    def _slots(self) -> Iterable[tuple[tuple[str, ...], Slot]]:
        for lines in zip(*self.variants, strict=True):
            columns = [[piece for piece in line.code if isinstance(piece, Slot)] for line in lines]
            for slots in zip(*columns, strict=True):
                yield tuple(slot.text for slot in slots), slots[0]

    def _name(self, vector: tuple[str, ...], members: list[Slot]) -> str:
        """Channels and features after where they are, else the block's own constant, else what the slot stands for."""
        roles = [slot.role for slot in members]
        for noun in ("channels", "features"):
            if any(role.endswith(noun) for role in roles):
                inward = vector == tuple(item.inward for item in self.landmarks)
                outward = vector == tuple(item.outward for item in self.landmarks)
                if inward != outward:
                    return f"{'in' if inward else 'out'}_{noun}"
                return noun if inward else f"hidden_{noun}"
        if not any(role in ("stride", "padding", "groups", "dilation", "kernel_size") for role in roles):
            names = [name for name, _ in self.landmarks[0].constants]
            for name in names:
                if vector == tuple(dict(item.constants).get(name, "") for item in self.landmarks):
                    return identifier(name)
        return identifier(roles[0] or "value")

    def lines(self, start: int = 0, stop: int | None = None) -> list[str]:
        """The text of some of the lines, parameters by name where they differ."""
        made: list[str] = []
        for lines in zip(*(variant[start:stop] for variant in self.variants), strict=True):
            code = self._resolve([line.code for line in lines])
            comment = self._resolve([line.comment for line in lines])
            made += wrap(code, lines[0].depth, comment) if code else [""]
        return made

    def _resolve(self, variants: list[Pieces]) -> str:
        if len({_key(pieces) for pieces in variants}) > 1:
            return ""
        text = ""
        for pieces in zip(*(_merge(pieces) for pieces in variants), strict=True):
            first = pieces[0]
            if isinstance(first, Slot):
                text += self._slot(first, tuple(piece.text for piece in pieces if isinstance(piece, Slot)))
            elif isinstance(first, SizeNote):
                text += self._note(tuple(piece.text for piece in pieces if isinstance(piece, SizeNote)), first.letter)
            else:
                text += first
        return text.replace("(, ", "(")

    def _slot(self, slot: Slot, vector: tuple[str, ...]) -> str:
        parameter = self._by_vector.get(vector)
        if parameter is not None:
            return slot.lead + parameter.name
        return "" if slot.text == slot.default else slot.lead + slot.text

    def _note(self, vector: tuple[str, ...], letter: str) -> str:
        """A size that differs: the parameter that agrees, or a multiple of one, or a letter, with primes from its second size on."""
        if len(set(vector)) == 1:
            self._letters.setdefault(vector, vector[0])
            return vector[0]
        if vector in self._by_vector:
            return self._by_vector[vector].name
        numbers = all(text.isdigit() for text in vector)
        for other, parameter in self._by_vector.items() if numbers else ():
            if all(text.isdigit() and int(text) for text in other):
                ratios = {divmod(int(a), int(b)) for a, b in zip(vector, other, strict=True)}
                if len(ratios) == 1 and min(ratios)[1] == 0:
                    return f"{min(ratios)[0]}*{parameter.name}"
        if vector not in self._letters:
            symbols = [found.group() for text in vector if (found := re.search(r"[A-Za-z_]\w*", text))]
            name = symbols[0] if symbols else letter
            while name in self._letters.values():
                name += "'"
            self._letters[vector] = name
        return self._letters[vector]

    def comment(self, index: int) -> str:
        """The comment of one line."""
        return self._resolve([variant[index].comment for variant in self.variants])

    def keyword_arguments(self, index: int) -> list[Slot]:
        """The same, all by keyword."""
        return [Slot(item.name, item.values[index], f"{', ' if count else ''}{item.name}=") for count, item in enumerate(self.parameters)]

    def arguments(self, index: int) -> list[Slot]:
        """What is passed for the text of that index, in the order of the parameters."""
        made = []
        for count, item in enumerate(self.parameters):
            comma = ", " if count else ""
            lead = comma if item.by_position else f"{comma}{item.name}="
            made.append(Slot(item.name, item.values[index], lead, item.default))
        return made


def _merge(pieces: Pieces) -> list[Piece]:
    """Pieces with neighbouring strings joined, so that alike texts have pieces in the same places."""
    merged: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and merged and isinstance(merged[-1], str):
            merged[-1] += piece
        elif piece != "":
            merged.append(piece)
    return merged
