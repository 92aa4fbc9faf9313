"""Runs scans by compiled C: puts functions of the same arguments in the place of a printed file's NumPy functions.

They take part where all arrays are float32 or all float64, each compiled when it is first met; anything else runs as printed. What a
file says stays portable: nothing of this stands in it.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

from compiler.backends.copying import copy_functions
from compiler.backends.execution import execute
from compiler.backends.native_kernels import print_numbers
from compiler.backends.native_library import NativeError, lacks_native, load_library
from compiler.backends.native_source import SIZES, NativeText
from compiler.backends.scan_functions import ScanText, print_scan
from compiler.ir.cell import Cell
from compiler.passes.scan_plan import plan_scan
from compiler.passes.scan_steps import Unsupported

if TYPE_CHECKING:
    import numpy as np

REALS: Final = {"f": "float", "d": "double"}
"""The types that are compiled, by NumPy's letter."""
GRAIN: Final = 2**22
"""How many multiply-adds a thread is worth."""
NUMBERS: Final = 3 + len(SIZES)
"""How many numbers a function in C takes before its arrays."""
SUFFIX: Final = "native"


@final
@dataclass(frozen=True, slots=True)
class NativeScan:
    """A scan whose loops are C: the functions as NumPy text that calls them, and their source."""

    text: ScanText
    source: NativeText


def print_native(cell: Cell, name: str, *, masked: bool, tensors: bool) -> NativeScan:
    """The functions `{name}_native_forward` and `_backward`; raises Unsupported where the loop is more than rows of numbers."""
    source = NativeText(f"{name}_{SUFFIX}")
    taken = {item.__name__ for item in RUNTIME} | {"addresses", "threads"}
    text = print_scan(plan_scan(cell, masked=masked), source.stem, taken, tensors=tensors, native=source)
    return NativeScan(text, source)


@functools.lru_cache(maxsize=256)
def describe_unfit(cell: Cell, masked: bool) -> str | None:
    """Why a cell's loop cannot be C, as a phrase; None where it can."""
    try:
        print_native(cell, cell.name, masked=masked, tensors=False)
    except Unsupported as error:
        return str(error)
    return None


def use_native(names: dict[str, Any], scans: Mapping[str, tuple[Cell, bool]], *, tensors: bool) -> None:
    """Put native functions in the place of `{stem}_forward` and `{stem}_backward` among `names`, those of a printed file.

    `scans` are the file's, by stem: the cell and whether rows end early. Constants `…_SCAN` that hold the functions change with them.
    """
    if lacks_native() is not None:
        return
    changed: dict[str, Any] = {}
    for stem, (cell, masked) in scans.items():
        if describe_unfit(cell, masked) is None:
            runner = _Runner(stem, cell, masked, tensors, names)
            for name in (f"{stem}_forward", f"{stem}_backward"):
                if name in names:
                    changed[name] = runner.choose(name.removeprefix(f"{stem}_"), names[name])
    tuples = {name: value for name, value in names.items() if isinstance(value, tuple) and name.endswith("_SCAN")}
    printed = {names[name]: function for name, function in changed.items()}
    names |= changed | {name: tuple(printed.get(item, item) for item in value) for name, value in tuples.items()}


@final
class _Runner:
    """Compiles a scan's functions when a type is first met."""

    def __init__(self, stem: str, cell: Cell, masked: bool, tensors: bool, names: dict[str, Any]) -> None:
        self._scan = functools.partial(print_native, cell, stem, masked=masked, tensors=tensors)
        self._names = names
        self._stem = f"{stem}_{SUFFIX}"
        self._made: dict[str, dict[str, Any]] = {}

    def choose(self, direction: str, printed: Callable[..., Any]) -> Callable[..., Any]:
        """A function that runs natively what can be, and the rest as printed."""
        name = f"{self._stem}_{direction}"

        @functools.wraps(printed)
        def run(*arguments: Any) -> Any:
            native = self._functions(common_real(arguments)).get(name, printed)
            return native(*arguments)

        return run

    def _functions(self, real: str) -> dict[str, Any]:
        if real not in self._made:
            self._made[real] = self._load(real) if real in REALS else {}
        return self._made[real]

    def _load(self, real: str) -> dict[str, Any]:
        made = self._scan()
        source = f"{print_numbers(REALS[real])}\n{chr(10).join(made.source.functions)}"
        try:
            library = load_library(source)
        except NativeError as error:
            warnings.warn(f"scans are not compiled: {error}", RuntimeWarning, stacklevel=4)
            return {}
        names = {name: function for name, function in self._names.items() if not name.startswith("__")}
        names |= {item.__name__: item for item in RUNTIME}
        signatures = {name: [ctypes.c_ssize_t] * NUMBERS + [ctypes.c_void_p] * arrays for name, arrays in made.source.names.items()}
        signatures |= {name: [ctypes.c_void_p] * arrays for name, arrays in made.source.setups.items()}
        for name, types in signatures.items():
            function = getattr(library, name)
            function.argtypes, function.restype = types, None
            names[name] = function
        return execute("\n\n\n".join([copy_functions(made.text.used.values()), made.text.text]), "native", names)


def common_real(arguments: Iterable[Any]) -> str:
    """The letter of the one type of all arrays that are not truth values, or nothing."""
    found = {item.dtype.char for item in arguments if hasattr(item, "dtype")} - {"?"}
    return found.pop() if len(found) == 1 else ""


def array_addresses(*arrays: np.ndarray) -> tuple[int, ...]:
    """Where the arrays' numbers are."""
    return tuple([array.__array_interface__["data"][0] for array in arrays])


def set_up(function: Any, work: np.ndarray, *arrays: np.ndarray) -> None:
    """Lay weights out in `work`."""
    plain = [array if array.flags.c_contiguous else array.copy() for array in arrays]
    function(*array_addresses(work, *plain))


def run_rows(function: Any, rows: int, work: int, threads: int, sizes: tuple[int, ...], addresses: tuple[int, ...]) -> None:
    """Call a function for all rows, cut among threads where there is enough to do; `work` is in multiply-adds a row."""
    parts = min(rows, rows * work // GRAIN, threads)
    if parts < 2:
        function(0, rows, 0, *sizes, *addresses)
        return
    edges = [rows * part // parts for part in range(parts + 1)]
    pool = _threads()
    others = [pool.submit(function, edges[part], edges[part + 1], part, *sizes, *addresses) for part in range(1, parts)]
    function(0, edges[1], 0, *sizes, *addresses)
    for other in others:
        other.result()


def count_threads() -> int:
    """How many threads torch uses where it is loaded; else as many as OMP_NUM_THREADS says, or as there are processors."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


RUNTIME: Final = (array_addresses, set_up, run_rows, count_threads)
"""What the text of native functions calls."""


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=64, thread_name_prefix="netlang-scan")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)
