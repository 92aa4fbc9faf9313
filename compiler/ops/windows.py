"""Windows that slide over the spatial dimensions of [N, C, *spatial]: their geometry, and the NumPy views convolution and pooling share.

N = batch, C = channels. An extent is what a dilated kernel spans: dilation (kernel - 1) + 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

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
def borrow(work: Any, slot: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array with any numbers in it: of the memory that `work` keeps for `slot`, or a new one."""
    return np.empty(shape, dtype) if work is None else work.take(slot, shape, dtype)


@emitted
def slot(work: Any, number: int, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
    """An array for a value, f32 unless told, with any numbers in it: of the memory that `work` keeps under a number, or a new one."""
    return np.empty(shape, dtype or np.float32) if work is None else work.place(number, shape, dtype or np.float32)


@emitted
def open_channels(shape: tuple[int, ...], dtype: Any, out: np.ndarray | None, work: Any) -> np.ndarray:
    """Memory for a result [N, C, …] that is made channel by channel [C, N, …]: that of `out` where it lies so; `close_channels` ends it."""
    if out is None:
        return np.empty((shape[1], shape[0], *shape[2:]), dtype)
    channels = out.swapaxes(0, 1)
    return channels if channels.flags.c_contiguous else borrow(work, "channels", channels.shape, dtype)


@emitted
def close_channels(channels: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    """The result [N, C, …], in `out` where there is one."""
    if out is None or out.swapaxes(0, 1).flags.c_contiguous:
        return channels.swapaxes(0, 1) if out is None else out
    out[...] = channels.swapaxes(0, 1)
    return out


@emitted
def share_out(work: Any, function: Any, count: int) -> None:
    """Call function(worker, index) for each index below `count`: in the threads of `work`, or here."""
    if work is None or count == 1:
        for index in range(count):
            function(0, index)
    else:
        work.share(function, count)


@emitted
class Patches:
    """The windows of `x` [N, C, *spatial], some of them at a time, as a matrix [C * kernel, pixels].

    Pixels are counted through N and the result's sizes `out`. A block holds whole examples, or rows of one, and about 1 MB of f32. Where
    nothing but `x` itself would be copied, blocks are parts of it. `lines` asks for `by_lines`, which is granted where it is faster.
    """

    def __init__(
        self,
        x: np.ndarray,
        size: tuple[int, ...],
        stride: tuple[int, ...] | None,
        pads: tuple[tuple[int, int], ...] | None,
        dilation: tuple[int, ...] | None,
        mode: str = "zeros",
        work: Any = None,
        lines: bool = False,
    ) -> None:
        if mode != "zeros":
            x, pads = pad_spatial(x, pads or (), mode), None
        if len(size) == 1:
            x, size = x[:, :, None], (1, *size)
            stride, dilation, pads = (1, *(stride or (1,))), (1, *(dilation or (1,))), pads and ((0, 0), *pads)
        ones = (1,) * len(size)
        self.x, self.size, self.work = x.swapaxes(0, 1), size, work
        self.stride, self.dilation = stride or ones, dilation or ones
        self.pads: tuple[tuple[int, int], ...] = pads or ((0, 0),) * len(size)
        self.batch: int = self.x.shape[1]
        channels, _, *self.sizes = self.x.shape
        self.out = tuple(
            (n + before + after - d * (k - 1) - 1) // s + 1
            for n, k, s, d, (before, after) in zip(self.sizes, size, self.stride, self.dilation, self.pads, strict=True)
        )
        self.width, self.line = channels * math.prod(size), math.prod(self.out[1:])
        threads = 1 if work is None else work.threads
        deep = channels * size[-1] >= 32 and math.prod(self.out) >= 256
        self.by_lines = lines and deep and len(size) == 2 and size[0] > 1 and self.stride[0] == 1
        alone = self.width * self.line * self.out[0] * 2 // (size[0] if self.by_lines else 2)
        self.examples: int = max(1, min(-(-self.batch // threads), 2**18 // alone))
        self.rows = -(-self.out[0] // max(-(-alone // 2**18), threads if self.batch == 1 and alone > 2**16 else 1))
        self.same = self.stride == ones and math.prod(size) == 1 and not any(map(any, self.pads)) and self.x.flags.c_contiguous
        if self.same:
            self.examples, self.rows = -(-self.batch // threads), self.out[0]
        self.parts: int = -(-self.out[0] // self.rows)

    def __len__(self) -> int:
        """How many blocks there are."""
        return -(-self.batch // self.examples) * self.parts

    def locate(self, index: int) -> tuple[np.ndarray, int, int, slice]:
        """The examples of `x` that a block reads, its first row and how many rows of the result, its pixels."""
        first, top = index // self.parts * self.examples, index % self.parts * self.rows
        x, rows = self.x[:, first : first + self.examples], min(self.rows, self.out[0] - top)
        start = (first * self.out[0] + top) * self.line
        return x, top, rows, slice(start, start + x.shape[1] * rows * self.line)

    def block(self, index: int, worker: int = 0) -> tuple[slice, np.ndarray]:
        """The pixels of a block, and its matrix, which is overwritten by the next block of this worker."""
        x, top, rows, places = self.locate(index)
        if self.same:
            return places, self.x.reshape(self.width, -1)[:, places]
        columns = self.copy_columns(x, top, rows, worker)
        if math.prod(self.size[:-1]) == 1 and math.prod(self.stride[:-1]) == 1:
            return places, columns.reshape(self.width, -1)
        out = (rows, *self.out[1:])
        patches = borrow(self.work, f"patches {worker}", (x.shape[0], *self.size, x.shape[1], *out), x.dtype)
        for offset in np.ndindex(*self.size[:-1]):
            steps = [slice(i * d, i * d + (n - 1) * s + 1, s) for i, d, n, s in zip(offset, self.dilation, out, self.stride, strict=False)]
            patches[(slice(None), *offset)] = columns[(slice(None), slice(None), slice(None), *steps)]
        return places, patches.reshape(self.width, -1)

    def lines(self, index: int, worker: int = 0) -> tuple[slice, list[np.ndarray]]:
        """The pixels of a block, and for each row of the kernel a view [N, C * last kernel size, pixels of an example].

        There with `by_lines` alone: windows that lie one below the other share their numbers, but the products are smaller.
        """
        x, top, rows, places = self.locate(index)
        columns = self.copy_columns(x, top, rows, worker)
        starts = [i * self.dilation[0] for i in range(self.size[0])]
        shape = (columns.shape[0] * columns.shape[1], x.shape[1], rows * self.line)
        return places, [columns[:, :, :, start : start + rows].reshape(shape).swapaxes(0, 1) for start in starts]

    def copy_columns(self, x: np.ndarray, top: int, rows: int, worker: int) -> np.ndarray:
        """The windows along the last axis alone, of the rows that a block needs, padded: [C, last kernel size, N, *rows, last of out]."""
        span = (rows - 1) * self.stride[0] + self.dilation[0] * (self.size[0] - 1) + 1
        lines = [span, *(n + before + after for n, (before, after) in zip(self.sizes[1:-1], self.pads[1:-1], strict=True))]
        starts = [top * self.stride[0] - self.pads[0][0], *(-before for before, _ in self.pads[1:-1])]
        columns = borrow(self.work, f"columns {worker}", (x.shape[0], self.size[-1], x.shape[1], *lines, self.out[-1]), x.dtype)
        if any(map(any, self.pads)):
            columns.fill(0)
        taken = [slice(max(a, 0), min(a + n, size)) for a, n, size in zip(starts, lines, self.sizes, strict=False)]
        given: list[Any] = [slice(part.start - a, part.stop - a) for part, a in zip(taken, starts, strict=True)]
        s, length = self.stride[-1], self.sizes[-1]
        for i in range(self.size[-1]):
            offset = i * self.dilation[-1] - self.pads[-1][0]
            low, high = max(0, -(offset // s)), min(self.out[-1], (length - 1 - offset) // s + 1)
            if low < high:
                source: Any = slice(low * s + offset, (high - 1) * s + offset + 1, s)
                columns[(slice(None), i, slice(None), *given, slice(low, high))] = x[(slice(None), slice(None), *taken, source)]
        return columns
