"""Pooling over 1, 2 or 3 spatial dimensions with a sliding window; whole grids are in `pool_grid`. Layout N, C, spatial.

Windows are separable: one dimension after the other, k operations for each instead of k² together. N = batch, C = channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, final

from compiler.ir.dims import at_least
from compiler.ir.op import Code, Derivative, Lowering, Op, RuleError, Sample, SampleTensor, emitted
from compiler.ir.signature import format_constant
from compiler.ir.types import TensorType
from compiler.ops.base import keywords, register, require_float
from compiler.ops.windows import Pads, Size, Windows, borrow, given_keywords, require_spatial, spatial_sizes

if TYPE_CHECKING:
    import numpy as np


@emitted
def pool_windows(
    x: np.ndarray,
    combine: np.ufunc,
    size: tuple[int, ...],
    stride: tuple[int, ...] | None = None,
    pad: tuple[int, ...] | None = None,
    dilation: tuple[int, ...] | None = None,
    ceil: bool = False,
    out: np.ndarray | None = None,
    work: Any = None,
) -> np.ndarray:
    """`np.add` or `np.maximum` over windows of `x` [N, C, *spatial], side by side unless `stride` says otherwise.

    Padding holds 0 or -inf. With `ceil` there may be one more window behind, if it starts before the padding there. The result lies in
    memory as `x` does.
    """
    pad, dilation = pad or (0,) * len(size), dilation or (1,) * len(size)
    turned = x.swapaxes(0, 1).flags.c_contiguous
    if turned:
        x, out = x.swapaxes(0, 1), None if out is None else out.swapaxes(0, 1)
    for axis, (k, s, p, d) in enumerate(zip(size, stride or size, pad, dilation, strict=True), 2):
        extent = d * (k - 1) + 1
        offset = min(2 * p - extent + s - 1, p - 1) if ceil else 2 * p - extent
        count = (x.shape[axis] + offset) // s + 1
        after = max((count - 1) * s + extent - x.shape[axis] - p, 0)
        ahead = (slice(None),) * axis
        if p or after:
            padded = borrow(work, f"padded {axis}", (*x.shape[:axis], p + x.shape[axis] + after, *x.shape[axis + 1 :]), x.dtype)
            padded.fill(0 if combine is np.add else -np.inf)
            padded[(*ahead, slice(p, p + x.shape[axis]))] = x
            x = padded
        pieces = [x[(*ahead, slice(i * d, i * d + (count - 1) * s + 1, s))] for i in range(k)]
        result = out if axis == x.ndim - 1 else None
        if result is None:
            result = borrow(work if axis < x.ndim - 1 else None, f"pooled {axis}", pieces[0].shape, x.dtype)
        if k == 1:
            result[...] = pieces[0]
        for i in range(1, k):
            combine(pieces[0] if i == 1 else result, pieces[i], out=result)
        x = result
    return x.swapaxes(0, 1) if turned else x


@emitted
def divide_by_counts(
    total: np.ndarray,
    sizes: tuple[int, ...],
    size: tuple[int, ...],
    stride: tuple[int, ...] | None = None,
    pad: tuple[int, ...] | None = None,
    ceil: bool = False,
    count_pad: bool = True,
) -> np.ndarray:
    """What windows over `sizes` sum up to, divided in place by how many numbers they hold: padding counts with `count_pad`."""
    if not ceil and (count_pad or pad is None):
        total /= math.prod(size)
        return total
    for axis, (k, s, p) in enumerate(zip(size, stride or size, pad or (0,) * len(size), strict=True), 2):
        starts = np.arange(total.shape[axis]) * s - p
        ends = np.minimum(starts + k, sizes[axis - 2] + (p if count_pad else 0))
        counts = ends - (starts if count_pad else np.maximum(starts, 0))
        total /= counts.astype(total.dtype).reshape(-1, *(1,) * (total.ndim - 1 - axis))
    return total


@emitted
def pool_average(
    x: np.ndarray,
    size: tuple[int, ...],
    stride: tuple[int, ...] | None = None,
    pad: tuple[int, ...] | None = None,
    ceil: bool = False,
    count_pad: bool = True,
    out: np.ndarray | None = None,
    work: Any = None,
) -> np.ndarray:
    """The mean over windows of `x` [N, C, *spatial]; padding counts as zeros with `count_pad`, what lies beyond it never counts."""
    total = pool_windows(x, np.add, size, stride, pad, None, ceil, out, work)
    return divide_by_counts(total, x.shape[2:], size, stride, pad, ceil, count_pad)


class WindowPool(Op):
    """Abstract: pooling with a sliding window; subclasses declare the attributes `kernel` and `stride`, and others they have."""

    family: ClassVar[str] = "pool"
    torch_class: ClassVar[str]
    torch_keywords: ClassVar[dict[str, str]]
    kernel: Size
    stride: Size | None

    def windows(self, x: TensorType) -> Windows:
        """The geometry on `x`; refuses padding of more than half the kernel, dilated or not, as torch does."""
        rank = require_spatial(self.name, x)
        kernel = spatial_sizes(self.name, "kernel", self.kernel, rank)
        stride = kernel if self.stride is None else spatial_sizes(self.name, "stride", self.stride, rank)
        pad, dilation = (spatial_sizes(self.name, name, getattr(self, name, usual), rank) for name, usual in (("pad", 0), ("dilation", 1)))
        for p, k in zip(pad, kernel, strict=True):
            if 2 * p > k:
                raise RuleError(
                    "NL225",
                    f"`pad` of `{self.name}` is {p}, more than half of its kernel of {k}",
                    at="pad",
                    help="pad by at most half the kernel: a window must not lie in the padding alone",
                )
        return Windows(self.name, kernel, stride, tuple((p, p) for p in pad), dilation, getattr(self, "ceil", False))

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        windows = self.windows(x)
        require_float(self.name, x)
        return TensorType(x.dtype, (*x.shape[:2], *windows.results(x)))

    def _keywords(self) -> str:
        return keywords(self, self.torch_keywords)

    def given(self, x: TensorType) -> str:
        """The kernel and what differs from the defaults of `pool_windows`, as text."""
        windows = self.windows(x)
        given = {
            "stride": windows.stride if windows.stride != windows.kernel else None,
            "pad": windows.before if any(windows.before) else None,
            "dilation": windows.dilation if any(d > 1 for d in windows.dilation) else None,
            "ceil": True if windows.ceil else None,
        }
        return ", ".join((repr(windows.kernel), *given_keywords(given)))

    def attributes(self) -> str:
        """All attributes as text of the language."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return ", ".join(f"{name}={format_constant(value)}" for name, value in given.items() if value is not None)

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"nn.{self.torch_class}{operands[0].rank - 2}d({self.kernel!r}{self._keywords()})"


