"""How well points cover the modes of a mixture whose centres are known: what a GAN's generator has learned of a ring of Gaussians.

A mode is found where enough points lie near its centre; a point is good where it lies near some centre. Both are constant almost
everywhere, so neither has a gradient. Srivastava et al. 2017, arXiv:1705.07761, count within three standard deviations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

from compiler.ir.dims import compare
from compiler.ir.op import Derivative, Op, RuleError, Sample, SampleTensor
from compiler.ir.signature import Positive, PositiveFloat
from compiler.ir.types import DType, TensorType
from compiler.ops.base import register, require_float, require_rank

NEAR = "cast(norm(unsqueeze(points, 1) - centers, axis=2) <= radius, f32)"
"""Formula of [N, K]: 1 where point n lies within `radius` of centre k."""


@dataclass(frozen=True)
class Coverage(Op):
    """Abstract: a number about `points` [N, D] and `centers` [K, D], as f32."""

    operands: ClassVar[tuple[str, ...]] = ("points", "centers")
    derivative: ClassVar[Derivative] = {"points": None, "centers": None}
    family: ClassVar[str] = "loss"
    radius: PositiveFloat

    def infer(self, *operands: TensorType) -> TensorType:
        points, centers = operands
        for operand, type in zip(self.operands, operands, strict=True):
            require_float(self.name, type, operand)
            require_rank(self.name, type, (2,), operand, "(one point a row)")
        if compare(points.shape[1], centers.shape[1]) is not True:
            raise RuleError(
                "NL203",
                f"`{{points}}` is {points} but `{{centers}}` is {centers}",
                at="centers",
                labels={"points": str(points), "centers": str(centers)},
                help="points and centres have equally many coordinates",
            )
        return TensorType.of(DType.f32)


@register
@final
@dataclass(frozen=True)
class ModeCount(Coverage):
    """How many of `centers` have at least `least` of `points` within `radius`, as f32."""

    name: ClassVar[str] = "mode_count"
    formula: ClassVar[str | None] = f"sum(cast(sum({NEAR}, axis=0) >= least, f32))"
    least: Positive = 20

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(1.0, 2), (SampleTensor((40, 2)), SampleTensor((5, 2))))
        yield Sample(cls(0.5, 1), (SampleTensor((6, 3)), SampleTensor((4, 3))))


@register
@final
@dataclass(frozen=True)
class ModeShare(Coverage):
    """The share of `points` within `radius` of at least one of `centers`, as f32."""

    name: ClassVar[str] = "mode_share"
    formula: ClassVar[str | None] = f"mean(amax({NEAR}, axis=1))"

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(1.0), (SampleTensor((40, 2)), SampleTensor((5, 2))))
        yield Sample(cls(0.5), (SampleTensor((6, 3)), SampleTensor((4, 3))))
