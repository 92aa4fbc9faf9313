"""Prints what runs a scan on torch: PyTorch's own kernel for cells that are its own, where it is faster, NumPy functions behind a
`torch.autograd.Function` for all others, and the plain loop where neither can be.

On CPU tensors of one type, f32 or f64, the NumPy functions work on the tensors' own memory. The plain loop runs on other devices and
types, while a graph is traced or exported, under `torch.func` and forward-mode differentiation; and it is differentiated wherever
gradients of gradients are asked for. `torch.compile` calls the scan as one opaque function (its graph breaks there).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final, final

from compiler.backends.copying import copy_functions, emitted_names
from compiler.backends.execution import execute
from compiler.backends.native_scan import use_native
from compiler.backends.pieces import Landmarks, Line, Shared
from compiler.backends.scan_arrays import require_steps
from compiler.backends.scan_functions import ScanText, print_scan
from compiler.backends.scan_plain import TORCH, Dialect, LoopPrinter, ScanUse, weight_names
from compiler.backends.scan_runtime import ARRAY_FUNCTIONS, ARRAYS, TRANSFORMED
from compiler.backends.scan_vendor import print_vendor
from compiler.backends.scan_ways import ScanWay, choose_way
from compiler.backends.wrapping import wrap
from compiler.ir.cell import Cell
from compiler.passes.scan_plan import plan_scan

FIRST: Final = {"lstm": "", "gru": " and not torch.is_grad_enabled()"}
"""Which of torch's kernels beat the printed functions on the CPU, and when: its LSTM is fused, its GRU and RNN are made of single ops."""


@final
@dataclass(frozen=True, slots=True)
class TorchScan:
    """A printed scan, `{name}_scan`: the plain loop, what runs in its place, and which shared texts that needs.

    `kernels` are by the stem of its NumPy functions the cell and whether rows end early.

    It is called with three lists, sequences, states (None for zero) and parameters, then `lengths` where printed with them, `reverse`.
    """

    name: str
    loop: str
    text: str
    used: dict[str, Callable[..., Any]]
    runtime: tuple[str, ...]
    way: ScanWay
    kernels: dict[str, tuple[Cell, bool]]


def print_torch_kernel(cell: Cell, name: str, *, masked: Collection[bool] = (False,), taken: Iterable[str] = ()) -> TorchScan:
    """The functions of a cell's scan: `masked` those for rows that end early, not masked those for whole ones; raises Unsupported."""
    used: dict[str, Callable[..., Any]] = {}
    texts: list[str] = []
    kernels: dict[bool, ScanText] = {}
    lengths = True in masked
    way = choose_way(cell, lengths=False not in masked)
    kind = "" if way.vendor is None else way.vendor.kind
    for ends in sorted(masked):
        if ends or FIRST.get(kind) != "":
            kernels[ends] = print_scan(plan_scan(cell, masked=ends), f"{name}_masked" if ends else name, taken, tensors=True)
            texts.append(kernels[ends].text)
            used |= kernels[ends].used
    loop = _loop(cell, name, used, lengths=lengths)
    if way.vendor is not None:
        texts.append(print_vendor(cell, way.vendor, f"{name}_vendor"))
    texts.append(_entrance(name, kernels, kind, lengths=lengths))
    used[require_steps.__name__] = require_steps
    used |= {item.__name__: item for item in ARRAY_FUNCTIONS if kernels}
    runtime = (TRANSFORMED, ARRAYS) if kernels else (TRANSFORMED,)
    cells = {kernel.name: (cell, masked) for masked, kernel in kernels.items()}
    return TorchScan(name, loop, "\n\n\n".join(texts), used, runtime, way, cells)


def _loop(cell: Cell, name: str, used: dict[str, Callable[..., Any]], *, lengths: bool) -> str:
    """The plain loop as a function of everything it depends on."""
    use = ScanUse(cell, dict.fromkeys(cell.states), lengths, True)
    dialect = Dialect(**{field: getattr(TORCH, field) for field in TORCH.__slots__} | {"holds_sizes": False})
    weights = weight_names(cell)
    printer = LoopPrinter(use, dialect, weights.values(), used, weights.__getitem__, 1)
    loop = printer.print()
    head = wrap(f"def {name}_loop(lengths, reverse, {', '.join([*printer.sequences, *printer.states, *weights.values()])}):", 0)
    lines = Shared([[Line(0, ("def",)), *loop.lines]], [Landmarks()]).lines(1)
    return "\n".join([*head, *lines])


def _entrance(name: str, kernels: dict[bool, ScanText], vendor: str, *, lengths: bool) -> str:
    """The function that chooses. What is torch's own runs there where that is faster (`FIRST`)."""
    scans: list[str] = []
    for masked, kernel in kernels.items():
        word = "MASKED_SCAN" if masked else "SCAN"
        scans += wrap(f"{name.upper()}_{word} = ({kernel.name}_forward, {kernel.name}_backward, {kernel.masks!r}, {name}_loop)", 0)
    chosen = [f"{name.upper()}_{'MASKED_' * masked}SCAN" for masked in kernels]
    given = "lengths" if lengths else "None"
    own = " and ".join(["lengths is None"] * lengths + ["not is_transformed()"])
    call = f"        return {name}_vendor(reverse, *tensors)"
    lines = [
        *scans,
        *["", ""] * bool(scans),
        f"def {name}_scan(sequences, states, weights, {'lengths=None, ' * lengths}reverse=False):",
        "    require_steps(sequences[0].shape[1])",
        "    tensors = [*sequences, *states, *weights]",
    ]
    if vendor in FIRST:
        lines += [f"    if {own}{FIRST[vendor]}:", call]
    if kernels:
        arrays = f"{chosen[0]} if lengths is None else {chosen[1]}" if len(chosen) > 1 else chosen[0]
        known = "" if False in kernels or not lengths else "lengths is not None and "
        lines += [f"    if {known}suits_arrays([item for item in tensors if item is not None]):"]
        lines += wrap(f"return scan_arrays({arrays}, {given}, reverse, len(sequences), tensors)", 2)
        lines += [f"    if {own}:", call] if vendor and FIRST.get(vendor) != "" else []
    return "\n".join([*lines, f"    return {name}_loop({given}, reverse, *tensors)"])


def load_torch_scan(cell: Cell, *, lengths: bool = True) -> Callable[..., tuple[Any, ...]]:
    """The printed scan of a cell, running, with states (None for zero) and parameters by keyword; torch is loaded."""
    made = print_torch_kernel(cell, cell.name, masked=(False, True)[: 1 + lengths], taken=emitted_names("np", "torch"))
    parts = [HEAD, copy_functions(made.used.values()), *made.runtime, made.loop, made.text]
    names = execute("\n\n\n".join(parts), f"scan_{cell.name}")
    use_native(names, made.kernels, tensors=True)
    function = names[f"{cell.name}_scan"]
    keys = [item.key for item in cell.graph.parameters]

    @functools.wraps(function)
    def scan(*sequences: Any, **named: Any) -> tuple[Any, ...]:
        states, weights = [named.pop(name, None) for name in cell.states], [named.pop(key) for key in keys]
        results: tuple[Any, ...] = function(sequences, states, weights, **named)
        return results

    return scan


HEAD: Final = """from __future__ import annotations

import math
import threading

import numpy as np
import torch
import torch.nn.functional as F"""
