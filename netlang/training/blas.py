"""How many threads NumPy's products run on: asked of and told to the OpenBLAS that its wheels bring.

Where another library does the products, its number is not known here and the count of processors stands for it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, final

NAMES: Final = (
    "scipy_openblas_{}_num_threads64_",
    "openblas_{}_num_threads64_",
    "scipy_openblas_{}_num_threads",
    "openblas_{}_num_threads",
)
MAPS: Final = Path("/proc/self/maps")


def read_threads() -> int:
    """The threads of the next product."""
    for library in _libraries():
        if (found := _function(library, "get")) is not None:
            return int(found())
    return len(os.sched_getaffinity(0))


def set_threads(count: int) -> None:
    """Let products run on so many threads, in the whole process."""
    for library in _libraries():
        if (found := _function(library, "set")) is not None:
            found(ctypes.c_int(count))


@final
class ThreadCount:
    """`read_threads` and `set_threads` for who asks often: the libraries are looked up once."""

    def __init__(self) -> None:
        self._libraries = [(_function(library, "get"), _function(library, "set")) for library in _libraries()]

    def get(self) -> int:
        return next((int(read()) for read, _ in self._libraries if read is not None), 1)

    def set(self, count: int) -> None:
        for _, write in self._libraries:
            if write is not None:
                write(count)


def _libraries() -> Iterator[ctypes.CDLL]:
    """OpenBLAS as this process has loaded it, NumPy's own first."""
    try:
        lines = MAPS.read_text().splitlines()
    except OSError:
        return
    paths = {line.split(maxsplit=5)[5] for line in lines if "openblas" in line}
    for path in sorted(paths, key=lambda path: ("numpy" not in path, path)):
        if Path(path).exists():
            yield ctypes.CDLL(path)


def _function(library: ctypes.CDLL, verb: str) -> Any:
    return next((getattr(library, name.format(verb)) for name in NAMES if hasattr(library, name.format(verb))), None)
