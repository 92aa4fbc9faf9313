"""Adjoints of pooling: numbers given back to the largest of a window, or to all of it; and who the largest are.

x = what is pooled [N, C, *spatial], y = what has the result's shape [N, C, *out]. Maxima choose the first in C order, as torch does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar, final

from compiler.ir.dims import Dim, compare
from compiler.ir.op import Code, Derivative, Lowering, Op, RuleError, Sample, SampleTensor, emitted
from compiler.ir.signature import format_constant
from compiler.ir.types import DType, TensorType
from compiler.ops.base import register, require_float, require_known
from compiler.ops.pool import AvgPool, MaxPool, WindowPool, divide_by_counts
from compiler.ops.pool_grid import cell_weights
from compiler.ops.windows import Pads, Size, require_spatial, spatial_sizes

if TYPE_CHECKING:
    import numpy as np


@emitted
def choose_largest(x: np.ndarray, axis: int, k: int, s: int, d: int, before: int, after: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest number of each window along `axis`, after padding with -inf, and which of the k it is: the first of equals."""
    ahead = (slice(None),) * axis
    if before or after:
        x = np.pad(x, [(before, after) if i == axis else (0, 0) for i in range(x.ndim)], constant_values=-np.inf)
    span = (x.shape[axis] - d * (k - 1) - 1) // s * s + 1
    largest = x[(*ahead, slice(0, span, s))]
    choice: np.ndarray = np.zeros(largest.shape, np.uint8 if k < 256 else np.int64)
    for i in range(1, k):
        piece = x[(*ahead, slice(i * d, i * d + span, s))]
        choice = np.maximum(choice, (piece > largest) * choice.dtype.type(i))
        largest = np.maximum(largest, piece)
    return largest, choice


