"""Runs a cell over time: the one op whose meaning is a graph of others.

Sequences are [N, T, …], batch first. A row that is shorter than T keeps its state from its end on, and its outputs there are
zero, as PyTorch's packed sequences give; `reverse` begins at each row's own end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, final

from compiler.ir.cell import BATCH, Cell
from compiler.ir.dims import Dim
from compiler.ir.measure import multiply_adds
from compiler.ir.op import Adjoint, Code, Lowering, Op, ParameterSpec, Sample
from compiler.ir.types import DType, TensorType


@final
@dataclass(frozen=True)
class Scan(Op):
    """A cell applied to each step of its sequences: the outputs as a sequence [N, T, …], then the final states [N, …].

    Operands are the cell's inputs as sequences, the first states that `initial` names (the others are zero), and with
    `lengths` the number of valid steps of each row, i64[N]. `sizes` are the cell's open sizes in the caller's. With `kept`, a last
    result is what the scan's gradient reads, that many numbers in an order of the back end's own.
    """

    name: ClassVar[str] = "scan"
    operands: ClassVar[tuple[str, ...]] = ("*x",)
    family: ClassVar[str] = "scan"
    cell: Cell
    reverse: bool = False
    initial: tuple[str, ...] = ()
    lengths: bool = False
    sizes: tuple[tuple[str, Dim], ...] = ()
    kept: Dim | None = None

    def sequence_type(self, index: int, batch: Dim, time: Dim) -> TensorType:
        """What the input of that number must be."""
        step = self._outside(self.cell.graph.inputs[index].type, batch)
        return TensorType(step.dtype, (batch, time, *step.shape[1:]))

    def state_type(self, name: str, batch: Dim) -> TensorType:
        """The type of a state; raises ValueError where the cell has none of that name."""
        index = len(self.cell.inputs) + self.cell.states.index(name)
        return self._outside(self.cell.graph.inputs[index].type, batch)

    def _outside(self, type: TensorType, batch: Dim) -> TensorType:
        return type.substitute({**dict(self.sizes), BATCH: batch})

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        batch, time, *_ = operands[0].shape
        expected = [self.sequence_type(index, batch, time) for index in range(len(self.cell.inputs))]
        expected += [self.state_type(name, batch) for name in self.initial]
        expected += [TensorType(DType.i64, (batch,))] * self.lengths
        if tuple(expected) != operands:
            raise ValueError(f"the scan of {self.cell.name} is given {operands}, takes {expected}")
        output = self._outside(self.cell.graph.outputs[""].type, batch)
        states = (self.state_type(name, batch) for name in self.cell.states)
        sequence = TensorType(output.dtype, (batch, time, *output.shape[1:]))
        kept = () if self.kept is None else (TensorType(output.dtype, (self.kept,)),)
        return (sequence, *states, *kept)

    def pull_back(
        self, at: Adjoint, inputs: tuple[Any, ...], results: tuple[Any, ...], gradients: tuple[Any | None, ...]
    ) -> tuple[Any | None, ...] | None:
        if self.kept is None:
            return None
        output, *states = gradients[:-1]
        incoming = [at.fill(results[0], 0) if output is None else output, *(item for item in states if item is not None)]
        gradient = ScanGradient(self, tuple(item is not None for item in states))
        made = at.apply(gradient, *inputs, results[-1], *incoming)
        count, states_end = len(self.cell.inputs), len(self.cell.inputs) + len(self.cell.states)
        first = [made[count + self.cell.states.index(name)] for name in self.initial]
        return (*made[:count], *first, *[None] * self.lengths, *made[states_end:])

    def parameters(self, *operands: TensorType) -> tuple[ParameterSpec, ...]:
        return tuple(ParameterSpec(item.key, item.type, item.init, item.trainable) for item in self.cell.graph.parameters)

    def torch_apply(self, at: Lowering, module: str, *arguments: Code) -> str:
        return f"{module}({', '.join(self.arguments(arguments))})"

    def arguments(self, arguments: tuple[Code, ...]) -> list[str]:
        """The call's arguments: sequences by position, all else by keyword."""
        count = len(self.cell.inputs)
        words = [*self.initial, *(["lengths"] if self.lengths else [])]
        given = [*arguments[:count], *(f"{word}={code}" for word, code in zip(words, arguments[count:], strict=True))]
        return [*given, "reverse=True"] if self.reverse else given

    def cost(self, operands: tuple[TensorType, ...], results: tuple[TensorType, ...]) -> Dim:
        batch, time, *_ = operands[0].shape
        return multiply_adds(self.cell.graph).substitute({**dict(self.sizes), BATCH: batch}) * time

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        return iter(())


@final
@dataclass(frozen=True)
class ScanGradient(Op):
    """The gradients of a scan's sequences, first states (all of them) and parameters.

    Operands are those of the scan, its parameters, what it kept, the gradient of its outputs, and those of the final states that
    `states` marks. The gradient of a sequence of whole numbers is nothing, and nobody reads it.
    """

    name: ClassVar[str] = "scan_gradient"
    operands: ClassVar[tuple[str, ...]] = ("*x",)
    family: ClassVar[str] = "scan"
    internal: ClassVar[bool] = True
    scan: Scan
    states: tuple[bool, ...]

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        cell, (batch, *_) = self.scan.cell, operands[0].shape
        states = (self.scan.state_type(name, batch) for name in cell.states)
        return (*operands[: len(cell.inputs)], *states, *(item.type for item in cell.graph.parameters))

    def cost(self, operands: tuple[TensorType, ...], results: tuple[TensorType, ...]) -> Dim:
        return 2 * self.scan.cost(operands[: len(self.scan.cell.inputs)], ())

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        return iter(())
