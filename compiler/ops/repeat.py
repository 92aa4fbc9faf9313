"""Axes repeated, mirrored and shifted: broadcasting to sizes, tiling, flipping, rolling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

from compiler.ir.dims import Dim, compare
from compiler.ir.op import Batching, Code, Derivative, Lowering, Op, RuleError, Sample, SampleTensor
from compiler.ir.types import TensorType
from compiler.ops.base import normal_axis, register, shift_axis
from compiler.ops.shape import ShapeOp, Sizes, Unsqueeze, distinct_axes, require_size, reshape_text


@register
@final
@dataclass(frozen=True)
class Expand(ShapeOp):
    """Broadcast to the given sizes: axes of size 1 are repeated, new ones stand in front; -1 keeps a size."""

    name: ClassVar[str] = "expand"
    derivative: ClassVar[Derivative] = {"x": "g"}
    sizes: Sizes

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        new = len(self.sizes) - x.rank
        if new < 0:
            raise RuleError("NL208", f"`{self.name}` lists {len(self.sizes)} sizes, but `{{x}}` is {x}: it has {x.rank}", at="sizes")
        found = []
        for i, size in enumerate(self.sizes):
            old = x.shape[i - new] if i >= new else Dim.of(1)
            if size != -1:
                require_size(self.name, size, "sizes")
            wanted = old if size == -1 else size
            fits = True if old == 1 else compare(old, wanted)
            if fits is not True:
                raise RuleError(
                    "NL203" if fits is False else "NL204",
                    f"`{{x}}` is {x}, and its `{old}` cannot be expanded to `{wanted}`",
                    at="sizes",
                    labels={"x": str(x)},
                    help="only a size of 1 can be expanded; to repeat numbers use `tile`",
                )
            found.append(wanted)
        return TensorType(x.dtype, tuple(found))

    def batched(self, at: Batching, moved: tuple[bool, ...], *operands: Any) -> Any:
        """New axes stand behind the batch's."""
        (x,) = operands
        for _ in range(len(self.sizes) + 1 - x.type.rank):
            x = at.apply(Unsqueeze(1), x)
        return at.apply(replace(self, sizes=(Dim.of(-1), *self.sizes)), x)

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}.expand({', '.join(map(at.dim, self.sizes))})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"np.broadcast_to({arguments[0]}, {at.dims(at.result.shape)})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(tuple(map(Dim.of, (2, 3, 4)))), (SampleTensor((3, 1)),))
        yield Sample(cls(tuple(map(Dim.of, (-1, 5)))), (SampleTensor((3, 1)),))
        yield Sample(cls((Dim.of(4),)), (SampleTensor(()),))


@register
@final
@dataclass(frozen=True)
class Tile(ShapeOp):
    """Each axis repeated as often as given, counted from the last: `tile(2, 1)` puts two copies under each other."""

    name: ClassVar[str] = "tile"
    counts: Sizes

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        for count in self.counts:
            require_size(self.name, count, "counts")
        rank = max(x.rank, len(self.counts))
        shape = (Dim.of(1),) * (rank - x.rank) + x.shape
        counts = (Dim.of(1),) * (rank - len(self.counts)) + self.counts
        return TensorType(x.dtype, tuple(size * count for size, count in zip(shape, counts, strict=True)))

    def shifted(self, *operands: TensorType) -> Op | None:
        return self if len(self.counts) <= operands[0].rank else None

    def derivatives(self, *operands: TensorType) -> Derivative:
        """The sum over the copies of each number."""
        (x,) = operands
        rank = max(x.rank, len(self.counts))
        shape = (Dim.of(1),) * (rank - x.rank) + x.shape
        counts = (Dim.of(1),) * (rank - len(self.counts)) + self.counts
        parts = tuple(size for pair in zip(counts, shape, strict=True) for size in pair)
        total = f"sum({reshape_text('g', parts)}, axis={list(range(0, 2 * rank, 2))})" if rank else "g"
        return {"x": reshape_text(total, x.shape)}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}.tile({at.dims(self.counts)})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"np.tile({arguments[0]}, {at.dims(self.counts)})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls((Dim.of(2), Dim.of(1))), (SampleTensor((3, 4)),))
        yield Sample(cls((Dim.of(3),)), (SampleTensor((2, 3)),))
        yield Sample(cls((Dim.of(2), Dim.of(1), Dim.of(2))), (SampleTensor((3, 1)),))


@register
@final
@dataclass(frozen=True)
class Flip(ShapeOp):
    """The order along an axis, or several, reversed."""

    name: ClassVar[str] = "flip"
    derivative: ClassVar[Derivative] = {"x": "flip(g, axis=axis)"}
    axis: int | tuple[int, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        distinct_axes(self.name, (self.axis,) if isinstance(self.axis, int) else self.axis, x.rank)
        return x

    def shifted(self, *operands: TensorType) -> Op | None:
        return replace(self, axis=shift_axis(self.axis) if isinstance(self.axis, int) else tuple(map(shift_axis, self.axis)))

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}.flip({self.axis})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"np.flip({arguments[0]}, {self.axis})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(1), (SampleTensor((2, 3)),))
        yield Sample(cls((-1, 0)), (SampleTensor((2, 3, 4)),))


@register
@final
@dataclass(frozen=True)
class Roll(ShapeOp):
    """Shifted by `shift` along `axis`; what leaves at one end comes in at the other."""

    name: ClassVar[str] = "roll"
    derivative: ClassVar[Derivative] = {"x": "roll(g, -shift, axis=axis)"}
    shift: int
    axis: int

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        normal_axis(self.name, self.axis, x.rank)
        return x

    def shifted(self, *operands: TensorType) -> Op | None:
        return replace(self, axis=shift_axis(self.axis))

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}.roll({self.shift}, {self.axis})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"np.roll({arguments[0]}, {self.shift}, {self.axis})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(1, axis=1), (SampleTensor((2, 3)),))
        yield Sample(cls(-5, axis=-1), (SampleTensor((2, 3, 4)),))
