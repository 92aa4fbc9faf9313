"""What the transfer of style compares: Gram matrices of features, and losses of pictures after Gatys, Ecker and Bethge 2016.

A loss is a mean over the pictures of a batch. The paper's, for one picture, are sums (equations 1 to 5; doi 10.1109/CVPR.2016.265).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, final

from compiler.ir.dims import Dim, compare
from compiler.ir.op import Derivative, Op, RuleError, Sample, SampleTensor
from compiler.ir.types import TensorType
from compiler.ops.base import register, require_float, require_rank
from compiler.ops.loss import require_equal_shapes

Divisor = Literal["none", "positions", "elements"]
RANKS = (3, 4, 5)


@register
@final
@dataclass(frozen=True)
class Gram(Op):
    """The products of every two channels, summed over space: [N, C, *spatial] becomes [N, C, C].

    Divided by the number of `positions` in space, or of `elements` (channels times positions), where `divide` says so.
    """

    name: ClassVar[str] = "gram"
    family: ClassVar[str] = "linear"
    formula: ClassVar[str | None] = (
        'flatten(x, start=2) @ transpose(flatten(x, start=2)) if divide == "none"'
        ' else gram(x) / shape(flatten(x, start=2))[2] if divide == "positions" else gram(x) / shape(flatten(x))[1]'
    )
    divide: Divisor = "none"

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        require_float(self.name, x)
        require_rank(self.name, x, RANKS)
        return TensorType(x.dtype, (*x.shape[:2], x.shape[1]))

    def derivatives(self, *operands: TensorType) -> Derivative:
        return {"x": "reshape((g + transpose(g)) @ flatten(x, start=2), shape(x))"} if self.divide == "none" else None

    def cost(self, operands: tuple[TensorType, ...], results: tuple[TensorType, ...]) -> Dim:
        return operands[0].elements * operands[0].shape[1]

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4, 5)),))
        yield Sample(cls("positions"), (SampleTensor((1, 4, 3)),))
        yield Sample(cls("elements"), (SampleTensor((2, 2, 3, 1, 2)),))


@register
@final
@dataclass(frozen=True)
class ContentLoss(Op):
    """Half the sum of the squared differences of features, the mean over pictures."""

    name: ClassVar[str] = "content_loss"
    operands: ClassVar[tuple[str, ...]] = ("x", "target")
    family: ClassVar[str] = "loss"
    formula: ClassVar[str | None] = "sum(square(x - target)) / (2 * shape(x)[0])"

    def infer(self, *operands: TensorType) -> TensorType:
        x, target = operands
        for operand, type in zip(self.operands, operands, strict=True):
            require_float(self.name, type, operand)
        require_rank(self.name, x, (2, *RANKS))
        require_equal_shapes(x, target)
        return TensorType(x.dtype, ())

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4, 5)), SampleTensor((2, 3, 4, 5))))
        yield Sample(cls(), (SampleTensor((1, 4)), SampleTensor((1, 4))))


@register
@final
@dataclass(frozen=True)
class StyleLoss(Op):
    """The squared differences of the Gram matrices of features over their positions, summed over 4 C², the mean over pictures.

    This is the paper's E where both have one size; the target may have another, and may be one picture for all.
    """

    name: ClassVar[str] = "style_loss"
    operands: ClassVar[tuple[str, ...]] = ("x", "target")
    family: ClassVar[str] = "loss"
    formula: ClassVar[str | None] = (
        'sum(square(gram(x, divide="positions") - gram(target, divide="positions"))) / (4 * shape(x)[0] * shape(x)[1] ** 2)'
    )

    def infer(self, *operands: TensorType) -> TensorType:
        x, target = operands
        for operand, type in zip(self.operands, operands, strict=True):
            require_float(self.name, type, operand)
            require_rank(self.name, type, RANKS, operand)
        for axis, what in ((1, "channels"), (0, "pictures")):
            same = compare(x.shape[axis], target.shape[axis])
            if same is not True and not (axis == 0 and target.shape[axis] == 1):
                raise RuleError(
                    "NL212" if same is False else "NL204",
                    f"`style_loss` compares features with as many {what}, but `{{x}}` is {x} and `{{target}}` is {target}",
                    at="target",
                    labels={"x": str(x), "target": str(target)},
                    help="compare one entry of a network with itself, on two pictures",
                )
        return TensorType(x.dtype, ())

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((1, 3, 4, 5)), SampleTensor((1, 3, 4, 5))))
        yield Sample(cls(), (SampleTensor((2, 3, 4)), SampleTensor((1, 3, 7))))


@register
@final
@dataclass(frozen=True)
class TotalVariation(Op):
    """Half the sum of squared differences of each pixel to the next on its right and below, the mean over pictures.

    Pixels of the last row and column begin no difference, as in Johnson's program `neural-style`. It is no part of the paper of 2016.
    """

    name: ClassVar[str] = "total_variation"
    family: ClassVar[str] = "loss"
    formula: ClassVar[str | None] = (
        "(sum(square(x[..., :-1, 1:] - x[..., :-1, :-1])) + sum(square(x[..., 1:, :-1] - x[..., :-1, :-1]))) / (2 * shape(x)[0])"
    )

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        require_float(self.name, x)
        require_rank(self.name, x, (4,), meaning="[N, C, H, W]")
        if any(dim.constant is not None and dim.constant < 2 for dim in x.shape[2:]):
            raise RuleError("NL202", f"`total_variation` compares neighbouring pixels, but `{{x}}` is {x}", at="x")
        return TensorType(x.dtype, ())

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((2, 3, 4, 5)),))
        yield Sample(cls(), (SampleTensor((1, 1, 2, 2)),))
