"""Products with matrices: trained (linear), given (matmul), and looked up (embedding)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from compiler.ir.dims import Dim, compare
from compiler.ir.initializers import FanInUniform, Normal
from compiler.ir.op import PRODUCT, SUM, Batching, Code, Derivative, Lowering, Op, ParameterSpec, RuleError, Sample, SampleTensor, emitted
from compiler.ir.signature import Positive
from compiler.ir.types import BroadcastError, DType, TensorType, broadcast
from compiler.ops.base import infix, keywords, register, require_float
from compiler.ops.shape import Squeeze, Transpose, Unsqueeze

if TYPE_CHECKING:
    import numpy as np


@emitted
def multiply_add(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, out: np.ndarray) -> np.ndarray:
    """x @ weight.T + bias in `out`."""
    np.matmul(x, weight.T, out=out)
    out += bias
    return out


@register
@final
@dataclass(frozen=True)
class Linear(Op):
    """x Wᵀ + b over the last dimension, whatever stands before it: [N, T, D] becomes [N, T, features]. The weight is [features, D]."""

    name: ClassVar[str] = "linear"
    family: ClassVar[str] = "linear"
    features: Positive
    bias: bool = True

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if x.rank == 0:
            raise RuleError("NL202", f"`{self.name}` takes at least one dimension, but `{{x}}` is {x}", at="x")
        require_float(self.name, x)
        self._width(x)
        return TensorType(x.dtype, (*x.shape[:-1], Dim.of(self.features)))

    def _width(self, x: TensorType) -> int:
        last = x.shape[-1]
        if last.constant is None:
            names = ", ".join(f"`{name}`" for name in sorted(last.symbols))
            raise RuleError(
                "NL205",
                f"`{self.name}` needs to know the last size of `{{x}}`, but it is `{last}` in {x}",
                at="x",
                labels={"x": str(x)},
                help=f"give {names} a number in the inputs, or pool to a known size first",
            )
        return last.constant

    def parameters(self, *operands: TensorType) -> tuple[ParameterSpec, ...]:
        (x,) = operands
        width = self._width(x)
        weight = ParameterSpec("weight", TensorType.of(x.dtype, self.features, width), FanInUniform())
        bias = ParameterSpec("bias", TensorType.of(x.dtype, self.features), FanInUniform(fan=width))
        return (weight, bias) if self.bias else (weight,)

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"nn.Linear({operands[0].shape[-1]}, {self.features}{keywords(self, {'bias': 'bias'})})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        x, weight, *bias = arguments
        product = Code(f"{x.within(PRODUCT)} @ {weight.tight}.T", PRODUCT)
        return infix(product, "+", bias[0], SUM) if bias else product

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        x, weight, *bias = arguments
        if at.operand_types[0].rank < 2:
            return None
        if not bias:
            return f"np.matmul({x}, {weight.tight}.T, out={out})"
        return f"{at.use(multiply_add)}({x}, {weight}, {bias[0]}, out={out})"

    def derivatives(self, *operands: TensorType) -> Derivative:
        """The weight's is one product over all leading axes together."""
        width = self._width(operands[0])
        return {
            "x": "g @ weight",
            "weight": f"transpose(reshape(g, -1, {self.features})) @ reshape(x, -1, {width})",
            "bias": f"sum(reshape(g, -1, {self.features}), axis=0)",
        }

    def cost(self, operands: tuple[TensorType, ...], results: tuple[TensorType, ...]) -> Dim:
        return operands[0].elements * self.features

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(4), (SampleTensor((3, 5)),))
        yield Sample(cls(7, bias=False), (SampleTensor((2, 3, 5)),))
        yield Sample(cls(1), (SampleTensor((2, 3, 1, 4)),))
        yield Sample(cls(3), (SampleTensor((6,)),))


