"""Runs a cell's step graph node by node with torch, step after step: the oracle of every way to run a scan.

It shares with them the ops' own torch forms alone; autograd differentiates it. A finished row keeps its states and gives zeros.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, final

import torch

from compiler.ir.cell import BATCH, Cell
from compiler.ir.dims import Dim
from compiler.ir.graph import Node
from compiler.ir.op import EMITTED, Code, Lowering
from compiler.ops.scan import Scan
from compiler.passes.expand import expand, lacks_torch
from compiler.passes.inline import inline
from tests.compiler.backends.recurrences import scan_graph

Tensors = Sequence[torch.Tensor | None]


def cell(call: str, text: str = "", inputs: str = "x: [N, T, 3]") -> Cell:
    """The cell of a call, bundled or written in `text`."""
    names = ", ".join(re.findall(r"(\w+):", inputs))
    graph = scan_graph(f"scan({names}, {call})", inputs, cells=text)
    return next(node.op.cell for node in graph.nodes if isinstance(node.op, Scan))


def written(states: str, params: str, step: list[str], output: str = "h'") -> Cell:
    """A cell with the input `x: [3]`, whose size is D in `params`."""
    lines = "".join(f"      {line}\n" for line in step)
    text = f"\n  own:\n    inputs: {{x: [D]}}\n    state: {{{states}}}\n    params: {{{params}}}\n    step:\n{lines}    output: {output}"
    return cell("own", text)


@final
class _Sized(Lowering):
    """Prints one node for a batch of `rows`."""

    def __init__(self, node: Node, sizes: dict[str, int]) -> None:
        self.operand_types = node.operand_types
        self.result_types = node.result_types
        self._sizes = sizes

    def dim(self, dim: Dim) -> str:
        return dim.python({name: str(size) for name, size in self._sizes.items()})

    def use(self, function: Callable[..., Any]) -> str:
        return function.__name__


def run_scan(
    cell: Cell,
    sequences: Tensors,
    states: Tensors,
    weights: Sequence[torch.Tensor],
    lengths: torch.Tensor | None = None,
    reverse: bool = False,
) -> tuple[torch.Tensor, ...]:
    """Outputs [N, T, …] and final states of sequences [N, T, …]; states that are None begin at 0."""
    graph = expand(inline(cell.graph), lacks_torch)
    given = [item for item in sequences if item is not None]
    rows, steps = given[0].shape[:2]
    sizes = {BATCH: rows}
    current = []
    for state, value in zip(states, graph.inputs[len(cell.inputs) :], strict=True):
        shape = [rows, *(dim.constant or 0 for dim in value.type.shape[1:])]
        current.append(given[0].new_zeros(shape) if state is None else state)
    outputs: list[torch.Tensor] = []
    for t in reversed(range(steps)) if reverse else range(steps):
        values: dict[Any, Any] = dict(zip((item.value for item in graph.parameters), weights, strict=True))
        values |= dict(zip(graph.inputs, [*(item[:, t] for item in given), *current], strict=True))
        for node in graph.nodes:
            names = {f"v{index}": values[value] for index, value in enumerate(node.operands)}
            text = node.op.torch(_Sized(node, sizes), *map(Code, names))
            made = eval(text, {"torch": torch, "F": torch.nn.functional, **EMITTED, **names})  # noqa: S307 - an op's own text
            results = made if len(node.results) > 1 else (made,)
            results = tuple(_in_precision(item, given[0].dtype) for item in results)
            values |= dict(zip(node.results, results, strict=True))
        going = None if lengths is None else t < lengths
        output = values[graph.outputs[""]]
        outputs.append(output if going is None else torch.where(_like(going, output), output, torch.zeros_like(output)))
        following = [values[graph.outputs[name]] for name in cell.states]
        if going is not None:
            following = [torch.where(_like(going, new), new, old) for new, old in zip(following, current, strict=True)]
        current = following
    return torch.stack(outputs[::-1] if reverse else outputs, 1), *current


def _in_precision(made: Any, dtype: torch.dtype) -> Any:
    """A tensor of f32 that an op makes of nothing, in the precision of the run."""
    return made.to(dtype) if isinstance(made, torch.Tensor) and made.is_floating_point() else made


def _like(going: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return going.reshape(-1, *[1] * (value.dim() - 1))


def draw_tensors(cell: Cell, rows: int, steps: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[list[torch.Tensor], ...]:
    """Sequences, first states and parameters, normally distributed, all of which want gradients."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return (torch.randn(shape, generator=generator, dtype=torch.float64) * scale).to(dtype).requires_grad_()

    inputs, states = cell.graph.inputs[: len(cell.inputs)], cell.graph.inputs[len(cell.inputs) :]
    sizes = [[dim.constant or 0 for dim in value.type.shape[1:]] for value in (*inputs, *states)]
    sequences = [draw(rows, steps, *size) for size in sizes[: len(inputs)]]
    first = [draw(rows, *size, scale=0.5) for size in sizes[len(inputs) :]]
    return sequences, first, [draw(*(dim.constant or 0 for dim in item.type.shape), scale=0.5) for item in cell.graph.parameters]


def pull(results: Sequence[torch.Tensor], seed: int = 7) -> torch.Tensor:
    """A weighted sum of results, the same weights for the same shapes."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack(
        [(item * torch.randn(item.shape, generator=generator, dtype=torch.float64).to(item.dtype)).sum() for item in results]
    ).sum()


def assert_close(found: Sequence[torch.Tensor | None], wanted: Sequence[torch.Tensor | None], tolerance: float) -> None:
    """Each within `tolerance` of the largest number of the wanted, or of 1; None counts as zeros."""
    for index, (mine, theirs) in enumerate(zip(found, wanted, strict=True)):
        if theirs is None or mine is None:
            other = mine if theirs is None else theirs
            assert other is None or other.abs().max() == 0, index
            continue
        assert mine.shape == theirs.shape
        assert mine.dtype == theirs.dtype
        error = (mine - theirs).abs().max().item() / max(1.0, theirs.abs().max().item())
        assert error <= tolerance, f"number {index}: {error:.2e}"
