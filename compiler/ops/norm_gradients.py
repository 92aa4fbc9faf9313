"""What derivatives and training forms of normalizations are made of: standard scores, and batch normalization with the batch's statistics.

The gradients of statistics are part of all of these; running statistics carry none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from compiler.ir.dims import Dim
from compiler.ir.op import Code, Derivative, Lowering, Op, RuleError, Sample, SampleTensor, emitted
from compiler.ir.signature import PositiveFloat, Probability, format_constant
from compiler.ir.types import DType, TensorType
from compiler.ops.base import normal_axis, register, require_float
from compiler.ops.layer_norm import normalize
from compiler.ops.windows import borrow, close_channels, open_channels, share_out

if TYPE_CHECKING:
    import numpy as np


@emitted
def normalize_gradient(x: np.ndarray, y: np.ndarray, axes: tuple[int, ...], eps: float) -> np.ndarray:
    """What `y` gives back to `x` through `normalize`: y less its mean and its part along the standard scores, over the deviation."""
    scores = x - x.mean(axes, keepdims=True)
    inverse = 1 / np.sqrt(np.square(scores).mean(axes, keepdims=True) + eps)
    scores *= inverse
    result: np.ndarray = y - y.mean(axes, keepdims=True)
    scores *= (y * scores).mean(axes, keepdims=True)
    result -= scores
    result *= inverse
    return result


@emitted
def channel_blocks(x: np.ndarray) -> tuple[np.ndarray, int]:
    """`x` [N, C, …] with its channels first, and how many of them together are about 0.25 MB of f32."""
    channels = x.swapaxes(0, 1)
    return channels, max(1, 2**16 * channels.shape[0] // channels.size)


@emitted
def normalize_batch(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, running_mean: np.ndarray, running_var: np.ndarray, tracked: np.ndarray,
    eps: float, momentum: float, out: np.ndarray | None = None, work: Any = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """`x` [N, C, …] by the batch's statistics of each channel, scaled and shifted; then the new running statistics and their count.

    A few channels at a time go through all passes, so that they stay in the cache.
    """
    channels, step = channel_blocks(x)
    count = x.size // x.shape[1]
    result = open_channels(x.shape, x.dtype, out, work)
    mean, squares = np.empty((2, x.shape[1]), x.dtype)

    def scale(_: int, index: int) -> None:
        block = slice(index * step, (index + 1) * step)
        given, made = (array[block].reshape(-1, count) for array in (channels, result))
        np.sum(given, 1, out=mean[block])
        mean[block] /= count
        np.subtract(given, mean[block, None], out=made)
        np.einsum("cp,cp->c", made, made, out=squares[block])
        made *= (weight[block] / np.sqrt(squares[block] / count + eps))[:, None]
        made += bias[block, None]

    share_out(work, scale, -(-x.shape[1] // step))
    new_mean = running_mean * (1 - momentum) + mean * momentum
    new_var = running_var * (1 - momentum) + squares * (momentum / (count - 1))
    return close_channels(result, out), new_mean, new_var, tracked + 1


@emitted
def normalize_batch_gradient(
    x: np.ndarray, weight: np.ndarray, y: np.ndarray, eps: float, out: np.ndarray | None = None, work: Any = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `y` gives back through `normalize_batch` to `x` [N, C, …], to the weight and to the bias, both [1, C, 1 …].

    `out` may be `y`. A few channels at a time go through all passes, so that they stay in the cache.
    """
    channels, step = channel_blocks(x)
    count = x.size // x.shape[1]
    result = open_channels(x.shape, x.dtype, out, work)
    total, along = np.empty((2, x.shape[1]), x.dtype)
    scales = weight.reshape(-1)

    def differentiate(worker: int, index: int) -> None:
        block = slice(index * step, (index + 1) * step)
        part, given, made = (array[block].reshape(-1, count) for array in (channels, y.swapaxes(0, 1), result))
        centred = borrow(work, f"centred {worker}", part.shape, x.dtype)
        np.subtract(part, part.mean(1, keepdims=True), out=centred)
        inverse = 1 / np.sqrt(np.einsum("cp,cp->c", centred, centred) / count + eps)
        np.sum(given, 1, out=total[block])
        along[block] = np.einsum("cp,cp->c", given, centred) * inverse
        centred *= (along[block] * inverse / -count)[:, None]
        centred += given
        centred -= (total[block] / count)[:, None]
        np.multiply(centred, (scales[block] * inverse)[:, None], out=made)

    share_out(work, differentiate, -(-x.shape[1] // step))
    return close_channels(result, out), along.reshape(weight.shape), total.reshape(weight.shape)


class NormGradient(Op):
    """Abstract: a part of a derivative, or of a training form, of normalization."""

    family: ClassVar[str] = "gradient"
    internal: ClassVar[bool] = True


def check_axes(name: str, axes: tuple[int, ...], x: TensorType) -> None:
    """Refuse operands that hold no floats, and axes outside of them."""
    require_float(name, x)
    for axis in axes:
        normal_axis(name, axis, x.rank, "axes")


@register
@final
@dataclass(frozen=True)
class Standardize(NormGradient):
    """`x` with mean 0 and variance 1 over `axes`; eps is added to the variance."""

    name: ClassVar[str] = "standardize"
    formula: ClassVar[str | None] = "(x - mean(x, axis=axes, keepdims=true)) / sqrt(var(x, axis=axes, keepdims=true, correction=0) + eps)"
    derivative: ClassVar[Derivative] = {"x": "standardize_gradient(x, g, axes=axes, eps=eps)"}
    axes: tuple[int, ...]
    eps: PositiveFloat

    def infer(self, *operands: TensorType) -> TensorType:
        check_axes(self.name, self.axes, operands[0])
        return operands[0]

    def torch(self, at: Lowering, *arguments: Code) -> str:
        (x,) = arguments
        mean = f"{x.tight}.mean({self.axes}, keepdim=True)"
        return f"({x} - {mean}) * torch.rsqrt({x.tight}.var({self.axes}, correction=0, keepdim=True) + {self.eps!r})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(normalize)}({arguments[0]}, {self.axes}, {self.eps!r})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls((2,), 1e-5), (SampleTensor((2, 3, 5)),))
        yield Sample(cls((0, 2, 3), 1e-2), (SampleTensor((3, 2, 4, 3)),))


@register
@final
@dataclass(frozen=True)
class StandardizeGradient(NormGradient):
    """What `y` gives back to `x` through `standardize`."""

    name: ClassVar[str] = "standardize_gradient"
    operands: ClassVar[tuple[str, ...]] = ("x", "y")
    formula: ClassVar[str | None] = (
        "(y - mean(y, axis=axes, keepdims=true)"
        " - standardize(x, axes=axes, eps=eps) * mean(y * standardize(x, axes=axes, eps=eps), axis=axes, keepdims=true))"
        " / sqrt(var(x, axis=axes, keepdims=true, correction=0) + eps)"
    )
    axes: tuple[int, ...]
    eps: PositiveFloat

    def infer(self, *operands: TensorType) -> TensorType:
        check_axes(self.name, self.axes, operands[0])
        return operands[0]

    def torch(self, at: Lowering, *arguments: Code) -> str:
        x, y = arguments
        return f"torch.func.vjp(lambda x: {Standardize(self.axes, self.eps).torch(at, Code('x'))}, {x})[1]({y})[0]"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(normalize_gradient)}({', '.join(arguments)}, {self.axes}, {self.eps!r})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls((2,), 1e-5), (SampleTensor((2, 3, 5)), SampleTensor((2, 3, 5))))
        yield Sample(cls((0, 2, 3), 1e-2), (SampleTensor((3, 2, 4, 3)), SampleTensor((3, 2, 4, 3))))


