"""Windows that slide over the spatial dimensions of [N, C, *spatial]: their geometry, and the NumPy views convolution and pooling share.

N = batch, C = channels. An extent is what a dilated kernel spans: dilation (kernel - 1) + 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

from compiler.ir.dims import Dim, at_least
from compiler.ir.op import RuleError, emitted
from compiler.ir.signature import NonNegative, Positive
from compiler.ir.types import TensorType
from compiler.ops.base import require_known, require_rank

if TYPE_CHECKING:
    import numpy as np

Size = Positive | tuple[Positive, ...]
Pads = NonNegative | tuple[NonNegative, ...]
Padding = NonNegative | tuple[NonNegative, ...] | Literal["same", "valid"]
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]

TORCH_PAD_MODES = {mode: "" if mode == "zeros" else f", mode={mode!r}" for mode in ("zeros", "reflect", "replicate", "circular")}


def require_spatial(name: str, x: TensorType) -> int:
    """The number of spatial dimensions of `x`; refuses other ranks than 3, 4 and 5."""
    require_rank(name, x, (3, 4, 5), meaning="(N, C and 1, 2 or 3 spatial ones)")
    return x.rank - 2


def spatial_sizes(name: str, attribute: str, value: int | tuple[int, ...], rank: int) -> tuple[int, ...]:
    """One number for every spatial dimension; refuses a list of another length."""
    if isinstance(value, int):
        return (value,) * rank
    if len(value) != rank:
        raise RuleError(
            "NL208",
            f"`{attribute}` of `{name}` lists {len(value)} number{'s' * (len(value) != 1)} for {rank} spatial dimension{'s' * (rank != 1)}",
            at=attribute,
            help=f"give one number for all of them, or {rank}" if rank > 1 else "give one number",
        )
    return value


def shown(values: tuple[int, ...]) -> str:
    """The numbers as a torch constructor takes them: one if all are equal."""
    return repr(values[0] if len(set(values)) == 1 else values)


def given_keywords(given: Mapping[str, object]) -> list[str]:
    """`stride=(2, 2)` for each value that is not None."""
    return [f"{name}={value!r}" for name, value in given.items() if value is not None]


def extents(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """What a dilated kernel spans along each dimension."""
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))


@final
@dataclass(frozen=True, slots=True)
class Windows:
    """A kernel that slides over `x`: each field holds one entry for every spatial dimension; `pads` are (before, after)."""

    name: str
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    ceil: bool = False

    @property
    def lopsided(self) -> bool:
        """Whether some dimension has more padding after than before it."""
        return any(before != after for before, after in self.pads)

    @property
    def before(self) -> tuple[int, ...]:
        return tuple(before for before, _ in self.pads)

    def results(self, x: TensorType) -> tuple[Dim, ...]:
        """The spatial sizes of the result; refuses a window larger than what it slides over."""
        return tuple(self._result(x, i) for i in range(len(self.kernel)))

    def _result(self, x: TensorType, i: int) -> Dim:
        """floor((size + pads - extent) / stride) + 1.

        With `ceil`, the ceiling, but as in torch no window starts in the padding behind: start <= size + pad - 1.
        """
        size, stride, (before, after) = x.shape[2 + i], self.stride[i], self.pads[i]
        extent = self.dilation[i] * (self.kernel[i] - 1) + 1
        offset = before + after - extent
        if self.ceil:
            offset = min(offset + stride - 1, before - 1)
        if at_least(size + offset, 0) is False:
            dilated = f" (dilated to {extent})" if self.dilation[i] > 1 else ""
            padded = f" ({size + before + after} with its padding)" if before + after else ""
            room = (size + before + after).constant
            most = f"a kernel of at most {(room - 1) // self.dilation[i] + 1}" if room else "a smaller kernel"
            raise RuleError(
                "NL206",
                f"the kernel of `{self.name}` spans {self.kernel[i]}{dilated} but axis {2 + i} of `{{x}}` is only {size}{padded}",
                at="x",
                labels={"x": str(x)},
                help=f"use {most}, more padding, or fewer layers that shrink before it",
            )
        return (size + offset) // stride + 1


def resolve_padding(
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
    for size, extent, s in zip(x.shape[2:], extents(kernel, dilation), stride, strict=True):
        total = extent - 1
        if s > 1:
            known = require_known(name, size, f"the size it pads with `pad=same` at stride {s}")
            total = max((-(-known // s) - 1) * s + extent - known, 0)
        pads.append((total // 2, total - total // 2))
    return tuple(pads)


@emitted
def pad_spatial(x: np.ndarray, pads: tuple[tuple[int, int], ...], mode: str = "zeros") -> np.ndarray:
    """`x` [N, C, *spatial] with `pads` before and after each spatial dimension."""
    if not any(before or after for before, after in pads):
        return x
    widths = ((0, 0), (0, 0), *pads)
    if mode == "reflect":
        return np.pad(x, widths, mode="reflect")
    if mode == "replicate":
        return np.pad(x, widths, mode="edge")
    return np.pad(x, widths, mode="wrap") if mode == "circular" else np.pad(x, widths)


@emitted
def fold_padding(x: np.ndarray, pads: tuple[tuple[int, int], ...], mode: str = "zeros") -> np.ndarray:
    """The adjoint of `pad_spatial`: `x` without its border, each number of which is added to where it was taken from."""
    for axis, (before, after) in enumerate(pads, 2):
        if not before and not after:
            continue
        x = np.moveaxis(x, axis, 0)
        size = x.shape[0] - before - after
        inner = x[before : before + size] if mode == "zeros" else x[before : before + size].copy()
        head, tail = x[:before], x[before + size :]
        if mode == "replicate":
            inner[0] += head.sum(0)
            inner[-1] += tail.sum(0)
        elif mode == "reflect":
            inner[1 : before + 1] += head[::-1]
            inner[size - 1 - after : size - 1] += tail[::-1]
        elif mode == "circular":
            inner[size - before :] += head
            inner[:after] += tail
        x = np.moveaxis(inner, 0, axis)
    return np.ascontiguousarray(x)


@emitted
def sliding_windows(x: np.ndarray, size: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> np.ndarray:
    """A view [N, C, *out, *size] of the windows of `x` [N, C, *spatial]."""
    extent = tuple(d * (k - 1) + 1 for k, d in zip(size, dilation, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(x, extent, axis=tuple(range(2, x.ndim)))
    steps = tuple(slice(None, None, s) for s in stride)
    holes = tuple(slice(None, None, d) for d in dilation)
    return windows[(slice(None), slice(None), *steps, *holes)]
