"""Activations that look beyond one number: softmax and its kin over an axis, trained slopes per channel, the best of several, gates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, final

from compiler.ir.dims import Dim, divisible
from compiler.ir.initializers import Constant
from compiler.ir.op import Code, Derivative, Lowering, Op, ParameterSpec, RuleError, Sample, SampleTensor, emitted
from compiler.ir.signature import Positive
from compiler.ir.types import TensorType
from compiler.ops.arithmetic import number
from compiler.ops.base import Unary, normal_axis, register, require_float, require_known, shift_axis

if TYPE_CHECKING:
    import numpy as np


@emitted
def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(x))
    result: np.ndarray = np.where(x >= 0, 1, small) / (1 + small)
    return result


@emitted
def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """exp(x), scaled so that it sums to 1 over `axis`."""
    powers = np.exp(x - np.max(x, axis=axis, keepdims=True))
    result: np.ndarray = powers / np.sum(powers, axis=axis, keepdims=True)
    return result


@emitted
def log_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """The logarithm of softmax over `axis`, finite wherever x is."""
    shifted = x - np.max(x, axis=axis, keepdims=True)
    result: np.ndarray = shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))
    return result


@register
@final
class Sigmoid(Unary):
    """1 / (1 + exp(-x))."""

    name: ClassVar[str] = "sigmoid"
    derivative: ClassVar[Derivative] = {"x": "g * result * (1 - result)"}
    family: ClassVar[str] = "activation"
    formula: ClassVar[str | None] = "0.5 + 0.5 * tanh(0.5 * x)"
    torch_function: ClassVar[str] = "torch.sigmoid"
    torch_class: ClassVar[str] = "nn.Sigmoid"
    domain: ClassVar[tuple[float, float]] = (-30.0, 30.0)

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(sigmoid)}({arguments[0]})"


@dataclass(frozen=True)
class AxisActivation(Unary):
    """Abstract: one floating-point tensor with an axis in, the same type out."""

    family: ClassVar[str] = "activation"
    broadcasts: ClassVar[bool] = False
    axis: int = -1

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        normal_axis(self.name, self.axis, x.rank)
        return super().infer(x)

    def shifted(self, *operands: TensorType) -> Op | None:
        return replace(self, axis=shift_axis(self.axis))

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"{self.torch_class}(dim={self.axis})"

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"{self.torch_function}({arguments[0]}, dim={self.axis})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 5), low=-9, high=9),))
        yield Sample(cls(axis=1), (SampleTensor((2, 3, 4)),))
        yield Sample(cls(axis=-3), (SampleTensor((1, 3, 4)),))
        yield Sample(cls(axis=0), (SampleTensor((6,), low=900, high=903),))


@register
@final
class Softmax(AxisActivation):
    """exp(x), scaled so that it sums to 1 over `axis`."""

    name: ClassVar[str] = "softmax"
    derivative: ClassVar[Derivative] = {"x": "result * (g - sum(g * result, axis=axis, keepdims=true))"}
    formula: ClassVar[str | None] = "exp(x - logsumexp(x, axis=axis, keepdims=true))"
    torch_function: ClassVar[str] = "F.softmax"
    torch_class: ClassVar[str] = "nn.Softmax"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(softmax)}({arguments[0]}, axis={self.axis})"


@register
@final
class LogSoftmax(AxisActivation):
    """The logarithm of softmax over `axis`, finite wherever x is."""

    name: ClassVar[str] = "log_softmax"
    derivative: ClassVar[Derivative] = {"x": "g - exp(result) * sum(g, axis=axis, keepdims=true)"}
    formula: ClassVar[str | None] = "x - logsumexp(x, axis=axis, keepdims=true)"
    torch_function: ClassVar[str] = "F.log_softmax"
    torch_class: ClassVar[str] = "nn.LogSoftmax"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(log_softmax)}({arguments[0]}, axis={self.axis})"


@register
@final
class Softmin(AxisActivation):
    """softmax of -x."""

    name: ClassVar[str] = "softmin"
    derivative: ClassVar[Derivative] = {"x": "result * (sum(g * result, axis=axis, keepdims=true) - g)"}
    formula: ClassVar[str | None] = "softmax(-x, axis=axis)"
    torch_function: ClassVar[str] = "F.softmin"
    torch_class: ClassVar[str] = "nn.Softmin"


def parted_axis(name: str, x: TensorType, axis: int, parts: int, at: str) -> TensorType:
    """`x` with `axis` divided by `parts`; refuses a size that they do not divide."""
    require_float(name, x)
    place = normal_axis(name, axis, x.rank)
    size = x.shape[place]
    fits = divisible(size, parts)
    if fits is not True:
        verb = "may not be" if fits is None else "is not"
        raise RuleError(
            "NL204" if fits is None else "NL209",
            f"`{name}` parts axis {axis} of `{{x}}` into {parts}, but {size} {verb} a multiple of {parts}",
            at=at,
            help=f"declare the size as `{parts}*K`, or give a number"
            if fits is None
            else f"make the layer before it a multiple of {parts} wide",
        )
    shape: list[Dim] = list(x.shape)
    shape[place] = size // parts
    return TensorType(x.dtype, tuple(shape))


@emitted
def glu(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """The first half of `axis` times the sigmoid of the second."""
    value, gate = np.split(x, 2, axis=axis)
    result: np.ndarray = value * sigmoid(gate)
    return result


@register
@final
@dataclass(frozen=True)
class Glu(Op):
    """Gated linear unit: the first half of `axis` times the sigmoid of the second. Dauphin et al. 2017, arXiv:1612.08083."""

    name: ClassVar[str] = "glu"
    derivative: ClassVar[Derivative] = {
        "x": "concat(sigmoid(split(x, 2, axis=axis)[1]) * g, (1 - sigmoid(split(x, 2, axis=axis)[1])) * result * g, axis=axis)",
    }
    family: ClassVar[str] = "activation"
    axis: int = -1

    def infer(self, *operands: TensorType) -> TensorType:
        return parted_axis(self.name, operands[0], self.axis, 2, "x")

    def shifted(self, *operands: TensorType) -> Op | None:
        return replace(self, axis=shift_axis(self.axis))

    def _setting(self, *first: str) -> str:
        return ", ".join((*first, *([f"dim={self.axis}"] if self.axis != -1 else [])))

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"nn.GLU({self._setting()})"

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"F.glu({self._setting(arguments[0])})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(glu)}({arguments[0]}, axis={self.axis})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 6)),))
        yield Sample(cls(axis=1), (SampleTensor((2, 4, 3, 1)),))
        yield Sample(cls(axis=-2), (SampleTensor((2, 3)),))


@emitted
def maxout(x: np.ndarray, pieces: int, axis: int = 1) -> np.ndarray:
    """The largest of each `pieces` neighbours along `axis`."""
    axis %= x.ndim
    result: np.ndarray = x.reshape(*x.shape[:axis], -1, pieces, *x.shape[axis + 1 :]).max(axis=axis + 1)
    return result


@register
@final
@dataclass(frozen=True)
class Maxout(Op):
    """The largest of each `pieces` neighbours along `axis`, made that many times shorter. Goodfellow et al. 2013, arXiv:1302.4389."""

    name: ClassVar[str] = "maxout"
    family: ClassVar[str] = "activation"
    pieces: Positive
    axis: int = 1

    def infer(self, *operands: TensorType) -> TensorType:
        return parted_axis(self.name, operands[0], self.axis, self.pieces, "pieces")

    def shifted(self, *operands: TensorType) -> Op | None:
        return replace(self, axis=shift_axis(self.axis))

    def derivatives(self, *operands: TensorType) -> Derivative:
        """The largest of a group get its gradient in equal parts."""
        (x,) = operands
        place = self.axis % x.rank
        groups = ", ".join(map(str, (*x.shape[:place], x.shape[place] // self.pieces, self.pieces, *x.shape[place + 1 :])))
        largest = f"reshape(x, {groups}) == unsqueeze(result, {place + 1})"
        share = f"unsqueeze(g, {place + 1}) / sum({largest}, axis={place + 1}, keepdims=true)"
        return {"x": f"reshape(where({largest}, {share}, 0), {', '.join(map(str, x.shape))})"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        place = self.axis % at.operand_types[0].rank
        return f"{arguments[0].tight}.unflatten({place}, (-1, {self.pieces})).amax(dim={place + 1})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(maxout)}({arguments[0]}, {self.pieces}, axis={self.axis})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(2), (SampleTensor((2, 6)),))
        yield Sample(cls(3), (SampleTensor((2, 6, 1, 4)),))
        yield Sample(cls(4, axis=-1), (SampleTensor((3, 4)),))


@emitted
def prelu(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x where it is positive, else weight * x, with one weight or one for each channel (axis 1)."""
    shape = (-1, *(1,) * (x.ndim - 2)) if weight.size > 1 else ()
    return np.where(x > 0, x, weight.reshape(shape) * x)