@register
@final
class Matmul(Op):
    """x @ y: the last dimension of `x` against the last but one of `y`, dimensions before them broadcast; vectors as in NumPy."""

    name: ClassVar[str] = "matmul"
    operands: ClassVar[tuple[str, ...]] = ("x", "y")
    family: ClassVar[str] = "linear"

    def infer(self, *operands: TensorType) -> TensorType:
        x, y = operands
        self._check(x, y)
        rows = x.shape[-2:-1]
        columns = y.shape[-1:] if y.rank > 1 else ()
        try:
            batch = broadcast(x.shape[:-2], y.shape[:-2])
        except BroadcastError as error:
            code, verb = ("NL203", "do not broadcast") if error.decided else ("NL204", "are not proved to broadcast")
            raise RuleError(
                code,
                f"`{{x}}` is {x} and `{{y}}` is {y}: `{error.left}` and `{error.right}` {verb}",
                at="x",
                labels={"x": str(x), "y": str(y)},
            ) from None
        return TensorType(x.dtype, (*batch, *rows, *columns))

    def batched(self, at: Batching, moved: tuple[bool, ...], *operands: Any) -> Any:
        """A matrix times each example's vector is one product with the matrix transposed; batches of matrices stay batches."""
        x, y = operands
        ranks = tuple(value.type.rank - first for value, first in zip(operands, moved, strict=True))
        if ranks == (1, 1) and not all(moved):
            return at.apply(self, *(operands if moved[0] else (y, x)))
        if moved == (False, True) and ranks == (2, 1):
            return at.apply(self, y, at.apply(Transpose(), x))
        if moved == (True, False) and ranks[0] <= 2 and ranks[1] <= 2:
            return at.apply(self, x, y)
        x = at.apply(Unsqueeze(-2), x) if ranks[0] == 1 else x
        y = at.apply(Unsqueeze(-1), y) if ranks[1] == 1 else y
        rank = max(*ranks, 2)
        x, y = (self._align(at, value, rank) if first else value for value, first in zip((x, y), moved, strict=True))
        made = at.apply(self, x, y)
        axes = tuple(axis for axis, own in ((-2, ranks[0]), (-1, ranks[1])) if own == 1)
        return at.apply(Squeeze(axes if len(axes) > 1 else axes[0]), made) if axes else made

    @staticmethod
    def _align(at: Batching, value: Any, rank: int) -> Any:
        """The batch of matrices with axes of size 1 behind the batch's, `rank` in all without it."""
        for _ in range(rank + 1 - value.type.rank):
            value = at.apply(Unsqueeze(1), value)
        return value

    def _check(self, x: TensorType, y: TensorType) -> None:
        for operand, type in (("x", x), ("y", y)):
            if type.rank == 0:
                raise RuleError(
                    "NL202", f"`@` takes at least one dimension, but `{{{operand}}}` is {type}", at=operand, help="multiply with `*`"
                )
        if x.dtype is not y.dtype or x.dtype is DType.bool:
            raise RuleError(
                "NL210",
                f"`@` takes two tensors of one number type, but `{{x}}` is {x} and `{{y}}` is {y}",
                at="x",
                labels={"x": str(x), "y": str(y)},
                help="convert one: `cast({y}, " + ("f32" if x.dtype is DType.bool else x.dtype.value) + ")`",
            )
        inner = y.shape[max(y.rank - 2, 0)]
        equal = compare(x.shape[-1], inner)
        if equal is not True:
            raise RuleError(
                "NL228" if equal is False else "NL204",
                f"`@` sums over the last size of `{{x}}`, `{x.shape[-1]}` in {x}, "
                + ("but" if equal is False else "which is not proved to be")
                + f" the {'last but one' if y.rank > 1 else 'only'} of `{{y}}`"
                + (" is" if equal is False else ",")
                + f" `{inner}` in {y}",
                at="x",
                labels={"x": str(x), "y": str(y)},
                help=self._cure(x, y),
            )

    def _cure(self, x: TensorType, y: TensorType) -> str | None:
        if y.rank == 2 and x.rank == 1 and x.shape[0] == y.shape[1]:
            return "swap them: `{y} @ {x}`"
        if y.rank > 1 and x.shape[-1] == y.shape[-1]:
            return "transpose the second: `{x} @ transpose({y})`"
        if x.rank > 1 and y.rank > 1 and x.shape[-2] == y.shape[-2]:
            return "transpose the first: `transpose({x}) @ {y}`"
        return None

    def derivatives(self, *operands: TensorType) -> Derivative:
        """A matrix that meets many is summed over them in one product."""
        x, y = operands
        if x.rank == 1 and y.rank == 1:
            return {"x": "g * y", "y": "g * x"}
        if y.rank == 1:
            flat = f"reshape(g, 1, -1) @ reshape(x, -1, {y.shape[0]})"
            return {"x": "unsqueeze(g, -1) * y", "y": f"reshape({flat}, {y.shape[0]})"}
        if x.rank == 1:
            return {"x": "squeeze(y @ unsqueeze(g, -1), -1)", "y": "unsqueeze(x, -1) * unsqueeze(g, -2)"}
        if y.rank == 2:
            rows, columns = y.shape
            return {"x": "g @ transpose(y)", "y": f"transpose(reshape(x, -1, {rows})) @ reshape(g, -1, {columns})"}
        return {"x": "g @ transpose(y)", "y": "transpose(x) @ g"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return infix(arguments[0], "@", arguments[1])

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        return None if min(type.rank for type in at.operand_types) < 2 else f"np.matmul({', '.join(arguments)}, out={out})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return infix(arguments[0], "@", arguments[1])

    def cost(self, operands: tuple[TensorType, ...], results: tuple[TensorType, ...]) -> Dim:
        return results[0].elements * operands[0].shape[-1]

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((3, 5)), SampleTensor((5, 2))))
        yield Sample(cls(), (SampleTensor((2, 1, 3, 5)), SampleTensor((4, 5, 1))))
        yield Sample(cls(), (SampleTensor((2, 3, 4)), SampleTensor((4, 6))))
        yield Sample(cls(), (SampleTensor((2, 3, 4)), SampleTensor((4,))))
        yield Sample(cls(), (SampleTensor((3,)), SampleTensor((2, 3, 4))))
        yield Sample(cls(), (SampleTensor((4,)), SampleTensor((4,))))
        yield Sample(cls(), (SampleTensor((2, 3), DType.i64, -5, 5), SampleTensor((3, 2), DType.i64, -5, 5)))


