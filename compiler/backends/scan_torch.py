"""Prints what runs a scan on torch: PyTorch's own kernel for cells that are its own, where it is faster, NumPy functions behind a
`torch.autograd.Function` for all others, and the plain loop where neither can be.

On CPU tensors of one type, f32 or f64, the NumPy functions work on the tensors' own memory. The plain loop runs on other devices and
types, while a graph is traced or exported, under `torch.func` and forward-mode differentiation; and it is differentiated wherever
gradients of gradients are asked for. `torch.compile` calls the scan as one opaque function (its graph breaks there).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, final

from compiler.backends.copying import copy_functions
from compiler.backends.execution import execute
from compiler.backends.pieces import Landmarks, Line, Shared
from compiler.backends.scan_functions import ScanText, print_scan
from compiler.backends.scan_plain import TORCH, Dialect, LoopPrinter, ScanUse
from compiler.backends.scan_runtime import HEAD, RUNTIME
from compiler.backends.scan_vendor import print_vendor
from compiler.backends.scan_ways import ScanWay, choose_way
from compiler.ir.cell import Cell
from compiler.passes.scan_plan import plan_scan

FIRST: Final = {"lstm": "", "gru": " and not torch.is_grad_enabled()"}
"""Which of torch's kernels beat the printed functions on the CPU, and when: its LSTM is fused, its GRU and RNN are made of single ops."""


@final
@dataclass(frozen=True, slots=True)
class TorchScan:
    """A printed scan: its text (without the runtime) and the function's name.

    It is called with the sequences, then by keyword each state (None for zero), `lengths` where printed with them, `reverse`, and
    each parameter.
    """

    name: str
    text: str
    used: dict[str, Callable[..., Any]]
    way: ScanWay


def print_torch_kernel(cell: Cell, name: str, *, lengths: bool = False) -> TorchScan:
    """The functions of a cell's scan, `lengths` with those for rows that end early; raises Unsupported."""
    used: dict[str, Callable[..., Any]] = {}
    texts: list[str] = []
    kernels: dict[bool, ScanText] = {}
    for masked in (False, True)[: 1 + lengths]:
        kernels[masked] = print_scan(plan_scan(cell, masked=masked), f"{name}_masked" if masked else name, tensors=True)
        texts.append(kernels[masked].text)
        used |= kernels[masked].used
    way = choose_way(cell)
    texts.append(_loop(cell, name, used, lengths=lengths))
    if way.vendor is not None:
        texts.append(print_vendor(cell, way.vendor, f"{name}_vendor"))
    texts.append(_entrance(cell, name, kernels, way.vendor.kind if way.vendor is not None else ""))
    return TorchScan(name, "\n\n\n".join(texts), used, way)


def _loop(cell: Cell, name: str, used: dict[str, Callable[..., Any]], *, lengths: bool) -> str:
    """The plain loop as a function of everything it depends on."""
    use = ScanUse(cell, dict.fromkeys(cell.states), lengths, True)
    dialect = Dialect(**{field: getattr(TORCH, field) for field in TORCH.__slots__} | {"holds_sizes": False})
    loop = LoopPrinter(use, dialect, [], used, lambda key: key, 1).print()
    keys = [item.key for item in cell.graph.parameters]
    sequences = [f"sequence_{index}" for index in range(len(cell.inputs))]
    head = [f"def {name}_loop(lengths, reverse, {', '.join([*sequences, *cell.states, *keys])}):"]
    inner = loop.signature.split(", ")[: len(sequences)]
    head += [f"    {item.partition(':')[0]} = {sequence}" for item, sequence in zip(inner, sequences, strict=True)]
    lines = Shared([[Line(0, ("def",)), *loop.lines]], [Landmarks()]).lines(1)
    return "\n".join([*head, *lines])


def _entrance(cell: Cell, name: str, kernels: dict[bool, ScanText], vendor: str) -> str:
    """The function that chooses. What is torch's own runs there where that is faster (`FIRST`)."""
    keys = [item.key for item in cell.graph.parameters]
    scans = []
    for masked, kernel in kernels.items():
        word = "MASKED_SCAN" if masked else "SCAN"
        scans.append(f"{name.upper()}_{word} = ({kernel.name}_forward, {kernel.name}_backward, {kernel.masks!r}, {name}_loop)")
    masked = True in kernels
    lengths = "lengths" if masked else "None"
    chosen = f"{name.upper()}_SCAN if lengths is None else {name.upper()}_MASKED_SCAN" if masked else f"{name.upper()}_SCAN"
    sequences = ", ".join(f"sequence_{index}" for index in range(len(cell.inputs)))
    words = [*(f"{state}=None" for state in cell.states), *(["lengths=None"] if masked else []), "reverse=False"]
    own = " and ".join(["lengths is None"] * masked + ["not is_transformed()"])
    call = f"        return {name}_vendor(reverse, *tensors)"
    lines = [
        *scans,
        "",
        "",
        f"def {name}_scan({sequences}, *, {', '.join([*words, *keys])}):",
        f"    tensors = [{', '.join([sequences, *cell.states, *keys])}]",
    ]
    if vendor in FIRST:
        lines += [f"    if {own}{FIRST[vendor]}:", call]
    lines += [
        "    if suits_arrays([item for item in tensors if item is not None]):",
        f"        return scan_arrays({chosen}, {lengths}, reverse, {len(cell.inputs)}, tensors)",
        *([f"    if {own}:", call] if vendor and FIRST.get(vendor) != "" else []),
        f"    return {name}_loop({lengths}, reverse, *tensors)",
    ]
    return "\n".join(lines)


def load_torch_scan(cell: Cell, *, lengths: bool = True) -> Callable[..., tuple[Any, ...]]:
    """The printed scan of a cell, running; torch is loaded."""
    made = print_torch_kernel(cell, cell.name, lengths=lengths)
    text = "\n\n".join([HEAD, copy_functions(made.used.values()), RUNTIME, made.text])
    function: Callable[..., tuple[Any, ...]] = execute(text, f"scan_{cell.name}")[f"{cell.name}_scan"]
    return function
