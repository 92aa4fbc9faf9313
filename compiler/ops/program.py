"""What only training programs have: a tensor that is trained itself, a gradient as a value, a buffer of earlier values.

They are not called by name: the front end makes them of `variables`, `grad(y, x)` and `replay(value, size)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

from compiler.ir.graph import Graph
from compiler.ir.initializers import Zeros
from compiler.ir.op import Code, Derivative, Lowering, Op, ParameterSpec, Sample
from compiler.ir.signature import Positive
from compiler.ir.types import TensorType


class ProgramOp(Op):
    """Abstract: an op that programs are made of; tested with programs, so it has no samples."""

    internal: ClassVar[bool] = True

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        return iter(())


@final
@dataclass(frozen=True)
class Held(ProgramOp):
    """The one tensor of a variable; its first value is computed when a run starts."""

    name: ClassVar[str] = "held"
    operands: ClassVar[tuple[str, ...]] = ()
    derivative: ClassVar[Derivative] = {"value": "g"}
    type: TensorType

    def infer(self, *operands: TensorType) -> TensorType:
        return self.type

    def parameters(self, *operands: TensorType) -> tuple[ParameterSpec, ...]:
        return (ParameterSpec("value", self.type, Zeros()),)

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return arguments[0]


def is_variable(graph: Graph) -> bool:
    """Whether a network is a variable of a program: a tensor that it holds, and no more."""
    return len(graph.nodes) == 1 and isinstance(graph.nodes[0].op, Held)


@final
@dataclass(frozen=True)
class Gradient(ProgramOp):
    """The gradient of sum(y) with respect to x, itself differentiable; y depends on x, which `Differentiable` marks."""

    name: ClassVar[str] = "grad"
    operands: ClassVar[tuple[str, ...]] = ("y", "x")

    def infer(self, *operands: TensorType) -> TensorType:
        return operands[1]

    def torch(self, at: Lowering, *arguments: Code) -> str:
        y, x = arguments
        total = str(y) if at.operand_types[0].shape == () else f"{y.tight}.sum()"
        return f"torch.autograd.grad({total}, {x}, create_graph=True)[0]"


@final
@dataclass(frozen=True)
class Differentiable(ProgramOp):
    """`x` as something that gradients can be taken with respect to; `given` says that it comes from outside and must stay as it is."""

    name: ClassVar[str] = "differentiable"
    given: bool

    def infer(self, *operands: TensorType) -> TensorType:
        return operands[0]

    def torch(self, at: Lowering, *arguments: Code) -> str:
        (x,) = arguments
        return f"{x.tight}.view_as({x}).requires_grad_()" if self.given else f"{x.tight}.requires_grad_()"


@final
@dataclass(frozen=True)
class Replay(ProgramOp):
    """Earlier examples in place of some of `value`'s: a buffer of `size` examples, after Shrivastava et al. 2017, arXiv:1612.07828.

    No gradient goes through it.
    """

    name: ClassVar[str] = "replay"
    operands: ClassVar[tuple[str, ...]] = ("value",)
    random: ClassVar[bool] = True
    derivative: ClassVar[Derivative] = {"value": None}
    size: Positive

    def infer(self, *operands: TensorType) -> TensorType:
        return operands[0]
