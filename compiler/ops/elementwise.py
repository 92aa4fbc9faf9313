"""Element by element: constants, arithmetic, functions, comparisons, choice, conversion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

from compiler.ir.dims import Dim
from compiler.ir.op import PRODUCT, SUM, Code, Lowering, Op, Sample, SampleTensor
from compiler.ir.types import DType, TensorType
from compiler.ops.base import Binary, Unary, infix, register


@register
@final
@dataclass(frozen=True)
class Scalar(Op):
    """A constant of the spec where a tensor is expected; it takes the dtype of what it meets."""

    name: ClassVar[str] = "scalar"
    operands: ClassVar[tuple[str, ...]] = ()
    family: ClassVar[str] = "elementwise"
    value: bool | int | float | Dim
    dtype: DType = DType.F32

    def infer(self, *operands: TensorType) -> TensorType:
        return TensorType(self.dtype, ())

    def _text(self, at: Lowering) -> Code:
        if isinstance(self.value, Dim):
            return Code(at.dim(self.value))
        value = float(self.value) if self.dtype.is_float and not isinstance(self.value, bool) else self.value
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
            value = int(value)
        text = f"float({str(value)!r})" if value != value or abs(value) == float("inf") else repr(value)
        return Code(text, PRODUCT if text.startswith("-") else 9)

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return self._text(at)

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return self._text(at)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        return iter(())


@register
@final
@dataclass(frozen=True)
class Add(Binary):
    """x + y, broadcasting."""

    name: ClassVar[str] = "add"

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return infix(arguments[0], "+", arguments[1], SUM)

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return infix(arguments[0], "+", arguments[1], SUM)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3)), SampleTensor((2, 3))))
        yield Sample(cls(), (SampleTensor((4, 1, 3)), SampleTensor((2, 1))))
        yield Sample(cls(), (SampleTensor((3,), DType.I64, -5, 5), SampleTensor((2, 3))))


@register
@final
@dataclass(frozen=True)
class Tanh(Unary):
    """The hyperbolic tangent."""

    name: ClassVar[str] = "tanh"
    torch_function: ClassVar[str] = "torch.tanh"
    numpy_function: ClassVar[str] = "np.tanh"
    torch_class: ClassVar[str] = "nn.Tanh"
