"""Convolutions with NumPy: as products over patches, and with 3 x 3 kernels by tiles, where channels are many and pictures large.

By tiles 16 multiplications make 2 x 2 pixels of the result that take 36 otherwise: Lavin and Gray 2015, arXiv:1509.09308, F(2 x 2, 3 x 3).
Windows and filters are transformed with 0, 1 and 1/2 alone, so that rounding stays what it is in sums of this length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from compiler.ir.dims import Dim, at_least
from compiler.ir.op import emitted
from compiler.ops.windows import Patches, borrow, close_channels, open_channels, share_out

if TYPE_CHECKING:
    import numpy as np

FEWEST: Final = 64
"""Channels and filters from which on tiles are faster."""
SMALLEST: Final = 196
"""Pixels of a result from which on they are: `convolve_tiles` has the same number."""


@emitted
def convolve_small(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: tuple[int, ...] | None,
    pads: tuple[tuple[int, int], ...] | None,
    dilation: tuple[int, ...] | None,
    out: np.ndarray | None,
    work: Any,
) -> np.ndarray:
    """`convolve` with the fewest calls: all patches are copied at once."""
    batch, channels, *sizes = x.shape
    size, ones = weight.shape[2:], (1,) * len(sizes)
    x = x.swapaxes(0, 1)
    if pads:
        sides = [(before, before + n, before + n + after) for n, (before, after) in zip(sizes, pads, strict=True)]
        padded = borrow(work, "padded", (channels, batch, *(end for _, _, end in sides)), x.dtype)
        padded.fill(0)
        padded[(slice(None), slice(None), *(slice(first, last) for first, last, _ in sides))] = x
        x = padded
    steps = list(zip(x.shape[2:], size, x.strides[2:], stride or ones, dilation or ones, strict=True))
    sizes = [(n - d * (k - 1) - 1) // s + 1 for n, k, _, s, d in steps]
    strides = (x.strides[0], *(step * d for _, _, step, _, d in steps), x.strides[1], *(step * s for _, _, step, s, _ in steps))
    windows = np.lib.stride_tricks.as_strided(x, (channels, *size, batch, *sizes), strides)
    patches = borrow(work, "patches 0", windows.shape, x.dtype)
    patches[...] = windows
    result = open_channels((batch, weight.shape[0], *sizes), x.dtype, out, work)
    pixels = result.reshape(weight.shape[0], -1)
    np.matmul(weight.reshape(weight.shape[0], -1), patches.reshape(weight[0].size, -1), out=pixels)
    if bias is not None:
        pixels += bias.reshape(-1, 1)
    return close_channels(result, out)


@emitted
def convolve(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: tuple[int, ...] | None = None,
    pads: tuple[tuple[int, int], ...] | None = None,
    dilation: tuple[int, ...] | None = None,
    groups: int = 1,
    mode: str = "zeros",
    out: np.ndarray | None = None,
    work: Any = None,
) -> np.ndarray:
    """Cross-correlation of `x` [N, C, *spatial] with `weight` [O, C/groups, *kernel], as products over patches.

    The result lies in memory channel by channel, as the products make it.
    """
    if groups == 1 and mode == "zeros" and x[:, 0].size * weight[0].size <= 2**17:
        return convolve_small(x, weight, bias, stride, pads, dilation, out, work)
    filters = weight.reshape(groups, weight.shape[0] // groups, -1)
    patches = Patches(x, weight.shape[2:], stride, pads, dilation, mode, work, groups == 1 and filters.shape[1] <= 64)
    sizes = patches.out[-(x.ndim - 2) :]
    result = open_channels((x.shape[0], weight.shape[0], *sizes), x.dtype, out, work)
    pixels = result.reshape(groups, filters.shape[1], -1)

    lines = [weight[:, :, i].reshape(weight.shape[0], -1) for i in range(patches.size[0])] if patches.by_lines else []

    def multiply(worker: int, index: int) -> None:
        if lines:
            places, views = patches.lines(index, worker)
            made = pixels[0, :, places].reshape(-1, *views[0].shape[::2]).swapaxes(0, 1)
            product = borrow(work, f"patches {worker}", made.shape, x.dtype)
            np.matmul(lines[0], views[0], out=made)
            for line, view in zip(lines[1:], views[1:], strict=True):
                made += np.matmul(line, view, out=product)
        else:
            places, matrix = patches.block(index, worker)
            np.matmul(filters, matrix.reshape(groups, filters.shape[2], -1), out=pixels[:, :, places])
        if bias is not None:
            pixels[:, :, places] += bias.reshape(groups, -1, 1)

    share_out(work, multiply, len(patches))
    return close_channels(result, out)


@emitted
def transform_filters(weight: np.ndarray, work: Any = None) -> np.ndarray:
    """G w Gᵀ of each filter and channel of `weight` [O, C, 3, 3], columns before rows: [16, O, C]."""
    g = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], weight.dtype)
    both = np.einsum("ia,jb->jiab", g, g).reshape(16, 9)
    made = borrow(work, "filters", (16, weight.shape[0] * weight.shape[1]), weight.dtype)
    return np.matmul(both, weight.reshape(-1, 9).T, out=made).reshape(16, *weight.shape[:2])


@emitted
def transform_windows(x: np.ndarray, tiles: tuple[int, int], worker: int, work: Any = None) -> np.ndarray:
    """Bᵀ d B of each 4 x 4 window at even places of `x` [C, N, 2 rows + 2, 2 columns + 2], columns before rows: [16, C, pixels]."""
    rows, columns = tiles
    lines = borrow(work, f"columns {worker}", (4, *x.shape[:2], rows, x.shape[3]), x.dtype)
    made = borrow(work, f"patches {worker}", (4, 4, *x.shape[:2], rows, columns), x.dtype)
    for source, span, target in ((x.swapaxes(2, 3), rows, lines.swapaxes(3, 4)), (lines, columns, made)):
        a, b, c, d = (source[..., i : i + 2 * span - 1 : 2] for i in range(4))
        np.subtract(a, c, out=target[0])
        np.add(b, c, out=target[1])
        np.subtract(c, b, out=target[2])
        np.subtract(b, d, out=target[3])
    return made.reshape(16, x.shape[0], -1)


@emitted
def sum_tile_axis(parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Aᵀ along the first axis of `parts` [4, …], in whose memory the two results are."""
    first, second, third, last = parts
    first += second
    first += third
    np.subtract(second, last, out=last)
    last -= third
    return first, last


