"""Files of weights that other programs wrote: converted once to safetensors in netlang's cache, and read for a network.

The cache is `NETLANG_CACHE`, or netlang's folder below XDG_CACHE_HOME or ~/.cache; a converted file is called after the stem, the SHA-256
and the layout of what it was made from. Pickles are read by `torch.load(weights_only=True)` alone. Non-goals: training checkpoints.
"""

from __future__ import annotations

import os
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from compiler.diagnostics.quote import show
from compiler.front.weight_files import WeightFile
from compiler.ir.types import DType, TensorType
from netlang.data.paths import LARGEST_DATA
from netlang.training.durable import replace
from netlang.training.failures import failure
from netlang.training.layouts import LAYOUTS, Layout
from netlang.training.weight_search import find_weight_file, hash_file, require_digest
from netlang.training.weights import Stored, encode_weights, read_part

TORCH: Final = (".pth", ".pt")
FAULTS: Final = (OSError, ValueError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error)
"""What readers of damaged files raise."""


def cache_folder() -> Path:
    """Where converted files are kept."""
    base = os.environ.get("NETLANG_CACHE")
    if base:
        return Path(base).expanduser() / "weights"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "netlang" / "weights"


def read_entry(entry: WeightFile, network: str, expected: Mapping[str, TensorType], given: Path | None = None) -> dict[str, Stored]:
    """The weights that a spec names for a network, or those of a file given in their place; raises SpecError NL6xx."""
    path = find_weight_file(entry, network) if given is None else given
    return read_foreign(path, expected, layout=entry.layout, entry=entry if given is None else None)


def read_foreign(path: Path, expected: Mapping[str, TensorType], *, layout: str = "", entry: WeightFile | None = None) -> dict[str, Stored]:
    """The tensors of a file in the types of a network; with a layout, the file may hold more. Raises SpecError NL6xx."""
    chosen = LAYOUTS[layout]
    sound = prepare(path, layout, entry)
    found = read_part(sound, expected, lambda names: _to_own(chosen, names, expected), exact=not layout, shown=str(path))
    return {name: convert_type(stored, expected[name].dtype) for name, stored in found.items()}


def _to_own(layout: Layout, names: list[str], expected: Mapping[str, TensorType]) -> dict[str, str]:
    """The network's names by the file's; those that both have already stay."""
    renamed = layout.rename(names)
    return {name: name if name in expected else renamed[name] for name in names}


def prepare(path: Path, layout: str, entry: WeightFile | None = None) -> Path:
    """A safetensors file with the tensors of `path`: itself, or one in the cache, made now if it is not there. Its digest is checked."""
    suffix = path.suffix.lower()
    foreign = suffix in (*TORCH, ".npz", *LAYOUTS[layout].read)
    if not foreign and (entry is None or not entry.sha256):
        return path
    digest = hash_file(path)
    require_digest(path, digest, entry)
    if not foreign:
        return path
    own = f".{layout}" if suffix in LAYOUTS[layout].read else ""
    converted = cache_folder() / f"{path.stem[:100]}-{digest[:16]}{own}.safetensors"
    if not converted.is_file():
        convert_file(path, converted, layout)
    return converted


def convert_file(path: Path, target: Path, layout: str = "") -> None:
    """Write the tensors of a foreign file as safetensors; an old file stays until the new one is complete. SpecError NL6xx."""
    parts = encode_weights(read_tensors(path, layout))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        replace(target, parts)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        help = "name a folder for converted files in NETLANG_CACHE, with room for them"
        raise failure("NL610", f"the converted weights cannot be written to {show(str(target))}: {reason}", help=help) from None


def read_tensors(path: Path, layout: str = "") -> dict[str, Stored]:
    """Every tensor of a file that is no safetensors file, by its name there; raises SpecError NL602, NL608."""
    suffix = path.suffix.lower()
    try:
        if suffix in LAYOUTS[layout].read:
            return {name: store(array) for name, array in LAYOUTS[layout].read[suffix](path).items()}
        if suffix == ".npz":
            return _read_npz(path)
        if suffix in TORCH:
            return _read_torch(path)
    except FAULTS as error:
        raise failure("NL602", f"{show(str(path))} cannot be read as weights: {_reason(error)}") from None
    known = ", ".join([*TORCH, ".npz", *LAYOUTS[layout].read])
    raise failure("NL602", f"{show(str(path))} is of no format that can be converted", help=f"such files end in {known}")


def _reason(error: Exception) -> str:
    """The first words of a library's complaint, beginning small."""
    text = getattr(error, "strerror", None) or str(error)
    words = " ".join(text.split())[:200].partition(". ")[0].rstrip(".") or type(error).__name__
    return words[:1].lower() + words[1:]


def _read_torch(path: Path) -> dict[str, Stored]:
    try:
        import torch
    except ImportError:
        raise failure(
            "NL608", f"reading {show(str(path))} needs PyTorch", help="convert it where PyTorch is: `netlang weights convert`"
        ) from None
    from netlang.training.torch_tensors import to_stored

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = "GLOBAL" in str(error)
        raise ValueError("it holds more than tensors, which could run code" if code else "it is no file of PyTorch") from None
    except (OSError, RuntimeError, EOFError) as error:
        raise ValueError("it is damaged or incomplete") from error
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise ValueError("it is no state_dict")
    if not all(isinstance(item, torch.Tensor) and item.layout == torch.strided for item in state.values()):
        raise ValueError("it holds something else than tensors")
    return {key: to_stored(item) for key, item in state.items()}


def _read_npz(path: Path) -> dict[str, Stored]:
    import numpy as np

    if not zipfile.is_zipfile(path):
        raise ValueError("it is no archive of arrays, or incomplete")
    with zipfile.ZipFile(path) as file:
        if sum(item.file_size for item in file.infolist()) > LARGEST_DATA:
            raise ValueError(f"it unpacks to more than {LARGEST_DATA:,} bytes")
    with np.load(path, allow_pickle=False) as arrays:
        return {name: store(np.ascontiguousarray(arrays[name])) for name in arrays.files}


def store(array: Any) -> Stored:
    """An array as it stands in a file; ValueError for a type that no weight has."""
    dtype = next((item for item in DType if item is not DType.bf16 and item.numpy_name == array.dtype.name), None)
    if dtype is None:
        raise ValueError(f"numbers of the type {array.dtype} are no weights")
    return Stored(dtype, array.shape, array.reshape(-1).view("u1").data)


def convert_type(stored: Stored, dtype: DType) -> Stored:
    """The same numbers in another floating-point type."""
    if stored.dtype is dtype:
        return stored
    import numpy as np

    if stored.dtype is DType.bf16:
        array = (np.frombuffer(stored.data, "u2").astype("u4") << 16).view("f4")
    else:
        array = np.frombuffer(stored.data, stored.dtype.numpy_name)
    return Stored(dtype, stored.shape, array.astype(dtype.numpy_name).view("u1").data)
