"""Adjoints of padding and of upsampling: each number of the larger tensor is given back to those that made it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from compiler.ir.dims import Dim, compare
from compiler.ir.op import Code, Derivative, Lowering, Op, RuleError, Sample, SampleTensor, emitted
from compiler.ir.signature import NonNegative
from compiler.ir.types import TensorType
from compiler.ops.base import register, require_float
from compiler.ops.index_gradients import add_at
from compiler.ops.resize import Pad, Upsample, UpsampleMode, linear_places, nearest_places
from compiler.ops.windows import PaddingMode, Size, fold_padding, require_spatial

if TYPE_CHECKING:
    import numpy as np


@emitted
def gather_upsampled(y: np.ndarray, sizes: tuple[int, ...], linear: bool, align_corners: bool = False) -> np.ndarray:
    """The adjoint of upsampling [N, C, *sizes] to the shape of `y`, dimension by dimension."""
    for axis, length in enumerate(sizes, 2):
        n = y.shape[axis]
        if linear:
            low, high, second = linear_places(length, n, align_corners)
            share = second.astype(y.dtype).reshape(-1, *(1,) * (y.ndim - 1 - axis))
            y = add_at(y * (1 - share), low, axis, length) + add_at(y * share, high, axis, length)
        elif n != length:
            y = add_at(y, nearest_places(length, n), axis, length)
    return y


class ResizeGradient(Op):
    """Abstract: an adjoint of an op that changes spatial sizes."""

    family: ClassVar[str] = "gradient"
    internal: ClassVar[bool] = True
    operands: ClassVar[tuple[str, ...]] = ("y",)


@register
@final
@dataclass(frozen=True)
class PadGradient(ResizeGradient):
    """`y` without its border, whose numbers are added to those they repeat: the adjoint of `pad` in every mode but zeros."""

    name: ClassVar[str] = "pad_gradient"
    derivative: ClassVar[Derivative] = {"y": "pad(g, pads, mode=mode)"}
    pads: tuple[tuple[NonNegative, NonNegative], ...]
    mode: PaddingMode

    def infer(self, *operands: TensorType) -> TensorType:
        (y,) = operands
        require_spatial(self.name, y)
        require_float(self.name, y, "y")
        inner = (size - before - after for size, (before, after) in zip(y.shape[2:], self.pads, strict=True))
        x = TensorType(y.dtype, (*y.shape[:2], *inner))
        Pad(self.pads, self.mode).infer(x)
        return x

    def torch(self, at: Lowering, *arguments: Code) -> str:
        (y,) = arguments
        zeros = f"{y.tight}.new_zeros({at.dims(at.result.shape)})"
        return f"torch.func.vjp(lambda x: {Pad(self.pads, self.mode).torch(at, Code('x'))}, {zeros})[1]({y})[0]"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(fold_padding)}({arguments[0]}, {self.pads}, {self.mode!r})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(((3, 3), (2, 1)), "reflect"), (SampleTensor((1, 2, 10, 8)),))
        yield Sample(cls(((2, 2), (2, 2)), "replicate"), (SampleTensor((1, 2, 5, 7)),))
        yield Sample(cls(((1, 1), (2, 2), (0, 1)), "circular"), (SampleTensor((1, 2, 4, 7, 5)),))
        yield Sample(cls(((0, 2),), "circular"), (SampleTensor((2, 1, 5)),))


@register
@final
@dataclass(frozen=True)
class UpsampleGradient(ResizeGradient):
    """What `y` gives back to a tensor of these spatial sizes: the adjoint of `upsample` with the same attributes."""

    name: ClassVar[str] = "upsample_gradient"
    sizes: tuple[Dim, ...]
    scale: Size | None = None
    size: Size | None = None
    mode: UpsampleMode = "nearest"
    align_corners: bool = False

    @property
    def forward(self) -> Upsample:
        return Upsample(self.scale, self.size, self.mode, self.align_corners)

    def infer(self, *operands: TensorType) -> TensorType:
        (y,) = operands
        require_spatial(self.name, y)
        require_float(self.name, y, "y")
        x = TensorType(y.dtype, (*y.shape[:2], *self.sizes))
        made = self.forward.infer(x)
        if any(compare(a, b) is False for a, b in zip(made.shape, y.shape, strict=True)):
            raise RuleError("NL203", f"`{{y}}` is {y}, but `upsample` of {x} is {made}", at="y")
        return x

    def derivatives(self, *operands: TensorType) -> Derivative:
        return {"y": f"upsample(g, {self.forward.attributes()})"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        (y,) = arguments
        zeros = f"{y.tight}.new_zeros({at.dims(at.result.shape)})"
        return f"torch.func.vjp(lambda x: F.interpolate(x, {self.forward.given(at.result)}), {zeros})[1]({y})[0]"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        aligned = ", align_corners=True" * self.align_corners
        return f"{at.use(gather_upsampled)}({arguments[0]}, {at.dims(self.sizes)}, linear={self.mode != 'nearest'}{aligned})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for sample in Upsample.samples():
            op = sample.op
            assert isinstance(op, Upsample)
            x = sample.operands[0].type
            shape = tuple(size.constant or 0 for size in op.infer(x).shape)
            yield Sample(cls(x.shape[2:], op.scale, op.size, op.mode, op.align_corners), (SampleTensor(shape),))
