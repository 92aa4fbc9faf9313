"""Torch tensors as the bytes of a file, and back; the search for numbers that are not finite; the device by its name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from compiler.ir.types import DType
from netlang.training.failures import failure
from netlang.training.weights import Stored

if TYPE_CHECKING:
    import torch


def to_stored(tensor: torch.Tensor) -> Stored:
    """A view of the tensor's memory (a copy where it is on another device or not contiguous)."""
    import torch

    dtype = next(item for item in DType if getattr(torch, item.torch_name) == tensor.dtype)
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return Stored(dtype, tuple(tensor.shape), flat.view(torch.uint8).numpy().data)


def from_stored(stored: Stored) -> torch.Tensor:
    """A tensor of its own with these numbers."""
    import torch

    dtype: torch.dtype = getattr(torch, stored.dtype.torch_name)
    if not stored.data.nbytes:
        return torch.empty(stored.shape, dtype=dtype)
    return torch.frombuffer(bytearray(stored.data), dtype=dtype).reshape(stored.shape)


def find_nonfinite(tensors: Iterable[tuple[str, torch.Tensor | None]]) -> str | None:
    """The first name whose tensor holds NaN or an infinity."""
    import torch

    for name, tensor in tensors:
        if tensor is not None and tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            return name
    return None


def open_device(name: str) -> torch.device:
    """The device; SpecError NL722 where torch has none of that name."""
    import torch

    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        known = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        raise failure(
            "NL722", f"there is no device `{name[:100]}` here", help=f"known: {', '.join(f'`{item}`' for item in known)}"
        ) from None
    return device
