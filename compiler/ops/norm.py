"""Normalization of channels: by statistics of the batch, of each example, of groups of channels, by neighbouring channels.

Layout N, C, spatial. NumPy forms are those of evaluation: batch_norm uses its running statistics.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from compiler.ir.dims import Dim
from compiler.ir.initializers import Ones, Zeros
from compiler.ir.op import Code, Derivative, Lowering, Op, ParameterSpec, RuleError, Sample, SampleTensor, emitted
from compiler.ir.signature import Positive, PositiveFloat, Probability, format_constant
from compiler.ir.types import DType, TensorType
from compiler.ops.base import keywords, register, require_float, require_known, require_rank
from compiler.ops.layer_norm import affine_parameters, normalize
from compiler.ops.shape import reshape_text
from compiler.ops.windows import require_spatial

if TYPE_CHECKING:
    import numpy as np


@emitted
def scale_channels(x: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """x scale[c] + shift[c] for each channel c of `x` [N, C, …]."""
    shape = (-1, *(1,) * (x.ndim - 2))
    result: np.ndarray = x * scale.reshape(shape) + shift.reshape(shape)
    return result


@emitted
def batch_normalize(x: np.ndarray, mean: np.ndarray, variance: np.ndarray, eps: float) -> np.ndarray:
    """`x` [N, C, …] by given statistics of each channel."""
    scale = 1 / np.sqrt(variance + eps)
    return scale_channels(x, scale, -mean * scale)


@emitted
def batch_normalize_affine(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, mean: np.ndarray, variance: np.ndarray, eps: float
) -> np.ndarray:
    """`x` [N, C, …] by given statistics of each channel, then scaled and shifted, as one product and one sum."""
    scale = weight / np.sqrt(variance + eps)
    return scale_channels(x, scale, bias - mean * scale)


@emitted
def group_normalize(x: np.ndarray, groups: int, eps: float) -> np.ndarray:
    """`x` [N, C, …], each group of channels of each example normalized."""
    return normalize(x.reshape(x.shape[0], groups, -1), (2,), eps).reshape(x.shape)


@emitted
def normalize_locally(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """`x` [N, C, …] over (k + alpha times the mean square of `size` channels around) to the `beta`; missing channels count as 0."""
    channels = x.shape[1]
    padded = np.zeros((x.shape[0], channels + size - 1, *x.shape[2:]), x.dtype)
    np.square(x, out=padded[:, size // 2 : size // 2 + channels])
    total = padded[:, :channels].copy()
    for i in range(1, size):
        total += padded[:, i : i + channels]
    return x / (total * (alpha / size) + k) ** beta


def per_channel(text: str, x: TensorType) -> str:
    """Text of one number for each channel, in a shape that broadcasts against `x` [N, C, …]."""
    return reshape_text(text, (x.shape[1], *(Dim.of(1),) * (x.rank - 2)))


def sum_to_channels(text: str, x: TensorType) -> str:
    """Text of the sums of each channel."""
    return f"sum({text}, axis={[0, *range(2, x.rank)]})"


@register
@final
@dataclass(frozen=True)
class BatchNorm(Op):
    """Each channel with mean 0 and variance 1 over the batch and space, then scaled and shifted by trained numbers.

    `x` is [N, C] or [N, C, *spatial]. In training mode the statistics are the batch's and update the running ones:
    running = (1 - momentum) running + momentum batch (Keras's momentum is 1 minus this one); in evaluation mode they are the
    running ones. Ioffe and Szegedy 2015, arXiv:1502.03167.
    """

    name: ClassVar[str] = "batch_norm"
    family: ClassVar[str] = "norm"
    eps: PositiveFloat = 1e-5
    momentum: Probability = 0.1
    affine: bool = True

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        require_rank(self.name, x, (2, 3, 4, 5), meaning="(N, C and up to 3 spatial ones)")
        require_float(self.name, x)
        require_known(self.name, x.shape[1], "the number of channels of `{x}`")
        return x

    def parameters(self, *operands: TensorType) -> tuple[ParameterSpec, ...]:
        (x,) = operands
        channels = TensorType(x.dtype, (x.shape[1],))
        return (
            *(affine_parameters(channels.shape, x.dtype) if self.affine else ()),
            ParameterSpec("running_mean", channels, Zeros(), trainable=False),
            ParameterSpec("running_var", channels, Ones(), trainable=False),
            ParameterSpec("num_batches_tracked", TensorType(DType.i64, ()), Zeros(), trainable=False),
        )

    def torch_module(self, *operands: TensorType) -> str | None:
        (x,) = operands
        given = keywords(self, {"eps": "eps", "momentum": "momentum", "affine": "affine"})
        return f"nn.BatchNorm{max(x.rank - 2, 1)}d({x.shape[1]}{given})"

    def derivatives(self, *operands: TensorType) -> Derivative:
        """In evaluation mode, where the statistics are given."""
        (x,) = operands
        inverse = "rsqrt(running_var + eps)"
        scale = f"weight * {inverse}" if self.affine else inverse
        along = sum_to_channels(f"g * (x - {per_channel('running_mean', x)})", x)
        return {
            "x": f"g * {per_channel(scale, x)}",
            "weight": f"{along} * {inverse}",
            "bias": sum_to_channels("g", x),
            "running_mean": f"-{sum_to_channels('g', x)} * {scale}",
            "running_var": f"{along} * {scale} / (-2 * (running_var + eps))",
            "num_batches_tracked": None,
        }

    def training(self, *operands: TensorType) -> str | None:
        (x,) = operands
        affine = "weight, bias" if self.affine else ", ".join(f"full({value}, {x.shape[1]}, dtype={x.dtype})" for value in (1, 0))
        buffers = "running_mean, running_var, num_batches_tracked"
        return f"batch_norm_training(x, {affine}, {buffers}, eps=eps, momentum=momentum)"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        x, *statistics, _ = arguments
        function = batch_normalize_affine if self.affine else batch_normalize
        return f"{at.use(function)}({', '.join((x, *statistics))}, eps={self.eps!r})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((3, 4, 5, 6)),))
        yield Sample(cls(eps=1e-3, momentum=0.01), (SampleTensor((3, 4)),))
        yield Sample(cls(affine=False), (SampleTensor((2, 3, 7)),))
        yield Sample(cls(eps=0.1), (SampleTensor((1, 2, 2, 3, 1)),))


@register
@final
@dataclass(frozen=True)
class InstanceNorm(Op):
    """Each channel of each example with mean 0 and variance 1 over space; not trained unless `affine`.

    Ulyanov et al. 2016, arXiv:1607.08022; the defaults are PyTorch's.
    """

    name: ClassVar[str] = "instance_norm"
    family: ClassVar[str] = "norm"
    eps: PositiveFloat = 1e-5
    affine: bool = False

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        require_spatial(self.name, x)
        require_float(self.name, x)
        if all(size == 1 for size in x.shape[2:]):
            raise RuleError(
                "NL230",
                f"`{self.name}` has one number in each channel of `{{x}}`, which is {x}: the result would be 0",
                at="x",
                help="leave it out here, or use `layer_norm` or `group_norm`",
            )
        if self.affine:
            require_known(self.name, x.shape[1], "the number of channels of `{x}`")
        return x

    def parameters(self, *operands: TensorType) -> tuple[ParameterSpec, ...]:
        (x,) = operands
        return affine_parameters(x.shape[1:2], x.dtype) if self.affine else ()

    def torch_module(self, *operands: TensorType) -> str | None:
        (x,) = operands
        if x.shape[1].constant is None:
            return None
        return f"nn.InstanceNorm{x.rank - 2}d({x.shape[1]}{keywords(self, {'eps': 'eps', 'affine': 'affine'})})"

    def derivatives(self, *operands: TensorType) -> Derivative:
        (x,) = operands
        axes = list(range(2, x.rank))
        given = f"g * {per_channel('weight', x)}" if self.affine else "g"
        return {
            "x": f"standardize_gradient(x, {given}, axes={axes}, eps=eps)",
            "weight": sum_to_channels(f"g * standardize(x, axes={axes}, eps=eps)", x),
            "bias": sum_to_channels("g", x),
        }

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"F.instance_norm({arguments[0]}{keywords(self, {'eps': 'eps'})})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        axes = tuple(range(2, at.operand_types[0].rank))
        normalized = f"{at.use(normalize)}({arguments[0]}, {axes}, eps={self.eps!r})"
        return f"{at.use(scale_channels)}({', '.join((normalized, *arguments[1:]))})" if self.affine else normalized

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 5, 6)),))
        yield Sample(cls(affine=True), (SampleTensor((2, 3, 5, 1)),))
        yield Sample(cls(eps=0.1), (SampleTensor((1, 2, 7)),))
        yield Sample(cls(eps=1e-3, affine=True), (SampleTensor((1, 2, 2, 3, 4)),))


@register
@final
@dataclass(frozen=True)
class GroupNorm(Op):
    """Each group of neighbouring channels of each example with mean 0 and variance 1, then scaled and shifted channel by channel.

    Wu and He 2018, arXiv:1803.08494. `groups=1` is layer normalization over C and space.
    """

    name: ClassVar[str] = "group_norm"
    family: ClassVar[str] = "norm"
    groups: Positive
    eps: PositiveFloat = 1e-5
    affine: bool = True

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        require_rank(self.name, x, (2, 3, 4, 5), meaning="(N, C and up to 3 spatial ones)")
        require_float(self.name, x)
        channels = require_known(self.name, x.shape[1], "the number of channels of `{x}`")
        if channels % self.groups:
            raise RuleError("NL209", f"{self.groups} groups of `{self.name}` do not divide the {channels} channels of `{{x}}`", at="groups")
        return x

    def parameters(self, *operands: TensorType) -> tuple[ParameterSpec, ...]:
        (x,) = operands
        return affine_parameters(x.shape[1:2], x.dtype) if self.affine else ()

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"nn.GroupNorm({self.groups}, {operands[0].shape[1]}{keywords(self, {'eps': 'eps', 'affine': 'affine'})})"

    def derivatives(self, *operands: TensorType) -> Derivative:
        (x,) = operands
        grouped = format_constant((x.shape[0], self.groups, -1))
        given = f"g * {per_channel('weight', x)}" if self.affine else "g"
        scores = f"standardize(reshape(x, {grouped}), axes=[2], eps=eps)"
        back = f"standardize_gradient(reshape(x, {grouped}), reshape({given}, {grouped}), axes=[2], eps=eps)"
        return {
            "x": reshape_text(back, x.shape),
            "weight": sum_to_channels(f"g * {reshape_text(scores, x.shape)}", x),
            "bias": sum_to_channels("g", x),
        }

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"F.group_norm({arguments[0]}, {self.groups}{keywords(self, {'eps': 'eps'})})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        normalized = f"{at.use(group_normalize)}({arguments[0]}, {self.groups}, eps={self.eps!r})"
        return f"{at.use(scale_channels)}({', '.join((normalized, *arguments[1:]))})" if self.affine else normalized

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(2), (SampleTensor((2, 4, 3, 5)),))
        yield Sample(cls(3, affine=False, eps=0.1), (SampleTensor((1, 3, 6)),))
        yield Sample(cls(1), (SampleTensor((3, 5)),))
        yield Sample(cls(3), (SampleTensor((1, 6, 2, 1, 3)),))


@register
@final
@dataclass(frozen=True)
class LocalResponseNorm(Op):
    """Each number over (k + alpha times the mean square of `size` neighbouring channels) to the `beta`.

    As in PyTorch `alpha` goes with the mean; Krizhevsky et al. 2012 write it with the sum, so their 1e-4 for 5 channels is 5e-4 here.
    """

    name: ClassVar[str] = "local_response_norm"
    family: ClassVar[str] = "norm"
    size: Positive
    alpha: PositiveFloat = 1e-4
    beta: PositiveFloat = 0.75
    k: PositiveFloat = 1.0

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        require_spatial(self.name, x)
        require_float(self.name, x)
        return x

    def _given(self) -> str:
        return f"{self.size}{keywords(self, {'alpha': 'alpha', 'beta': 'beta', 'k': 'k'})}"

    def derivatives(self, *operands: TensorType) -> Derivative:
        """With b = k + alpha times the mean of x²: g / b^beta less 2 alpha beta x times the mirrored mean of g x / b^(beta + 1)."""
        (x,) = operands
        before, after = self.size // 2, (self.size - 1) // 2
        base = f"(k + alpha * {self._mean('x * x', x, before, after)})"
        inner = self._mean(f"g * x / {base} ** (beta + 1)", x, after, before)
        return {"x": f"g / {base} ** beta - x * ({inner} * (2 * alpha * beta))"}

    def _mean(self, text: str, x: TensorType, before: int, after: int) -> str:
        """The mean over neighbouring channels, those that are missing counted as 0."""
        lines = reshape_text(text, (x.shape[0], Dim.of(1), x.shape[1], math.prod(x.shape[2:], start=Dim.of(1))))
        return reshape_text(f"avg_pool(pad({lines}, [[{before}, {after}], 0]), [{self.size}, 1], stride=1)", x.shape)

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"nn.LocalResponseNorm({self._given()})"

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"F.local_response_norm({arguments[0]}, {self._given()})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(normalize_locally)}({arguments[0]}, {self.size}, alpha={self.alpha!r}, beta={self.beta!r}, k={self.k!r})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(5, alpha=0.5, k=2.0), (SampleTensor((2, 7, 3, 4)),))
        yield Sample(cls(2, alpha=0.3, beta=0.5), (SampleTensor((1, 4, 5)),))
        yield Sample(cls(4, alpha=1.0), (SampleTensor((1, 3, 2, 1, 2)),))
        yield Sample(cls(1), (SampleTensor((2, 3, 4, 4)),))
