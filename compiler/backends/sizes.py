"""Prints symbolic sizes inside a function by the shapes of its inputs.

A block's types are written in its caller's sizes: an input may be [N, 64, H//2, W//2]. Inside, its own sizes are called after the
symbols they stand on, so H//2 is H there. Each rewriting is proved on normal forms before it is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from compiler.backends.names import Names
from compiler.ir.dims import Dim, solve
from compiler.ir.graph import Value

LARGEST_STEP: Final = 4096


@final
@dataclass(frozen=True, slots=True)
class _Local:
    """A size of the function: what it is to the caller, and the text that computes it."""

    outer: Dim
    text: str
    needs: tuple[str, ...] = ()


@final
class UnknownSize(Exception):
    """A size that the shapes of the inputs do not tell."""


@final
class Sizes:
    """The sizes of one function; `local` says whether inputs' sizes are renamed (a block's) or kept (a network's).

    `names` gives each symbol its variable, so that a size called `F` does not hide a module of that name. `given` are sizes that
    inputs may leave open, with the text that tells them.
    """

    def __init__(self, inputs: list[tuple[Value, str]], names: Names, *, local: bool, given: Mapping[str, str] | None = None) -> None:
        symbols = dict.fromkeys(name for value, _ in inputs for dim in value.type.shape for name in sorted(dim.symbols))
        self._names = {symbol: names.claim(symbol) for symbol in symbols}
        self._locals: dict[str, _Local] = {}
        self._inward: dict[str, Dim] = {}
        self._known: dict[Dim, str] = {}
        self.used: dict[str, str] = {}
        pairs = [(dim, f"{name}.shape[{axis}]") for value, name in inputs for axis, dim in enumerate(value.type.shape)]
        seen = [(dim, text) for dim, text in pairs if dim.constant is None]
        for dim, text in seen:
            self._known.setdefault(dim, text)
        waiting = sorted(seen, key=lambda pair: (len(pair[0].symbols), not str(pair[0]).isidentifier()))
        for dim, text in waiting:
            unknown = dim.symbols - self._inward.keys()
            if len(unknown) == 1:
                self._learn(min(unknown), dim, text, local)
        for symbol, text in (given or {}).items():
            if symbol not in self._inward:
                self._names[symbol] = text
                self._inward[symbol] = Dim.symbol(symbol)
                self._locals[symbol] = _Local(Dim.symbol(symbol), "")

    def _learn(self, symbol: str, dim: Dim, text: str, local: bool) -> None:
        own = Dim.symbol(symbol)
        pattern = dim.substitute({name: value for name, value in self._inward.items() if name != symbol})
        inverse = _inverse(pattern, symbol) if local or dim == own else None
        if inverse is not None:
            self._inward[symbol] = inverse
            self._locals[symbol] = _Local(dim, text)
            return
        offset = pattern.substitute({symbol: 0})
        slope = pattern.substitute({symbol: 1}) - offset
        if slope == 0 or slope * own + offset != pattern:
            return
        shape, needed = Dim.symbol("_shape"), offset.symbols | slope.symbols
        source = _spaced(((shape - offset) // slope).python({"_shape": text, **self._names}))
        self._inward[symbol] = own
        self._locals[symbol] = _Local(own, source, tuple(sorted(needed)))

    def inward(self, dim: Dim) -> Dim | None:
        """A caller's size in the function's own sizes; None where the inputs do not tell it."""
        if dim.constant is not None:
            return dim
        if not dim.symbols <= self._inward.keys():
            return None
        found = dim.substitute(self._inward)
        back = found.substitute({name: item.outer for name, item in self._locals.items()})
        return found if back == dim else None

    def note(self, dim: Dim) -> str:
        """A size as a comment shows it."""
        found = self.inward(dim)
        return str(dim if found is None else found)

    def remember(self, value: Value, name: str) -> None:
        """A variable holds a tensor, whose shape tells its sizes too."""
        for axis, dim in enumerate(value.type.shape):
            if dim.constant is None:
                self._known.setdefault(dim, f"{name}.shape[{axis}]")

    def text(self, dim: Dim) -> str:
        """Source of a size; raises UnknownSize."""
        if dim.constant is not None:
            return str(dim)
        found = self.inward(dim)
        if found is not None:
            self._use(found)
            return _spaced(found.python(self._names))
        if dim in self._known:
            return self._known[dim]
        for other, text in self._known.items():
            quotient = dim // other
            if quotient.constant is not None and quotient * other == dim:
                return f"{quotient} * {text}"
        raise UnknownSize(f"no input tells the size `{dim}`")

    def _use(self, dim: Dim) -> None:
        for name in sorted(dim.symbols):
            for needed in self._locals[name].needs:
                self._use(Dim.symbol(needed))
            if self._locals[name].text:
                self.used.setdefault(self._names[name], self._locals[name].text)


def _inverse(pattern: Dim, symbol: str) -> Dim | None:
    """A size s(h) with pattern(s(h)) = h for all h, for patterns that grow by 1 every few steps of `symbol`."""
    own = Dim.symbol(symbol)
    linear = solve(pattern, own, symbol) if pattern.symbols == {symbol} else None
    if linear is not None:
        return linear[symbol]
    if pattern.symbols != {symbol}:
        return None
    values = [pattern.evaluate({symbol: 1})]
    jumps: list[int] = []
    for size in range(2, LARGEST_STEP):
        values.append(pattern.evaluate({symbol: size}))
        if values[-1] != values[-2]:
            jumps.append(size)
            if len(jumps) == 2:
                break
    if len(jumps) < 2:
        return None
    step = jumps[1] - jumps[0]
    start = jumps[0] - step * values[jumps[0] - 1]
    candidate = step * own + start
    return candidate if pattern.substitute({symbol: candidate}) == own else None


def _spaced(text: str) -> str:
    """`H*W//2` as a formatter writes it: `H * W // 2`."""
    return re.sub(r"(?<!\*)(\*|//)(?!\*)", r" \1 ", text)
