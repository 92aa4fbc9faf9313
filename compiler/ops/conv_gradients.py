"""Convolution as a product of two tensors, and its two adjoints: what derivatives of convolutions are made of.

Each op is linear in both operands and the derivatives of each are the other two, so they are closed under differentiation.
x = what is convolved [N, C, *spatial], weight = filters [O, C/groups, *kernel], y = what has the result's shape [N, O, *out].
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from compiler.ir.dims import Dim, compare
from compiler.ir.op import Code, Derivative, Lowering, Op, RuleError, Sample, SampleTensor, emitted
from compiler.ir.signature import NonNegative, Positive, format_constant
from compiler.ir.types import TensorType
from compiler.ops.base import register, require_float, require_known
from compiler.ops.conv import geometry_text, scatter_products
from compiler.ops.conv_kernels import convolve
from compiler.ops.windows import TORCH_PAD_MODES, PaddingMode, Patches, Windows, borrow, fold_padding, given_keywords, share_out

if TYPE_CHECKING:
    import numpy as np


@emitted
def convolve_input(
    y: np.ndarray,
    weight: np.ndarray,
    sizes: tuple[int, ...],
    stride: tuple[int, ...] | None = None,
    pads: tuple[tuple[int, int], ...] | None = None,
    dilation: tuple[int, ...] | None = None,
    groups: int = 1,
    mode: str = "zeros",
    out: np.ndarray | None = None,
    work: Any = None,
) -> np.ndarray:
    """The adjoint of `convolve` by its operand: what `y` [N, O, *out] gives back to [N, C, *sizes].

    With stride 1 it is a convolution of `y` with the mirrored kernel, which makes patches of O channels for each pixel; else, and
    where C channels for each of `out` are less than half of that, each pixel adds what it gives in its places.
    """
    rank = len(sizes)
    ones = (1,) * rank
    stride, dilation, pads = stride or ones, dilation or ones, pads or ((0, 0),) * rank
    size, filters = weight.shape[2:], weight.shape[0] // groups
    extents = [d * (k - 1) + 1 for k, d in zip(size, dilation, strict=True)]
    rims = tuple((e - 1 - before, e - 1 - after) for e, (before, after) in zip(extents, pads, strict=True))
    narrow = 2 * weight.shape[1] * math.prod(y.shape[2:]) < filters * math.prod(sizes)
    if stride == ones and mode == "zeros" and min(map(min, rims)) >= 0 and not narrow:
        parts = np.flip(weight.reshape(groups, filters, -1, *size), tuple(range(3, 3 + rank))).swapaxes(1, 2)
        mirrored = borrow(work, "mirrored", parts.shape, weight.dtype)
        mirrored[...] = parts
        return convolve(y, mirrored.reshape(-1, filters, *size), None, None, rims, dilation, groups, out=out, work=work)
    full = tuple(n + before + after for n, (before, after) in zip(sizes, pads, strict=True))
    scattered = scatter_products(y, weight, full, stride, dilation, groups, work)
    if out is None or mode != "zeros":
        scattered = fold_padding(scattered, pads, mode)
    else:
        scattered = scattered[(slice(None), slice(None), *(slice(before, n + before) for n, (before, _) in zip(sizes, pads, strict=True)))]
    if out is None:
        return scattered
    out[...] = scattered
    return out


@emitted
def convolve_weight(
    x: np.ndarray,
    y: np.ndarray,
    size: tuple[int, ...],
    stride: tuple[int, ...] | None = None,
    pads: tuple[tuple[int, int], ...] | None = None,
    dilation: tuple[int, ...] | None = None,
    groups: int = 1,
    mode: str = "zeros",
    out: np.ndarray | None = None,
    work: Any = None,
) -> np.ndarray:
    """The adjoint of `convolve` by its filters: products of `y` [N, O, *out] with the patches of `x`, summed over all pixels."""
    patches = Patches(x, size, stride, pads, dilation, mode, work)
    filters, threads = y.shape[1] // groups, 1 if work is None else work.threads
    given = y.swapaxes(0, 1)
    if not given.flags.c_contiguous:
        given = borrow(work, "given", given.shape, y.dtype)
        given[...] = y.swapaxes(0, 1)
    given = given.reshape(groups, filters, -1)
    shape = (threads, groups, patches.width // groups, filters)
    sums, products = borrow(work, "sums", shape, x.dtype), borrow(work, "products", shape, x.dtype)
    sums.fill(0)

    def multiply(worker: int, index: int) -> None:
        places, matrix = patches.block(index, worker)
        np.matmul(matrix.reshape(groups, shape[2], -1), given[:, :, places].swapaxes(1, 2), out=products[worker])
        sums[worker] += products[worker]

    share_out(work, multiply, len(patches))
    result = np.empty((y.shape[1], x.shape[1] // groups, *size), x.dtype) if out is None else out
    sums.sum(0, out=products[0])
    result[...] = products[0].swapaxes(1, 2).reshape(result.shape)
    return result


@dataclass(frozen=True)
class Correlation(Op):
    """Abstract: the geometry that a convolution and its adjoints share, one entry for each spatial dimension."""

    family: ClassVar[str] = "gradient"
    internal: ClassVar[bool] = True
    stride: tuple[Positive, ...]
    pads: tuple[tuple[NonNegative, NonNegative], ...]
    dilation: tuple[Positive, ...]
    groups: Positive
    mode: PaddingMode

    def geometry(self) -> str:
        """The attributes as text of the language."""
        return geometry_text(self.stride, self.pads, self.dilation, self.groups, self.mode)

    def windows(self, kernel: tuple[int, ...]) -> Windows:
        return Windows(self.name, kernel, self.stride, self.pads, self.dilation)

    def check(self, x: TensorType, kernel: tuple[int, ...], y: TensorType) -> None:
        """Refuse a `y` that is not of the size that windows over `x` give."""
        require_float(self.name, y, "y")
        for axis, (found, wanted) in enumerate(zip(y.shape[2:], self.windows(kernel).results(x), strict=True), 2):
            if compare(found, wanted) is False:
                raise RuleError("NL203", f"axis {axis} of `{{y}}` is {found} in {y}, but the windows give {wanted}", at="y")

    def keywords(self) -> str:
        """What differs from the defaults of the NumPy functions."""
        given = {
            "stride": self.stride if any(s > 1 for s in self.stride) else None,
            "pads": self.pads if any(map(any, self.pads)) else None,
            "dilation": self.dilation if any(d > 1 for d in self.dilation) else None,
            "groups": self.groups if self.groups > 1 else None,
            "mode": self.mode if self.mode != "zeros" else None,
        }
        return "".join(f", {item}" for item in given_keywords(given))

    def torch_convolution(self, x: str, weight: str) -> str:
        """The convolution with torch; where it cannot pad so itself, of the padded operand."""
        outside = self.mode != "zeros" or any(before != after for before, after in self.pads)
        if outside:
            x = f"F.pad({x}, {[side for pair in reversed(self.pads) for side in pair]}{TORCH_PAD_MODES[self.mode]})"
        given = {
            "stride": self.stride if any(s > 1 for s in self.stride) else None,
            "padding": None if outside or not any(map(any, self.pads)) else tuple(before for before, _ in self.pads),
            "dilation": self.dilation if any(d > 1 for d in self.dilation) else None,
            "groups": self.groups if self.groups > 1 else None,
        }
        return f"F.conv{len(self.stride)}d({', '.join((x, weight, *given_keywords(given)))})"


def kernel_of(name: str, weight: TensorType) -> tuple[int, ...]:
    """The kernel sizes of filters."""
    return tuple(require_known(name, size, "the kernel", "weight") for size in weight.shape[2:])


@register
@final
@dataclass(frozen=True)
class Convolve(Correlation):
    """The convolution of `x` with given filters: y[o] = sum over c and the window of weight[o, c] x[c]."""

    name: ClassVar[str] = "convolve"
    operands: ClassVar[tuple[str, ...]] = ("x", "weight")

    def infer(self, *operands: TensorType) -> TensorType:
        x, weight = operands
        require_float(self.name, x)
        out = self.windows(kernel_of(self.name, weight)).results(x)
        return TensorType(x.dtype, (x.shape[0], weight.shape[0], *out))

    def derivatives(self, *operands: TensorType) -> Derivative:
        x, weight = operands
        return {
            "x": f"convolve_input(g, weight, sizes={format_constant(x.shape[2:])}, {self.geometry()})",
            "weight": f"convolve_weight(x, g, kernel={format_constant(weight.shape[2:])}, {self.geometry()})",
        }

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return self.torch_convolution(*arguments)

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(convolve)}({', '.join(arguments)}{self.keywords()})"

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        return f"{self.numpy(at, *arguments)[:-1]}, out={out}, work=work)"

    def cost(self, operands: tuple[TensorType, ...], results: tuple[TensorType, ...]) -> Dim:
        return results[0].elements * math.prod(operands[1].shape[1:], start=Dim.of(1))

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for x, weight, _, geometry in _samples():
            yield Sample(cls(*geometry), (SampleTensor(x), SampleTensor(weight)))


@register
@final
@dataclass(frozen=True)
class ConvolveInput(Correlation):
    """The adjoint of `convolve` by `x`: a tensor with the spatial `sizes` of x."""

    name: ClassVar[str] = "convolve_input"
    operands: ClassVar[tuple[str, ...]] = ("y", "weight")
    sizes: tuple[Dim, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        y, weight = operands
        x = TensorType(y.dtype, (y.shape[0], weight.shape[1] * self.groups, *self.sizes))
        self.check(x, kernel_of(self.name, weight), y)
        return x

    def derivatives(self, *operands: TensorType) -> Derivative:
        kernel = format_constant(operands[1].shape[2:])
        return {
            "y": f"convolve(g, weight, {self.geometry()})",
            "weight": f"convolve_weight(g, y, kernel={kernel}, {self.geometry()})",
        }

    def torch(self, at: Lowering, *arguments: Code) -> str:
        y, weight = arguments
        zeros = f"{y.tight}.new_zeros({at.dims(at.result.shape)})"
        return f"torch.func.vjp(lambda x: {self.torch_convolution('x', weight)}, {zeros})[1]({y})[0]"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(convolve_input)}({', '.join(arguments)}, {at.dims(self.sizes)}{self.keywords()})"

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        return f"{self.numpy(at, *arguments)[:-1]}, out={out}, work=work)"

    def cost(self, operands: tuple[TensorType, ...], results: tuple[TensorType, ...]) -> Dim:
        return operands[0].elements * math.prod(operands[1].shape[1:], start=Dim.of(1))

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for x, weight, y, geometry in _samples():
            yield Sample(cls(*geometry, tuple(map(Dim.of, x[2:]))), (SampleTensor(y), SampleTensor(weight)))


@register
@final
@dataclass(frozen=True)
class ConvolveWeight(Correlation):
    """The adjoint of `convolve` by its filters, which have the sizes `kernel`."""

    name: ClassVar[str] = "convolve_weight"
    operands: ClassVar[tuple[str, ...]] = ("x", "y")
    kernel: tuple[Positive, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        x, y = operands
        self.check(x, self.kernel, y)
        return TensorType(x.dtype, (y.shape[1], x.shape[1] // self.groups, *map(Dim.of, self.kernel)))

    def derivatives(self, *operands: TensorType) -> Derivative:
        sizes = format_constant(operands[0].shape[2:])
        return {"x": f"convolve_input(y, g, sizes={sizes}, {self.geometry()})", "y": f"convolve(x, g, {self.geometry()})"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        x, y = arguments
        zeros = f"{x.tight}.new_zeros({at.dims(at.result.shape)})"
        return f"torch.func.vjp(lambda weight: {self.torch_convolution(x, 'weight')}, {zeros})[1]({y})[0]"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(convolve_weight)}({', '.join(arguments)}, {self.kernel}{self.keywords()})"

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        return f"{self.numpy(at, *arguments)[:-1]}, out={out}, work=work)"

    def cost(self, operands: tuple[TensorType, ...], results: tuple[TensorType, ...]) -> Dim:
        return operands[1].elements * (operands[0].shape[1] // self.groups) * math.prod(self.kernel)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for x, weight, y, geometry in _samples():
            yield Sample(cls(*geometry, weight[2:]), (SampleTensor(x), SampleTensor(y)))


Geometry = tuple[tuple[int, ...], tuple[tuple[int, int], ...], tuple[int, ...], int, PaddingMode]
Shape = tuple[int, ...]


def _samples() -> Iterator[tuple[Shape, Shape, Shape, Geometry]]:
    """Shapes of x, weight and y with the geometry that relates them."""
    yield (2, 3, 8, 7), (4, 3, 3, 3), (2, 4, 6, 5), ((1, 1), ((0, 0), (0, 0)), (1, 1), 1, "zeros")
    yield (2, 3, 9, 8), (6, 1, 3, 2), (2, 6, 5, 6), ((2, 1), ((1, 1), (0, 0)), (1, 2), 3, "zeros")
    yield (2, 4, 6, 8), (4, 1, 3, 3), (2, 4, 6, 8), ((1, 1), ((1, 1), (1, 1)), (1, 1), 4, "zeros")
    yield (1, 2, 6, 7), (4, 2, 3, 3), (1, 4, 3, 4), ((2, 2), ((0, 1), (1, 1)), (1, 1), 1, "zeros")
    yield (1, 2, 6, 5), (4, 2, 1, 1), (1, 4, 8, 7), ((1, 1), ((1, 1), (1, 1)), (1, 1), 1, "zeros")
    yield (2, 5, 9, 9), (3, 5, 1, 1), (2, 3, 5, 5), ((2, 2), ((0, 0), (0, 0)), (1, 1), 1, "zeros")
    yield (2, 2, 9), (4, 2, 3), (2, 4, 9), ((1,), ((2, 0),), (1,), 1, "reflect")
    yield (1, 2, 3, 4, 5), (2, 1, 2, 2, 2), (1, 2, 4, 5, 6), ((1, 1, 1), ((1, 1),) * 3, (1, 1, 1), 2, "zeros")
    yield (1, 2, 5, 6), (3, 2, 3, 3), (1, 3, 7, 8), ((1, 1), ((2, 2), (2, 2)), (1, 1), 1, "circular")