@register
@final
@dataclass(frozen=True)
class MaxPool(WindowPool):
    """The largest number in each window; `stride` is the kernel unless given.

    `x` is [N, C, *spatial]; the result has (size + 2 pad - dilation (kernel - 1) - 1)//stride + 1 along each dimension, rounded
    up with `ceil` as long as the window starts in `x` or the padding before it. Padding is -inf, so it is never chosen.
    """

    name: ClassVar[str] = "max_pool"
    torch_class: ClassVar[str] = "MaxPool"
    torch_keywords: ClassVar[dict[str, str]] = {"stride": "stride", "pad": "padding", "dilation": "dilation", "ceil": "ceil_mode"}
    kernel: Size
    stride: Size | None = None
    pad: Pads = 0
    dilation: Size = 1
    ceil: bool = False

    def derivatives(self, *operands: TensorType) -> Derivative:
        return {"x": f"max_pool_gradient(x, g, {self.attributes()})"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"F.max_pool{at.operand_types[0].rank - 2}d({arguments[0]}, {self.kernel!r}{self._keywords()})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(pool_windows)}({arguments[0]}, np.maximum, {self.given(at.operand_types[0])})"

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        return f"{self.numpy(at, *arguments)[:-1]}, out={out}, work=work)"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(2), (SampleTensor((2, 3, 6, 7)),))
        yield Sample(cls(3, stride=2, pad=1), (SampleTensor((2, 3, 8, 9)),))
        yield Sample(cls((2, 3), stride=(1, 2), dilation=(2, 1)), (SampleTensor((1, 2, 5, 6)),))
        yield Sample(cls(3, stride=2, ceil=True), (SampleTensor((1, 2, 6)),))
        yield Sample(cls(2, stride=3, pad=1, ceil=True), (SampleTensor((1, 2, 5, 4)),))
        yield Sample(cls(2, ceil=True), (SampleTensor((1, 1, 1, 3, 2)),))
        yield Sample(cls(1, stride=2), (SampleTensor((2, 2, 5)),))