@emitted
def convolve_tiles(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    pads: tuple[tuple[int, int], ...] | None = None,
    out: np.ndarray | None = None,
    work: Any = None,
) -> np.ndarray:
    """`convolve` for many 3 x 3 filters: by tiles where the result has 14 x 14 pixels or more, some rows of tiles at a time."""
    (top, bottom), (left, right) = pads or ((0, 0), (0, 0))
    batch, channels, height, width = x.shape
    sizes = (height + top + bottom - 2, width + left + right - 2)
    if sizes[0] * sizes[1] < 196:
        return convolve(x, weight, bias, pads=pads, out=out, work=work)
    result = open_channels((batch, weight.shape[0], *sizes), x.dtype, out, work)
    rows, columns = -(-sizes[0] // 2), -(-sizes[1] // 2)
    padded = borrow(work, "padded", (channels, batch, 2 * rows + 2, 2 * columns + 2), x.dtype)
    padded.fill(0)
    padded[:, :, top : top + height, left : left + width] = x.swapaxes(0, 1)
    filters = transform_filters(weight, work)
    examples = max(1, 256 // (rows * columns))
    lines = -(-rows // max(-(-rows * columns // 256), 1 if work is None or batch > 1 else work.threads))
    parts = -(-rows // lines)

    def multiply(worker: int, index: int) -> None:
        first, start = index // parts * examples, index % parts * lines
        some = slice(first, first + examples)
        given = padded[:, some, 2 * start : 2 * (start + lines) + 2]
        tiles = given.shape[2] // 2 - 1, columns
        windows = transform_windows(given, tiles, worker, work)
        products = borrow(work, f"products {worker}", (16, filters.shape[1], windows.shape[2]), x.dtype)
        np.matmul(filters, windows, out=products)
        made = result[:, some, 2 * start : 2 * (start + lines)]
        for j, column in enumerate(sum_tile_axis(products.reshape(4, 4, filters.shape[1], -1, *tiles))):
            for i, tile in enumerate(sum_tile_axis(column)):
                place = made[:, :, i::2, j::2]
                pixels = tile[:, :, : place.shape[2], : place.shape[3]]
                if bias is None:
                    place[...] = pixels
                else:
                    np.add(pixels, bias.reshape(-1, 1, 1, 1), out=place)

    share_out(work, multiply, -(-batch // examples) * parts)
    return close_channels(result, out)


def choose_kernel(weight: tuple[Dim, ...], result: tuple[Dim, ...], given: Mapping[str, object]) -> Callable[..., np.ndarray]:
    """The function for filters and a result of these shapes with these keywords, those that are None left out."""
    fits = all(value is None for name, value in given.items() if name != "pads")
    wide = len(weight) == 4 and all(size == 3 for size in weight[2:]) and all((size.constant or 0) >= FEWEST for size in weight[:2])
    small = at_least(math.prod(result[2:], start=Dim.of(1)), SMALLEST) is False
    return convolve_tiles if fits and wide and not small else convolve
