"""Types of tensors: an element type and a shape of `Dim`s, with NumPy broadcasting over symbolic sizes.

Element types promote as `torch.promote_types` does. Ranks are always known. Non-goals: layouts, devices, gradients.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias, final

from compiler.ir.dims import Dim, compare

Shape: TypeAlias = tuple[Dim, ...]


@final
class DType(StrEnum):
    """An element type; the value is its name in the language."""

    f16 = "f16"
    bf16 = "bf16"
    f32 = "f32"
    f64 = "f64"
    i32 = "i32"
    i64 = "i64"
    u8 = "u8"
    bool = "bool"

    @property
    def is_float(self) -> builtins.bool:
        return self in (DType.f16, DType.bf16, DType.f32, DType.f64)

    @property
    def is_integer(self) -> builtins.bool:
        """True for i32, i64 and u8; `bool` is neither float nor integer."""
        return self in (DType.i32, DType.i64, DType.u8)

    @property
    def bytes(self) -> int:
        """Bytes one element takes in memory."""
        return _BYTES[self]

    @property
    def torch_name(self) -> str:
        """The attribute of `torch` that is this type."""
        return _NAMES[self]

    @property
    def numpy_name(self) -> str:
        """NumPy's name of this type; raises ValueError for bf16, which NumPy lacks."""
        if self is DType.bf16:
            raise ValueError("numpy has no bf16")
        return _NAMES[self]


_BYTES: Final = {
    DType.f16: 2,
    DType.bf16: 2,
    DType.f32: 4,
    DType.f64: 8,
    DType.i32: 4,
    DType.i64: 8,
    DType.u8: 1,
    DType.bool: 1,
}
_NAMES: Final = {
    DType.f16: "float16",
    DType.bf16: "bfloat16",
    DType.f32: "float32",
    DType.f64: "float64",
    DType.i32: "int32",
    DType.i64: "int64",
    DType.u8: "uint8",
    DType.bool: "bool",
}
_PROMOTION_ORDER: Final = (DType.bool, DType.u8, DType.i32, DType.i64, DType.f16, DType.bf16, DType.f32, DType.f64)


def promote(a: DType, b: DType) -> DType:
    """The type of an operation on both, as torch.promote_types: any float beats any integer, and f16 with bf16 needs f32."""
    if {a, b} == {DType.f16, DType.bf16}:
        return DType.f32
    return max(a, b, key=_PROMOTION_ORDER.index)


@final
@dataclass(frozen=True, slots=True)
class TensorType:
    """The type of a tensor; prints as the language writes it: `[N, 3, H, W]` is f32, a scalar is `f32[]`."""

    dtype: DType
    shape: Shape

    @staticmethod
    def of(dtype: DType, *dims: Dim | int | str) -> TensorType:
        """The type with these sizes; a string is a symbol's name."""
        return TensorType(dtype, tuple(Dim.symbol(dim) if isinstance(dim, str) else Dim.of(dim) for dim in dims))

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def elements(self) -> Dim:
        """Number of elements, 1 for a scalar."""
        return math.prod(self.shape, start=Dim.of(1))

    def substitute(self, values: Mapping[str, Dim | int]) -> TensorType:
        """This type with symbols of its shape replaced, all at once."""
        return TensorType(self.dtype, tuple(dim.substitute(values) for dim in self.shape))

    def __str__(self) -> str:
        prefix = "" if self.dtype is DType.f32 and self.shape else str(self.dtype)
        return prefix + format_shape(self.shape)


@final
class BroadcastError(ValueError):
    """Two sizes do not broadcast, or nobody can tell; `axis` counts from the right: -1 is the last."""

    def __init__(self, axis: int, left: Dim, right: Dim, decided: builtins.bool) -> None:
        verb = "differs from" if decided else "may differ from"
        super().__init__(f"`{left}` {verb} `{right}` at axis {axis}")
        self.axis: Final = axis
        self.left: Final = left
        self.right: Final = right
        self.decided: Final = decided


def broadcast(*shapes: Iterable[Dim]) -> Shape:
    """The shape NumPy gives these together; BroadcastError where sizes clash.

    A symbolic size is taken to be 1 nowhere: `N` against `3` is undecided and an error, though N = 1 would broadcast. `decided` is
    True only where no choice of sizes broadcasts.
    """
    result: list[Dim] = []
    for shape in shapes:
        for index, dim in enumerate(reversed(tuple(shape))):
            if index == len(result):
                result.append(dim)
            else:
                result[index] = _broadcast_sizes(result[index], dim, -1 - index)
    return tuple(reversed(result))


def _broadcast_sizes(left: Dim, right: Dim, axis: int) -> Dim:
    if left == right or right == 1:
        return left
    if left == 1:
        return right
    equal = compare(left, right)
    if equal is True:
        return left
    decided = equal is False and compare(left, 1) is False and compare(right, 1) is False
    raise BroadcastError(axis, left, right, decided)


def format_shape(shape: Iterable[Dim]) -> str:
    """The shape as the language writes it: `[N, 3, H//2]`."""
    return f"[{', '.join(map(str, shape))}]"