@register
@final
@dataclass(frozen=True)
class AvgPool(WindowPool):
    """The mean of each window; `stride` is the kernel unless given.

    `x` is [N, C, *spatial]; sizes are those of `max_pool`. As in PyTorch, padding counts as zeros; `count_pad=false` leaves it
    out of the mean (the default of ONNX and Keras).
    """

    name: ClassVar[str] = "avg_pool"
    torch_class: ClassVar[str] = "AvgPool"
    torch_keywords: ClassVar[dict[str, str]] = {"stride": "stride", "pad": "padding", "ceil": "ceil_mode", "count_pad": "count_include_pad"}
    kernel: Size
    stride: Size | None = None
    pad: Pads = 0
    ceil: bool = False
    count_pad: bool = True

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        for axis, (size, kernel) in enumerate(zip(x.shape[2:], self.windows(x).kernel, strict=True), 2):
            if x.rank == 5 and at_least(size, kernel) is False:
                raise RuleError(
                    "NL206",
                    f"`{self.name}` over 3 dimensions needs at least its kernel of {kernel}, but axis {axis} of `{{x}}` is only {size}",
                    at="x",
                    help="pad beforehand with `pad`: torch takes no smaller input here",
                )
        return super().infer(x)

    def derivatives(self, *operands: TensorType) -> Derivative:
        return {"x": f"avg_pool_gradient(g, sizes={format_constant(operands[0].shape[2:])}, {self.attributes()})"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"F.avg_pool{at.operand_types[0].rank - 2}d({arguments[0]}, {self.kernel!r}{self._keywords()})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(pool_average)}({arguments[0]}, {self.given(at.operand_types[0])}{', count_pad=False' * (not self.count_pad)})"

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        return f"{self.numpy(at, *arguments)[:-1]}, out={out}, work=work)"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(2), (SampleTensor((2, 3, 6, 7)),))
        yield Sample(cls(3, stride=2, pad=1), (SampleTensor((2, 3, 8, 9)),))
        yield Sample(cls(3, stride=2, pad=1, count_pad=False), (SampleTensor((1, 2, 5, 6)),))
        yield Sample(cls((3, 2), stride=2, pad=(1, 0), ceil=True), (SampleTensor((1, 2, 6, 7)),))
        yield Sample(cls(3, stride=2, pad=1, ceil=True, count_pad=False), (SampleTensor((1, 2, 8)),))
        yield Sample(cls(2, stride=3, pad=1, ceil=True), (SampleTensor((1, 2, 5, 4)),))
        yield Sample(cls(2), (SampleTensor((1, 2, 2, 3, 4)),))


@register
@final
@dataclass(frozen=True)
class L2Pool(WindowPool):
    """The Euclidean norm of each window: sqrt of the sum of squares, not of their mean; `stride` is the kernel unless given.

    The sum form is that of PyTorch's LPPool and ONNX's LpPool; papers that take the root mean square get it divided by sqrt(k²).
    """

    name: ClassVar[str] = "l2_pool"
    torch_class: ClassVar[str] = "LPPool"
    torch_keywords: ClassVar[dict[str, str]] = {"stride": "stride"}
    kernel: Size
    stride: Size | None = None

    def derivatives(self, *operands: TensorType) -> Derivative:
        """x over the norm of each window that holds it: the adjoint of the mean, times how many numbers a window holds."""
        (x,) = operands
        spread = f"avg_pool_gradient(g / result, sizes={format_constant(x.shape[2:])}, {self.attributes()})"
        return {"x": f"x * {spread} * {math.prod(self.windows(x).kernel)}"}

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"nn.LPPool{operands[0].rank - 2}d(2, {self.kernel!r}{self._keywords()})"

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"F.lp_pool{at.operand_types[0].rank - 2}d({arguments[0]}, 2, {self.kernel!r}{self._keywords()})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"np.sqrt({at.use(pool_windows)}(np.square({arguments[0]}), np.add, {self.given(at.operand_types[0])}))"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(2), (SampleTensor((2, 3, 6, 7)),))
        yield Sample(cls((3, 1), stride=(2, 1)), (SampleTensor((1, 2, 5, 6)),))
        yield Sample(cls(3, stride=1), (SampleTensor((2, 1, 5)),))
        yield Sample(cls(2), (SampleTensor((1, 2, 2, 3, 4)),))
