"""NumPy archives: named arrays, first axis = samples. Objects are never unpickled; sizes are checked before anything is unpacked.

The header of an array is read here without NumPy: magic, version, length, and a Python literal (NumPy's format specification, NEP 1).
"""

from __future__ import annotations

import ast
import math
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple, final

from compiler.front.readers import Reader, ReaderError
from compiler.ir.types import DType, TensorType
from netlang.data.fields import per_sample
from netlang.data.paths import check_declared_size, open_regular, resolve_inside

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 2**16
MOST_ARRAYS = 1000
DTYPES = {
    "f2": DType.f16,
    "f4": DType.f32,
    "f8": DType.f64,
    "i4": DType.i32,
    "i8": DType.i64,
    "u1": DType.u8,
    "b1": DType.bool,
}


class Header(NamedTuple):
    """What an array's header tells: type with byte order (`<f4`), shape, and where the numbers begin."""

    descr: str
    shape: tuple[int, ...]
    start: int


@final
@dataclass(frozen=True)
class Npz(Reader):
    """The arrays of an `.npz` file by name, samples along the first axis. f64 becomes f32 unless `exact`."""

    name: ClassVar[str] = "npz"

    file: str
    exact: bool = False

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        with self._open(folder) as stream, self._archive(stream) as archive:
            headers = self._headers(stream, archive)
        return {name: per_sample(self._dtype(header.descr), *header.shape[1:]) for name, header in headers.items()}

    def read(self, folder: Path | None) -> dict[str, Any]:
        import numpy as np

        arrays: dict[str, Any] = {}
        with self._open(folder) as stream, self._archive(stream) as archive:
            for name in self._headers(stream, archive):
                try:
                    with archive.open(f"{name}.npy") as member:
                        array = np.lib.format.read_array(member, allow_pickle=False)
                except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                    raise self._damaged(f"array `{name}` cannot be read ({error})") from error
                wanted = self._dtype(array.dtype.str).numpy_name
                arrays[name] = np.ascontiguousarray(array, dtype=wanted)
        return arrays

    def _open(self, folder: Path | None) -> BufferedReader:
        return open_regular(resolve_inside(folder, self.file, attribute="file"), self.file, attribute="file")

    def _archive(self, stream: BufferedReader) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, OSError, ValueError, struct.error, NotImplementedError) as error:
            raise self._damaged(str(error)) from error

    def _headers(self, stream: BufferedReader, archive: zipfile.ZipFile) -> dict[str, Header]:
        """The header of every array, each held to the size of its entry; all share the number of samples."""
        entries = archive.infolist()
        if not 1 <= len(entries) <= MOST_ARRAYS:
            raise self._damaged(f"it holds {len(entries)} arrays")
        check_declared_size(self.file, sum(entry.file_size for entry in entries), os.fstat(stream.fileno()).st_size, "file")
        headers: dict[str, Header] = {}
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            if name == entry.filename or not name.isidentifier() or name in headers:
                raise self._damaged(f"`{entry.filename[:80]}` is not the name of one array")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise self._damaged(f"array `{name}` is compressed in a way that NumPy never writes")
            headers[name] = self._header(archive, entry, name)
        counts = {name: header.shape[0] for name, header in headers.items()}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"`{name}` {count}" for name, count in counts.items())
            raise ReaderError(f"the arrays of `{self.file}` hold different numbers of samples: {told}", attribute="file", code="NL507")
        return headers

    def _header(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> Header:
        try:
            with archive.open(entry) as member:
                header = read_header(member)
        except (ValueError, OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            raise self._damaged(f"array `{name}`: {error}") from error
        if not header.shape:
            raise self._damaged(f"array `{name}` is a single number and has no samples")
        self._dtype(header.descr)
        declared = math.prod(header.shape) * int(header.descr[2:])
        if header.start + declared != entry.file_size:
            raise self._damaged(f"array `{name}` tells of {declared:,} bytes but holds {entry.file_size - header.start:,}")
        return header

    def _dtype(self, descr: str) -> DType:
        found = DTYPES.get(descr[1:])
        if found is None:
            known = ", ".join(dtype.value for dtype in DTYPES.values())
            raise ReaderError(
                f"`{self.file}` holds numbers of type `{descr[:20]}`", help=f"save one of {known}", attribute="file", code="NL504"
            )
        return DType.f32 if found is DType.f64 and not self.exact else found

    def _damaged(self, what: str) -> ReaderError:
        return ReaderError(f"`{self.file}` is damaged or no `.npz` file: {what}", attribute="file", code="NL504")


def read_header(stream: IO[bytes]) -> Header:
    """The header at the start of an array's bytes; ValueError where it is not one, or one of objects or records."""
    start = stream.read(8)
    if len(start) < 8 or start[:6] != MAGIC or start[6] not in (1, 2, 3):
        raise ValueError("it does not begin like a NumPy array")
    width = 2 if start[6] == 1 else 4
    length_bytes = stream.read(width)
    if len(length_bytes) < width:
        raise ValueError("it ends inside its header")
    length = int.from_bytes(length_bytes, "little")
    text = stream.read(length) if length <= LONGEST_HEADER else b""
    if len(text) != length or not length:
        raise ValueError("its header is cut short or too long")
    try:
        fields = ast.literal_eval(text.decode("utf-8" if start[6] == 3 else "latin-1").strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError("its header is no literal") from error
    descr, shape = (fields.get("descr"), fields.get("shape")) if isinstance(fields, dict) else (None, None)
    if not isinstance(descr, str) or len(descr) < 3 or not descr[2:].isdecimal():
        raise ValueError("it holds objects or records, not numbers")
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("its shape is not a row of sizes")
    return Header(descr, shape, 8 + width + length)
