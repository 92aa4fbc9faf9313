"""Convolutions over 1, 2 or 3 spatial dimensions and their transposes. Layout N, C, spatial.

All are cross-correlations (the kernel is not flipped), as in PyTorch and ONNX. N = batch, C = channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from compiler.ir.dims import Dim, at_least
from compiler.ir.initializers import FanInUniform
from compiler.ir.op import Code, Derivative, Lowering, Op, ParameterSpec, RuleError, Sample, SampleTensor, emitted
from compiler.ir.signature import Positive, format_constant
from compiler.ir.types import TensorType
from compiler.ops.base import keywords, register, require_float, require_known
from compiler.ops.conv_kernels import choose_kernel
from compiler.ops.windows import (
    TORCH_PAD_MODES,
    Padding,
    PaddingMode,
    Pads,
    Size,
    Windows,
    borrow,
    given_keywords,
    require_spatial,
    resolve_padding,
    share_out,
    shown,
    spatial_sizes,
)

if TYPE_CHECKING:
    import numpy as np


@emitted
def scatter_products(
    y: np.ndarray,
    weight: np.ndarray,
    sizes: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int = 1,
    work: Any = None,
) -> np.ndarray:
    """Each pixel of `y` [N, O, *out] adds its multiple of `weight` [O, C/groups, *kernel] to a tensor [N, C, *sizes], scratch of `work`."""
    size, (batch, _, *out) = weight.shape[2:], y.shape
    filters = weight.reshape(groups, weight.shape[0] // groups, -1).swapaxes(1, 2)
    channels, pixels = groups * weight.shape[1], math.prod(out)
    result = borrow(work, "scattered", (channels, batch, *sizes), y.dtype)
    result.fill(0)
    examples = max(1, 2**18 // (channels * math.prod(size) * pixels))

    def add(worker: int, index: int) -> None:
        block = slice(index * examples, (index + 1) * examples)
        given = y.swapaxes(0, 1)[:, block].reshape(groups, filters.shape[2], -1)
        products = borrow(work, f"patches {worker}", (groups, filters.shape[1], given.shape[2]), y.dtype)
        np.matmul(filters, given, out=products)
        parts = products.reshape(channels, *size, -1, *out)
        for offset in np.ndindex(*size):
            places = [slice(i * d, i * d + (n - 1) * s + 1, s) for i, d, n, s in zip(offset, dilation, out, stride, strict=True)]
            result[(slice(None), block, *places)] += parts[(slice(None), *offset)]

    share_out(work, add, -(-batch // examples))
    return result.swapaxes(0, 1)


@emitted
def convolve_transposed(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: tuple[int, ...] | None = None,
    pad: tuple[int, ...] | None = None,
    output_pad: tuple[int, ...] | None = None,
    dilation: tuple[int, ...] | None = None,
    groups: int = 1,
) -> np.ndarray:
    """The transpose of cross-correlation: each pixel of `x` [N, C, *spatial] adds its multiple of `weight` [C, O/groups, *kernel]."""
    size, rank = weight.shape[2:], len(weight.shape) - 2
    stride, dilation = stride or (1,) * rank, dilation or (1,) * rank
    extra, pad = output_pad or (0,) * rank, pad or (0,) * rank
    full = tuple((n - 1) * s + 1 + d * (k - 1) + p for n, s, d, k, p in zip(x.shape[2:], stride, dilation, size, extra, strict=True))
    result = scatter_products(x, weight, full, stride, dilation, groups)
    if any(pad):
        result = result[(slice(None), slice(None), *(slice(p, n - p) for n, p in zip(full, pad, strict=True)))]
    if bias is not None:
        result += bias.reshape(-1, *(1,) * rank)
    return result


def _check_groups(op: Conv | ConvTranspose, x: TensorType) -> int:
    """The number of channels; refuses groups that do not divide it and the filters."""
    channels = require_known(op.name, x.shape[1], "the number of channels of `{x}`")
    for what, count in (("channels of `{x}`", channels), ("filters", op.filters)):
        if count % op.groups:
            raise RuleError("NL209", f"{op.groups} groups of `{op.name}` do not divide the {count} {what}", at="groups")
    return channels


def _sum_bias(x: TensorType) -> str:
    """The gradient of a bias: the sum over all but the channels."""
    return f"sum(g, axis={[0, *range(2, x.rank)]})"


def geometry_text(
    stride: tuple[int, ...], pads: tuple[tuple[int, int], ...], dilation: tuple[int, ...], groups: int, mode: str = "zeros"
) -> str:
    """The attributes that `convolve` and its adjoints share, as text of the language."""
    given = {"stride": stride, "pads": pads, "dilation": dilation, "groups": groups, "mode": mode}
    return ", ".join(f"{name}={format_constant(value)}" for name, value in given.items())


def _weights(op: Conv | ConvTranspose, weight: TensorType) -> tuple[ParameterSpec, ...]:
    """The weight and, where there is one, the bias, both uniform within 1/sqrt(the weight's fan in), as in PyTorch."""
    found = (ParameterSpec("weight", weight, FanInUniform()),)
    if not op.bias:
        return found
    fan = math.prod(int(dim.constant or 0) for dim in weight.shape[1:])
    return (*found, ParameterSpec("bias", TensorType.of(weight.dtype, op.filters), FanInUniform(fan=fan)))


@register
@final
@dataclass(frozen=True)
class Conv(Op):
    """Convolution with trained filters: y[o] = bias[o] + sum over c and the window of w[o, c] x[c].

    `x` is [N, C, *spatial]; the result is [N, filters, *out], out = (size + 2 pad - dilation (kernel - 1) - 1)//stride + 1.
    `kernel`, `stride`, `pad` and `dilation` are one number or one for each spatial dimension; `pad` may be `same`
    (out = ceil(size / stride)) or `valid` (none). `mode` says what the padding holds. With `groups`, each group of filters
    sees its own share of the channels; `groups` = C is a depthwise convolution.
    """

    name: ClassVar[str] = "conv"
    family: ClassVar[str] = "conv"
    filters: Positive
    kernel: Size
    stride: Size = 1
    pad: Padding = 0
    dilation: Size = 1
    groups: Positive = 1
    bias: bool = True
    mode: PaddingMode = "zeros"

    def _windows(self, x: TensorType) -> Windows:
        rank = require_spatial(self.name, x)
        kernel, stride, dilation = (spatial_sizes(self.name, name, getattr(self, name), rank) for name in ("kernel", "stride", "dilation"))
        return Windows(self.name, kernel, stride, resolve_padding(self.name, x, kernel, stride, self.pad, dilation), dilation)

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        windows = self._windows(x)
        require_float(self.name, x)
        _check_groups(self, x)
        out = windows.results(x)
        self._check_mode(x, windows)
        return TensorType(x.dtype, (x.shape[0], Dim.of(self.filters), *out))

    def _check_mode(self, x: TensorType, windows: Windows) -> None:
        margin = {"reflect": 1, "circular": 0}.get(self.mode)
        for size, pads in zip(x.shape[2:], windows.pads, strict=True):
            if margin is not None and at_least(size - margin, max(pads)) is False:
                raise RuleError(
                    "NL225",
                    f"`{self.mode}` padding of {max(pads)} needs a size of at least {max(pads) + margin}, but `{{x}}` is {x}",
                    at="pad",
                    help="pad less, or with `mode=zeros` or `mode=replicate`",
                )

    def parameters(self, *operands: TensorType) -> tuple[ParameterSpec, ...]:
        (x,) = operands
        channels = _check_groups(self, x)
        return _weights(self, TensorType.of(x.dtype, self.filters, channels // self.groups, *self._windows(x).kernel))

    def torch_module(self, *operands: TensorType) -> str | None:
        (x,) = operands
        windows = self._windows(x)
        outside = windows.lopsided
        padding = f", padding={shown(windows.before)}" if any(windows.before) and not outside else ""
        stride = keywords(self, {"stride": "stride"})
        names = {"dilation": "dilation", "groups": "groups", "bias": "bias", "mode": "padding_mode"}
        rest = keywords(self, names, skip=("mode",) if outside else ())
        return f"nn.Conv{x.rank - 2}d({x.shape[1]}, {self.filters}, {self.kernel!r}{stride}{padding}{rest})"

    def torch_apply(self, at: Lowering, module: str, *arguments: Code) -> str:
        windows = self._windows(at.operand_types[0])
        if not windows.lopsided:
            return f"{module}({arguments[0]})"
        sides = [side for pair in reversed(windows.pads) for side in pair]
        return f"{module}(F.pad({arguments[0]}, {sides}{TORCH_PAD_MODES[self.mode]}))"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return self._numpy_call(at, arguments)

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        return self._numpy_call(at, arguments, f"out={out}", "work=work")

    def _numpy_call(self, at: Lowering, arguments: tuple[Code, ...], *more: str) -> str:
        windows = self._windows(at.operand_types[0])
        padded = any(map(any, windows.pads))
        given = {
            "stride": windows.stride if any(s > 1 for s in windows.stride) else None,
            "pads": windows.pads if padded else None,
            "dilation": windows.dilation if any(d > 1 for d in windows.dilation) else None,
            "groups": self.groups if self.groups > 1 else None,
            "mode": self.mode if padded and self.mode != "zeros" else None,
        }
        kernel = choose_kernel(self.parameters(*at.operand_types)[0].type.shape, at.result.shape, given)
        return f"{at.use(kernel)}({', '.join((*arguments, *given_keywords(given), *more))})"

    def derivatives(self, *operands: TensorType) -> Derivative:
        (x,) = operands
        windows = self._windows(x)
        geometry = geometry_text(windows.stride, windows.pads, windows.dilation, self.groups, self.mode)
        return {
            "x": f"convolve_input(g, weight, sizes={format_constant(x.shape[2:])}, {geometry})",
            "weight": f"convolve_weight(x, g, kernel={format_constant(windows.kernel)}, {geometry})",
            "bias": _sum_bias(x),
        }

    def cost(self, operands: tuple[TensorType, ...], results: tuple[TensorType, ...]) -> Dim:
        return results[0].elements * (self.parameters(*operands)[0].type.elements // self.filters)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(4, 3), (SampleTensor((2, 3, 8, 7)),))
        yield Sample(cls(6, (3, 2), stride=(2, 1), pad=(1, 0), dilation=(1, 2), groups=3), (SampleTensor((2, 3, 9, 8)),))
        yield Sample(cls(4, 3, pad="same", bias=False), (SampleTensor((1, 2, 11, 12)),))
        yield Sample(cls(4, 2, pad="same"), (SampleTensor((2, 2, 1, 6)),))
        yield Sample(cls(4, 3, stride=2, pad="same"), (SampleTensor((1, 2, 6, 7)),))
        yield Sample(cls(4, 5, stride=3, pad="valid"), (SampleTensor((2, 4, 17)),))
        yield Sample(cls(2, 2, pad=1, groups=2), (SampleTensor((1, 2, 3, 4, 5)),))
        yield Sample(cls(3, 1, stride=2, bias=False), (SampleTensor((2, 5, 9, 9)),))
        yield Sample(cls(3, 1), (SampleTensor((2, 5, 9, 9)),))
        yield Sample(cls(8, 3, pad=1, groups=4, bias=False), (SampleTensor((2, 4, 10, 9)),))
        yield Sample(cls(3, 7), (SampleTensor((3, 2, 7, 7)),))
        yield Sample(cls(64, 3, pad=1), (SampleTensor((1, 64, 13, 16)),))
        for mode in ("reflect", "replicate", "circular"):
            yield Sample(cls(3, 3, pad=2, mode=mode), (SampleTensor((1, 2, 5, 6)),))
        yield Sample(cls(3, 4, pad="same", mode="circular"), (SampleTensor((1, 2, 5, 6)),))


@register
@final
@dataclass(frozen=True)
class ConvTranspose(Op):
    """The transpose of a convolution: it maps shapes, and gradients, the other way; also called fractionally strided.

    `x` is [N, C, *spatial]; the result is [N, filters, *out], out = (size - 1) stride - 2 pad + dilation (kernel - 1) + output_pad + 1.
    The weight is [C, filters/groups, *kernel], as in PyTorch. `output_pad` makes the result longer at the end, to choose among
    the sizes that a strided convolution maps to one. Its cost counts every product that is made, one for each pixel of the
    input and each weight of its channel; counting by output pixels, as some papers do, gives stride² times that.
    """

    name: ClassVar[str] = "conv_transpose"
    family: ClassVar[str] = "conv"
    filters: Positive
    kernel: Size
    stride: Size = 1
    pad: Pads = 0
    output_pad: Pads = 0
    dilation: Size = 1
    groups: Positive = 1
    bias: bool = True

    def _sizes(self, x: TensorType) -> tuple[tuple[int, ...], ...]:
        """Kernel, stride, pad, output_pad and dilation for each spatial dimension."""
        rank = require_spatial(self.name, x)
        names = ("kernel", "stride", "pad", "output_pad", "dilation")
        return tuple(spatial_sizes(self.name, name, getattr(self, name), rank) for name in names)

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        sizes = self._sizes(x)
        require_float(self.name, x)
        _check_groups(self, x)
        out = []
        for axis, (size, k, s, p, extra, d) in enumerate(zip(x.shape[2:], *sizes, strict=True), 2):
            if extra >= max(s, d):
                raise RuleError(
                    "NL225",
                    f"`output_pad` of `{self.name}` is {extra} but must be smaller than its stride {s} or dilation {d}",
                    at="output_pad",
                )
            result = (size - 1) * s - 2 * p + d * (k - 1) + extra + 1
            if at_least(result, 1) is False:
                raise RuleError(
                    "NL225",
                    f"`pad` of `{self.name}` takes {2 * p} off a result of {result + 2 * p} at axis {axis}",
                    at="pad",
                    help="pad less: here padding shortens the result",
                )
            out.append(result)
        return TensorType(x.dtype, (x.shape[0], Dim.of(self.filters), *out))

    def parameters(self, *operands: TensorType) -> tuple[ParameterSpec, ...]:
        (x,) = operands
        channels = _check_groups(self, x)
        return _weights(self, TensorType.of(x.dtype, channels, self.filters // self.groups, *self._sizes(x)[0]))

    def torch_module(self, *operands: TensorType) -> str | None:
        (x,) = operands
        names = {"stride": "stride", "pad": "padding", "output_pad": "output_padding", "groups": "groups", "bias": "bias"}
        rest = keywords(self, {**names, "dilation": "dilation"})
        return f"nn.ConvTranspose{x.rank - 2}d({x.shape[1]}, {self.filters}, {self.kernel!r}{rest})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        _, stride, pad, output_pad, dilation = self._sizes(at.operand_types[0])
        given = {
            "stride": stride if any(s > 1 for s in stride) else None,
            "pad": pad if any(pad) else None,
            "output_pad": output_pad if any(output_pad) else None,
            "dilation": dilation if any(d > 1 for d in dilation) else None,
            "groups": self.groups if self.groups > 1 else None,
        }
        return f"{at.use(convolve_transposed)}({', '.join((*arguments, *given_keywords(given)))})"

    def derivatives(self, *operands: TensorType) -> Derivative:
        """Those of `convolve_input`, of which this is a use; what `output_pad` adds beyond the last window has no part."""
        (x,) = operands
        kernel, stride, pad, output_pad, dilation = self._sizes(x)
        geometry = geometry_text(stride, tuple((p, p) for p in pad), dilation, self.groups)
        beyond = [extra // s * s for extra, s in zip(output_pad, stride, strict=True)]
        g = f"g[:, :, {', '.join(f':{-size}' if size else ':' for size in beyond)}]" if any(beyond) else "g"
        return {
            "x": f"convolve({g}, weight, {geometry})",
            "weight": f"convolve_weight({g}, x, kernel={format_constant(kernel)}, {geometry})",
            "bias": _sum_bias(x),
        }

    def cost(self, operands: tuple[TensorType, ...], results: tuple[TensorType, ...]) -> Dim:
        (x,) = operands
        weight = self.parameters(*operands)[0].type
        return math.prod((x.shape[0], *x.shape[2:]), start=weight.elements)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(4, 4, stride=2, pad=1, bias=False), (SampleTensor((2, 3, 4, 5)),))
        yield Sample(cls(6, (3, 2), stride=(2, 3), pad=(1, 0), output_pad=(1, 2), groups=3), (SampleTensor((2, 3, 4, 1)),))
        yield Sample(cls(2, 3, stride=2, dilation=2, output_pad=1), (SampleTensor((1, 4, 7)),))
        yield Sample(cls(4, 2, stride=2, groups=2), (SampleTensor((1, 2, 2, 3, 2)),))
        yield Sample(cls(5, 4), (SampleTensor((3, 2, 1, 1)),))


__all__ = ["Conv", "ConvTranspose", "convolve_transposed", "geometry_text"]
