"""Arithmetic of two tensors element by element. Shapes broadcast as in NumPy, dtypes promote as in PyTorch.

Either operand may be a constant of the spec, which arrives as a tensor of rank 0 whose text is a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, final

from compiler.ir.op import ATOM, NEGATION, POWER, PRODUCT, SUM, Code, Derivative, Lowering, RuleError, Sample, SampleTensor
from compiler.ir.types import DType, TensorType, promote
from compiler.ops.base import Binary, broadcast_types, infix, register


def is_literal(code: str) -> bool:
    """Whether the text is a number as Python writes one."""
    try:
        float(code)
    except ValueError:
        return False
    return True


def number(value: float) -> str:
    """A number without a needless `.0`."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def promoted(*types: TensorType) -> DType:
    """A tensor of rank 0 lends its dtype only where its kind (bool, integer, float) is above all others', as in torch.result_type."""

    def kind(dtype: DType) -> int:
        return 2 if dtype.is_float else 1 if dtype.is_integer else 0

    highest = max(kind(item.dtype) for item in types)
    strong = [item.dtype for item in types if item.rank > 0 and kind(item.dtype) == highest]
    result, *others = strong or [item.dtype for item in types if kind(item.dtype) == highest]
    for dtype in others:
        result = promote(result, dtype)
    return result


def cast_numpy(code: Code, type: TensorType, dtype: DType) -> Code:
    """The NumPy text with `dtype`, as it is where it has it or is a number."""
    if type.dtype is dtype or is_literal(code):
        return code
    if type.rank == 0:
        return Code(f"np.{dtype.numpy_name}({code})")
    return Code(f"{code.tight}.astype(np.{dtype.numpy_name})")


def call_into(function: str, at: Lowering, out: Code, arguments: tuple[Code, ...]) -> str | None:
    """The call of a ufunc that writes into `out`; None where NumPy would first convert an operand."""
    mixed = any(type.dtype is not at.result.dtype and not is_literal(code) for type, code in zip(at.operand_types, arguments, strict=True))
    return None if mixed else f"{function}({', '.join(arguments)}, out={out})"


def refuse_bool(name: str, type: TensorType, operand: str) -> None:
    """Refuse truth values where they have no arithmetic."""
    if type.dtype is DType.bool:
        raise RuleError(
            "NL210",
            f"`{name}` takes numbers, but `{{{operand}}}` is {type}",
            at=operand,
            help=f"convert it: `cast({{{operand}}}, f32)`",
        )


class Arithmetic(Binary):
    """Abstract: numbers in, numbers out; `sign` is the Python operator both libraries overload."""

    sign: ClassVar[str]
    level: ClassVar[int] = PRODUCT
    takes_bool: ClassVar[bool] = True
    function: ClassVar[str] = ""
    in_place: ClassVar[bool] = True

    def infer(self, *operands: TensorType) -> TensorType:
        if not self.takes_bool:
            for operand, type in zip(self.operands, operands, strict=True):
                refuse_bool(self.name, type, operand)
        return broadcast_types(*operands, dtype=promoted(*operands))

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return infix(arguments[0], self.sign, arguments[1], self.level)

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        x, y = (cast_numpy(code, type, at.result.dtype) for code, type in zip(arguments, at.operand_types, strict=True))
        return infix(x, self.sign, y, self.level)

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        return call_into(self.function, at, out, arguments) if self.function else None

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3)), SampleTensor((2, 3), low=1, high=3)))
        yield Sample(cls(), (SampleTensor((4, 1, 3)), SampleTensor((2, 1), low=1, high=3)))
        yield Sample(cls(), (SampleTensor((3,), DType.i64, -5, 5), SampleTensor((2, 3), low=1, high=3)))
        yield Sample(cls(), (SampleTensor((2, 1, 3), DType.i32, -5, 5), SampleTensor((4, 1), DType.i64, 1, 5)))
        yield Sample(cls(), (SampleTensor((2, 3)), SampleTensor((), low=1, high=3)))
        yield Sample(cls(), (SampleTensor((2, 3), DType.i64, -5, 5), SampleTensor((), low=1, high=3)))


@register
@final
class Add(Arithmetic):
    """x + y, broadcasting."""

    name: ClassVar[str] = "add"
    function: ClassVar[str] = "np.add"
    sign: ClassVar[str] = "+"
    level: ClassVar[int] = SUM
    derivative: ClassVar[Derivative] = {"x": "g", "y": "g"}


@register
@final
class Sub(Arithmetic):
    """x - y, broadcasting."""

    name: ClassVar[str] = "sub"
    function: ClassVar[str] = "np.subtract"
    derivative: ClassVar[Derivative] = {"x": "g", "y": "-g"}
    sign: ClassVar[str] = "-"
    level: ClassVar[int] = SUM
    takes_bool: ClassVar[bool] = False


@register
@final
class Mul(Arithmetic):
    """x * y, broadcasting."""

    name: ClassVar[str] = "mul"
    function: ClassVar[str] = "np.multiply"
    sign: ClassVar[str] = "*"
    derivative: ClassVar[Derivative] = {"x": "g * y", "y": "g * x"}