@emitted
def window_stages(
    sizes: tuple[int, ...],
    size: tuple[int, ...],
    stride: tuple[int, ...] | None = None,
    pad: tuple[int, ...] | None = None,
    dilation: tuple[int, ...] | None = None,
    ceil: bool = False,
) -> list[tuple[int, int, int, int, int, int]]:
    """(axis, kernel, stride, dilation, padding before, after) for each dimension; padding behind is what windows reach."""
    zeros, ones = (0,) * len(size), (1,) * len(size)
    stages = []
    for axis, (n, k, s, p, d) in enumerate(zip(sizes, size, stride or size, pad or zeros, dilation or ones, strict=True), 2):
        extent = d * (k - 1) + 1
        offset = min(2 * p - extent + s - 1, p - 1) if ceil else 2 * p - extent
        stages.append((axis, k, s, d, p, max((n + offset) // s * s + extent - n - p, 0)))
    return stages


@emitted
def give_to_windows(
    y: np.ndarray, choice: np.ndarray | None, length: int, axis: int, k: int, s: int, d: int, before: int, after: int
) -> np.ndarray:
    """`y` added to each place of its window along `axis`, or only to the chosen one; what falls into the padding is dropped."""
    ahead = (slice(None),) * axis
    total = np.zeros((*y.shape[:axis], before + length + after, *y.shape[axis + 1 :]), y.dtype)
    span = (y.shape[axis] - 1) * s + 1
    for i in range(k):
        part = y if choice is None else y * (choice == i)
        places = (*ahead, slice(i * d, i * d + span, s))
        if s > d * (k - 1):
            total[places] = part
        else:
            total[places] += part
    return total[(*ahead, slice(before, before + length))]


@emitted
def give_to_largest(
    x: np.ndarray,
    y: np.ndarray,
    size: tuple[int, ...],
    stride: tuple[int, ...] | None = None,
    pad: tuple[int, ...] | None = None,
    dilation: tuple[int, ...] | None = None,
    ceil: bool = False,
) -> np.ndarray:
    """`y` [N, C, *out] added to the largest number of each window of `x` [N, C, *spatial], about 1 MB of channels at a time."""
    x, y = x.swapaxes(0, 1), y.swapaxes(0, 1)
    shape = x.shape
    x, y = x.reshape(1, -1, *shape[2:]), y.reshape(1, -1, *y.shape[2:])
    stages = window_stages(shape[2:], size, stride, pad, dilation, ceil)
    result = np.empty_like(x)
    step = max(1, 2**18 // math.prod(shape[2:]))
    for start in range(0, x.shape[1], step):
        block, given, choices = x[:, start : start + step], y[:, start : start + step], []
        for stage in reversed(stages):
            block, choice = choose_largest(block, *stage)
            choices.append(choice)
        for stage, choice in zip(stages, reversed(choices), strict=True):
            given = give_to_windows(given, choice, shape[stage[0]], *stage)
        result[:, start : start + step] = given
    return result.reshape(shape).swapaxes(0, 1)


@emitted
def take_at_largest(
    x: np.ndarray,
    values: np.ndarray,
    size: tuple[int, ...],
    stride: tuple[int, ...] | None = None,
    pad: tuple[int, ...] | None = None,
    dilation: tuple[int, ...] | None = None,
    ceil: bool = False,
) -> np.ndarray:
    """The number of `values` [N, C, *spatial] where `x` has the largest of each window."""
    for axis, k, s, d, before, after in reversed(window_stages(x.shape[2:], size, stride, pad, dilation, ceil)):
        x, choice = choose_largest(x, axis, k, s, d, before, after)
        places = np.arange(x.shape[axis]).reshape(-1, *(1,) * (x.ndim - 1 - axis)) * s + choice.astype(np.int64) * d - before
        values = np.take_along_axis(values, np.clip(places, 0, values.shape[axis] - 1), axis)
    return values


@emitted
def spread_average(
    y: np.ndarray,
    sizes: tuple[int, ...],
    size: tuple[int, ...],
    stride: tuple[int, ...] | None = None,
    pad: tuple[int, ...] | None = None,
    ceil: bool = False,
    count_pad: bool = True,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """The adjoint of the mean over windows of [N, C, *sizes]: each of `y`, over its count, added to all of its window."""
    if out is not None and (stride or size) == size and all(n == k * m for n, k, m in zip(sizes, size, y.shape[2:], strict=True)):
        for offset in np.ndindex(*size):
            places = (slice(i, None, k) for i, k in zip(offset, size, strict=True))
            np.divide(y, math.prod(size), out=out[(slice(None), slice(None), *places)])
        return out
    y = divide_by_counts(y.copy(), sizes, size, stride, pad, ceil, count_pad)
    for stage in window_stages(sizes, size, stride, pad, None, ceil):
        y = give_to_windows(y, None, sizes[stage[0] - 2], *stage)
    if out is None:
        return y
    out[...] = y
    return out


@emitted
def spread_cells(y: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """The adjoint of the mean over a grid of cells of [N, C, *sizes]."""
    for axis, length in enumerate(sizes, 2):
        weights = cell_weights(length, y.shape[axis]).astype(y.dtype)
        y = np.moveaxis(np.moveaxis(y, axis, -1) @ weights.T, -1, axis)
    return y


@emitted
def largest_positions(x: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Where in each channel of `x` [N, C, *spatial], flattened, the first largest number of each cell stands."""
    sizes = x.shape
    flat: np.ndarray = np.zeros(1, np.int64)
    for axis in range(len(sizes) - 1, 1, -1):
        n, length = size[axis - 2], sizes[axis]
        cells = np.arange(n)
        starts, ends = cells * length // n, -(-(cells + 1) * length // n)
        members = np.minimum(starts[:, None] + np.arange(int((ends - starts).max())), ends[:, None] - 1)
        numbers = x.take(members, axis)
        places = starts.reshape(-1, *(1,) * (x.ndim - 1 - axis)) + numbers.argmax(axis + 1)
        within = flat if flat.size == 1 else np.take_along_axis(flat, places, axis)
        flat = places * math.prod(sizes[axis + 1 :]) + within
        x = numbers.max(axis + 1)
    return flat


class PoolGradient(Op):
    """Abstract: an adjoint of a pooling op, or what its own derivative needs."""

    family: ClassVar[str] = "gradient"
    internal: ClassVar[bool] = True


def check_pooled(pooling: Op, x: TensorType, y: TensorType) -> None:
    """Refuse a `y` that does not have the shape of the pooled `x`."""
    require_float(pooling.name, y, "y")
    pooled = pooling.infer(x)
    assert isinstance(pooled, TensorType)
    if y.rank != x.rank or any(compare(a, b) is False for a, b in zip(pooled.shape, y.shape, strict=True)):
        raise RuleError("NL203", f"`{{y}}` is {y}, but `{pooling.name}` of {x} is {pooled}", at="y")


@dataclass(frozen=True)
class LargestOp(PoolGradient):
    """Abstract: with the windows of a `max_pool`, whose attributes these are."""

    kernel: Size
    stride: Size | None = None
    pad: Pads = 0
    dilation: Size = 1
    ceil: bool = False

    @property
    def pooling(self) -> MaxPool:
        return MaxPool(self.kernel, self.stride, self.pad, self.dilation, self.ceil)

    def torch_positions(self, at: Lowering, x: str) -> str:
        """Where the largest stand, in flattened channels."""
        return f"{self.pooling.torch(at, Code(x))[:-1]}, return_indices=True)[1].flatten(2)"


@register
@final
@dataclass(frozen=True)
class MaxPoolGradient(LargestOp):
    """`y` added where `x` has the largest number of each window, zero elsewhere: the derivative of `max_pool`."""

    name: ClassVar[str] = "max_pool_gradient"
    operands: ClassVar[tuple[str, ...]] = ("x", "y")

    def infer(self, *operands: TensorType) -> TensorType:
        x, y = operands
        check_pooled(self.pooling, x, y)
        return TensorType(y.dtype, x.shape)

    def derivatives(self, *operands: TensorType) -> Derivative:
        return {"x": None, "y": f"max_pool_gather(x, g, {self.pooling.attributes()})"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        x, y = arguments
        places = self.torch_positions(at, x)
        return f"torch.zeros_like({x}).flatten(2).scatter_add(2, {places}, {y.tight}.flatten(2)).view_as({x})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(give_to_largest)}({', '.join(arguments)}, {self.pooling.given(at.operand_types[0])})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for pooling, x, y in _samples(MaxPool):
            yield Sample(cls(pooling.kernel, pooling.stride, pooling.pad, pooling.dilation, pooling.ceil), (x, y))


@register
@final
@dataclass(frozen=True)
class MaxPoolGather(LargestOp):
    """The number of `values` where `x` has the largest of each window: the adjoint of `max_pool_gradient`."""

    name: ClassVar[str] = "max_pool_gather"
    operands: ClassVar[tuple[str, ...]] = ("x", "values")

    def infer(self, *operands: TensorType) -> TensorType:
        x, values = operands
        require_float(self.name, values, "values")
        if values.rank != x.rank or any(compare(a, b) is False for a, b in zip(x.shape, values.shape, strict=True)):
            raise RuleError("NL203", f"`{{values}}` is {values}, but `{{x}}` is {x}", at="values")
        return TensorType(values.dtype, self.pooling.infer(x).shape)

    def derivatives(self, *operands: TensorType) -> Derivative:
        return {"x": None, "values": f"max_pool_gradient(x, g, {self.pooling.attributes()})"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        x, values = arguments
        gathered = f"{values.tight}.flatten(2).gather(2, {self.torch_positions(at, x)})"
        return f"{gathered}.reshape({at.dims(at.result.shape)})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(take_at_largest)}({', '.join(arguments)}, {self.pooling.given(at.operand_types[0])})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for pooling, x, _ in _samples(MaxPool):
            yield Sample(cls(pooling.kernel, pooling.stride, pooling.pad, pooling.dilation, pooling.ceil), (x, x))


@register
@final
@dataclass(frozen=True)
class AvgPoolGradient(PoolGradient):
    """Each of `y` shared out over its window in a tensor of these spatial sizes: the adjoint of `avg_pool`."""

    name: ClassVar[str] = "avg_pool_gradient"
    operands: ClassVar[tuple[str, ...]] = ("y",)
    sizes: tuple[Dim, ...]
    kernel: Size
    stride: Size | None = None
    pad: Pads = 0
    ceil: bool = False
    count_pad: bool = True

    @property
    def pooling(self) -> AvgPool:
        return AvgPool(self.kernel, self.stride, self.pad, self.ceil, self.count_pad)

    def infer(self, *operands: TensorType) -> TensorType:
        (y,) = operands
        x = TensorType(y.dtype, (*y.shape[:2], *self.sizes))
        check_pooled(self.pooling, x, y)
        return x

    def derivatives(self, *operands: TensorType) -> Derivative:
        return {"y": f"avg_pool(g, {self.pooling.attributes()})"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        (y,) = arguments
        zeros = f"{y.tight}.new_zeros({at.dims(at.result.shape)})"
        return f"torch.func.vjp(lambda x: {self.pooling.torch(at, Code('x'))}, {zeros})[1]({y})[0]"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        given = self.pooling.given(at.result) + ", count_pad=False" * (not self.count_pad)
        return f"{at.use(spread_average)}({arguments[0]}, {at.dims(self.sizes)}, {given})"

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        return f"{self.numpy(at, *arguments)[:-1]}, out={out})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for pooling, x, y in _samples(AvgPool):
            sizes = tuple(map(Dim.of, x.shape[2:]))
            yield Sample(cls(sizes, pooling.kernel, pooling.stride, pooling.pad, pooling.ceil, pooling.count_pad), (y,))


P = TypeVar("P", bound=WindowPool)


def _samples(pooling: type[P]) -> Iterator[tuple[P, SampleTensor, SampleTensor]]:
    """The samples of a pooling op, each with an operand of its result's shape."""
    for sample in pooling.samples():
        assert isinstance(sample.op, pooling)
        (x,) = sample.operands
        yield sample.op, x, SampleTensor(tuple(size.constant or 0 for size in sample.op.infer(x.type).shape))


@register
@final
@dataclass(frozen=True)
class AdaptiveAvgPoolGradient(PoolGradient):
    """Each of `y` shared out over its cell in a tensor of these spatial sizes: the adjoint of `adaptive_avg_pool`."""

    name: ClassVar[str] = "adaptive_avg_pool_gradient"
    operands: ClassVar[tuple[str, ...]] = ("y",)
    sizes: tuple[Dim, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        (y,) = operands
        require_spatial(self.name, y)
        require_float(self.name, y, "y")
        for size in y.shape[2:]:
            require_known(self.name, size, "the grid", "y")
        return TensorType(y.dtype, (*y.shape[:2], *self.sizes))

    def derivatives(self, *operands: TensorType) -> Derivative:
        return {"y": f"adaptive_avg_pool(g, {format_constant(operands[0].shape[2:])})"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        (y,) = arguments
        zeros = f"{y.tight}.new_zeros({at.dims(at.result.shape)})"
        rank, size = at.result.rank - 2, at.dims(at.operand_types[0].shape[2:])
        return f"torch.func.vjp(lambda x: F.adaptive_avg_pool{rank}d(x, {size}), {zeros})[1]({y})[0]"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(spread_cells)}({arguments[0]}, {at.dims(self.sizes)})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(tuple(map(Dim.of, (6, 8)))), (SampleTensor((2, 3, 2, 2)),))
        yield Sample(cls(tuple(map(Dim.of, (7, 4)))), (SampleTensor((1, 2, 3, 5)),))
        yield Sample(cls((Dim.of(9),)), (SampleTensor((2, 1, 4)),))
        yield Sample(cls(tuple(map(Dim.of, (2, 3, 4)))), (SampleTensor((1, 2, 1, 2, 3)),))


@register
@final
@dataclass(frozen=True)
class AdaptiveMaxPositions(PoolGradient):
    """Where in each channel of `x`, flattened, the first largest number of each cell of a `size` grid stands; i64."""

    name: ClassVar[str] = "adaptive_max_positions"
    derivative: ClassVar[Derivative] = {"x": None}
    size: Size

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        size = spatial_sizes(self.name, "size", self.size, require_spatial(self.name, x))
        require_float(self.name, x)
        return TensorType(DType.i64, (*x.shape[:2], *map(Dim.of, size)))

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"F.adaptive_max_pool{at.result.rank - 2}d({arguments[0]}, {self.size!r}, return_indices=True)[1]"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(largest_positions)}({arguments[0]}, {spatial_sizes(self.name, 'size', self.size, at.result.rank - 2)})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(2), (SampleTensor((2, 3, 6, 8)),))
        yield Sample(cls((3, 5)), (SampleTensor((1, 2, 7, 4)),))
        yield Sample(cls(4), (SampleTensor((2, 1, 9)),))
        yield Sample(cls((1, 2, 3)), (SampleTensor((1, 2, 2, 3, 4)),))
