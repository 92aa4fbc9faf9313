"""Random crops of a few large pictures: what super-resolution and unpaired translation train on where there is no large data set.

Crops are cut when the source is read, not anew for every batch. Values 0 to 1, layout `[N, C, H, W]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, final

from compiler.front.readers import Reader, ReaderError
from compiler.ir.signature import LARGEST_INTEGER, Range
from compiler.ir.types import DType, TensorType
from netlang.data.bundled_pictures import find_bundled
from netlang.data.fields import Count, Side, per_sample
from netlang.data.images import SUFFIXES, make_upright, open_picture, to_array
from netlang.data.packages import require
from netlang.data.paths import LARGEST_DATA, join_path, open_folder, resolve_inside

if TYPE_CHECKING:
    import numpy as np


@final
@dataclass(frozen=True)
class Crops(Reader):
    """Square crops at random places of pictures, each picture equally often. Needs Pillow.

    `files` is a picture, a folder of pictures, or a list of them; a picture of another package goes by its name, `skimage:coffee`.
    With `side` each picture is first resized so that its shorter side has this length. Equal attributes give equal crops.
    Fields: `image` f32[N, channels, size, size]; with `shrink` also `small`, as many times smaller, and `enlarged`, that one brought
    back to `size`, both by cubic interpolation (Keys 1981, a = -1/2, smoothed where it shrinks).
    """

    name: ClassVar[str] = "crops"

    files: str | tuple[str, ...]
    size: Side
    shrink: Annotated[int, Range(1, 64)] = 1
    side: Side | None = None
    channels: Literal[1, 3] = 3
    samples: Count = 1000
    seed: Annotated[int, Range(0, LARGEST_INTEGER)] = 0

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        if self.files == ():
            raise ReaderError("crops need a picture", attribute="files", code="NL507")
        if self.size % self.shrink:
            message = f"{self.size} pixels cannot be shrunk {self.shrink} times"
            raise ReaderError(message, help="`shrink` divides `size`", attribute="shrink", code="NL507")
        if self.side is not None and self.side < self.size:
            raise ReaderError(f"no crop of {self.size} fits a side of {self.side}", attribute="side", code="NL507")
        return {name: per_sample(DType.f32, self.channels, side, side) for name, side in self._sides().items()}

    def _sides(self) -> dict[str, int]:
        sides = {"image": self.size}
        return sides if self.shrink == 1 else sides | {"small": self.size // self.shrink, "enlarged": self.size}

    def read(self, folder: Path | None) -> dict[str, Any]:
        import numpy as np

        if 4 * self.samples * self.channels * sum(side**2 for side in self._sides().values()) > LARGEST_DATA:
            message = f"{self.samples:,} crops of {self.size} pixels need more than {LARGEST_DATA:,} bytes"
            raise ReaderError(message, help="make `samples` or `size` smaller", attribute="samples", code="NL505")
        cubic = require("PIL.Image", "pillow", "data").Resampling.BICUBIC
        files = self._list_files(folder)
        generator = np.random.default_rng(self.seed)
        arrays = {name: np.empty((self.samples, self.channels, side, side), np.float32) for name, side in self._sides().items()}
        turns = generator.permutation(self.samples)
        for number, (shown, path) in enumerate(files):
            members = turns[number :: len(files)]
            picture = self._load(shown, path) if len(members) else None
            for index in members:
                crop = self._cut(picture, generator)
                arrays["image"][index] = to_array(crop)
                if self.shrink > 1:
                    small = crop.resize((self.size // self.shrink,) * 2, cubic)
                    arrays["small"][index] = to_array(small)
                    arrays["enlarged"][index] = to_array(small.resize((self.size, self.size), cubic))
        return arrays

    def _list_files(self, folder: Path | None) -> list[tuple[str, Path]]:
        """Every picture as messages name it, and its path."""
        found = []
        for shown in (self.files,) if isinstance(self.files, str) else self.files:
            path = find_bundled(shown, "files") or resolve_inside(folder, shown, attribute="files")
            if not path.is_dir():
                found.append((shown, path))
                continue
            names = [entry.name for entry in open_folder(path, shown, "files") if entry.suffix.lower() in SUFFIXES]
            if not names:
                help_text = f"pictures end in {', '.join(sorted(SUFFIXES))}"
                raise ReaderError(f"`{shown}` holds no pictures", help=help_text, attribute="files", code="NL507")
            inside = [join_path(shown, name) for name in names]
            found += [(item, resolve_inside(folder, item, attribute="files")) for item in inside]
        return found

    def _load(self, shown: str, path: Path) -> Any:
        library = require("PIL.Image", "pillow", "data")
        with open_picture(path, shown, "files") as opened:
            picture = make_upright(opened, self.channels)
        if self.side is not None:
            scale = self.side / min(picture.size)
            picture = picture.resize(tuple(max(self.side, round(length * scale)) for length in picture.size), library.Resampling.BICUBIC)
        if min(picture.size) < self.size:
            message = f"`{shown}` has {picture.width}x{picture.height} pixels: no crop of {self.size} fits"
            raise ReaderError(message, help=f"resize it: `side={self.size}`", attribute="files", code="NL507")
        return picture

    def _cut(self, picture: Any, generator: np.random.Generator) -> Any:
        left, top = (int(generator.integers(length - self.size + 1)) for length in picture.size)
        return picture.crop((left, top, left + self.size, top + self.size))
