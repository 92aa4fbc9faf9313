"""Two tensors compared element by element, and truth values combined. Shapes broadcast as in NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, final

from compiler.ir.op import COMPARISON, SUM, Code, Lowering, Op, RuleError, Sample, SampleTensor
from compiler.ir.types import DType, TensorType
from compiler.ops.base import Binary, broadcast_types, register


class Comparison(Binary):
    """Abstract: truth values out; `sign` is the Python operator both libraries overload."""

    sign: ClassVar[str]
    function: ClassVar[str]

    def infer(self, *operands: TensorType) -> TensorType:
        return broadcast_types(*operands, dtype=DType.bool)

    def torch(self, at: Lowering, *arguments: Code) -> str:
        x, y = arguments
        return Code(f"{x.within(SUM)} {self.sign} {y.within(SUM)}", COMPARISON)

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return self.torch(at, *arguments)

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        return f"np.{self.function}({', '.join(arguments)}, out={out})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((4, 1, 3), DType.i64, 0, 3), SampleTensor((2, 1), DType.i64, 0, 3)))
        yield Sample(cls(), (SampleTensor((2, 3), DType.i32, 0, 3), SampleTensor(())))
        yield Sample(cls(), (SampleTensor((5,)), SampleTensor((2, 1))))
        yield Sample(cls(), (SampleTensor((5,), DType.bool), SampleTensor((5,), DType.bool)))


@register
@final
class Eq(Comparison):
    """Where x equals y, broadcasting."""

    name: ClassVar[str] = "eq"
    function: ClassVar[str] = "equal"
    sign: ClassVar[str] = "=="


@register
@final
class Ne(Comparison):
    """Where x differs from y, broadcasting."""

    name: ClassVar[str] = "ne"
    function: ClassVar[str] = "not_equal"
    sign: ClassVar[str] = "!="


@register
@final
class Lt(Comparison):
    """Where x is below y, broadcasting."""

    name: ClassVar[str] = "lt"
    function: ClassVar[str] = "less"
    sign: ClassVar[str] = "<"


@register
@final
class Le(Comparison):
    """Where x is at most y, broadcasting."""

    name: ClassVar[str] = "le"
    function: ClassVar[str] = "less_equal"
    sign: ClassVar[str] = "<="


@register
@final
class Gt(Comparison):
    """Where x is above y, broadcasting."""

    name: ClassVar[str] = "gt"
    function: ClassVar[str] = "greater"
    sign: ClassVar[str] = ">"


@register
@final
class Ge(Comparison):
    """Where x is at least y, broadcasting."""

    name: ClassVar[str] = "ge"
    function: ClassVar[str] = "greater_equal"
    sign: ClassVar[str] = ">="


class Logical(Op):
    """Abstract: truth values in and out, element by element; `function` is named alike in both libraries."""

    family: ClassVar[str] = "elementwise"
    broadcasts: ClassVar[bool] = True
    function: ClassVar[str]

    def infer(self, *operands: TensorType) -> TensorType:
        for operand, type in zip(self.operands, operands, strict=True):
            if type.dtype is not DType.bool:
                raise RuleError(
                    "NL210",
                    f"`{self.name}` takes truth values, but `{{{operand}}}` is {type}",
                    at=operand,
                    help=f"compare it: `{{{operand}}} != 0`",
                )
        return broadcast_types(*operands, operands=self.operands, dtype=DType.bool)

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"torch.{self.function}({', '.join(arguments)})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"np.{self.function}({', '.join(arguments)})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for shapes in (((2, 1, 3), (4, 1)), ((5,), (5,)), ((2, 2), ())):
            yield Sample(cls(), tuple(SampleTensor(shape, DType.bool) for shape in shapes[: len(cls.operands)]))


@register
@final
class LogicalAnd(Logical):
    """Where x and y both hold, broadcasting."""

    name: ClassVar[str] = "logical_and"
    operands: ClassVar[tuple[str, ...]] = ("x", "y")
    function: ClassVar[str] = "logical_and"


@register
@final
class LogicalOr(Logical):
    """Where x or y holds, or both, broadcasting."""

    name: ClassVar[str] = "logical_or"
    operands: ClassVar[tuple[str, ...]] = ("x", "y")
    function: ClassVar[str] = "logical_or"


@register
@final
class LogicalNot(Logical):
    """Where x does not hold."""

    name: ClassVar[str] = "logical_not"
    function: ClassVar[str] = "logical_not"
