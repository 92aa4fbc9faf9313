"""Pooling to a grid of a given size, or of everything to one number, over 1, 2 or 3 spatial dimensions. Layout N, C, spatial.

N = batch, C = channels. Cell i of n along a dimension spans floor(i length / n) to ceil((i + 1) length / n).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from compiler.ir.dims import Dim
from compiler.ir.op import Code, Derivative, Lowering, Op, Sample, SampleTensor, emitted
from compiler.ir.signature import format_constant
from compiler.ir.types import TensorType
from compiler.ops.base import register, require_float
from compiler.ops.shape import reshape_text
from compiler.ops.windows import Size, require_spatial, spatial_sizes

if TYPE_CHECKING:
    import numpy as np


@emitted
def cell_weights(length: int, n: int) -> np.ndarray:
    """[length, n]: what each place counts in the mean of each cell."""
    cells, places = np.arange(n), np.arange(length)[:, None]
    starts, ends = cells * length // n, -(-(cells + 1) * length // n)
    result: np.ndarray = ((places >= starts) & (places < ends)) / (ends - starts)
    return result


@emitted
def pool_adaptive(x: np.ndarray, size: tuple[int, ...], largest: bool = False) -> np.ndarray:
    """The mean, or the largest, of cells of `x` [N, C, *spatial]."""
    for axis, n in enumerate(size, 2):
        length = x.shape[axis]
        if largest:
            cells = np.arange(n)
            starts, ends = cells * length // n, -(-(cells + 1) * length // n)
            width = int((ends - starts).max())
            members = np.minimum(starts[:, None] + np.arange(width), ends[:, None] - 1)
            x = x.take(members, axis).max(axis + 1)
        else:
            x = np.moveaxis(np.moveaxis(x, axis, -1) @ cell_weights(length, n).astype(x.dtype), -1, axis)
    return x


@dataclass(frozen=True)
class GlobalPool(Op):
    """Abstract: all spatial dimensions become one number."""

    family: ClassVar[str] = "pool"
    torch_method: ClassVar[str]
    numpy_method: ClassVar[str]
    keepdims: bool = False

    def kept(self, text: str, x: TensorType) -> str:
        """The text with the shape [N, C, 1, …], which broadcasts against `x`."""
        return reshape_text(text, (*x.shape[:2], *(Dim.of(1),) * (x.rank - 2)))

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        rank = require_spatial(self.name, x)
        require_float(self.name, x)
        return TensorType(x.dtype, (*x.shape[:2], *(Dim.of(1),) * (rank if self.keepdims else 0)))

    def _axes(self, at: Lowering) -> str:
        axes = tuple(range(2, at.operand_types[0].rank))
        return repr(axes[0] if len(axes) == 1 else axes)

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}.{self.torch_method}({self._axes(at)}{', keepdim=True' * self.keepdims})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}.{self.numpy_method}({self._axes(at)}{', keepdims=True' * self.keepdims})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 5, 4)),))
        yield Sample(cls(keepdims=True), (SampleTensor((2, 3, 1, 4)),))
        yield Sample(cls(), (SampleTensor((2, 3, 5)),))
        yield Sample(cls(keepdims=True), (SampleTensor((1, 2, 2, 3, 4)),))


@register
@final
class GlobalAvgPool(GlobalPool):
    """The mean over all spatial dimensions: [N, C, *spatial] becomes [N, C], or [N, C, 1, 1] with `keepdims`."""

    name: ClassVar[str] = "global_avg_pool"
    torch_method: ClassVar[str] = "mean"
    numpy_method: ClassVar[str] = "mean"

    def derivatives(self, *operands: TensorType) -> Derivative:
        (x,) = operands
        return {"x": f"{self.kept('g', x)} / ({math.prod(x.shape[2:], start=Dim.of(1))})"}


@register
@final
class GlobalMaxPool(GlobalPool):
    """The largest number over all spatial dimensions: [N, C, *spatial] becomes [N, C], or [N, C, 1, 1] with `keepdims`."""

    name: ClassVar[str] = "global_max_pool"
    torch_method: ClassVar[str] = "amax"
    numpy_method: ClassVar[str] = "max"

    def derivatives(self, *operands: TensorType) -> Derivative:
        """Among equal largest numbers the gradient is shared, as by torch.amax."""
        (x,) = operands
        largest = f"cast(x == {self.kept('result', x)}, {x.dtype})"
        return {"x": f"{largest} * ({self.kept('g', x)} / sum({largest}, axis={list(range(2, x.rank))}, keepdims=true))"}


@dataclass(frozen=True)
class AdaptivePool(Op):
    """Abstract: a grid of `size` cells over the spatial dimensions, whatever their sizes; cells overlap where they do not divide."""

    family: ClassVar[str] = "pool"
    torch_class: ClassVar[str]
    torch_function: ClassVar[str]
    extra: ClassVar[str] = ""
    size: Size

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        size = spatial_sizes(self.name, "size", self.size, require_spatial(self.name, x))
        require_float(self.name, x)
        return TensorType(x.dtype, (*x.shape[:2], *map(Dim.of, size)))

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"nn.{self.torch_class}{operands[0].rank - 2}d({self.size!r})"

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"F.{self.torch_function}{at.operand_types[0].rank - 2}d({arguments[0]}, {self.size!r})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        size = spatial_sizes(self.name, "size", self.size, at.operand_types[0].rank - 2)
        return f"{at.use(pool_adaptive)}({arguments[0]}, {size}{self.extra})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(2), (SampleTensor((2, 3, 6, 8)),))
        yield Sample(cls((3, 5)), (SampleTensor((1, 2, 7, 4)),))
        yield Sample(cls(4), (SampleTensor((2, 1, 9)),))
        yield Sample(cls((1, 2, 3)), (SampleTensor((1, 2, 2, 3, 4)),))


@register
@final
class AdaptiveAvgPool(AdaptivePool):
    """The mean of each cell of a `size` grid over [N, C, *spatial]; `adaptive_avg_pool(7)` makes any image 7x7."""

    name: ClassVar[str] = "adaptive_avg_pool"
    torch_class: ClassVar[str] = "AdaptiveAvgPool"
    torch_function: ClassVar[str] = "adaptive_avg_pool"

    def derivatives(self, *operands: TensorType) -> Derivative:
        return {"x": f"adaptive_avg_pool_gradient(g, sizes={format_constant(operands[0].shape[2:])})"}


@register
@final
class AdaptiveMaxPool(AdaptivePool):
    """The largest number of each cell of a `size` grid over [N, C, *spatial]."""

    name: ClassVar[str] = "adaptive_max_pool"
    torch_class: ClassVar[str] = "AdaptiveMaxPool"
    torch_function: ClassVar[str] = "adaptive_max_pool"
    extra: ClassVar[str] = ", largest=True"

    def derivatives(self, *operands: TensorType) -> Derivative:
        (x,) = operands
        flat = format_constant((*x.shape[:2], -1))
        count = math.prod(x.shape[2:], start=Dim.of(1))
        positions = f"reshape(adaptive_max_positions(x, size={format_constant(self.size)}), {flat})"
        return {"x": reshape_text(f"gather_gradient(reshape(g, {flat}), {positions}, axis=2, count={count})", x.shape)}
