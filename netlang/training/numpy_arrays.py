"""Arrays of NumPy or of what stands for it: the module of a device, the bytes of a file, the search for numbers that are not finite."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from compiler.backends.array_modules import ArrayModule
from compiler.ir.types import DType
from netlang.training.failures import failure
from netlang.training.weights import Stored

DTYPES: Final = {dtype.numpy_name: dtype for dtype in DType if dtype is not DType.bf16}


def open_module(device: str) -> Any:
    """NumPy for the CPU, CuPy for `cuda` and `cuda:1`; SpecError NL724 where CuPy is not installed, NL722 where there is no such device."""
    if device == "cpu":
        return np
    kind, _, index = device.partition(":")
    if kind != "cuda" or not (index.isdecimal() or device == "cuda"):
        raise failure("NL722", f"there is no device `{device[:100]}` here", help="known: `cpu`, and `cuda` where CuPy is installed")
    try:
        import cupy  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        missing = getattr(error, "name", None) == "cupy"
        reason = "CuPy is not installed" if missing else f"CuPy cannot be loaded: {' '.join(str(error).split())[:200]}"
        help = "install the CuPy of this machine's CUDA, such as `pip install cupy-cuda12x`, or leave `--device` out"
        raise failure("NL724", f"the NumPy back end computes on `{device}` with CuPy, and {reason}", help=help) from None
    try:
        cupy.cuda.Device(int(index or 0)).use()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise failure("NL722", f"there is no device `{device}` here: {str(error)[:200]}", help="known: `cpu`") from None
    return ArrayModule(cupy)


def to_host(array: Any) -> np.ndarray[Any, Any]:
    """The array in the CPU's memory; itself where it is there."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.get())


def to_stored(array: Any) -> Stored:
    """A view of the array's memory (a copy where it is on another device or not contiguous)."""
    host = np.ascontiguousarray(to_host(array)).reshape(array.shape)
    return Stored(DTYPES[host.dtype.name], host.shape, host.reshape(-1).view(np.uint8).data)


def from_stored(stored: Stored) -> np.ndarray[Any, Any]:
    """An array of its own with these numbers."""
    return np.frombuffer(stored.data, stored.dtype.numpy_name).reshape(stored.shape).copy()


def is_finite(array: Any) -> bool:
    """Whether no number is NaN or infinite; a sum that is finite settles it without a second pass."""
    return array.dtype.kind != "f" or math.isfinite(float(array.sum())) or bool(np.isfinite(to_host(array)).all())


def find_nonfinite(arrays: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> str | None:
    """The first name whose array holds NaN or an infinity."""
    pairs = arrays.items() if isinstance(arrays, Mapping) else arrays
    return next((name for name, array in pairs if not is_finite(array)), None)


def total_norm(arrays: Iterable[Any]) -> float:
    """The L2 norm over all numbers of all arrays, summed in f64 over arrays."""
    total = 0.0
    for array in arrays:
        flat = array.reshape(-1)
        total += float(flat @ flat)
    return math.sqrt(total) if math.isfinite(total) else math.inf
