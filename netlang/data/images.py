"""Pictures in files: a folder of class folders, or one picture. Values 0 to 1, layout `[N, C, H, W]`.

A picture is turned as its EXIF tag says, laid on white where it is transparent, cut to the wanted proportions around its centre (or
kept whole), and resized with smoothing. Formats go by content: PNG, JPEG, BMP, PPM, WebP. Non-goals: animations, colour profiles.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from compiler.front.readers import Reader, ReaderError
from compiler.ir.types import DType, TensorType
from netlang.data.bundled_pictures import find_bundled
from netlang.data.fields import Side, per_sample, single
from netlang.data.packages import require
from netlang.data.paths import LARGEST_DATA, join_path, open_folder, open_regular, resolve_inside

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMATS = ("PNG", "JPEG", "BMP", "PPM", "WEBP")
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".webp"}
MOST_PIXELS = 25_000_000
LARGEST_IMAGE_FILE = 200 * 2**20
MODES = {1: "L", 3: "RGB"}
ORIENTATION = 0x0112
LYING = (5, 6, 7, 8)
"""Values of the EXIF tag with which height and width change places."""


@final
@dataclass(frozen=True)
class Images(Reader):
    """A folder with one folder of pictures a class; classes are numbered in the sorted order of their names.

    Fields: `image` f32[N, channels, H, W], `label` i64[N]. `size` is `[height, width]` or the side of a square. Needs Pillow.
    """

    name: ClassVar[str] = "images"

    folder: str
    size: Side | tuple[Side, Side]
    channels: Literal[1, 3] = 3

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        return {"image": per_sample(DType.f32, self.channels, *_sides(self.size)), "label": per_sample(DType.i64)}

    def read(self, folder: Path | None) -> dict[str, Any]:
        import numpy as np

        files = self._list_files(folder)
        shape = (len(files), self.channels, *_sides(self.size))
        if 4 * np.prod(shape, dtype=float) > LARGEST_DATA:
            message = f"{len(files):,} pictures of {list(shape[1:])} need more than {LARGEST_DATA:,} bytes"
            raise ReaderError(message, help="make `size` smaller", attribute="size", code="NL505")
        images = np.empty(shape, np.float32)
        for place, (shown, path, _) in zip(images, files, strict=True):
            place[...] = read_picture(path, shown, _sides(self.size), self.channels, "folder")
        return {"image": images, "label": np.array([label for *_, label in files], np.int64)}

    def _list_files(self, folder: Path | None) -> list[tuple[str, Path, int]]:
        """Every picture as messages name it, its path, and its class, in sorted order."""
        root = resolve_inside(folder, self.folder, attribute="folder")
        classes = [entry.name for entry in open_folder(root, self.folder, "folder") if entry.is_dir()]
        if not classes:
            raise ReaderError(f"`{self.folder}` holds no folders", help="one folder of pictures a class", attribute="folder", code="NL507")
        files = []
        for label, name in enumerate(classes):
            place = join_path(self.folder, name)
            entries = open_folder(resolve_inside(folder, place, attribute="folder"), place, "folder")
            pictures = [join_path(place, entry.name) for entry in entries if entry.suffix.lower() in SUFFIXES]
            if not pictures:
                help_text = f"pictures end in {', '.join(sorted(SUFFIXES))}"
                raise ReaderError(f"`{place}` holds no pictures", help=help_text, attribute="folder", code="NL507")
            files += [(shown, resolve_inside(folder, shown, attribute="folder"), label) for shown in pictures]
        return files


@final
@dataclass(frozen=True)
class Image(Reader):
    """One picture as a single tensor f32[1, 3, H, W]. Needs Pillow.

    `file` is a path, or the name of a picture of another package: `skimage:astronaut`. `size` is `[height, width]` or the side of a
    square; the picture is cut to fill it, or with `fit=whole` as large as fits into it, in its own proportions.
    """

    name: ClassVar[str] = "image"

    file: str
    size: Side | tuple[Side, Side]
    fit: Literal["cut", "whole"] = "cut"

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        sides = _sides(self.size)
        if self.fit == "whole":
            with open_picture(self._find(folder), self.file, "file") as picture:
                sides = fit_whole(*_turned_sides(picture), sides)
        return {"": single(DType.f32, 1, 3, *sides)}

    def read(self, folder: Path | None) -> dict[str, Any]:
        return {"": read_picture(self._find(folder), self.file, _sides(self.size), 3, "file", whole=self.fit == "whole")[None]}

    def _find(self, folder: Path | None) -> Path:
        return find_bundled(self.file, "file") or resolve_inside(folder, self.file, attribute="file")


def read_picture(path: Path, shown: str, sides: tuple[int, int], channels: int, attribute: str, whole: bool = False) -> NDArray[np.float32]:
    """`[channels, height, width]`; ReaderError names the file that is damaged, too large, too small, or no picture."""
    with open_picture(path, shown, attribute) as picture:
        return _prepare(picture, fit_whole(*_turned_sides(picture), sides) if whole else sides, channels)


def fit_whole(height: int, width: int, sides: tuple[int, int]) -> tuple[int, int]:
    """The largest sides of these proportions within `sides`, to the nearest pixel."""
    scale = min(sides[0] / height, sides[1] / width)
    return max(1, round(height * scale)), max(1, round(width * scale))


@contextmanager
def open_picture(path: Path, shown: str, attribute: str) -> Iterator[Any]:
    """The picture, its sides judged and its pixels not decoded; what fails inside is told as a ReaderError."""
    library = require("PIL.Image", "pillow", "data")
    faults = (OSError, SyntaxError, ValueError, TypeError, EOFError, KeyError, IndexError, struct.error, zlib.error)
    with open_regular(path, shown, limit=LARGEST_IMAGE_FILE, attribute=attribute) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", library.DecompressionBombWarning)
        try:
            with library.open(stream, formats=FORMATS) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise _too_large(shown, f"{picture.width}x{picture.height} pixels are", attribute)
                if min(picture.size) < 2:
                    message = f"`{shown}` has {picture.width}x{picture.height} pixels: that is no picture"
                    raise ReaderError(message, help="both sides must have at least 2 pixels", attribute=attribute, code="NL504")
                yield picture
        except (library.DecompressionBombWarning, library.DecompressionBombError) as error:
            raise _too_large(shown, "its pixels are far", attribute) from error
        except library.UnidentifiedImageError as error:
            raise _damaged(shown, "no known format", attribute) from error
        except faults as error:
            reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
            raise _damaged(shown, reason.partition(" (")[0], attribute) from error


def _damaged(shown: str, reason: str, attribute: str) -> ReaderError:
    message = f"`{shown}` is damaged or no picture: {reason}"
    return ReaderError(message, help="read are PNG, JPEG, BMP, PPM and WebP", attribute=attribute, code="NL504")


def _turned_sides(picture: Any) -> tuple[int, int]:
    """Height and width once the picture stands as its EXIF tag says."""
    lies = picture.getexif().get(ORIENTATION, 1) in LYING
    return (picture.width, picture.height) if lies else (picture.height, picture.width)


def make_upright(picture: Any, channels: int) -> Any:
    """The picture as its EXIF tag says, on white, as grey or red, green and blue bytes."""
    import numpy as np

    library = require("PIL.Image", "pillow", "data")
    operations = require("PIL.ImageOps", "pillow", "data")
    turned = operations.exif_transpose(picture)
    if turned.mode.startswith("I"):
        turned = library.fromarray((np.asarray(turned, np.float64) / 257).round().clip(0, 255).astype(np.uint8))
    if turned.has_transparency_data:
        clear = turned.convert("RGBA")
        turned = library.alpha_composite(library.new("RGBA", clear.size, "white"), clear)
    return turned.convert(MODES[channels])


def _prepare(picture: Any, sides: tuple[int, int], channels: int) -> NDArray[np.float32]:
    library = require("PIL.Image", "pillow", "data")
    operations = require("PIL.ImageOps", "pillow", "data")
    height, width = sides
    return to_array(operations.fit(make_upright(picture, channels), (width, height), method=library.Resampling.BILINEAR))


def to_array(picture: Any) -> NDArray[np.float32]:
    """`[channels, height, width]`, bytes as numbers from 0 to 1."""
    import numpy as np

    values = np.asarray(picture, np.float32) / np.float32(255)
    return np.ascontiguousarray(np.atleast_3d(values).transpose(2, 0, 1))


def _too_large(shown: str, what: str, attribute: str) -> ReaderError:
    message = f"`{shown}`: {what} more than the limit of {MOST_PIXELS:,} pixels"
    return ReaderError(message, help="make the picture smaller", attribute=attribute, code="NL505")


def _sides(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
