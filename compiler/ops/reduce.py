"""Reductions over axes: sums, means, extrema, variances, norms. `axis` is one, a list, or (left out) all; for `norm` all but the first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, final

from compiler.ir.dims import Dim
from compiler.ir.op import POWER, Code, Derivative, Lowering, Op, RuleError, Sample, SampleTensor, emitted
from compiler.ir.signature import NonNegative, PositiveFloat
from compiler.ir.types import DType, TensorType
from compiler.ops.arithmetic import number
from compiler.ops.base import normal_axis, register, require_float

if TYPE_CHECKING:
    import numpy as np

Axis = int | tuple[int, ...] | None


def reduced_axes(name: str, axis: Axis, rank: int) -> tuple[int, ...]:
    """The axes counted from the front, all for None; refuses one outside the rank or named twice."""
    if axis is None:
        return tuple(range(rank))
    if axis == ():
        raise RuleError("NL207", f"`{name}` is given no axis to reduce", at="axis", help="leave `axis` out to reduce over all of them")
    axes = tuple(normal_axis(name, item, rank) for item in ((axis,) if isinstance(axis, int) else axis))
    if len(set(axes)) != len(axes):
        raise RuleError("NL207", f"`{name}` names an axis twice in {list(axis if isinstance(axis, tuple) else (axis,))}", at="axis")
    return axes


def reduced_shape(shape: tuple[Dim, ...], axes: tuple[int, ...], keepdims: bool) -> tuple[Dim, ...]:
    """What is left of a shape: 1 in place of each reduced size, or nothing."""
    return tuple(Dim.of(1) if place in axes else size for place, size in enumerate(shape) if keepdims or place not in axes)


def kept(name: str, shape: tuple[Dim, ...], axes: tuple[int, ...]) -> str:
    """Text of the tensor `name`, reduced over `axes` of `shape`, with sizes 1 in their places, so that it broadcasts to `shape`."""
    rest = [place for place in range(len(shape)) if place not in axes]
    if not rest or rest[0] == len(shape) - len(rest):
        return name
    if len(axes) == 1:
        return f"unsqueeze({name}, {axes[0]})"
    return f"reshape({name}, {', '.join(map(str, reduced_shape(shape, axes, True)))})"


def count_of(shape: tuple[Dim, ...], axes: tuple[int, ...]) -> Dim:
    """How many numbers are reduced to one."""
    return math.prod((shape[axis] for axis in axes), start=Dim.of(1))


@dataclass(frozen=True)
class Reduction(Op):
    """Abstract: numbers reduced over axes by a method that both libraries name `method`."""

    family: ClassVar[str] = "reduce"
    method: ClassVar[str]
    axis: Axis = None
    keepdims: bool = False

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        return TensorType(self._dtype(x), reduced_shape(x.shape, self._axes(x), self.keepdims))

    def shifted(self, *operands: TensorType) -> Op | None:
        return replace(self, axis=tuple(axis + 1 for axis in self._axes(operands[0])))

    def _dtype(self, x: TensorType) -> DType:
        return x.dtype

    def _axes(self, x: TensorType) -> tuple[int, ...]:
        return reduced_axes(self.name, self.axis, x.rank)

    def _kept(self, name: str, x: TensorType) -> str:
        """Text of the result or its gradient as it broadcasts to `x`."""
        return name if self.keepdims else kept(name, x.shape, self._axes(x))

    def _settings(self, rank: int, axis: str, keepdims: str) -> list[str]:
        shown = tuple(range(rank)) if self.axis is None and self.keepdims else self.axis
        parts = [] if shown is None else [f"{axis}={shown}"]
        return [*parts, f"{keepdims}=True"] if self.keepdims else parts

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}.{self.method}({', '.join(self._settings(at.operand_types[0].rank, 'dim', 'keepdim'))})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}.{self.method}({', '.join(self._settings(at.operand_types[0].rank, 'axis', 'keepdims'))})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4)),))
        yield Sample(cls(axis=1), (SampleTensor((2, 3)),))
        yield Sample(cls(axis=(-1, 1), keepdims=True), (SampleTensor((2, 3, 4, 5)),))
        yield Sample(cls(axis=-2), (SampleTensor((3, 4, 2)),))
        yield Sample(cls(keepdims=True), (SampleTensor((3, 4)),))


class Total(Reduction):
    """Abstract: integers and truth values are counted in i64."""

    def _dtype(self, x: TensorType) -> DType:
        return x.dtype if x.dtype.is_float else DType.i64

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        text = super().numpy(at, *arguments)
        small = at.operand_types[0].dtype in (DType.i32, DType.u8)
        return f"{text[:-1]}{'' if text.endswith('()') else ', '}dtype=np.int64)" if small else text

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        settings = [*self._settings(at.operand_types[0].rank, "axis", "keepdims"), f"out={out}"]
        return f"{arguments[0].tight}.{self.method}({', '.join(settings)})" if at.result.dtype.is_float else None

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield from super().samples()
        yield Sample(cls(axis=0), (SampleTensor((3, 1), DType.i32, -5, 5),))
        yield Sample(cls(), (SampleTensor((3, 2), DType.u8, 0, 5),))
        yield Sample(cls(axis=1), (SampleTensor((3, 2), DType.bool),))


@register
@final
@dataclass(frozen=True)
class Sum(Total):
    """The sum over `axis`."""

    name: ClassVar[str] = "sum"
    method: ClassVar[str] = "sum"

    def derivatives(self, *operands: TensorType) -> Derivative:
        return {"x": self._kept("g", *operands)}


@register
@final
@dataclass(frozen=True)
class Prod(Total):
    """The product over `axis`."""

    name: ClassVar[str] = "prod"
    method: ClassVar[str] = "prod"

    def derivatives(self, *operands: TensorType) -> Derivative:
        """The product of the others, exact in value and in its own derivative however many are zero.

        Without a division by zero: the product of the numbers that are not, by the number itself where it is not, times
        that of the other zeros: 1 if there are none, their sum if there is one, 0 if there are more.
        """
        setting = "axis=axis, keepdims=true"
        zeros, total = f"sum(x == 0, {setting})", f"sum(where(x == 0, x, 0), {setting})"
        others = f"{zeros} - cast(x == 0, i64)"
        rest = f"where({others} == 0, 1, where({others} == 1, {total} - where(x == 0, x, 0), 0))"
        nonzero = "where(x == 0, 1, x)"
        return {"x": f"{self._kept('g', *operands)} * prod({nonzero}, {setting}) / {nonzero} * {rest}"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        """PyTorch multiplies over one axis at a time."""
        rank = at.operand_types[0].rank
        if self.axis is None and not self.keepdims:
            return f"{arguments[0].tight}.prod()"
        axes = sorted(reduced_axes(self.name, self.axis, rank), reverse=True)
        keep = ", keepdim=True" if self.keepdims else ""
        return arguments[0].tight + "".join(f".prod(dim={axis}{keep})" for axis in axes)


class FloatReduction(Reduction):
    """Abstract: a reduction of floating-point numbers."""

    def infer(self, *operands: TensorType) -> TensorType:
        require_float(self.name, operands[0])
        return super().infer(*operands)


@register
@final
@dataclass(frozen=True)
class Mean(FloatReduction):
    """The arithmetic mean over `axis`."""

    name: ClassVar[str] = "mean"
    method: ClassVar[str] = "mean"

    def derivatives(self, *operands: TensorType) -> Derivative:
        (x,) = operands
        return {"x": self._kept(f"(g / ({count_of(x.shape, self._axes(x))}))", x)}


class Extreme(Reduction):
    """Abstract: the largest or smallest; NumPy calls it without the a."""

    def derivatives(self, *operands: TensorType) -> Derivative:
        """Those that are equal to the result get its gradient in equal parts."""
        found = f"x == {self._kept('result', *operands)}"
        return {"x": f"where({found}, {self._kept('g', *operands)} / sum({found}, axis=axis, keepdims=true), 0)"}

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}.{self.method[1:]}({', '.join(self._settings(at.operand_types[0].rank, 'axis', 'keepdims'))})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield from super().samples()
        yield Sample(cls(axis=0), (SampleTensor((3, 1), DType.i64, -5, 5),))


@register
@final
@dataclass(frozen=True)
class Amax(Extreme):
    """The largest number over `axis`; `max` is that of two tensors."""

    name: ClassVar[str] = "amax"
    method: ClassVar[str] = "amax"


@register
@final
@dataclass(frozen=True)
class Amin(Extreme):
    """The smallest number over `axis`; `min` is that of two tensors."""

    name: ClassVar[str] = "amin"
    method: ClassVar[str] = "amin"


@dataclass(frozen=True)
class Spread(FloatReduction):
    """Abstract: mean squared distance from the mean, with the count lessened by `correction`."""

    correction: NonNegative = 1

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        result = super().infer(x)
        count = count_of(x.shape, self._axes(x))
        if count.constant is not None and count.constant <= self.correction:
            raise RuleError(
                "NL215",
                f"`{self.name}` divides by the count less {self.correction}, but it reduces {count} of `{{x}}`",
                at="axis",
                help="write `correction=0` for the spread of these numbers themselves",
            )
        return result

    def _divisor(self, x: TensorType) -> str:
        return f"({count_of(x.shape, self._axes(x)) - self.correction})"

    def torch(self, at: Lowering, *arguments: Code) -> str:
        parts = self._settings(at.operand_types[0].rank, "dim", "keepdim")
        if self.correction != 1:
            parts.append(f"correction={self.correction}")
        return f"{arguments[0].tight}.{self.method}({', '.join(parts)})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        parts = self._settings(at.operand_types[0].rank, "axis", "keepdims")
        if self.correction != 0:
            parts.append(f"ddof={self.correction}")
        return f"{arguments[0].tight}.{self.method}({', '.join(parts)})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield from super().samples()
        yield Sample(cls(axis=1, correction=0), (SampleTensor((3, 4, 1)),))
        yield Sample(cls(axis=(0, 2), correction=2), (SampleTensor((3, 4, 2)),))


@register
@final
@dataclass(frozen=True)
class Var(Spread):
    """The variance over `axis`; the divisor is the count less `correction`, so 0 gives that of the numbers themselves."""

    name: ClassVar[str] = "var"
    method: ClassVar[str] = "var"

    def derivatives(self, *operands: TensorType) -> Derivative:
        (x,) = operands
        return {"x": f"{self._kept(f'(2 * g / {self._divisor(x)})', x)} * (x - mean(x, axis=axis, keepdims=true))"}


@register
@final
@dataclass(frozen=True)
class Std(Spread):
    """The standard deviation over `axis`; the divisor under the root is the count less `correction`."""

    name: ClassVar[str] = "std"
    method: ClassVar[str] = "std"
    formula: ClassVar[str | None] = "sqrt(var(x, axis=axis, keepdims=keepdims, correction=correction))"

    def derivatives(self, *operands: TensorType) -> Derivative:
        """0 where all are equal, as PyTorch's."""
        (x,) = operands
        scale = f"where(result == 0, 0, g / ({self._divisor(x)} * where(result == 0, 1, result)))"
        return {"x": f"{self._kept(scale, x)} * (x - mean(x, axis=axis, keepdims=true))"}


