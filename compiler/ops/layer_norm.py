"""Normalization along axes: of the last dimensions by mean and variance or by root mean square, and by length.

The statistics are each example's own, so training and evaluation are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, final

from compiler.ir.dims import Dim
from compiler.ir.initializers import Ones, Zeros
from compiler.ir.op import PRODUCT, SUM, Code, Derivative, Lowering, Op, ParameterSpec, RuleError, Sample, SampleTensor, emitted
from compiler.ir.signature import Positive, PositiveFloat
from compiler.ir.types import DType, TensorType
from compiler.ops.base import keywords, normal_axis, register, require_float, require_known, shift_axis

if TYPE_CHECKING:
    import numpy as np


@emitted
def normalize(x: np.ndarray, axes: tuple[int, ...], eps: float) -> np.ndarray:
    """`x` with mean 0 and variance 1 (of n, not n - 1) over `axes`."""
    centred = x - x.mean(axes, keepdims=True)
    result: np.ndarray = centred / np.sqrt(np.square(centred).mean(axes, keepdims=True) + eps)
    return result


@emitted
def normalize_root_mean_square(x: np.ndarray, axes: tuple[int, ...], eps: float) -> np.ndarray:
    """`x` with mean square 1 over `axes`."""
    result: np.ndarray = x / np.sqrt(np.square(x).mean(axes, keepdims=True) + eps)
    return result


@emitted
def normalize_length(x: np.ndarray, axis: int, eps: float) -> np.ndarray:
    """`x` with Euclidean length 1 along `axis`, or its length over `eps` where that is less."""
    result: np.ndarray = x / np.maximum(np.sqrt(np.square(x).sum(axis, keepdims=True)), eps)
    return result


def affine_parameters(shape: tuple[Dim, ...], dtype: DType, *, bias: bool = True) -> tuple[ParameterSpec, ...]:
    """A weight of ones and, with `bias`, a bias of zeros."""
    affine = TensorType(dtype, shape)
    weight = ParameterSpec("weight", affine, Ones())
    return (weight, ParameterSpec("bias", affine, Zeros())) if bias else (weight,)


class TrailingNorm(Op):
    """Abstract: normalization over the last dimensions, each place of which may be scaled."""

    family: ClassVar[str] = "norm"
    axes: Positive | tuple[int, ...]
    affine: bool

    def count(self, x: TensorType) -> int:
        """How many trailing dimensions are normalized; refuses a list of others."""
        if isinstance(self.axes, int):
            if self.axes > x.rank:
                raise RuleError("NL207", f"`{self.name}` over the last {self.axes} dimensions, but `{{x}}` is {x}", at="axes")
            return self.axes
        found = sorted(normal_axis(self.name, axis, x.rank, "axes") for axis in self.axes)
        if not found or found != list(range(x.rank - len(found), x.rank)):
            raise RuleError(
                "NL207",
                f"`{self.name}` normalizes the last dimensions, but `axes` lists {list(self.axes)} of {x.rank}",
                at="axes",
                help="bring them to the end with `permute`",
            )
        return len(found)

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        require_float(self.name, x)
        for size in x.shape[x.rank - self.count(x) :]:
            require_known(self.name, size, "the sizes it normalizes")
        return x

    def parameters(self, *operands: TensorType) -> tuple[ParameterSpec, ...]:
        (x,) = operands
        bias = getattr(self, "bias", False)
        return affine_parameters(x.shape[x.rank - self.count(x) :], x.dtype, bias=bias) if self.affine else ()

    def places(self, x: TensorType) -> list[int]:
        """The axes that are normalized."""
        return list(range(x.rank - self.count(x), x.rank))

    def shape(self, x: TensorType) -> str:
        """The normalized shape as torch's constructors take it."""
        sizes = [str(size) for size in x.shape[x.rank - self.count(x) :]]
        return sizes[0] if len(sizes) == 1 else f"({', '.join(sizes)})"


