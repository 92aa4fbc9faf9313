"""Tensors made of nothing but their sizes: filled with a number, or counting."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from compiler.ir.dims import Dim, at_least
from compiler.ir.op import Code, Lowering, Op, RuleError, Sample
from compiler.ir.signature import Variadic
from compiler.ir.types import DType, TensorType
from compiler.ops.arithmetic import number
from compiler.ops.base import register


@register
@final
@dataclass(frozen=True)
class Full(Op):
    """A tensor of the given sizes with `value` everywhere: `full(1, N, 10)`."""

    name: ClassVar[str] = "full"
    operands: ClassVar[tuple[str, ...]] = ()
    family: ClassVar[str] = "fill"
    value: float
    sizes: Annotated[tuple[Dim, ...], Variadic()] = ()
    dtype: DType = DType.f32

    def infer(self, *operands: TensorType) -> TensorType:
        for size in self.sizes:
            if at_least(size, 1) is False:
                raise RuleError("NL213", f"`full` is given the size {size}, and sizes start at 1", at="sizes")
        if not math.isfinite(self.value):
            raise RuleError("NL210", f"`full` takes a finite number, not {self.value}", at="value")
        if not self.dtype.is_float and not self.value.is_integer():
            raise RuleError("NL210", f"`full` cannot hold {self.value} as {self.dtype}", at="value")
        return TensorType(self.dtype, self.sizes)

    def _arguments(self, at: Lowering, module: str, dtype: str) -> str:
        sizes = at.dims(self.sizes) if self.sizes else "()"
        plain = module == "torch" and self.dtype is DType.f32
        value = number(self.value) if self.dtype.is_float else repr(self.value != 0 if self.dtype is DType.bool else int(self.value))
        if plain and self.value.is_integer() and value.lstrip("-").isdigit():
            value = f"{value}.0"
        return f"{module}.full({sizes}, {value}{'' if plain else f', dtype={module}.{dtype}'})"

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return self._arguments(at, "torch", self.dtype.torch_name)

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        name = self.dtype.numpy_name
        return self._arguments(at, "np", "bool_" if name == "bool" else name)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(1.0, (Dim.of(2), Dim.of(3))), ())
        yield Sample(cls(-2.5, (Dim.of(4),), DType.f64), ())
        yield Sample(cls(3.0, (), DType.i64), ())
        yield Sample(cls(1.0, (Dim.of(2),), DType.bool), ())


@dataclass(frozen=True)
class Filled(Op):
    """Abstract: a tensor of the given sizes that holds one number everywhere, which torch and NumPy have a function for."""

    operands: ClassVar[tuple[str, ...]] = ()
    family: ClassVar[str] = "fill"
    sizes: Annotated[tuple[Dim, ...], Variadic()] = ()
    dtype: DType = DType.f32

    def infer(self, *operands: TensorType) -> TensorType:
        for size in self.sizes:
            if at_least(size, 1) is False:
                raise RuleError("NL213", f"`{self.name}` is given the size {size}, and sizes start at 1", at="sizes")
        return TensorType(self.dtype, self.sizes)

    def torch(self, at: Lowering, *arguments: Code) -> str:
        sizes = ", ".join(map(at.dim, self.sizes)) if self.sizes else "()"
        return f"torch.{self.name}({sizes}{'' if self.dtype is DType.f32 else f', dtype=torch.{self.dtype.torch_name}'})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        name = self.dtype.numpy_name
        return f"np.{self.name}({at.dims(self.sizes) if self.sizes else '()'}, np.{'bool_' if name == 'bool' else name})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls((Dim.of(2), Dim.of(3))), ())
        yield Sample(cls((Dim.of(4),), DType.f64), ())
        yield Sample(cls((), DType.i64), ())
        yield Sample(cls((Dim.of(2),), DType.bool), ())


@register
@final
class Zeros(Filled):
    """A tensor of the given sizes with 0 everywhere: `zeros(N, 10)`."""

    name: ClassVar[str] = "zeros"


@register
@final
class Ones(Filled):
    """A tensor of the given sizes with 1 everywhere: `ones(N, 10)`."""

    name: ClassVar[str] = "ones"


@register
@final
@dataclass(frozen=True)
class Arange(Op):
    """The numbers 0, 1, … `count` - 1."""

    name: ClassVar[str] = "arange"
    operands: ClassVar[tuple[str, ...]] = ()
    family: ClassVar[str] = "fill"
    count: Dim
    dtype: DType = DType.f32

    def infer(self, *operands: TensorType) -> TensorType:
        if at_least(self.count, 1) is False:
            raise RuleError("NL213", f"`arange` is given the size {self.count}, and sizes start at 1", at="count")
        return TensorType(self.dtype, (self.count,))

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"torch.arange({at.dim(self.count)}, dtype=torch.{self.dtype.torch_name})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"np.arange({at.dim(self.count)}, dtype=np.{self.dtype.numpy_name})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(Dim.of(5)), ())
        yield Sample(cls(Dim.of(1), DType.i64), ())