@register
@final
class Div(Arithmetic):
    """x / y, broadcasting; integers give f32."""

    name: ClassVar[str] = "div"
    function: ClassVar[str] = "np.divide"
    derivative: ClassVar[Derivative] = {"x": "g / y", "y": "-g * result / y"}
    sign: ClassVar[str] = "/"

    def infer(self, *operands: TensorType) -> TensorType:
        dtype = promoted(*operands)
        return broadcast_types(*operands, dtype=dtype if dtype.is_float else DType.f32)


@register
@final
class FloorDiv(Arithmetic):
    """The largest integer not above x / y, broadcasting."""

    name: ClassVar[str] = "floordiv"
    derivative: ClassVar[Derivative] = {"x": None, "y": None}
    sign: ClassVar[str] = "//"
    takes_bool: ClassVar[bool] = False


@register
@final
class Mod(Arithmetic):
    """x - y * floor(x / y): the remainder has the sign of y, broadcasting."""

    name: ClassVar[str] = "mod"
    derivative: ClassVar[Derivative] = {"x": "g", "y": "-g * (x // y)"}
    sign: ClassVar[str] = "%"
    takes_bool: ClassVar[bool] = False


@register
@final
class Pow(Arithmetic):
    """x to the power of y, broadcasting; NaN for a negative x under a y that is no integer."""

    name: ClassVar[str] = "pow"
    takes_bool: ClassVar[bool] = False

    def derivatives(self, *operands: TensorType) -> Derivative:
        """x ** 0 does not change with x, nor 0 ** y with y from 0 on; both are kept from 0 * inf."""
        x, y = operands
        base = "x" if x.dtype.is_float else f"cast(x, {y.dtype})"
        return {
            "x": "g * y * where(y == 0, 1, x) ** (y - 1)",
            "y": f"g * result * log(where(logical_and(x == 0, y >= 0), 1, {base}))",
        }

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return self._power(*arguments)

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return self._power(*(cast_numpy(code, type, at.result.dtype) for code, type in zip(arguments, at.operand_types, strict=True)))

    def _power(self, x: Code, y: Code) -> Code:
        return Code(f"{x.within(ATOM)} ** {y.within(NEGATION)}", POWER)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3), low=0.5, high=2), SampleTensor((2, 3))))
        yield Sample(cls(), (SampleTensor((4, 1, 3), low=0.5, high=2), SampleTensor((2, 1))))
        yield Sample(cls(), (SampleTensor((3,), DType.i64, 1, 5), SampleTensor((2, 3))))
        yield Sample(cls(), (SampleTensor((3,), DType.i64, -4, 5), SampleTensor((2, 1), DType.i32, 0, 4)))
        yield Sample(cls(), (SampleTensor((2, 3), low=0.5), SampleTensor((), low=2, high=3)))


class Extremum(Binary):
    """Abstract: the larger or smaller of two; `bound` is the keyword of torch.clamp that does it against a single number."""

    function: ClassVar[str]
    bound: ClassVar[str]
    in_place: ClassVar[bool] = True

    def infer(self, *operands: TensorType) -> TensorType:
        return broadcast_types(*operands, dtype=promoted(*operands))

    def derivatives(self, *operands: TensorType) -> Derivative:
        """Equal numbers share the gradient; against one of rank 0, as `torch.clamp`, the other has all of it."""
        x, y = operands
        wins = ">" if self.bound == "min" else "<"
        if y.rank == 0:
            return {"x": f"where(x {wins}= y, g, 0)", "y": f"where(x {wins}= y, 0, g)"}
        if x.rank == 0:
            return {"x": f"where(y {wins}= x, 0, g)", "y": f"where(y {wins}= x, g, 0)"}
        return {"x": f"where(x == y, 0.5 * g, where(x {wins} y, g, 0))", "y": f"where(x == y, 0.5 * g, where(x {wins} y, 0, g))"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        x, y = arguments
        if at.operand_types[1].rank == 0:
            return f"torch.clamp({x}, {self.bound}={y})"
        if at.operand_types[0].rank == 0:
            return f"torch.clamp({y}, {self.bound}={x})"
        return f"torch.{self.function}({x}, {y})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        x, y = (cast_numpy(code, type, at.result.dtype) for code, type in zip(arguments, at.operand_types, strict=True))
        return f"np.{self.function}({x}, {y})"

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        return call_into(f"np.{self.function}", at, out, arguments)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3)), SampleTensor((2, 3))))
        yield Sample(cls(), (SampleTensor((4, 1, 3)), SampleTensor((2, 1))))
        yield Sample(cls(), (SampleTensor((2, 3)), SampleTensor((3,), DType.i64, -2, 3)))
        yield Sample(cls(), (SampleTensor((2, 3)), SampleTensor(())))
        yield Sample(cls(), (SampleTensor((2, 3), DType.i64, -5, 5), SampleTensor(())))


@register
@final
class Max(Extremum):
    """The larger of x and y, element by element, broadcasting; `amax` reduces one tensor."""

    name: ClassVar[str] = "max"
    function: ClassVar[str] = "maximum"
    bound: ClassVar[str] = "min"


@register
@final
class Min(Extremum):
    """The smaller of x and y, element by element, broadcasting; `amin` reduces one tensor."""

    name: ClassVar[str] = "min"
    function: ClassVar[str] = "minimum"
    bound: ClassVar[str] = "max"