@register
@final
@dataclass(frozen=True)
class BatchNormTraining(NormGradient):
    """`batch_norm` by the batch's statistics, then the new running mean and (unbiased) variance and the new count of batches."""

    name: ClassVar[str] = "batch_norm_training"
    operands: ClassVar[tuple[str, ...]] = ("x", "weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    eps: PositiveFloat
    momentum: Probability

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        x = operands[0]
        require_float(self.name, x)
        if math.prod((x.shape[0], *x.shape[2:]), start=Dim.of(1)) == 1:
            raise RuleError(
                "NL230",
                f"`batch_norm` has one number in each channel of `{{x}}` while training, which is {x}: the result would be 0",
                at="x",
                help="train with larger batches, or use `layer_norm` or `group_norm`",
            )
        return (x, *operands[3:])

    def derivatives(self, *operands: TensorType) -> Derivative:
        (x, weight, *_) = operands
        kept = format_constant((1, x.shape[1], *(1,) * (x.rank - 2)))
        axes = format_constant((0, *range(2, x.rank)))
        call = f"batch_norm_gradient(x, reshape(weight, {kept}), g[0], axes={axes}, eps=eps)"
        channels = format_constant(weight.shape)
        none = dict.fromkeys(self.operands[3:])
        return {"x": f"{call}[0]", "weight": f"reshape({call}[1], {channels})", "bias": f"reshape({call}[2], {channels})", **none}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        x, weight, bias, mean, variance, count = arguments
        axes, old, new = (0, *range(2, at.operand_types[0].rank)), f"{1 - self.momentum!r}", f"{self.momentum!r}"
        return (
            f"(F.batch_norm({x}, None, None, {weight}, {bias}, training=True, eps={self.eps!r}), "
            f"{mean.tight}.detach() * {old} + {x.tight}.detach().mean({axes}) * {new}, "
            f"{variance.tight}.detach() * {old} + {x.tight}.detach().var({axes}) * {new}, {count} + 1)"
        )

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(normalize_batch)}({', '.join(arguments)}, {self.eps!r}, {self.momentum!r})"

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        return f"{self.numpy(at, *arguments)[:-1]}, out={out}, work=work)"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for shape, eps, momentum in (((3, 4, 5, 6), 1e-5, 0.1), ((5, 4), 1e-2, 0.3), ((2, 3, 7), 0.1, 1.0)):
            channels = SampleTensor(shape[1:2])
            variance = SampleTensor(shape[1:2], low=0.5, high=2)
            count = SampleTensor((), DType.i64, 0, 9)
            yield Sample(cls(eps, momentum), (SampleTensor(shape), channels, channels, channels, variance, count))


