"""Matches declared input types against the types of operands, solving for the sizes the declaration leaves open."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

from compiler.ir.dims import Dim, compare, solve
from compiler.ir.types import TensorType


@final
@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first operand that does not fit; `decided` is False when it might, for some sizes."""

    index: int
    decided: bool


def match_types(declared: Iterable[TensorType], given: Iterable[TensorType]) -> dict[str, Dim] | Mismatch:
    """Sizes for the symbols of `declared` with which it equals `given`. The two share no symbols."""
    sizes: dict[str, Dim] = {}
    pairs: list[tuple[int, Dim, Dim]] = []
    for index, (wanted, actual) in enumerate(zip(declared, given, strict=True)):
        if wanted.dtype is not actual.dtype or wanted.rank != actual.rank:
            return Mismatch(index, True)
        pairs += [(index, *sides) for sides in zip(wanted.shape, actual.shape, strict=True)]
    while pairs:
        waiting: list[tuple[int, Dim, Dim]] = []
        for index, declared_size, size in pairs:
            unknown = declared_size.symbols - sizes.keys()
            pattern = declared_size.substitute(sizes) if sizes else declared_size
            if not unknown:
                equal = compare(pattern, size)
                if not equal:
                    return Mismatch(index, equal is False)
            elif len(unknown) == 1:
                (name,) = unknown
                solved = {name: size} if pattern == Dim.symbol(name) else solve(pattern, size, name)
                if solved is None:
                    return Mismatch(index, size.constant is not None)
                sizes.update(solved)
            else:
                waiting.append((index, declared_size, size))
        if len(waiting) == len(pairs):
            return Mismatch(waiting[0][0], False)
        pairs = waiting
    return sizes
