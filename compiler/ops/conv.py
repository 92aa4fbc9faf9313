"""Convolutions over 1, 2 or 3 spatial dimensions. Layout N, C, spatial; weights [filters, C/groups, *kernel].

All are cross-correlations (the kernel is not flipped), as in PyTorch and ONNX. N = batch, C = channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, final

from compiler.ir.dims import Dim
from compiler.ir.initializers import FanInUniform
from compiler.ir.op import Code, Lowering, Op, ParameterSpec, RuleError, Sample, SampleTensor, emitted
from compiler.ir.signature import NonNegative, Positive
from compiler.ir.types import TensorType
from compiler.ops.base import keywords, register, require_float, require_known, require_rank

if TYPE_CHECKING:
    import numpy as np

Size = Positive | tuple[Positive, ...]
Padding = NonNegative | tuple[NonNegative, ...] | Literal["same", "valid"]
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]

TORCH_PAD_MODES = {mode: "" if mode == "zeros" else f", mode={mode!r}" for mode in ("zeros", "reflect", "replicate", "circular")}
SPATIAL = "(N, C and 1, 2 or 3 spatial ones)"


def spatial_sizes(name: str, attribute: str, value: int | tuple[int, ...], rank: int) -> tuple[int, ...]:
    """One number for every spatial dimension; refuses a list of another length."""
    if isinstance(value, int):
        return (value,) * rank
    if len(value) != rank:
        raise RuleError("NL208", f"`{attribute}` of `{name}` lists {len(value)} numbers for {rank} spatial dimensions", at=attribute)
    return value


def window_pads(
    name: str, x: TensorType, kernel: tuple[int, ...], stride: tuple[int, ...], pad: int | tuple[int, ...] | str, dilation: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """Padding before and after each spatial dimension.

    `same` makes the output ceil(size / stride) long and puts the odd one at the end (ONNX SAME_UPPER); with a stride that
    depends on the size, which must then be known.
    """
    if pad == "valid":
        return ((0, 0),) * len(kernel)
    if not isinstance(pad, str):
        return tuple((p, p) for p in spatial_sizes(name, "pad", pad, len(kernel)))
    pads = []
    for size, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True):
        total = d * (k - 1)
        if s > 1:
            known = require_known(name, size, f"the size it pads with `pad=same` at stride {s}")
            total = max((-(-known // s) - 1) * s + total + 1 - known, 0)
        pads.append((total // 2, total - total // 2))
    return tuple(pads)


def window_size(name: str, size: Dim, kernel: int, stride: int, pads: tuple[int, int], dilation: int) -> Dim:
    """floor((size + pads - dilation (kernel - 1) - 1) / stride) + 1; refuses a window larger than what it slides over."""
    extent = dilation * (kernel - 1) + 1
    room = size + sum(pads) - extent
    high = room.constant
    if high is not None and high < 0:
        padded = f" with its padding {size + sum(pads)}" if sum(pads) else ""
        dilated = f" (dilated to {extent})" if dilation > 1 else ""
        raise RuleError(
            "NL206",
            f"the kernel of `{name}` is {kernel}{dilated} but `{{x}}` is only {size} there{padded}",
            at="x",
            help="use a smaller kernel, more padding, or fewer layers that shrink before it",
        )
    return room // stride + 1


@emitted
def pad_spatial(x: np.ndarray, pads: tuple[tuple[int, int], ...], mode: str) -> np.ndarray:
    """`x` [N, C, *spatial] with `pads` before and after each spatial dimension."""
    if not any(before or after for before, after in pads):
        return x
    names = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    return np.pad(x, ((0, 0), (0, 0), *pads), mode=names[mode])


@emitted
def sliding_windows(x: np.ndarray, size: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> np.ndarray:
    """A view [N, C, *out, *size] of the windows of `x` [N, C, *spatial]."""
    extent = tuple(d * (k - 1) + 1 for k, d in zip(size, dilation))
    axes = tuple(range(2, x.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(x, extent, axis=axes)
    steps = tuple(slice(None, None, s) for s in stride)
    holes = tuple(slice(None, None, d) for d in dilation)
    return windows[(slice(None), slice(None), *steps, *holes)]


@emitted
def convolve(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: tuple[int, ...] = (1, 1),
    pads: tuple[tuple[int, int], ...] = ((0, 0), (0, 0)),
    dilation: tuple[int, ...] = (1, 1),
    groups: int = 1,
    mode: str = "zeros",
) -> np.ndarray:
    """Cross-correlation of `x` [N, C, *spatial] with `weight` [O, C/groups, *kernel], as one product over patches."""
    size = weight.shape[2:]
    windows = sliding_windows(pad_spatial(x, pads, mode), size, stride, dilation)
    batch, channels = windows.shape[:2]
    out = windows.shape[2 : 2 + len(size)]
    order = (0, 1, *range(2 + len(size), windows.ndim), *range(2, 2 + len(size)))
    patches = windows.transpose(order).reshape(batch, groups, -1, math.prod(out))
    filters = weight.reshape(1, groups, weight.shape[0] // groups, -1)
    result = (filters @ patches).reshape(batch, weight.shape[0], *out)
    return result if bias is None else result + bias.reshape(-1, *(1,) * len(size))


@register
@final
@dataclass(frozen=True)
class Conv(Op):
    """Convolution with trained filters: y[o] = bias[o] + sum over c and the window of w[o, c] x[c].

    `x` is [N, C, *spatial]; the result is [N, filters, *out], out = (size + 2 pad - dilation (kernel - 1) - 1)//stride + 1.
    `kernel`, `stride`, `pad` and `dilation` are one number or one for each spatial dimension; `pad` may be `same`
    (out = ceil(size / stride)) or `valid` (none). `mode` says what the padding holds.
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

    def _windows(self, x: TensorType) -> tuple[tuple[int, ...], tuple[int, ...], tuple[tuple[int, int], ...], tuple[int, ...]]:
        rank = x.rank - 2
        kernel, stride, dilation = (spatial_sizes(self.name, name, getattr(self, name), rank) for name in ("kernel", "stride", "dilation"))
        return kernel, stride, window_pads(self.name, x, kernel, stride, self.pad, dilation), dilation

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        require_rank(self.name, x, (3, 4, 5), meaning=SPATIAL)
        require_float(self.name, x)
        channels = require_known(self.name, x.shape[1], "the number of channels of `{x}`")
        for what, count in (("channels of `{x}`", channels), ("filters", self.filters)):
            if count % self.groups:
                raise RuleError("NL209", f"{self.groups} groups do not divide the {count} {what}", at="groups")
        out = tuple(
            window_size(self.name, size, *window) for size, *window in zip(x.shape[2:], *self._windows(x), strict=True)
        )
        self._check_mode(x)
        return TensorType(x.dtype, (x.shape[0], Dim.of(self.filters), *out))

    def _check_mode(self, x: TensorType) -> None:
        for size, pads in zip(x.shape[2:], self._windows(x)[2], strict=True):
            limit = {"reflect": 1, "circular": 0}.get(self.mode)
            if limit is not None and size.constant is not None and max(pads) > size.constant - limit:
                raise RuleError("NL206", f"`{self.mode}` padding of {max(pads)} needs more than the {size} there is in `{{x}}`", at="pad")

    def parameters(self, *operands: TensorType) -> tuple[ParameterSpec, ...]:
        (x,) = operands
        channels = require_known(self.name, x.shape[1], "the number of channels of `{x}`")
        kernel = self._windows(x)[0]
        weight = TensorType.of(x.dtype, self.filters, channels // self.groups, *kernel)
        found = [ParameterSpec("weight", weight, FanInUniform())]
        if self.bias:
            fan = int(weight.elements.constant or 0) // self.filters
            found.append(ParameterSpec("bias", TensorType.of(x.dtype, self.filters), FanInUniform(fan=fan)))
        return tuple(found)

    def torch_module(self, *operands: TensorType) -> str | None:
        (x,) = operands
        names = {"stride": "stride", "dilation": "dilation", "groups": "groups", "bias": "bias", "mode": "padding_mode"}
        padding = tuple(before for before, _ in self._windows(x)[2])
        shown = padding[0] if len(set(padding)) == 1 else padding
        pad = f", padding={shown!r}" if any(padding) and not self._lopsided(x) else ""
        return f"nn.Conv{x.rank - 2}d({x.shape[1]}, {self.filters}, {self.kernel!r}{pad}{keywords(self, names)})"

    def _lopsided(self, x: TensorType) -> bool:
        return any(before != after for before, after in self._windows(x)[2])

    def torch_apply(self, at: Lowering, module: str, *arguments: Code) -> str:
        (x,) = arguments
        (x_type,) = at.operand_types
        if not self._lopsided(x_type):
            return f"{module}({x})"
        sides = [side for pair in reversed(self._windows(x_type)[2]) for side in pair]
        return f"{module}(F.pad({x}, {sides}{TORCH_PAD_MODES[self.mode]}))"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        x, weight, *bias = arguments
        _, stride, pads, dilation = self._windows(at.operand_types[0])
        extra = f", groups={self.groups}" * (self.groups > 1) + f", mode={self.mode!r}" * (self.mode != "zeros")
        shown = bias[0] if bias else None
        return f"{at.use(convolve)}({x}, {weight}, {shown}, stride={stride}, pads={pads}, dilation={dilation}{extra})"

    def cost(self, operands: tuple[TensorType, ...], results: tuple[TensorType, ...]) -> Dim:
        weight = self.parameters(*operands)[0].type
        return results[0].elements * weight.elements // self.filters

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(4, 3), (SampleTensor((2, 3, 8, 7)),))
        yield Sample(cls(6, (3, 2), stride=(2, 1), pad=(1, 0), dilation=(1, 2), groups=3), (SampleTensor((2, 3, 9, 8)),))
        yield Sample(cls(4, 3, pad="same", bias=False), (SampleTensor((1, 2, 5, 6)),))
        yield Sample(cls(4, 3, stride=2, pad="same"), (SampleTensor((1, 2, 6, 7)),))
        yield Sample(cls(4, 5, stride=3, pad="valid"), (SampleTensor((2, 4, 17)),))
        yield Sample(cls(2, 2, pad=1, groups=2), (SampleTensor((1, 2, 3, 4, 5)),))
        for mode in ("reflect", "replicate", "circular"):
            yield Sample(cls(3, 3, pad=2, mode=mode), (SampleTensor((1, 2, 5, 6)),))
