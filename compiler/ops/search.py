"""Reductions that answer a question: where the largest stands, whether any or all hold; and running sums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, final

from compiler.ir.op import Code, Derivative, Lowering, Op, RuleError, Sample, SampleTensor
from compiler.ir.types import DType, TensorType
from compiler.ops.arithmetic import refuse_bool
from compiler.ops.base import normal_axis, register, shift_axis
from compiler.ops.reduce import Reduction, reduced_axes, reduced_shape


@dataclass(frozen=True)
class Position(Op):
    """Abstract: where the largest or smallest stands; `method` is the name in both libraries."""

    family: ClassVar[str] = "reduce"
    method: ClassVar[str]
    axis: int | None = None
    keepdims: bool = False

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        refuse_bool(self.name, x, "x")
        return TensorType(DType.i64, reduced_shape(x.shape, reduced_axes(self.name, self.axis, x.rank), self.keepdims))

    def shifted(self, *operands: TensorType) -> Op | None:
        (x,) = operands
        if self.axis is None:
            return replace(self, axis=1) if x.rank == 1 else None
        return replace(self, axis=shift_axis(self.axis))

    def _settings(self, axis: str, keepdims: str) -> str:
        parts = [] if self.axis is None else [f"{axis}={self.axis}"]
        return ", ".join([*parts, f"{keepdims}=True"] if self.keepdims else parts)

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}.{self.method}({self._settings('dim', 'keepdim')})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}.{self.method}({self._settings('axis', 'keepdims')})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4)),))
        yield Sample(cls(axis=1), (SampleTensor((2, 3)),))
        yield Sample(cls(axis=-2, keepdims=True), (SampleTensor((2, 3, 1)),))
        yield Sample(cls(keepdims=True), (SampleTensor((2, 3)),))


@register
@final
@dataclass(frozen=True)
class Argmax(Position):
    """The index of the largest along `axis`, among all in C order where it is left out."""

    name: ClassVar[str] = "argmax"
    derivative: ClassVar[Derivative] = {"x": None}
    method: ClassVar[str] = "argmax"


@register
@final
@dataclass(frozen=True)
class Argmin(Position):
    """The index of the smallest along `axis`, among all in C order where it is left out."""

    name: ClassVar[str] = "argmin"
    derivative: ClassVar[Derivative] = {"x": None}
    method: ClassVar[str] = "argmin"


class Quantifier(Reduction):
    """Abstract: truth values reduced to truth values."""

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if x.dtype is not DType.bool:
            raise RuleError("NL210", f"`{self.name}` takes truth values, but `{{x}}` is {x}", at="x", help="compare it: `{x} != 0`")
        return super().infer(x)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3), DType.bool),))
        yield Sample(cls(axis=1), (SampleTensor((4, 2), DType.bool),))
        yield Sample(cls(axis=(0, -1), keepdims=True), (SampleTensor((2, 4, 1), DType.bool),))


@register
@final
@dataclass(frozen=True)
class Any(Quantifier):
    """Whether something over `axis` holds."""

    name: ClassVar[str] = "any"
    derivative: ClassVar[Derivative] = {"x": None}
    method: ClassVar[str] = "any"


@register
@final
@dataclass(frozen=True)
class All(Quantifier):
    """Whether everything over `axis` holds."""

    name: ClassVar[str] = "all"
    derivative: ClassVar[Derivative] = {"x": None}
    method: ClassVar[str] = "all"


@register
@final
@dataclass(frozen=True)
class Cumsum(Op):
    """The sums of everything up to each place along `axis`; integers are counted in i64."""

    name: ClassVar[str] = "cumsum"
    derivative: ClassVar[Derivative] = {"x": "flip(cumsum(flip(g, axis), axis), axis)"}
    family: ClassVar[str] = "reduce"
    axis: int

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        normal_axis(self.name, self.axis, x.rank)
        return TensorType(x.dtype if x.dtype.is_float else DType.i64, x.shape)

    def shifted(self, *operands: TensorType) -> Op | None:
        return replace(self, axis=shift_axis(self.axis))

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}.cumsum(dim={self.axis})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        dtype = ", dtype=np.int64" if at.operand_types[0].dtype in (DType.i32, DType.u8) else ""
        return f"{arguments[0].tight}.cumsum(axis={self.axis}{dtype})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(0), (SampleTensor((5,)),))
        yield Sample(cls(-1), (SampleTensor((2, 1, 4)),))
        yield Sample(cls(1), (SampleTensor((2, 3), DType.u8, 0, 9),))