@register
@final
@dataclass(frozen=True)
class Norm(Op):
    """The p-norm: (sum of |x| ** p) ** (1 / p), Euclidean for p = 2.

    Left out, `axis` is every axis but the first: `norm(grad(y, x))` is one number per example, [N, C, H, W] -> [N].
    """

    name: ClassVar[str] = "norm"
    family: ClassVar[str] = "reduce"
    p: PositiveFloat = 2.0
    axis: Axis = None
    keepdims: bool = False

    def _axes(self, x: TensorType) -> tuple[int, ...]:
        if self.axis is None and x.rank < 2:
            raise RuleError(
                "NL202",
                f"`norm` reduces all axes but the first, but `{{x}}` is {x}",
                at="x",
                help="name the axis: `norm({x}, axis=0)`" if x.rank == 1 else "write `abs({x})`",
            )
        return tuple(range(1, x.rank)) if self.axis is None else reduced_axes(self.name, self.axis, x.rank)

    def infer(self, *operands: TensorType) -> TensorType:
        require_float(self.name, operands[0])
        return TensorType(operands[0].dtype, reduced_shape(operands[0].shape, self._axes(operands[0]), self.keepdims))

    def shifted(self, *operands: TensorType) -> Op | None:
        return replace(self, axis=tuple(axis + 1 for axis in self._axes(operands[0])))

    def derivatives(self, *operands: TensorType) -> Derivative:
        """0 where the norm is 0, as PyTorch's subgradient."""
        length = "where(result == 0, 1, result)"
        scale = {1.0: "g", 2.0: f"where(result == 0, 0, g / {length})"}.get(self.p, f"where(result == 0, 0, g / {length} ** (p - 1))")
        scale = scale if self.keepdims else kept(scale, operands[0].shape, self._axes(operands[0]))
        return {
            "x": {1.0: f"{scale} * sign(x)", 2.0: f"{scale} * x"}.get(self.p, f"{scale} * sign(x) * where(x == 0, 1, abs(x)) ** (p - 1)")
        }

    def _axis(self, at: Lowering) -> int | tuple[int, ...]:
        if self.axis is not None:
            return self.axis
        axes = self._axes(at.operand_types[0])
        return axes[0] if len(axes) == 1 else axes

    def torch(self, at: Lowering, *arguments: Code) -> str:
        order = "" if self.p == 2 else f", ord={number(self.p)}"
        keep = ", keepdim=True" if self.keepdims else ""
        return f"torch.linalg.vector_norm({arguments[0]}{order}, dim={self._axis(at)}{keep})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        settings = f"axis={self._axis(at)}" + (", keepdims=True" if self.keepdims else "")
        if self.p == 2:
            return f"np.sqrt(np.square({arguments[0]}).sum({settings}))"
        if self.p == 1:
            return f"np.abs({arguments[0]}).sum({settings})"
        return Code(f"(np.abs({arguments[0]}) ** {number(self.p)}).sum({settings}) ** {1 / self.p!r}", POWER)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4, 1)),))
        yield Sample(cls(), (SampleTensor((2, 3)),))
        yield Sample(cls(1.0, axis=-1, keepdims=True), (SampleTensor((2, 3)),))
        yield Sample(cls(3.5, axis=(0, 2)), (SampleTensor((2, 3, 4)),))
        yield Sample(cls(axis=0), (SampleTensor((5,)),))
        yield Sample(cls(keepdims=True), (SampleTensor((2, 3, 4)),))


@emitted
def logsumexp(x: np.ndarray, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> np.ndarray:
    """log(sum of exp(x)) over `axis`, finite wherever x is."""
    top = np.max(x, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    result: np.ndarray = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return result if keepdims else np.squeeze(result, axis=axis)


@register
@final
@dataclass(frozen=True)
class LogSumExp(FloatReduction):
    """log(sum of exp(x)) over `axis`, finite wherever x is."""

    name: ClassVar[str] = "logsumexp"

    def derivatives(self, *operands: TensorType) -> Derivative:
        return {"x": f"{self._kept('g', *operands)} * exp(x - {self._kept('result', *operands)})"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        axis = tuple(range(at.operand_types[0].rank)) if self.axis is None else self.axis
        return f"torch.logsumexp({arguments[0]}, dim={axis}{', keepdim=True' if self.keepdims else ''})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(logsumexp)}({', '.join((arguments[0], *self._settings(at.operand_types[0].rank, 'axis', 'keepdims')))})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield from super().samples()
        yield Sample(cls(axis=1), (SampleTensor((2, 3), low=900, high=903),))
