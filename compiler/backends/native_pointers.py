"""Where values of a scan stand, as C: the arrays a function takes, and pointers to the first row of a step."""

from __future__ import annotations

from collections.abc import Collection
from typing import final

from compiler.backends.native_program import row_width
from compiler.backends.scan_kernels import Kernel
from compiler.backends.scan_memory import CHUNK, STEP, Place, Slab
from compiler.ir.types import DType


@final
class Pointers:
    """The places that one function reads and writes. `early` slabs hold a chunk only where `early` is true there."""

    def __init__(self, kernel: Kernel, early: Collection[Slab] = ()) -> None:
        self._kernel = kernel
        self._early = early
        self._names: dict[Place, str] = {}

    def name(self, place: Place) -> str:
        """The pointer to a place."""
        return self._names.setdefault(place, f"p{len(self._names)}")

    def slabs(self) -> dict[Slab, str]:
        """The slabs, by what the function calls them."""
        slabs = dict.fromkeys(place.slab for place in self._names)
        return {slab: f"array_{index}" for index, slab in enumerate(slabs)}

    def parameters(self) -> str:
        """The slabs as parameters of the function."""
        return "".join(f", {c_type(slab)} *{text}" for slab, text in self.slabs().items())

    def arguments(self) -> list[str]:
        """The slabs as NumPy's text has them."""
        return [self._kernel.arrays[slab] for slab in self.slabs()]

    def declare(self, places: Collection[Place] | None = None) -> list[str]:
        """Declarations of the pointers to places, or to all, at step `t`."""
        slabs = self.slabs()
        wanted = [(place, name) for place, name in self._names.items() if places is None or place in places]
        return [
            f"{c_type(place.slab)} *{name} = {slabs[place.slab]} + ({self._index(place)}) * N * {row_width(place.slab.type)};"
            for place, name in wanted
        ]

    def _index(self, place: Place) -> str:
        kernel, slab = self._kernel, place.slab
        if slab.scope == STEP:
            return str(place.lane)
        if slab in self._early:
            return f"{place.lane} * chunk + (early ? t : 0)"
        if slab.scope == CHUNK:
            return f"{place.lane} * chunk + t"
        if slab in kernel.brief:
            return f"keep ? {place.lane} * T + start + t : {place.lane}"
        whole = kernel.backward or slab in kernel.always or slab.given
        steps, first = ("T", "start") if whole else ("span", "base")
        return f"{place.lane} * ({steps} + {slab.slots}) + {first} + t + {place.shift}"


def c_type(slab: Slab) -> str:
    """The type of a slab's numbers."""
    return "uint8_t" if slab.type.dtype is DType.bool else "real"
