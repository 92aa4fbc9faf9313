"""Where a run's numbers come from: readers by the name a spec calls them. Importing this loads no NumPy."""

from __future__ import annotations

from compiler.front.readers import Reader, ReaderError, TrustedPath
from netlang.data.crops import Crops
from netlang.data.digits import Digits
from netlang.data.fields import read_arrays
from netlang.data.idx import FashionMnist, Idx
from netlang.data.images import Image, Images
from netlang.data.npz import Npz
from netlang.data.sequences import CopyMemory, Shakespeare, Sunspots, Text
from netlang.data.synthetic import Adding, Blobs, Gaussian, LinearRegression, Moons, Ring, Spirals
from netlang.data.table import Csv

__all__ = ["READERS", "Reader", "ReaderError", "TrustedPath", "read_arrays", "register_reader"]

READERS: dict[str, type[Reader]] = {}


def register_reader(reader: type[Reader]) -> type[Reader]:
    """Let specs call this reader by its `name`; a decorator. ValueError where it is no frozen dataclass or the name is taken."""
    name = getattr(reader, "name", None)
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"the reader {reader.__name__} has no `name` that a spec could write")
    parameters = reader.__dict__.get("__dataclass_params__")
    if parameters is None or not parameters.frozen:
        raise ValueError(f"the reader {reader.__name__} is not a frozen dataclass")
    if READERS.get(name, reader) is not reader:
        raise ValueError(f"a reader called `{name}` exists: {READERS[name].__qualname__}")
    READERS[name] = reader
    return reader


for _reader in (
    Adding, Blobs, CopyMemory, Crops, Csv, Digits, FashionMnist, Gaussian, Idx, Image, Images, LinearRegression, Moons, Npz, Ring,
    Shakespeare, Spirals, Sunspots, Text,
):  # fmt: skip
    register_reader(_reader)