@register
@final
@dataclass(frozen=True)
class Prelu(Unary):
    """x where it is positive, else weight * x with a trained weight, one for all or one per channel (axis 1). He et al. 2015."""

    name: ClassVar[str] = "prelu"
    family: ClassVar[str] = "activation"
    per_channel: bool = False
    init: float = 0.25

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if self.per_channel and x.rank < 2:
            raise RuleError("NL202", f"`prelu` with a weight per channel takes [N, C, …], but `{{x}}` is {x}", at="x")
        self._channels(x)
        return super().infer(x)

    def derivatives(self, *operands: TensorType) -> Derivative:
        (x,) = operands
        slope = f"reshape(weight, -1{', 1' * (x.rank - 2)})" if self.per_channel and x.rank > 2 else "weight"
        axes = [axis for axis in range(x.rank) if axis != 1 or not self.per_channel]
        total = f"sum(where(x > 0, 0, x * g), axis={axes})" if axes else "where(x > 0, 0, x * g)"
        return {"x": f"where(x > 0, g, {slope} * g)", "weight": total if self.per_channel else f"reshape({total}, 1)"}

    def _channels(self, x: TensorType) -> int:
        return require_known(self.name, x.shape[1], "the number of channels of `{x}`") if self.per_channel else 1

    def parameters(self, *operands: TensorType) -> tuple[ParameterSpec, ...]:
        (x,) = operands
        return (ParameterSpec("weight", TensorType.of(x.dtype, self._channels(x)), Constant(self.init)),)

    def torch_module(self, *operands: TensorType) -> str | None:
        parts = [f"num_parameters={self._channels(*operands)}"] if self.per_channel else []
        parts += [f"init={number(self.init)}"] if self.init != 0.25 else []
        return f"nn.PReLU({', '.join(parts)})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(prelu)}({', '.join(arguments)})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4)),))
        yield Sample(cls(per_channel=True, init=0.1), (SampleTensor((2, 3)),))
        yield Sample(cls(per_channel=True), (SampleTensor((1, 3, 2, 2)),))
        yield Sample(cls(init=0.5), (SampleTensor((4,)),))
