"""Element by element on one tensor: constants, functions, choice, conversion. Operators on two are in `arithmetic`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from compiler.ir.dims import Dim
from compiler.ir.op import NEGATION, Code, Lowering, Op, RuleError, Sample, SampleTensor, emitted
from compiler.ir.types import DType, TensorType
from compiler.ops.arithmetic import cast_numpy, is_literal, number, promoted, refuse_bool
from compiler.ops.base import Unary, broadcast_types, register

if TYPE_CHECKING:
    import numpy as np

TORCH_CASTS = {DType.f16: "half", DType.bf16: "bfloat16", DType.f32: "float", DType.f64: "double", DType.i32: "int", DType.i64: "long", DType.bool: "bool"}


@register
@final
@dataclass(frozen=True)
class Scalar(Op):
    """A constant of the spec where a tensor is expected; it takes the dtype of what it meets."""

    name: ClassVar[str] = "scalar"
    operands: ClassVar[tuple[str, ...]] = ()
    family: ClassVar[str] = "elementwise"
    value: bool | int | float | Dim
    dtype: DType = DType.f32

    def infer(self, *operands: TensorType) -> TensorType:
        return TensorType(self.dtype, ())

    def _text(self, at: Lowering) -> Code:
        if isinstance(self.value, Dim):
            return Code(at.dim(self.value))
        value = float(self.value) if self.dtype.is_float and not isinstance(self.value, bool) else self.value
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
            value = int(value)
        text = f"float({str(value)!r})" if value != value or abs(value) == float("inf") else repr(value)
        return Code(text, NEGATION) if text.startswith("-") else Code(text)

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
class Where(Op):
    """x where the condition holds, y elsewhere, broadcasting."""

    name: ClassVar[str] = "where"
    operands: ClassVar[tuple[str, ...]] = ("condition", "x", "y")
    family: ClassVar[str] = "elementwise"

    def infer(self, *operands: TensorType) -> TensorType:
        condition, x, y = operands
        if condition.dtype is not DType.bool:
            raise RuleError(
                "NL210",
                f"`where` chooses by truth values, but `{{condition}}` is {condition}",
                at="condition",
                help="compare it: `{condition} != 0`",
            )
        return broadcast_types(self.name, *operands, operands=self.operands, dtype=promoted(x, y))

    def torch(self, at: Lowering, *arguments: Code) -> str:
        text = f"torch.where({', '.join(arguments)})"
        return f"{text}.to(torch.{at.result.dtype.torch_name})" if all(map(is_literal, arguments[1:])) else text

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        condition, *values = arguments
        values = [cast_numpy(code, type, at.result.dtype) for code, type in zip(values, at.operand_types[1:], strict=True)]
        if all(map(is_literal, values)):
            values = [Code(f"np.{at.result.dtype.numpy_name}({value})") for value in values]
        return f"np.where({', '.join((condition, *values))})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3), DType.bool), SampleTensor((2, 3)), SampleTensor((2, 3))))
        yield Sample(cls(), (SampleTensor((4, 1), DType.bool), SampleTensor((2, 1, 3)), SampleTensor((3,))))
        yield Sample(cls(), (SampleTensor((4,), DType.bool), SampleTensor((4,)), SampleTensor(())))
        yield Sample(cls(), (SampleTensor((4,), DType.bool), SampleTensor(()), SampleTensor(())))
        yield Sample(cls(), (SampleTensor((4,), DType.bool), SampleTensor((4,)), SampleTensor((4,), DType.i64, 0, 9)))


@register
@final
@dataclass(frozen=True)
class Cast(Op):
    """The same numbers as another element type; towards integers they lose their fraction, towards bool all but 0 is true."""

    name: ClassVar[str] = "cast"
    family: ClassVar[str] = "elementwise"
    dtype: DType

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        return TensorType(self.dtype, x.shape)

    def torch(self, at: Lowering, *arguments: Code) -> str:
        (x,) = arguments
        method = TORCH_CASTS.get(self.dtype)
        return f"{x.tight}.{method}()" if method is not None else f"{x.tight}.to(torch.{self.dtype.torch_name})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{arguments[0].tight}.astype(np.{self.dtype.numpy_name})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(DType.f32), (SampleTensor((2, 3), DType.i64, -5, 5),))
        yield Sample(cls(DType.f32), (SampleTensor((2, 3), DType.bool),))
        yield Sample(cls(DType.i64), (SampleTensor((1, 3, 2), low=-3, high=3),))
        yield Sample(cls(DType.u8), (SampleTensor((4,), low=0, high=255),))
        yield Sample(cls(DType.f64), (SampleTensor((4,), DType.u8, 0, 255),))


@register
@final
@dataclass(frozen=True)
class Clip(Unary):
    """x kept within [low, high]; for one bound alone write `max(x, low)` or `min(x, high)`."""

    name: ClassVar[str] = "clip"
    formula: ClassVar[str | None] = "min(max(x, low), high)"
    low: float
    high: float

    def infer(self, *operands: TensorType) -> TensorType:
        if self.low > self.high:
            raise RuleError("NL214", f"`clip` keeps nothing between {number(self.low)} and {number(self.high)}", at="low")
        return super().infer(*operands)

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"torch.clamp({arguments[0]}, {number(self.low)}, {number(self.high)})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(-1.0, 0.5), (SampleTensor((2, 3, 4)),))
        yield Sample(cls(0.0, 0.0), (SampleTensor((5,)),))
        yield Sample(cls(-0.25, 1.0), (SampleTensor(()),))


class Signed(Op):
    """Abstract: one tensor of numbers of any kind in, the same type out."""

    family: ClassVar[str] = "elementwise"

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        refuse_bool(self.name, x, "x")
        return x

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"torch.{self.name}({arguments[0]})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"np.{self.name}({arguments[0]})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 1, 3)),))
        yield Sample(cls(), (SampleTensor((4,), DType.i64, -5, 5),))
        yield Sample(cls(), (SampleTensor((4,), DType.i32, -1, 2),))


@register
@final
@dataclass(frozen=True)
class Neg(Signed):
    """-x."""

    name: ClassVar[str] = "neg"

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return Code(f"-{arguments[0].within(NEGATION)}", NEGATION)

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return self.torch(at, *arguments)


@register
@final
@dataclass(frozen=True)
class Abs(Signed):
    """x without its sign."""

    name: ClassVar[str] = "abs"


@register
@final
@dataclass(frozen=True)
class Sign(Signed):
    """-1, 0 or 1, as x is negative, zero or positive."""

    name: ClassVar[str] = "sign"


@register
@final
@dataclass(frozen=True)
class Square(Signed):
    """x * x."""

    name: ClassVar[str] = "square"
    formula: ClassVar[str | None] = "x * x"


@register
@final
@dataclass(frozen=True)
class Exp(Unary):
    """e to the power of x."""

    name: ClassVar[str] = "exp"
    torch_function: ClassVar[str] = "torch.exp"
    numpy_function: ClassVar[str] = "np.exp"


@register
@final
@dataclass(frozen=True)
class Expm1(Unary):
    """exp(x) - 1, exact to the last digits near 0."""

    name: ClassVar[str] = "expm1"
    torch_function: ClassVar[str] = "torch.expm1"
    numpy_function: ClassVar[str] = "np.expm1"


@register
@final
@dataclass(frozen=True)
class Log(Unary):
    """The natural logarithm; NaN below 0, minus infinity at 0."""

    name: ClassVar[str] = "log"
    torch_function: ClassVar[str] = "torch.log"
    numpy_function: ClassVar[str] = "np.log"
    domain: ClassVar[tuple[float, float]] = (0.1, 5.0)


@register
@final
@dataclass(frozen=True)
class Log1p(Unary):
    """log(1 + x), exact to the last digits near 0."""

    name: ClassVar[str] = "log1p"
    torch_function: ClassVar[str] = "torch.log1p"
    numpy_function: ClassVar[str] = "np.log1p"
    domain: ClassVar[tuple[float, float]] = (-0.8, 4.0)


@register
@final
@dataclass(frozen=True)
class Sqrt(Unary):
    """The square root; NaN below 0."""

    name: ClassVar[str] = "sqrt"
    torch_function: ClassVar[str] = "torch.sqrt"
    numpy_function: ClassVar[str] = "np.sqrt"
    domain: ClassVar[tuple[float, float]] = (0.1, 5.0)


@register
@final
@dataclass(frozen=True)
class Rsqrt(Unary):
    """1 / sqrt(x)."""

    name: ClassVar[str] = "rsqrt"
    formula: ClassVar[str | None] = "1 / sqrt(x)"
    torch_function: ClassVar[str] = "torch.rsqrt"
    domain: ClassVar[tuple[float, float]] = (0.1, 5.0)


@register
@final
@dataclass(frozen=True)
class Reciprocal(Unary):
    """1 / x."""

    name: ClassVar[str] = "reciprocal"
    formula: ClassVar[str | None] = "1 / x"
    torch_function: ClassVar[str] = "torch.reciprocal"
    domain: ClassVar[tuple[float, float]] = (0.2, 5.0)


@register
@final
@dataclass(frozen=True)
class Sin(Unary):
    """The sine of radians."""

    name: ClassVar[str] = "sin"
    torch_function: ClassVar[str] = "torch.sin"
    numpy_function: ClassVar[str] = "np.sin"


@register
@final
@dataclass(frozen=True)
class Cos(Unary):
    """The cosine of radians."""

    name: ClassVar[str] = "cos"
    torch_function: ClassVar[str] = "torch.cos"
    numpy_function: ClassVar[str] = "np.cos"


@register
@final
@dataclass(frozen=True)
class Floor(Unary):
    """The largest integer not above x, as a float."""

    name: ClassVar[str] = "floor"
    torch_function: ClassVar[str] = "torch.floor"
    numpy_function: ClassVar[str] = "np.floor"


@register
@final
@dataclass(frozen=True)
class Ceil(Unary):
    """The smallest integer not below x, as a float."""

    name: ClassVar[str] = "ceil"
    torch_function: ClassVar[str] = "torch.ceil"
    numpy_function: ClassVar[str] = "np.ceil"


@register
@final
@dataclass(frozen=True)
class Round(Unary):
    """The nearest integer, as a float; halves go to the even one."""

    name: ClassVar[str] = "round"
    torch_function: ClassVar[str] = "torch.round"
    numpy_function: ClassVar[str] = "np.round"


@emitted
def erf(x: np.ndarray) -> np.ndarray:
    """The error function, to 1e-15: its power series below 1, above it 1 - exp(-x²) times a polynomial in 1/(1 + x/2).

    The polynomial interpolates exp(x²) erfc(x) at the 17 Chebyshev points of 1 ≤ x ≤ 6, computed with 50 digits.
    """
    series = [(-1) ** n * 2 / math.sqrt(math.pi) / (math.factorial(n) * (2 * n + 1)) for n in range(18)]
    tail = [
        0.2214295402299318, 0.16189356804102495, 0.038560570425182426, 0.005588816281841403, 0.00019713917772795885,
        -8.07922042879663e-05, -7.340517938287998e-06, 1.9795619759276e-06, 1.6349937383405805e-07, -7.005371793736792e-08,
        -5.886053299221601e-10, 2.625007492297143e-09, -2.68698518348558e-10, -7.468711818050684e-11, 2.2135736614933752e-11,
        4.775776110782188e-13, -9.369456032869593e-13,
    ]  # fmt: skip
    size = np.minimum(np.abs(x), 6)
    near, far = np.minimum(size, 1), np.maximum(size, 1)
    step = (1 / (1 + far / 2) - 11 / 24) * 4.8
    inner, outer = np.zeros_like(size), np.zeros_like(size)
    for coefficient in reversed(series):
        inner = inner * (near * near) + coefficient
    for coefficient in reversed(tail):
        outer = outer * step + coefficient
    return np.copysign(np.where(size < 1, near * inner, 1 - np.exp(-far * far) * outer), x)


@register
@final
@dataclass(frozen=True)
class Erf(Unary):
    """The error function, 2/sqrt(pi) times the integral of exp(-t²) from 0 to x."""

    name: ClassVar[str] = "erf"
    torch_function: ClassVar[str] = "torch.erf"
    domain: ClassVar[tuple[float, float]] = (-7.0, 7.0)

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(erf)}({arguments[0]})"


@register
@final
@dataclass(frozen=True)
class Tanh(Unary):
    """The hyperbolic tangent."""

    name: ClassVar[str] = "tanh"
    family: ClassVar[str] = "activation"
    torch_function: ClassVar[str] = "torch.tanh"
    numpy_function: ClassVar[str] = "np.tanh"
    torch_class: ClassVar[str] = "nn.Tanh"
