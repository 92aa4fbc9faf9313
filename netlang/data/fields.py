"""The types of fields, the limits that attributes share, and a read that holds a reader to what its fields say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from compiler.front.readers import Reader, ReaderError
from compiler.ir.dims import Dim
from compiler.ir.signature import Range
from compiler.ir.types import DType, TensorType

COUNT = Dim.symbol("N")
LONGEST_SIDE = 8192
Side = Annotated[int, Range(1, LONGEST_SIDE)]
Count = Annotated[int, Range(1, 10**8)]


def per_sample(dtype: DType, *shape: int) -> TensorType:
    """The type of a field with one entry of `shape` a sample: `[N, *shape]`."""
    return TensorType.of(dtype, COUNT, *shape)


def single(dtype: DType, *shape: int) -> TensorType:
    """The type of a source that is one tensor."""
    return TensorType.of(dtype, *shape)


def read_arrays(reader: Reader, folder: Path | None) -> dict[str, Any]:
    """The reader's arrays, held to the types it declared and to equal numbers of samples; ReaderError NL507 where it breaks its word."""
    from netlang.data.batches import count_samples

    types = reader.fields(folder)
    arrays = reader.read(folder)
    if arrays.keys() != types.keys():
        raise ReaderError(f"`{reader.name}` declared the fields {sorted(types)} but read {sorted(arrays)}", code="NL507")
    for name, declared in types.items():
        array = arrays[name]
        fixed = [dim.constant for dim in declared.shape]
        same_shape = array.ndim == len(fixed) and all(size in (None, found) for size, found in zip(fixed, array.shape, strict=True))
        if not same_shape or array.dtype.name != declared.dtype.numpy_name:
            found = f"{array.dtype.name}{list(array.shape)}"
            raise ReaderError(f"field `{name}` of `{reader.name}` is {declared} but {found} was read", code="NL507")
    if any(dim == COUNT for declared in types.values() for dim in declared.shape) and count_samples(arrays) == 0:
        raise ReaderError(f"`{reader.name}` holds no samples", code="NL507")
    return arrays
