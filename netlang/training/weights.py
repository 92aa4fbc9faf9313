"""Weight files: safetensors, read and written without any library, since the header is judged before a tensor is touched.

A file is 8 bytes (the header's length, little endian), the header (JSON: name to dtype, shape and offsets), and the numbers
(https://github.com/huggingface/safetensors, "Format"). Non-goals: pickles, foreign layouts.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, TypeAlias, final

from compiler.diagnostics import SpecError
from compiler.ir.graph import Graph, owned_parameters
from compiler.ir.types import DType, TensorType, format_shape
from netlang.training.durable import open_regular
from netlang.training.failures import failure

LONGEST_HEADER: Final = 10 * 2**20
MOST_TENSORS: Final = 100_000
MOST_SHOWN: Final = 5
CODES: Final = {
    DType.f16: "F16",
    DType.bf16: "BF16",
    DType.f32: "F32",
    DType.f64: "F64",
    DType.i32: "I32",
    DType.i64: "I64",
    DType.u8: "U8",
    DType.bool: "BOOL",
}
DTYPES: Final = {code: dtype for dtype, code in CODES.items()}
Renaming: TypeAlias = Callable[[list[str]], dict[str, str]]


@final
@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor's numbers, row-major and little endian, as they stand in a file."""

    dtype: DType
    shape: tuple[int, ...]
    data: memoryview

    @property
    def type(self) -> TensorType:
        return TensorType.of(self.dtype, *self.shape)


@final
class _Malformed(Exception):
    """Why these bytes are no safetensors file."""


def expected_types(graph: Graph) -> dict[str, TensorType]:
    """The state-dict keys of a network and their types."""
    return {key: item.type for key, item in owned_parameters(graph)}