@register
@final
@dataclass(frozen=True)
class BatchNormGradient(NormGradient):
    """What `y` gives back through `batch_norm` in training mode: to `x`, to the weight [1, C, 1 …], to the bias; `axes` are all but 1."""

    name: ClassVar[str] = "batch_norm_gradient"
    in_place: ClassVar[bool] = True
    operands: ClassVar[tuple[str, ...]] = ("x", "weight", "y")
    formula: ClassVar[str | None] = (
        "[standardize_gradient(x, y * weight, axes=axes, eps=eps),"
        " sum(y * standardize(x, axes=axes, eps=eps), axis=axes, keepdims=true), sum(y, axis=axes, keepdims=true)]"
    )
    axes: tuple[int, ...]
    eps: PositiveFloat

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        x, weight, _ = operands
        check_axes(self.name, self.axes, x)
        return x, weight, weight

    def torch(self, at: Lowering, *arguments: Code) -> str:
        x, weight, y = arguments
        standard = Standardize(self.axes, self.eps).torch(at, Code("x"))
        zeros = f"torch.zeros_like({weight})"
        return f"torch.func.vjp(lambda x, weight, bias: {standard} * weight + bias, {x}, {weight}, {zeros})[1]({y})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(normalize_batch_gradient)}({', '.join(arguments)}, {self.eps!r})"

    def numpy_into(self, at: Lowering, out: Code, *arguments: Code) -> str | None:
        return f"{self.numpy(at, *arguments)[:-1]}, out={out}, work=work)"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for shape, eps in (((3, 4, 5, 6), 1e-5), ((5, 4), 1e-2), ((2, 3, 7), 0.1)):
            weight = SampleTensor((1, shape[1], *(1,) * (len(shape) - 2)))
            yield Sample(cls((0, *range(2, len(shape))), eps), (SampleTensor(shape), weight, SampleTensor(shape)))
