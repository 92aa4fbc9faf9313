"""IDX files, plain or gzipped: the format of MNIST and Fashion-MNIST (Y. LeCun, C. Cortes, C. Burges; Xiao et al. 2017, arXiv 1708.07747).

Two zero bytes, a type code, the number of dimensions, the sizes as big-endian 32-bit integers, then the numbers, big-endian, row by row.
Only unsigned bytes (code 8) are read. Pictures are `[N, 1, H, W]`.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, final

from compiler.front.readers import Reader, ReaderError
from compiler.ir.signature import Range
from compiler.ir.types import DType, TensorType
from netlang.data.fields import per_sample
from netlang.data.paths import check_declared_size, join_path, open_regular, resolve_inside

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNSIGNED_BYTE = 8
GZIP_MAGIC = b"\x1f\x8b"
MOST_DIMENSIONS = 4
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
DATA_VARIABLE = "NETLANG_DATA"
Class = Annotated[int, Range(0, 9)]


class IdxFile(NamedTuple):
    """Where a file is, how messages name it, and the attribute that named it."""

    path: Path
    shown: str
    attribute: str | None


@final
@dataclass(frozen=True)
class Idx(Reader):
    """IDX files of unsigned bytes, gzipped or not.

    Fields: `image` `[N, 1, H, W]` (other ranks as they are), and `label` i64[N] when `labels` is given.
    `scale` divides by 255 and gives f32; without it the bytes stay u8.
    """

    name: ClassVar[str] = "idx"

    images: str
    labels: str | None = None
    scale: bool = True

    def _files(self, folder: Path | None) -> dict[str, IdxFile]:
        named = {"images": self.images, "labels": self.labels}
        return {
            attribute: IdxFile(resolve_inside(folder, path, attribute=attribute), path, attribute)
            for attribute, path in named.items()
            if path is not None
        }

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        files = self._files(folder)
        shape = _picture_shape(read_shape(files["images"]))
        types = {"image": per_sample(DType.f32 if self.scale else DType.u8, *shape[1:])}
        if "labels" in files:
            check_label_shape(read_shape(files["labels"]), shape[0], files["labels"])
            types["label"] = per_sample(DType.i64)
        return types

    def read(self, folder: Path | None) -> dict[str, Any]:
        import numpy as np

        files = self._files(folder)
        raw = read_idx(files["images"])
        images = raw.reshape(_picture_shape(raw.shape))
        arrays: dict[str, Any] = {"image": images.astype(np.float32) / np.float32(255) if self.scale else images}
        if "labels" in files:
            labels = read_idx(files["labels"])
            check_label_shape(labels.shape, len(images), files["labels"])
            arrays["label"] = labels.astype(np.int64)
        return arrays


@final
@dataclass(frozen=True)
class FashionMnist(Reader):
    """Fashion-MNIST: 60,000 + 10,000 grey pictures of clothes in ten classes, values 0 to 1; `size=32` adds a border of zeros.

    `classes=[7, 9]` leaves only pictures of these classes, with the labels they have.
    Fields: `image` f32[N, 1, size, size], `label` i64[N]. Its four IDX files are looked for in `folder`, in `$NETLANG_DATA/fashion-mnist`,
    and where Debian's package `dataset-fashion-mnist` puts them.
    """

    name: ClassVar[str] = "fashion_mnist"

    split: Literal["train", "test"] = "train"
    size: Literal[28, 32] = 28
    classes: tuple[Class, ...] | None = None
    folder: str | None = None

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        if self.classes == ():
            raise ReaderError("no class is left", help="name at least one", attribute="classes", code="NL507")
        return {"image": per_sample(DType.f32, 1, self.size, self.size), "label": per_sample(DType.i64)}

    def read(self, folder: Path | None) -> dict[str, Any]:
        import numpy as np

        from netlang.data.resize import pad_square

        stem = "train" if self.split == "train" else "t10k"
        image_file, label_file = (self._locate(folder, f"{stem}-{kind}") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"))
        images, labels = read_idx(image_file), read_idx(label_file)
        if images.shape[1:] != (28, 28):
            message = f"`{image_file.shown}` holds {list(images.shape)}, not pictures of 28x28"
            raise ReaderError(message, attribute=image_file.attribute, code="NL504")
        check_label_shape(labels.shape, len(images), label_file)
        if self.classes is not None:
            chosen = np.isin(labels, self.classes)
            images, labels = images[chosen], labels[chosen]
        scaled = images[:, None].astype(np.float32) / np.float32(255)
        return {"image": pad_square(scaled, self.size), "label": labels.astype(np.int64)}

    def _locate(self, folder: Path | None, name: str) -> IdxFile:
        """The file `name`, unpacked or with `.gz`, in the first place that has it."""
        names = (f"{name}.gz", name)
        if self.folder is not None:
            home = self.folder
            files = [
                IdxFile(resolve_inside(folder, join_path(home, item), attribute="folder"), f"{home}/{item}", "folder") for item in names
            ]
            return next((file for file in files if file.path.is_file()), files[0])
        shared = os.environ.get(DATA_VARIABLE)
        places = [Path(shared).expanduser() / "fashion-mnist"] if shared else []
        for path in (place / item for place in (*places, DEBIAN_FOLDER) for item in names):
            if path.is_file():
                return IdxFile(path.resolve(), str(path), None)
        raise ReaderError(
            "Fashion-MNIST is not on this machine",
            help="`apt-get install dataset-fashion-mnist`, or put its four IDX files in a folder and name it: `folder=...`, "
            f"or set `{DATA_VARIABLE}` to the folder that holds `fashion-mnist/`",
            code="NL501",
        )


def read_shape(file: IdxFile) -> tuple[int, ...]:
    """The sizes that the header tells; nothing else is read."""
    with open_regular(file.path, file.shown, attribute=file.attribute) as stream:
        return _read_header(_unpacked(stream), file)


def read_idx(file: IdxFile) -> NDArray[np.uint8]:
    """The bytes as an array; the file must hold exactly what its header tells."""
    import numpy as np

    with open_regular(file.path, file.shown, attribute=file.attribute) as stream:
        unpacked = _unpacked(stream)
        shape = _read_header(unpacked, file)
        declared = math.prod(shape)
        check_declared_size(file.shown, declared, os.fstat(stream.fileno()).st_size, file.attribute)
        body = _read_bytes(unpacked, declared + 1, file)
    if len(body) != declared:
        found = "more" if len(body) > declared else f"{len(body):,}"
        raise _damaged(file, f"its header tells of {declared:,} numbers {list(shape)} but it holds {found}")
    return np.frombuffer(body, np.uint8).reshape(shape)


def check_label_shape(shape: tuple[int, ...], count: int, file: IdxFile) -> None:
    """ReaderError unless the file holds one label a picture."""
    if shape != (count,):
        raise ReaderError(f"`{file.shown}` holds labels {list(shape)} for {count:,} pictures", attribute=file.attribute, code="NL507")


def _picture_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], 1, *shape[1:]) if len(shape) == 3 else shape


def _unpacked(stream: BufferedReader) -> BufferedReader | gzip.GzipFile:
    return gzip.GzipFile(fileobj=stream) if stream.peek(2)[:2] == GZIP_MAGIC else stream


def _read_header(stream: BufferedReader | gzip.GzipFile, file: IdxFile) -> tuple[int, ...]:
    start = _read_bytes(stream, 4, file)
    if len(start) < 4 or start[:2] != b"\0\0" or not 1 <= start[3] <= MOST_DIMENSIONS:
        raise _damaged(file, "it does not begin like an IDX file")
    if start[2] != UNSIGNED_BYTE:
        raise _damaged(file, f"its numbers have type code {start[2]}, and only unsigned bytes (8) are read")
    sizes = _read_bytes(stream, 4 * start[3], file)
    if len(sizes) < 4 * start[3]:
        raise _damaged(file, "it ends inside its header")
    return struct.unpack(f">{start[3]}I", sizes)


def _read_bytes(stream: BufferedReader | gzip.GzipFile, count: int, file: IdxFile) -> bytes:
    try:
        return stream.read(count)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(file, f"it cannot be unpacked ({error})") from error


def _damaged(file: IdxFile, what: str) -> ReaderError:
    return ReaderError(f"`{file.shown}` is damaged or no IDX file: {what}", attribute=file.attribute, code="NL504")
