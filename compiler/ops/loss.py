"""Losses of a prediction against a target of the same shape. Those against class indices are in `classification`.

`reduction` is `mean` over everything, `sum`, or `none`. A constant may stand for a target that is the same everywhere: `mse(D(x), 1)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, final

from compiler.ir.dims import compare
from compiler.ir.op import NEGATION, PRODUCT, SUM, Code, Derivative, Lowering, Op, RuleError, Sample, SampleTensor
from compiler.ir.signature import PositiveFloat
from compiler.ir.types import TensorType
from compiler.ops.arithmetic import is_literal, number
from compiler.ops.base import broadcast_types, normal_axis, register, require_float
from compiler.ops.reduce import count_of

BatchReduction = Literal["batchmean", "sum", "none"]
ReductionWord = Literal["mean", "sum", "none"]
REDUCED: tuple[tuple[ReductionWord, tuple[int, ...]], ...] = (("mean", (3, 4)), ("sum", (2, 1, 3)), ("none", (4,)))
"""A shape to try each reduction on."""


def reduced(loss: str) -> str:
    """The formula of a loss of which `loss` is the formula for one number."""
    return f'mean({loss}) if reduction == "mean" else sum({loss}) if reduction == "sum" else {loss}'


def share(reduction: str, x: TensorType) -> str:
    """Text of what each number of `x` gets of `g`, the gradient of the result."""
    return "g" if reduction != "mean" or x.rank == 0 else f"(g / ({count_of(x.shape, tuple(range(x.rank)))}))"


def require_equal_shapes(x: TensorType, target: TensorType) -> None:
    """Refuse a target of another shape: losses do not broadcast, since that hides mistakes."""
    equal = [compare(a, b) for a, b in zip(x.shape, target.shape, strict=False)] if x.rank == target.rank else [False]
    if False in equal or None in equal:
        verb, doubt = ("but", "") if False in equal else ("and", ", and it is not proved to fit")
        raise RuleError(
            "NL212" if False in equal else "NL204",
            f"`{{x}}` is {x} {verb} its target `{{target}}` is {target}{doubt}",
            at="target",
            labels={"x": str(x), "target": str(target)},
            help=_shape_help(x, target) if False in equal else "declare both with the same sizes",
        )


def _shape_help(x: TensorType, target: TensorType) -> str:
    for wide, narrow, operand in ((x, target, "target"), (target, x, "x")):
        if wide.shape == (*narrow.shape, 1):
            return f"give it the axis: `reshape({{{operand}}}, {', '.join(map(str, wide.shape))})`"
    return "a loss compares number with number; bring both to one shape first"


@dataclass(frozen=True)
class PairLoss(Op):
    """Abstract: a loss of `x` against `target`, number by number; `call` is the function of F, `settings` its keywords for attributes.

    `slopes` are the texts of derivatives, in which `share` is what one number gets of the gradient of the result.
    """

    operands: ClassVar[tuple[str, ...]] = ("x", "target")
    family: ClassVar[str] = "loss"
    call: ClassVar[str]
    slopes: ClassVar[dict[str, str]]
    settings: ClassVar[dict[str, str]] = {}
    domain: ClassVar[tuple[float, float]] = (-2.0, 2.0)
    reduction: ReductionWord = "mean"

    def infer(self, *operands: TensorType) -> TensorType:
        x, target = operands
        require_float(self.name, x)
        require_float(self.name, target, "target")
        if target.rank > 0:
            require_equal_shapes(x, target)
            if target.dtype is not x.dtype:
                raise RuleError(
                    "NL210",
                    f"`{{x}}` is {x} but its target `{{target}}` is {target}",
                    at="target",
                    help=f"convert it: `cast({{target}}, {x.dtype})`",
                )
        return x if self.reduction == "none" else TensorType(x.dtype, ())

    def derivatives(self, *operands: TensorType) -> Derivative:
        scale = share(self.reduction, operands[0])
        return {name: text.replace("share", scale) for name, text in self.slopes.items()}

    def _target(self, at: Lowering, x: Code, target: Code) -> str:
        x_type, target_type = at.operand_types
        if target_type.rank == x_type.rank and not is_literal(target):
            return target
        if not is_literal(target):
            return Code(f"{target.within(SUM)} + torch.zeros_like({x})", SUM)
        words = {0.0: f"torch.zeros_like({x})", 1.0: f"torch.ones_like({x})"}
        return words.get(float(target), f"torch.full_like({x}, {target})")

    def torch(self, at: Lowering, *arguments: Code) -> str:
        x, target = arguments
        parts = [x, self._target(at, x, target)]
        parts += [
            f"{keyword}={number(getattr(self, attribute))}" for attribute, keyword in self.settings.items() if getattr(self, attribute) != 1
        ]
        if self.reduction != "mean":
            parts.append(f"reduction={self.reduction!r}")
        return f"{self.call}({', '.join(parts)})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for reduction, shape in REDUCED:
            yield Sample(cls(reduction=reduction), (SampleTensor(shape), SampleTensor(shape, low=cls.domain[0], high=cls.domain[1])))
        yield Sample(cls(), (SampleTensor((3, 1)), SampleTensor((), low=cls.domain[0], high=cls.domain[1])))


@register
@final
@dataclass(frozen=True)
class Mse(PairLoss):
    """The squared error."""

    name: ClassVar[str] = "mse"
    slopes: ClassVar[dict[str, str]] = {"x": "2 * share * (x - target)", "target": "2 * share * (target - x)"}
    formula: ClassVar[str | None] = reduced("square(x - target)")
    call: ClassVar[str] = "F.mse_loss"


@register
@final
@dataclass(frozen=True)
class L1(PairLoss):
    """The absolute error."""

    name: ClassVar[str] = "l1"
    slopes: ClassVar[dict[str, str]] = {"x": "share * sign(x - target)", "target": "share * sign(target - x)"}
    formula: ClassVar[str | None] = reduced("abs(x - target)")
    call: ClassVar[str] = "F.l1_loss"


@register
@final
@dataclass(frozen=True)
class SmoothL1(PairLoss):
    """The absolute error less beta / 2, but the squared error over 2 beta where it is below beta. Girshick 2015, arXiv:1504.08083."""

    name: ClassVar[str] = "smooth_l1"
    slopes: ClassVar[dict[str, str]] = {
        "x": "share * (clip(x - target, -1, 1) if beta == 1 else clip((x - target) / beta, -1, 1))",
        "target": "share * clip((target - x) / beta, -1, 1)",
    }
    formula: ClassVar[str | None] = reduced(
        "where(abs(x - target) < beta, square(x - target) * (0.5 / beta), abs(x - target) - 0.5 * beta)"
    )
    call: ClassVar[str] = "F.smooth_l1_loss"
    settings: ClassVar[dict[str, str]] = {"beta": "beta"}
    beta: PositiveFloat = 1.0

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield from super().samples()
        yield Sample(cls(beta=0.25), (SampleTensor((3, 4)), SampleTensor((3, 4))))


@register
@final
@dataclass(frozen=True)
class Huber(PairLoss):
    """Half the squared error, but delta times the absolute error less delta / 2 where it is above delta. Huber 1964."""

    name: ClassVar[str] = "huber"
    slopes: ClassVar[dict[str, str]] = {"x": "share * clip(x - target, -delta, delta)", "target": "share * clip(target - x, -delta, delta)"}
    formula: ClassVar[str | None] = reduced(
        "where(abs(x - target) < delta, 0.5 * square(x - target), delta * (abs(x - target) - 0.5 * delta))"
    )
    call: ClassVar[str] = "F.huber_loss"
    settings: ClassVar[dict[str, str]] = {"delta": "delta"}
    delta: PositiveFloat = 1.0

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield from super().samples()
        yield Sample(cls(delta=0.25), (SampleTensor((3, 4)), SampleTensor((3, 4))))


@register
@final
@dataclass(frozen=True)
class Bce(PairLoss):
    """Binary cross-entropy of probabilities x; logarithms are cut off at -100. From logits, `bce_with_logits` is exact."""

    name: ClassVar[str] = "bce"
    slopes: ClassVar[dict[str, str]] = {
        "x": "share * (x - target) / max(x * (1 - x), 1e-12)",
        "target": "share * (max(log1p(-x), -100) - max(log(x), -100))",
    }
    formula: ClassVar[str | None] = reduced("-(target * max(log(x), -100) + (1 - target) * max(log1p(-x), -100))")
    call: ClassVar[str] = "F.binary_cross_entropy"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for reduction, shape in REDUCED:
            yield Sample(cls(reduction=reduction), (SampleTensor(shape, low=0.05, high=0.95), SampleTensor(shape, low=0, high=1)))
        yield Sample(cls(), (SampleTensor((3, 1), low=0.05, high=0.95), SampleTensor((), low=0, high=1)))


@register
@final
@dataclass(frozen=True)
class BceWithLogits(PairLoss):
    """Binary cross-entropy of sigmoid(x), finite wherever x is; targets within [0, 1]."""

    name: ClassVar[str] = "bce_with_logits"
    slopes: ClassVar[dict[str, str]] = {"x": "share * (sigmoid(x) - target)", "target": "-share * x"}
    formula: ClassVar[str | None] = reduced("softplus(x) - target * x")
    call: ClassVar[str] = "F.binary_cross_entropy_with_logits"
    domain: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield from super().samples()
        yield Sample(cls(), (SampleTensor((3, 4), low=-80, high=80), SampleTensor((3, 4), low=0, high=1)))


@register
@final
@dataclass(frozen=True)
class Hinge(PairLoss):
    """max(0, 1 - target * x), targets -1 or 1."""

    name: ClassVar[str] = "hinge"
    slopes: ClassVar[dict[str, str]] = {"x": "where(target * x < 1, -share * target, 0)", "target": "where(target * x < 1, -share * x, 0)"}
    formula: ClassVar[str | None] = reduced("relu(1 - target * x)")

    def torch(self, at: Lowering, *arguments: Code) -> str:
        x, target = arguments
        loss = {"1": f"1 - {x.within(PRODUCT)}", "-1": f"1 + {x.within(PRODUCT)}"}.get(
            target, f"1 - {target.within(PRODUCT)} * {x.within(NEGATION)}"
        )
        return f"F.relu({loss})" + ("" if self.reduction == "none" else f".{self.reduction}()")


@register
@final
@dataclass(frozen=True)
class KlDiv(Op):
    """The Kullback-Leibler divergence of the probabilities `target` from the log-probabilities `x`: sum of target * (log(target) - x).

    `batchmean` divides by the first size, so that it is the mean divergence of an example.
    """

    name: ClassVar[str] = "kl_div"
    operands: ClassVar[tuple[str, ...]] = ("x", "target")
    family: ClassVar[str] = "loss"
    formula: ClassVar[str | None] = (
        'sum(mean(target * (log(max(target, 1e-30)) - x), axis=0)) if reduction == "batchmean"'
        ' else sum(target * (log(max(target, 1e-30)) - x)) if reduction == "sum" else target * (log(max(target, 1e-30)) - x)'
    )
    reduction: BatchReduction = "batchmean"

    def infer(self, *operands: TensorType) -> TensorType:
        x, target = operands
        require_float(self.name, x)
        require_float(self.name, target, "target")
        require_equal_shapes(x, target)
        if self.reduction == "batchmean" and x.rank == 0:
            raise RuleError("NL202", f"`kl_div` divides by the first size, but `{{x}}` is {x}", at="x")
        return x if self.reduction == "none" else TensorType(x.dtype, ())

    def derivatives(self, *operands: TensorType) -> Derivative:
        scale = f"(g / ({operands[0].shape[0]}))" if self.reduction == "batchmean" else "g"
        return {"x": f"-{scale} * target", "target": f"{scale} * (log(max(target, 1e-30)) + 1 - x)"}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        return f"F.kl_div({arguments[0]}, {arguments[1]}, reduction={self.reduction!r})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        words: tuple[BatchReduction, ...] = ("batchmean", "sum", "none")
        for word, (_, shape) in zip(words, REDUCED, strict=True):
            yield Sample(cls(word), (SampleTensor(shape, low=-4, high=0), SampleTensor(shape, low=0, high=1)))


@register
@final
@dataclass(frozen=True)
class CosineSimilarity(Op):
    """The cosine of the angle between x and y along `axis`; lengths are at least `eps`."""

    name: ClassVar[str] = "cosine_similarity"
    operands: ClassVar[tuple[str, ...]] = ("x", "y")
    family: ClassVar[str] = "loss"
    formula: ClassVar[str | None] = "sum(x * y, axis=axis) / (max(norm(x, axis=axis), eps) * max(norm(y, axis=axis), eps))"
    axis: int = 1
    eps: PositiveFloat = 1e-8

    def infer(self, *operands: TensorType) -> TensorType:
        for operand, type in zip(self.operands, operands, strict=True):
            require_float(self.name, type, operand)
        both = broadcast_types(*operands)
        place = normal_axis(self.name, self.axis, both.rank)
        for operand, type in zip(self.operands, operands, strict=True):
            if type.rank != both.rank or type.shape[place] != both.shape[place]:
                raise RuleError("NL203", f"`cosine_similarity` compares along axis {self.axis}, but `{{{operand}}}` is {type}", at=operand)
        return TensorType(both.dtype, both.shape[:place] + both.shape[place + 1 :])

    def torch(self, at: Lowering, *arguments: Code) -> str:
        axis = "" if self.axis == 1 else f", dim={self.axis}"
        eps = "" if self.eps == 1e-8 else f", eps={self.eps!r}"
        return f"F.cosine_similarity({arguments[0]}, {arguments[1]}{axis}{eps})"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((3, 4)), SampleTensor((3, 4))))
        yield Sample(cls(axis=-1, eps=0.5), (SampleTensor((2, 1, 4), low=-0.3, high=0.3), SampleTensor((2, 3, 4))))
        yield Sample(cls(axis=0), (SampleTensor((4,)), SampleTensor((4,))))
