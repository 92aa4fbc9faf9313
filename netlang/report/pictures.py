"""Results as the bytes of picture files: grids of pictures, scatters of points, curves of numbers. Needs Pillow, loaded on use.

The format follows the suffix that the file is to have (.png, .jpg, .jpeg). Pictures are [N, C, H, W], points [N, 2].
Non-goals: animation, interaction, the writing of files.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from compiler.diagnostics import Diagnostic, SpecError
from compiler.diagnostics.quote import show
from netlang.report.chart import draw_curves, draw_scatter

if TYPE_CHECKING:
    from numpy.typing import NDArray

Curve: TypeAlias = tuple[Sequence[float], Sequence[float]]
"""What a curve goes through: x and y, equally many."""

FORMATS: Final = {".png": ("PNG", {}), ".jpg": ("JPEG", {"quality": 92}), ".jpeg": ("JPEG", {"quality": 92})}
GAP: Final = 2
"""Pixels of white between the pictures of a grid."""


def encode_grid(pictures: NDArray[Any], *, low: float = 0.0, high: float = 1.0, columns: int | None = None, suffix: str = ".png") -> bytes:
    """Pictures [N, 1 or 3, H, W] side by side, row by row; one picture is written as it is. `low` is black, `high` is white.

    As many columns as rows unless given. Numbers outside are cut off, NaN is black. ValueError for another shape, SpecError NL730.
    """
    import numpy as np

    array = np.asarray(pictures)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or 0 in array.shape:
        raise ValueError(f"pictures are [N, 1 or 3, H, W], not {list(array.shape)}")
    if not low < high:
        raise ValueError(f"from {low} to {high} is no range")
    scaled = (array.astype(np.float64) - low) * (255 / (high - low))
    pixels = np.nan_to_num(scaled, nan=0, posinf=255, neginf=0).round().clip(0, 255).astype(np.uint8)
    return _encode(_arrange(pixels.transpose(0, 2, 3, 1), columns or math.ceil(math.sqrt(len(pixels)))), suffix)


def _arrange(pixels: NDArray[Any], columns: int) -> NDArray[Any]:
    """[N, H, W, C] as one picture [H', W', C]."""
    import numpy as np

    count, height, width, channels = pixels.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    grid: NDArray[Any] = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), 255, np.uint8)
    for index, picture in enumerate(pixels):
        top, left = index // columns * (height + GAP), index % columns * (width + GAP)
        grid[top : top + height, left : left + width] = picture
    return grid


def encode_scatter(points: Mapping[str, NDArray[Any]], *, suffix: str = ".png") -> bytes:
    """Points [N, 2] by name, each name in its color, one scale on both axes; what is not finite is left out.

    ValueError for another shape, SpecError NL730.
    """
    import numpy as np

    arrays = {name: np.asarray(array, np.float64) for name, array in points.items()}
    for name, array in arrays.items():
        if array.ndim != 2 or array.shape[1] != 2:
            raise ValueError(f"points are [N, 2], not {list(array.shape)} ({name})")
    finite = {name: array[np.isfinite(array).all(1)] for name, array in arrays.items()}
    require_pillow()
    return _encode(draw_scatter({name: [(float(x), float(y)) for x, y in array] for name, array in finite.items()}), suffix)


def encode_curves(curves: Mapping[str, Curve], *, suffix: str = ".png") -> bytes:
    """Curves by name over a common x; y is logarithmic where all of it is positive and spans more than two decades.

    ValueError where x and y differ in number, SpecError NL730.
    """
    points = {name: list(zip(map(float, x), map(float, y), strict=True)) for name, (x, y) in curves.items()}
    require_pillow()
    finite = {name: [item for item in items if all(map(math.isfinite, item))] for name, items in points.items()}
    return _encode(draw_curves(finite), suffix)


def read_curves(log: Path) -> dict[str, Curve]:
    """The objectives and metrics of a run's `metrics.jsonl` by name, over iterations; a line that is no record is passed over."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
            values = {record["step"]: record["objective"]} if record["kind"] == "step" else dict(record["metrics"])
            iteration = float(record["iteration"])
            numbers = {str(name): float(value) for name, value in values.items()}
        except (ValueError, KeyError, TypeError):
            continue
        for name, value in numbers.items():
            x, y = found.setdefault(name, ([], []))
            x.append(iteration)
            y.append(value)
    return dict(found)


def convert(data: bytes, suffix: str) -> bytes:
    """A picture's file in the format of `suffix`."""
    with require_pillow().open(io.BytesIO(data)) as picture:
        picture.load()
        return _encode(picture, suffix)


def require_pillow() -> Any:
    """Pillow's module of pictures; SpecError NL730 without it."""
    try:
        import PIL.Image
    except ImportError:
        help = 'install it: `pip install "netlang[data]"`'
        raise SpecError((Diagnostic("NL730", "writing pictures needs the package `pillow`", None, help=help),)) from None
    return PIL.Image


def require_suffix(path: Path) -> None:
    """SpecError NL703 where a picture of that name would have no known format."""
    if path.suffix.lower() not in FORMATS:
        message = f"{show(str(path))} cannot be written: pictures end in {', '.join(FORMATS)}"
        raise SpecError((Diagnostic("NL703", message, None, help="give it another name"),))


def _encode(picture: Any, suffix: str) -> bytes:
    """An array [H, W, C] of bytes, or a picture of Pillow's, as a file."""
    library = require_pillow()
    form, options = FORMATS[suffix.lower()]
    if not isinstance(picture, library.Image):
        picture = library.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()