@register
@final
@dataclass(frozen=True)
class Embedding(Op):
    """A trained vector of `size` numbers for each of `count` integers: i64[N, T] becomes [N, T, size]. Drawn from normal(0, 1)."""

    name: ClassVar[str] = "embedding"
    derivative: ClassVar[Derivative] = {"x": None, "weight": "take_gradient(g, cast(x, i64), axis=0, count=count)"}
    family: ClassVar[str] = "linear"
    count: Positive
    size: Positive

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if x.dtype not in (DType.i32, DType.i64):
            raise RuleError("NL210", f"`{self.name}` looks up integers, but `{{x}}` is {x}", at="x", help="convert them: `cast({x}, i64)`")
        return TensorType(DType.f32, (*x.shape, Dim.of(self.size)))

    def parameters(self, *operands: TensorType) -> tuple[ParameterSpec, ...]:
        return (ParameterSpec("weight", TensorType.of(DType.f32, self.count, self.size), Normal()),)

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"nn.Embedding({self.count}, {self.size})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        x, weight = arguments
        return f"{weight.tight}[{x}]"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(7, 3), (SampleTensor((2, 5), DType.i64, 0, 7),))
        yield Sample(cls(4, 1), (SampleTensor((3,), DType.i32, 0, 4),))
        yield Sample(cls(2, 6), (SampleTensor((2, 1, 2), DType.i64, 0, 2),))
