"""Runs scans with NumPy alone: printed forward and backward functions, and calls of them on sequences [N, T, …]."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from compiler.backends.pieces import Line
from compiler.backends.scan_arrays import in_order, require_steps, steps_going, to_steps
from compiler.backends.scan_functions import claim_stem, print_scan, stem_names
from compiler.backends.scan_plain import NUMPY, LoopPrinter, ScanUse, numpy_head
from compiler.ir.cell import Cell
from compiler.ir.graph import Graph
from compiler.ir.op import Code, emitted
from compiler.ops.scan import Scan, ScanGradient
from compiler.passes.scan_plan import plan_scan

if TYPE_CHECKING:
    import numpy as np


@emitted
def run_scan(
    forward: Any,
    ranks: tuple[int, ...],
    sequences: list[np.ndarray],
    states: list[np.ndarray | None],
    weights: list[np.ndarray],
    lengths: np.ndarray | None = None,
    reverse: bool = False,
    keep: bool = False,
) -> tuple[Any, ...]:
    """A scan's outputs [N, T, …] and final states, and with `keep` what `pull_scan` reads."""
    require_steps(sequences[0].shape[1])
    steps = [to_steps(item, lengths, reverse) for item in sequences]
    steps += steps_going(lengths, len(steps[0]), ranks, reverse)
    outputs, *finals, saved = forward(*steps, *states, *weights, keep)
    results = in_order(outputs, reverse).swapaxes(0, 1), *finals
    return (*results, (steps, len(sequences), saved)) if keep else results


@emitted
def pull_scan(backward: Any, kept: Any, weights: list[np.ndarray], gradients: list[Any], reverse: bool = False) -> tuple[np.ndarray, ...]:
    """The gradients of a scan's sequences, first states and weights from those of its outputs and final states."""
    steps, count, saved = kept
    last, *finals = gradients
    found = backward(np.ascontiguousarray(in_order(last.swapaxes(0, 1), reverse)), *finals, *steps, *weights, saved)
    given = [*steps[:count], *[None] * len(finals), *weights]
    found = [np.zeros_like(like) if item is None else item for item, like in zip(found, given, strict=True)]
    return *(in_order(item, reverse).swapaxes(0, 1) for item in found[:count]), *found[count:]


@final
@dataclass(frozen=True, slots=True)
class Kernel:
    """The functions `{name}_forward` and `{name}_backward`; `ranks` are those of the masks they take."""

    name: str
    ranks: tuple[int, ...]


@final
@dataclass(slots=True)
class Kernels:
    """The functions of a file's scans, by the graph of the cell and whether rows end early; cells with equal texts share them.

    `cells` are by stem the cell and whether rows end early.
    """

    found: dict[tuple[Graph, bool], Kernel] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    cells: dict[str, tuple[Cell, bool]] = field(default_factory=dict)
    _known: dict[str, Kernel] = field(default_factory=dict)

    def add(self, cell: Cell, masked: bool, taken: set[str], used: dict[str, Callable[..., Any]], *, backward: bool) -> None:
        """Print the functions of a cell; names they take are added to `taken`, functions they call to `used`."""
        if (cell.graph, masked) in self.found:
            return
        wanted = f"{cell.name}_masked" if masked else cell.name
        text = print_scan(plan_scan(cell, masked=masked), wanted).text
        if text not in self._known:
            stem = claim_stem(wanted, taken)
            made = print_scan(plan_scan(cell, masked=masked), stem, taken)
            taken |= set(stem_names(stem))
            used |= made.used | {item.__name__: item for item in (run_scan, pull_scan)[: 1 + backward]}
            self.texts += [made.forward, made.backward][: 1 + backward]
            self._known[text] = Kernel(stem, made.masks)
            self.cells[stem] = (cell, masked)
        self.found[cell.graph, masked] = self._known[text]

    def run(self, op: Scan, operands: Sequence[Code], weights: Sequence[str]) -> str:
        """The call of a scan in a function where its weights are variables."""
        kernel = self.found[op.cell.graph, op.lengths]
        sequences, states, lengths = split_operands(op, operands)
        options = [f"{word}=True" for word, wanted in (("reverse", op.reverse), ("keep", op.kept is not None)) if wanted]
        lists = ", ".join(f"[{', '.join(items)}]" for items in (sequences, states, weights))
        return f"run_scan({', '.join([f'{kernel.name}_forward', repr(kernel.ranks), lists, *lengths, *options])})"

    def pull(self, op: ScanGradient, operands: Sequence[Code]) -> str:
        """The call of a scan's gradient."""
        scan = op.scan
        kernel = self.found[scan.cell.graph, scan.lengths]
        start = len(scan.cell.inputs) + len(scan.initial) + scan.lengths
        weights, rest = operands[start : start + len(scan.cell.graph.parameters)], operands[start + len(scan.cell.graph.parameters) :]
        kept, last, *finals = rest
        given = iter(finals)
        gradients = [last, *(next(given) if there else "None" for there in op.states)]
        lists = ", ".join(f"[{', '.join(items)}]" for items in (weights, gradients))
        return f"pull_scan({kernel.name}_backward, {kept}, {lists}{', reverse=True' * scan.reverse})"


def split_operands(op: Scan, operands: Sequence[Code]) -> tuple[Sequence[str], list[str], Sequence[str]]:
    """The sequences, the first states (None for zero), and the lengths where they are given."""
    count = len(op.cell.inputs)
    known = dict(zip(op.initial, operands[count:], strict=False))
    return operands[:count], [known.get(name, "None") for name in op.cell.states], operands[count + len(op.initial) :]


def print_entry(use: ScanUse, taken: Iterable[str], kernels: Mapping[bool, Kernel]) -> list[Line]:
    """The lines of a function of the parameters' dictionary, as `print_numpy_scan` has it, that calls what is printed."""
    printer = LoopPrinter(use, NUMPY, taken, {}, lambda key: key, 1)
    loop = printer.print()
    keys = [f'"{item.key}"' for item in use.cell.graph.parameters]
    states = [name if value in use.initial else "None" for value, name in zip(use.cell.states, printer.states, strict=True)]
    made = [Line(1, (f"weights = [p[prefix + key] for key in ({', '.join(keys)}{',' * (len(keys) == 1)})]",))] if keys else []
    for masked, kernel in kernels.items():
        lists = [f"[{', '.join(items)}]" for items in (printer.sequences, states)]
        options = [*(["lengths"] if masked else []), *(["reverse=reverse"] if use.reverse else [])]
        given = [f"{kernel.name}_forward", repr(kernel.ranks), *lists, "weights" if keys else "[]", *options]
        alone = masked or len(kernels) == 1
        made += [] if alone else [Line(1, ("if lengths is None:",))]
        made.append(Line(1 if alone else 2, (f"return run_scan({', '.join(given)})",)))
    return [numpy_head(use, loop), *made]