@register
@final
@dataclass(frozen=True)
class LayerNorm(TrailingNorm):
    """Mean 0 and variance 1 over the last dimensions, then scaled and shifted place by place.

    `axes` counts the trailing dimensions, 1 by default, or lists them. Ba et al. 2016, arXiv:1607.06450.
    """

    name: ClassVar[str] = "layer_norm"
    axes: Positive | tuple[int, ...] = 1
    eps: PositiveFloat = 1e-5
    affine: bool = True
    bias: bool = True

    def torch_module(self, *operands: TensorType) -> str | None:
        (x,) = operands
        given = keywords(self, {"eps": "eps", "affine": "elementwise_affine", "bias": "bias"}, skip=() if self.affine else ("bias",))
        return f"nn.LayerNorm({self.shape(x)}{given})"

    def derivatives(self, *operands: TensorType) -> Derivative:
        axes = self.places(operands[0])
        given = "g * weight" if self.affine else "g"
        return {
            "x": f"standardize_gradient(x, {given}, axes={axes}, eps=eps)",
            "weight": f"g * standardize(x, axes={axes}, eps=eps)",
            "bias": "g",
        }

    def torch(self, at: Lowering, *arguments: Code) -> str:
        (x,) = at.operand_types
        return f"F.layer_norm({arguments[0]}, {at.dims(x.shape[x.rank - self.count(x) :])}{keywords(self, {'eps': 'eps'})})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        x, *affine = arguments
        axes = tuple(range(-self.count(at.operand_types[0]), 0))
        text = f"{at.use(normalize)}({x}, {axes}, eps={self.eps!r})"
        if not affine:
            return text
        scaled = Code(f"{text} * {affine[0].within(PRODUCT + 1)}", PRODUCT)
        return Code(f"{scaled} + {affine[1].within(SUM + 1)}", SUM) if len(affine) > 1 else scaled

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 5, 6)),))
        yield Sample(cls(2, eps=1e-3), (SampleTensor((2, 3, 4, 5)),))
        yield Sample(cls((-2, -1), bias=False), (SampleTensor((3, 4, 5)),))
        yield Sample(cls(affine=False), (SampleTensor((3, 7)),))
        yield Sample(cls((1, 2, 3)), (SampleTensor((2, 3, 1, 5)),))


@register
@final
@dataclass(frozen=True)
class RmsNorm(TrailingNorm):
    """The last dimensions over their root mean square, then scaled place by place. Zhang and Sennrich 2019, arXiv:1910.07467."""

    name: ClassVar[str] = "rms_norm"
    axes: Positive | tuple[int, ...] = 1
    eps: PositiveFloat = 1e-6
    affine: bool = True

    def torch_module(self, *operands: TensorType) -> str | None:
        return f"nn.RMSNorm({self.shape(operands[0])}, eps={self.eps!r}{keywords(self, {'affine': 'elementwise_affine'})})"

    def derivatives(self, *operands: TensorType) -> Derivative:
        """With r = 1 / the root mean square: r (g - x r² mean(g x)), g scaled by the weight."""
        axis = self.places(operands[0])
        inverse = f"rsqrt(mean(x * x, axis={axis}, keepdims=true) + eps)"
        given = "(g * weight)" if self.affine else "g"
        along = f"mean({given} * x, axis={axis}, keepdims=true) * {inverse} * {inverse}"
        return {"x": f"({given} - x * ({along})) * {inverse}", "weight": f"g * x * {inverse}"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        (x,) = at.operand_types
        return f"F.rms_norm({arguments[0]}, {at.dims(x.shape[x.rank - self.count(x) :])}, eps={self.eps!r})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        x, *weight = arguments
        axes = tuple(range(-self.count(at.operand_types[0]), 0))
        text = f"{at.use(normalize_root_mean_square)}({x}, {axes}, eps={self.eps!r})"
        return Code(f"{text} * {weight[0].within(PRODUCT + 1)}", PRODUCT) if weight else text

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 5, 6)),))
        yield Sample(cls(2, eps=1e-3), (SampleTensor((2, 3, 4, 5)),))
        yield Sample(cls(affine=False), (SampleTensor((3, 7)),))


@register
@final
@dataclass(frozen=True)
class L2Normalize(Op):
    """`x` over its Euclidean length along `axis`, or over `eps` where that is shorter."""

    name: ClassVar[str] = "l2_normalize"
    family: ClassVar[str] = "norm"
    formula: ClassVar[str | None] = "x / max(sqrt(sum(x * x, axis=axis, keepdims=true)), eps)"
    axis: int = 1
    eps: PositiveFloat = 1e-12

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        require_float(self.name, x)
        normal_axis(self.name, self.axis, x.rank)
        return x

    def shifted(self, *operands: TensorType) -> Op | None:
        return replace(self, axis=shift_axis(self.axis))

    def derivatives(self, *operands: TensorType) -> Derivative:
        """Where the length is less than eps, x is only divided by a constant."""
        length = "sqrt(sum(x * x, axis=axis, keepdims=true))"
        along = "result * sum(g * result, axis=axis, keepdims=true)"
        return {"x": f"(g - where({length} > eps, {along}, 0)) / max({length}, eps)"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"F.normalize({arguments[0]}{keywords(self, {'axis': 'dim', 'eps': 'eps'})})"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        return f"{at.use(normalize_length)}({arguments[0]}, {self.axis}, eps={self.eps!r})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 5, 3)),))
        yield Sample(cls(axis=-1, eps=3.0), (SampleTensor((3, 4)),))
        yield Sample(cls(axis=0), (SampleTensor((6,)),))