def encode_weights(tensors: Mapping[str, Stored]) -> list[bytes | memoryview]:
    """The parts of a safetensors file; wide types come first, so that every tensor is aligned."""
    ordered = sorted(tensors.items(), key=lambda item: -item[1].dtype.bytes)
    header: dict[str, Any] = {}
    end = 0
    for name, tensor in ordered:
        start, end = end, end + tensor.data.nbytes
        header[name] = {"dtype": CODES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return [struct.pack("<Q", len(text)), text, *(tensor.data for _, tensor in ordered)]


def decode_weights(data: memoryview, shown: str, expected: Mapping[str, TensorType] | None = None) -> dict[str, Stored]:
    """The tensors of a safetensors file that is in memory; views of `data`. Raises SpecError NL602, NL603, NL604."""
    try:
        length = _header_length(bytes(data[:8]), data.nbytes)
        header = _parse_header(bytes(data[8 : 8 + length]), data.nbytes - 8 - length)
    except _Malformed as error:
        raise _damaged(shown, error) from None
    if expected is not None:
        match_weights({name: item[0] for name, item in header.items()}, expected, shown)
    body = data[8 + length :]
    return {
        name: Stored(type.dtype, tuple(dim.constant or 0 for dim in type.shape), body[start:end])
        for name, (type, start, end) in header.items()
    }


def read_weights(path: Path, expected: Mapping[str, TensorType]) -> dict[str, Stored]:
    """The tensors of a safetensors file, which are exactly those expected: names, shapes and types are held against the header
    before any number is read. Raises SpecError NL601 to NL604."""
    return read_part(path, expected)


def read_part(
    path: Path, expected: Mapping[str, TensorType], rename: Renaming | None = None, *, exact: bool = True, shown: str = ""
) -> dict[str, Stored]:
    """The expected tensors of a safetensors file; nothing else is read. Raises SpecError NL601 to NL604, before any number is read.

    `rename` gives the expected names of the file's names; then other floating-point types serve too. Not `exact`: the file may hold more.
    `shown` is what messages call the file, itself unless given.
    """
    with _open(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        try:
            length = _header_length(stream.read(8), size)
            header = _parse_header(stream.read(length), size - 8 - length)
        except _Malformed as error:
            raise _damaged(str(path), error) from None
        if rename is not None:
            renamed = rename(list(header))
            header = {renamed[name]: item for name, item in header.items()}
        if not exact:
            header = {name: item for name, item in header.items() if name in expected}
        types = {name: _serve(item[0], expected.get(name), rename is not None) for name, item in header.items()}
        match_weights(types, expected, shown or str(path))
        return {name: _read_one(stream, path, 8 + length, *item) for name, item in header.items()}


def _serve(found: TensorType, wanted: TensorType | None, loosely: bool) -> TensorType:
    """The wanted type where the found one can become it."""
    fits = loosely and wanted is not None and found.shape == wanted.shape and found.dtype.is_float and wanted.dtype.is_float
    return wanted if fits and wanted is not None else found


def _read_one(stream: BufferedReader, path: Path, body: int, type: TensorType, start: int, end: int) -> Stored:
    buffer = bytearray(end - start)
    stream.seek(body + start)
    if stream.readinto(buffer) != end - start:
        raise _damaged(str(path), _Malformed("it ended while it was read"))
    return Stored(type.dtype, tuple(dim.constant or 0 for dim in type.shape), memoryview(buffer))


def match_weights(found: Mapping[str, TensorType], expected: Mapping[str, TensorType], shown: str) -> None:
    """SpecError NL603 where names differ, NL604 where shapes or types do."""
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    if missing or unexpected:
        notes = tuple(_list("missing", missing)) + tuple(_list("unexpected", unexpected)) + tuple(_nearest(missing, unexpected))
        raise failure(
            "NL603", f"the weights in `{shown}` are not those of the network", notes=notes, help="use the spec they were made with"
        )
    wrong = [f"`{name}` is {_show(found[name])}, the network has {_show(type)}" for name, type in expected.items() if found[name] != type]
    if wrong:
        more = (f"and {len(wrong) - MOST_SHOWN} more",) if len(wrong) > MOST_SHOWN else ()
        raise failure("NL604", f"weights in `{shown}` have another shape or type than the network's", notes=(*wrong[:MOST_SHOWN], *more))


def _show(type: TensorType) -> str:
    return f"{type.dtype}{format_shape(type.shape)}"


def _list(what: str, names: list[str]) -> Iterator[str]:
    if names:
        more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
        yield f"{what}: {', '.join(f'`{name[:100]}`' for name in names[:MOST_SHOWN])}{more}"


def _nearest(missing: list[str], unexpected: list[str]) -> Iterator[str]:
    for name in missing[:MOST_SHOWN]:
        near = difflib.get_close_matches(name, unexpected[:1000], n=1)
        if near:
            yield f"nearest to `{name}` is `{near[0][:100]}`"


def _open(path: Path) -> BufferedReader:
    try:
        return open_regular(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        help = "give a `.safetensors` file or the folder of a run"
        raise failure("NL601", f"the weights `{path}` cannot be read: {reason.lower()}", help=help) from None


def _damaged(shown: str, error: _Malformed) -> SpecError:
    help = None
    if str(error).startswith("it is a zip"):
        help = "give it the suffix `.pth`, or convert it: `netlang weights convert`"
    return failure("NL602", f"`{shown}` is no sound safetensors file: {error}", help=help)


def _header_length(start: bytes, size: int) -> int:
    if start.startswith(b"PK"):
        raise _Malformed("it is a zip archive, as PyTorch's own format is")
    if len(start) < 8:
        raise _Malformed(f"it has {size} bytes")
    length: int = struct.unpack("<Q", start)[0]
    if length > LONGEST_HEADER:
        raise _Malformed(f"its header says to have {length:,} bytes, the limit is {LONGEST_HEADER:,}")
    if 8 + length > size:
        raise _Malformed(f"its header says to have {length:,} bytes, but the file has {size:,}")
    return length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        raise _Malformed(f"`{next(name for name in names if names.count(name) > 1)[:100]}` stands in its header twice")
    return made


def _parse_header(text: bytes, body: int) -> dict[str, tuple[TensorType, int, int]]:
    """Types and offsets by name; the tensors fill all `body` bytes behind the header without gap or overlap."""
    try:
        header = json.loads(text.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise _Malformed("its header is not JSON") from None
    if not isinstance(header, dict):
        raise _Malformed("its header is no mapping")
    header.pop("__metadata__", None)
    if len(header) > MOST_TENSORS:
        raise _Malformed(f"it holds {len(header):,} tensors, the limit is {MOST_TENSORS:,}")
    found = {name: _parse_tensor(name, item) for name, item in header.items()}
    _require_filled(((start, end) for _, start, end in found.values()), body)
    return found


def _parse_tensor(name: str, item: object) -> tuple[TensorType, int, int]:
    shown = f"`{name[:100]}`"
    if not isinstance(item, dict) or item.keys() != {"dtype", "shape", "data_offsets"}:
        raise _Malformed(f"the entry of {shown} is not one of a tensor")
    dtype = DTYPES.get(item["dtype"]) if isinstance(item["dtype"], str) else None
    if dtype is None:
        raise _Malformed(f"the type of {shown} is unknown")
    shape, offsets = item["shape"], item["data_offsets"]
    if not _are_sizes(shape) or len(shape) > 32 or not _are_sizes(offsets) or len(offsets) != 2:
        raise _Malformed(f"the shape or place of {shown} is not one")
    type = TensorType.of(dtype, *shape)
    if math.prod(shape) * dtype.bytes != offsets[1] - offsets[0]:
        raise _Malformed(f"{shown} is {_show(type)} but has {offsets[1] - offsets[0]:,} bytes")
    return type, offsets[0], offsets[1]


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**63 for item in value)


def _require_filled(places: Iterable[tuple[int, int]], body: int) -> None:
    at = 0
    for start, end in sorted(places):
        if start != at or end < start:
            raise _Malformed(f"there is a gap or an overlap at byte {at:,} of its numbers")
        at = end
    if at != body:
        raise _Malformed(f"its tensors have {at:,} bytes, but {body:,} follow the header")
