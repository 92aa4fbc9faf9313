"""The same numbers in another shape: reshaping, axes in another order. Repeating is in `repeat`, joining and parting in `join`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, final

from compiler.ir.cell import BATCH
from compiler.ir.dims import Dim, at_least, compare, divisible
from compiler.ir.op import Code, Derivative, Lowering, Op, RuleError, Sample, SampleTensor
from compiler.ir.signature import Variadic, format_constant
from compiler.ir.types import TensorType
from compiler.ops.base import keywords, normal_axis, register, shift_axis
from compiler.ops.elementwise import copy_into

Sizes = Annotated[tuple[Dim, ...], Variadic()]
Axes = Annotated[tuple[int, ...], Variadic()]


def distinct_axes(name: str, axes: tuple[int, ...], rank: int, attribute: str = "axis") -> tuple[int, ...]:
    """The axes counted from the front; refuses one that is not there or stands twice."""
    found = tuple(normal_axis(name, axis, rank, attribute) for axis in axes)
    if len(set(found)) != len(found):
        raise RuleError("NL207", f"`{attribute}` of `{name}` names an axis twice: {list(axes)}", at=attribute)
    return found


def require_size(name: str, size: Dim, attribute: str) -> None:
    """Refuse a size that is less than 1."""
    if at_least(size, 1) is False:
        raise RuleError("NL213", f"`{name}` makes sizes of at least 1, but `{attribute}` holds {size}", at=attribute)


def reshape_text(text: str, shape: tuple[Dim, ...]) -> str:
    """Text of the language: what `text` means in this shape."""
    return f"reshape({text}, {format_constant(shape)})"


class ShapeOp(Op):
    """Abstract: an op that moves numbers and makes none, on any element type."""

    family: ClassVar[str] = "shape"


class Reshaping(ShapeOp):
    """Abstract: an op after which the numbers have the same order."""

    def derivatives(self, *operands: TensorType) -> Derivative:
        return {"x": reshape_text("g", operands[0].shape)}

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        """Arrays of four axes and more lie channel by channel, so that those of fewer are no views of them."""
        return f"{at.use(copy_into)}({out}, {arguments[0]})" if at.operand_types[0].rank >= 4 > at.result.rank > 0 else None


@register
@final
@dataclass(frozen=True)
class Flatten(Reshaping):
    """The axes from `start` to `end` as one: [N, C, H, W] becomes [N, C H W]."""

    name: ClassVar[str] = "flatten"
    start: int = 1
    end: int = -1

    def _range(self, x: TensorType) -> tuple[int, int]:
        start = normal_axis(self.name, self.start, x.rank, "start")
        end = normal_axis(self.name, self.end, x.rank, "end")
        if start > end:
            raise RuleError(
                "NL207", f"`{self.name}` starts at axis {start}, after its end {end}, in a tensor of {x.rank} dimensions", at="start"
            )
        return start, end

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        start, end = self._range(x)
        return TensorType(x.dtype, (*x.shape[:start], math.prod(x.shape[start : end + 1], start=Dim.of(1)), *x.shape[end + 1 :]))

    def shifted(self, *operands: TensorType) -> Op | None:
        start, end = self._range(operands[0])
        return replace(self, start=start + 1, end=end + 1)

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"nn.Flatten({keywords(self, {'start': 'start_dim', 'end': 'end_dim'}).removeprefix(', ')})"

    def torch(self, at: Lowering, *arguments: Code) -> str:
        end = f", {self.end}" * (self.end != -1)
        return f"{arguments[0].tight}.flatten({self.start}{end})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        start, _ = self._range(at.operand_types[0])
        sizes = [Dim.of(-1) if i == start and size.constant is None else size for i, size in enumerate(at.result.shape)]
        return f"{arguments[0].tight}.reshape({', '.join(map(at.dim, sizes))})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4, 5)),))
        yield Sample(cls(start=0, end=1), (SampleTensor((2, 3, 4)),))
        yield Sample(cls(start=-2), (SampleTensor((1, 2, 3, 4)),))
        yield Sample(cls(), (SampleTensor((2, 3)),))


@register
@final
@dataclass(frozen=True)
class Reshape(Reshaping):
    """The numbers in the same order in the given sizes; one size may be -1, which is what is left: `reshape(N, -1, 8)`."""

    name: ClassVar[str] = "reshape"
    sizes: Sizes

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        given = [size for size in self.sizes if size != -1]
        for size in given:
            require_size(self.name, size, "sizes")
        known = math.prod(given, start=Dim.of(1))
        if len(given) == len(self.sizes):
            self._require(x, known, compare(x.elements, known), f"the {known} of {self._shown()}")
            return TensorType(x.dtype, self.sizes)
        if len(self.sizes) - len(given) > 1:
            raise RuleError("NL220", f"`{self.name}` works out one size, but {self._shown()} holds -1 twice", at="sizes")
        self._require(x, known, divisible(x.elements, known), f"a multiple of the {known} of {self._shown()}")
        return TensorType(x.dtype, tuple(x.elements // known if size == -1 else size for size in self.sizes))

    def shifted(self, *operands: TensorType) -> Op | None:
        return replace(self, sizes=(Dim.symbol(BATCH), *self.infer(*operands).shape))

    def _shown(self) -> str:
        return f"[{', '.join(map(str, self.sizes))}]"

    def _require(self, x: TensorType, known: Dim, fits: bool | None, wanted: str) -> None:
        if fits is not True:
            raise RuleError(
                "NL220" if fits is False else "NL204",
                f"`{{x}}` is {x}, {x.elements} numbers, {'not' if fits is False else 'not proved to be'} {wanted}",
                at="sizes",
                labels={"x": str(x)},
                help=self._cure(x, fits),
            )

    def _cure(self, x: TensorType, fits: bool | None) -> str | None:
        sizes = x.shape[:1] + self.sizes
        if x.rank and compare(x.elements, math.prod(sizes, start=Dim.of(1))) is True:
            return f"name the batch too: `reshape({', '.join(map(str, sizes))})`"
        return None if fits is False else "give the sizes in the same symbols as the inputs, or concrete ones"

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}.reshape({', '.join(map(at.dim, self.sizes)) or '()'})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return self.torch(at, *arguments)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for sizes, shape in (
            ((6, 4), (2, 3, 4)),
            ((2, -1), (2, 3, 4)),
            ((1, 2, -1, 2), (8, 2)),
            ((-1,), (2, 3)),
            ((), (1, 1)),
            ((1, -1), ()),
        ):
            yield Sample(cls(tuple(map(Dim.of, sizes))), (SampleTensor(shape),))


@register
@final
@dataclass(frozen=True)
class Permute(ShapeOp):
    """The axes in the order given: `permute(0, 2, 1)` makes [N, T, D] [N, D, T]."""

    name: ClassVar[str] = "permute"
    axes: Axes

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if len(self.axes) != x.rank:
            raise RuleError("NL208", f"`{self.name}` lists {len(self.axes)} axes, but `{{x}}` is {x}: it has {x.rank}", at="axes")
        return TensorType(x.dtype, tuple(x.shape[axis] for axis in distinct_axes(self.name, self.axes, x.rank, "axes")))

    def shifted(self, *operands: TensorType) -> Op | None:
        rank = operands[0].rank
        return replace(self, axes=(0, *(axis % rank + 1 for axis in self.axes)))

    def derivatives(self, *operands: TensorType) -> Derivative:
        axes = distinct_axes(self.name, self.axes, operands[0].rank, "axes")
        return {"x": f"permute(g, {[axes.index(axis) for axis in range(len(axes))]})"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}.permute({', '.join(map(str, self.axes)) or '()'})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}.transpose({', '.join(map(str, self.axes))})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls((0, 2, 1)), (SampleTensor((2, 3, 4)),))
        yield Sample(cls((-1, 0, 1, 2)), (SampleTensor((2, 3, 1, 4)),))
        yield Sample(cls((1, 0)), (SampleTensor((2, 3)),))


@register
@final
@dataclass(frozen=True)
class Transpose(ShapeOp):
    """Two axes exchanged, the last two unless given."""

    name: ClassVar[str] = "transpose"
    derivative: ClassVar[Derivative] = {"x": "transpose(g, a, b)"}
    a: int = -2
    b: int = -1

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        a, b = normal_axis(self.name, self.a, x.rank, "a"), normal_axis(self.name, self.b, x.rank, "b")
        shape = list(x.shape)
        shape[a], shape[b] = shape[b], shape[a]
        return TensorType(x.dtype, tuple(shape))

    def shifted(self, *operands: TensorType) -> Op | None:
        return replace(self, a=shift_axis(self.a), b=shift_axis(self.b))

    def torch(self, at: Lowering, *arguments: Code) -> str:
        if at.operand_types[0].rank == 2:
            return f"{arguments[0].tight}.T" if self.a % 2 != self.b % 2 else arguments[0]
        return f"{arguments[0].tight}.transpose({self.a}, {self.b})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        if at.operand_types[0].rank == 2:
            return self.torch(at, *arguments)
        return f"{arguments[0].tight}.swapaxes({self.a}, {self.b})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4)),))
        yield Sample(cls(0, 1), (SampleTensor((2, 3)),))
        yield Sample(cls(1, 3), (SampleTensor((2, 3, 1, 4)),))
        yield Sample(cls(1, -1), (SampleTensor((2, 3)),))


@register
@final
@dataclass(frozen=True)
class Squeeze(Reshaping):
    """Without the axes named, each of which has size 1."""

    name: ClassVar[str] = "squeeze"
    axis: int | tuple[int, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        axes = distinct_axes(self.name, (self.axis,) if isinstance(self.axis, int) else self.axis, x.rank)
        for axis in axes:
            if x.shape[axis] != 1:
                raise RuleError(
                    "NL226", f"`{self.name}` removes an axis of size 1, but axis {axis} of `{{x}}` is `{x.shape[axis]}` in {x}", at="axis"
                )
        return TensorType(x.dtype, tuple(size for i, size in enumerate(x.shape) if i not in axes))

    def shifted(self, *operands: TensorType) -> Op | None:
        return replace(self, axis=shift_axis(self.axis) if isinstance(self.axis, int) else tuple(map(shift_axis, self.axis)))

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}.squeeze({self.axis})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return self.torch(at, *arguments)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(1), (SampleTensor((2, 1, 4)),))
        yield Sample(cls((-1, 1)), (SampleTensor((2, 1, 4, 1)),))
        yield Sample(cls(0), (SampleTensor((1,)),))


@register
@final
@dataclass(frozen=True)
class Unsqueeze(Reshaping):
    """With a new axis of size 1 at the place `axis` has in the result."""

    name: ClassVar[str] = "unsqueeze"
    axis: int

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        axis = normal_axis(self.name, self.axis, x.rank + 1)
        return TensorType(x.dtype, (*x.shape[:axis], Dim.of(1), *x.shape[axis:]))

    def shifted(self, *operands: TensorType) -> Op | None:
        return replace(self, axis=shift_axis(self.axis))

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}.unsqueeze({self.axis})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"np.expand_dims({arguments[0]}, {self.axis})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(1), (SampleTensor((2, 3)),))
        yield Sample(cls(-1), (SampleTensor((2, 3)),))
        yield Sample(cls(0), (SampleTensor(()),))
