"""Losses and scores of class scores against class indices. C = number of classes, along `axis`; labels have every axis but that one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from compiler.ir.dims import compare
from compiler.ir.op import NEGATION, SUM, Code, Derivative, Lowering, Op, RuleError, Sample, SampleTensor, emitted
from compiler.ir.signature import Positive, Probability
from compiler.ir.types import DType, TensorType
from compiler.ops.arithmetic import number
from compiler.ops.base import normal_axis, register, require_float
from compiler.ops.loss import ReductionWord
from compiler.ops.loss import share as loss_share
from compiler.ops.softmax import log_softmax

if TYPE_CHECKING:
    import numpy as np


def require_labels(name: str, scores: TensorType, label: TensorType, axis: int, operand: str = "logits") -> tuple[int, TensorType]:
    """The class axis and the type that labels must have; refuses labels that are no class indices of these scores."""
    if scores.dtype.is_integer and label.dtype.is_float:
        raise RuleError(
            "NL211",
            f"`{name}` takes the scores first and the class indices second, but `{{{operand}}}` is {scores} and `{{label}}` is {label}",
            at=operand,
            help=f"swap them: `{name}({{label}}, {{{operand}}})`",
        )
    require_float(name, scores, operand)
    if scores.rank == 0:
        raise RuleError("NL202", f"`{name}` takes a score for each class, but `{{{operand}}}` is {scores}", at=operand)
    if scores.rank == 1 and axis == 1:
        axis = 0
    place = normal_axis(name, axis, scores.rank)
    wanted = TensorType(DType.i64, scores.shape[:place] + scores.shape[place + 1 :])
    if label.dtype is not DType.i64:
        raise RuleError(
            "NL211", f"`{name}` takes class indices as i64, but `{{label}}` is {label}", at="label", help=_label_help(scores, label, place)
        )
    equal = [compare(a, b) for a, b in zip(wanted.shape, label.shape, strict=False)] if wanted.rank == label.rank else [False]
    if False in equal or None in equal:
        verb = "but" if False in equal else "and it is not proved that"
        raise RuleError(
            "NL212" if False in equal else "NL204",
            f"`{{{operand}}}` is {scores}, so its labels are {wanted}, {verb} `{{label}}` is {label}",
            at="label",
            labels={operand: str(scores), "label": str(label)},
            help=_axis_help(name, scores, label, operand),
        )
    return place, wanted


def _label_help(scores: TensorType, label: TensorType, place: int) -> str:
    if label.shape == scores.shape:
        return f"one-hot labels become indices by `argmax({{label}}, axis={place})`"
    return "convert it: `cast({label}, i64)`"


def _axis_help(name: str, scores: TensorType, label: TensorType, operand: str) -> str | None:
    for place in range(scores.rank):
        if scores.shape[:place] + scores.shape[place + 1 :] == label.shape:
            return f"if the classes lie along axis {place}, write `{name}({{{operand}}}, {{label}}, axis={place})`"
    if label.rank == scores.rank and label.shape[-1] == 1:
        return "drop the last axis: `{label}[..., 0]`"
    return None


def class_mask(scores: TensorType, place: int) -> str:
    """Text of the truth values that are true at each label's class."""
    classes = scores.shape[place]
    numbers = f"arange({classes}, dtype=i64)"
    after = ", 1" * (scores.rank - place - 1)
    return f"{f'reshape({numbers}, {classes}{after})' if after else numbers} == unsqueeze(label, {place})"


def label_share(op: CrossEntropy | Nll, label: TensorType, place: int) -> str:
    """Text of what each label gets of `g`, as it broadcasts to the scores; 0 for those ignored."""
    share = "g"
    if op.reduction == "mean" and op.ignore_index is None:
        return loss_share("mean", label)
    if op.reduction == "mean":
        share = "g / sum(label != ignore_index)"
    if op.ignore_index is not None:
        share = f"where(label != ignore_index, {share}, 0)"
    return "g" if share == "g" and op.reduction == "sum" else f"unsqueeze({share}, {place})"


@emitted
def class_loss(
    log_probabilities: np.ndarray,
    label: np.ndarray,
    axis: int = 1,
    reduction: str = "mean",
    smoothing: float = 0.0,
    ignore: int | None = None,
) -> np.ndarray:
    """Minus the log-probability at `label`, mixed with the mean over the C classes by `smoothing`; 0 where the label is `ignore`."""
    kept = np.ones(label.shape, bool) if ignore is None else label != ignore
    place = np.expand_dims(np.where(kept, label, 0), axis)
    loss: np.ndarray = -np.squeeze(np.take_along_axis(log_probabilities, place, axis), axis)
    if smoothing > 0:
        loss = (1 - smoothing) * loss - smoothing * log_probabilities.mean(axis=axis)
    loss = np.where(kept, loss, 0)
    if reduction == "mean":
        loss = loss.sum() / kept.sum(dtype=loss.dtype)
    return loss.sum() if reduction == "sum" else loss


@emitted
def cross_entropy(
    logits: np.ndarray, label: np.ndarray, axis: int = 1, reduction: str = "mean", smoothing: float = 0.0, ignore: int | None = None
) -> np.ndarray:
    """Cross-entropy of softmax(logits) over `axis` against class indices."""
    return class_loss(log_softmax(logits, axis), label, axis, reduction, smoothing, ignore)


@register
@final
@dataclass(frozen=True)
class CrossEntropy(Op):
    """Minus the log of the probability that softmax(logits) gives to the class `label`, an i64 index along `axis`.

    `label_smoothing` s mixes in the mean over all classes: target 1 - s + s/C for the class and s/C for others (Szegedy et al.
    2016). Labels equal to `ignore_index` count neither in the sum nor in the mean.
    """

    name: ClassVar[str] = "cross_entropy"
    operands: ClassVar[tuple[str, ...]] = ("logits", "label")
    family: ClassVar[str] = "loss"
    axis: int = 1
    label_smoothing: Probability = 0.0
    ignore_index: int | None = None
    reduction: ReductionWord = "mean"

    def infer(self, *operands: TensorType) -> TensorType:
        logits, label = operands
        _, wanted = require_labels(self.name, logits, label, self.axis)
        return TensorType(logits.dtype, wanted.shape if self.reduction == "none" else ())

    def derivatives(self, *operands: TensorType) -> Derivative:
        """softmax(logits) less the distribution of the target."""
        logits, label = operands
        place, _ = require_labels(self.name, logits, label, self.axis)
        scale, mask = label_share(self, label, place), class_mask(logits, place)
        smoothing = self.label_smoothing
        target = f"cast({mask}, {logits.dtype})"
        if smoothing > 0:
            classes = logits.shape[place]
            known = classes.constant
            part = f"full({smoothing!r}, dtype={logits.dtype}) / ({classes})" if known is None else repr(smoothing / known)
            target = f"({1 - smoothing!r} * {target} + {part})"
        return {"logits": f"{scale} * (softmax(logits, axis={place}) - {target})", "label": None}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        logits, label = arguments
        smoothing = [] if self.label_smoothing == 0 else [f"label_smoothing={number(self.label_smoothing)}"]
        return torch_class_loss("F.cross_entropy", self, at, logits, label, smoothing)

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        logits, label = arguments
        smoothing = [] if self.label_smoothing == 0 else [f"smoothing={number(self.label_smoothing)}"]
        return numpy_class_loss(at.use(cross_entropy), self, at, logits, label, smoothing)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((4, 3)), SampleTensor((4,), DType.i64, 0, 3)))
        yield Sample(cls(label_smoothing=0.2, reduction="sum"), (SampleTensor((2, 5)), SampleTensor((2,), DType.i64, 0, 5)))
        yield Sample(cls(reduction="none"), (SampleTensor((2, 3, 4, 1)), SampleTensor((2, 4, 1), DType.i64, 0, 3)))
        yield Sample(cls(axis=-1, ignore_index=0), (SampleTensor((2, 6, 3)), SampleTensor((2, 6), DType.i64, 0, 3)))
        yield Sample(cls(label_smoothing=0.1, ignore_index=1), (SampleTensor((9, 3)), SampleTensor((9,), DType.i64, 0, 3)))
        yield Sample(cls(), (SampleTensor((4, 3), low=900, high=903), SampleTensor((4,), DType.i64, 0, 3)))
        yield Sample(cls(), (SampleTensor((3,)), SampleTensor((), DType.i64, 0, 3)))


@register
@final
@dataclass(frozen=True)
class Nll(Op):
    """Minus the log-probability (`log_softmax` gives them) of the class `label`, an i64 index along `axis`."""

    name: ClassVar[str] = "nll"
    operands: ClassVar[tuple[str, ...]] = ("x", "label")
    family: ClassVar[str] = "loss"
    axis: int = 1
    ignore_index: int | None = None
    reduction: ReductionWord = "mean"

    def infer(self, *operands: TensorType) -> TensorType:
        x, label = operands
        _, wanted = require_labels(self.name, x, label, self.axis, "x")
        return TensorType(x.dtype, wanted.shape if self.reduction == "none" else ())

    def derivatives(self, *operands: TensorType) -> Derivative:
        x, label = operands
        place, _ = require_labels(self.name, x, label, self.axis, "x")
        return {"x": f"where({class_mask(x, place)}, -{label_share(self, label, place)}, 0)", "label": None}

    def torch(self, at: Lowering, *arguments: Code) -> str:
        x, label = arguments
        return torch_class_loss("F.nll_loss", self, at, x, label, [])

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        x, label = arguments
        return numpy_class_loss(at.use(class_loss), self, at, x, label, [])

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((4, 3)), SampleTensor((4,), DType.i64, 0, 3)))
        yield Sample(cls(reduction="sum"), (SampleTensor((2, 3, 4)), SampleTensor((2, 4), DType.i64, 0, 3)))
        yield Sample(cls(axis=-1, ignore_index=2, reduction="none"), (SampleTensor((2, 4, 3)), SampleTensor((2, 4), DType.i64, 0, 3)))


def torch_class_loss(call: str, op: CrossEntropy | Nll, at: Lowering, scores: Code, label: Code, settings: list[str]) -> str:
    """The call of F with the classes brought to axis 1, where it expects them."""
    place = op.axis % at.operand_types[0].rank if at.operand_types[0].rank > 1 else 1
    moved = scores if place == 1 else f"{scores.tight}.movedim({op.axis}, 1)"
    parts = [moved, label, *([] if op.ignore_index is None else [f"ignore_index={op.ignore_index}"]), *settings]
    return f"{call}({', '.join(parts if op.reduction == 'mean' else [*parts, f'reduction={op.reduction!r}'])})"


def numpy_class_loss(call: str, op: CrossEntropy | Nll, at: Lowering, scores: Code, label: Code, settings: list[str]) -> str:
    """The call of an emitted function with the attributes that differ from its defaults."""
    axis = 0 if at.operand_types[0].rank == 1 else op.axis
    parts = [
        scores,
        label,
        *([] if axis == 1 else [f"axis={axis}"]),
        *([] if op.reduction == "mean" else [f"reduction={op.reduction!r}"]),
        *settings,
    ]
    return f"{call}({', '.join([*parts, *([] if op.ignore_index is None else [f'ignore={op.ignore_index}'])])})"


@register
@final
@dataclass(frozen=True)
class Accuracy(Op):
    """The share of labels that are among the `top` classes with the highest scores, as f32."""

    name: ClassVar[str] = "accuracy"
    derivative: ClassVar[Derivative] = {"logits": None, "label": None}
    operands: ClassVar[tuple[str, ...]] = ("logits", "label")
    family: ClassVar[str] = "loss"
    axis: int = 1
    top: Positive = 1

    def infer(self, *operands: TensorType) -> TensorType:
        logits, label = operands
        place, _ = require_labels(self.name, logits, label, self.axis)
        classes = logits.shape[place].constant
        if classes is not None and self.top > classes:
            raise RuleError("NL217", f"`accuracy` looks among the top {self.top}, but `{{logits}}` has {classes} classes", at="top")
        return TensorType.of(DType.f32)

    def _axis(self, at: Lowering) -> int:
        return 0 if at.operand_types[0].rank == 1 else self.axis

    def torch(self, at: Lowering, *arguments: Code) -> str:
        logits, label = arguments
        axis = self._axis(at)
        if self.top == 1:
            return f"({logits.tight}.argmax(dim={axis}) == {label.within(SUM)}).float().mean()"
        return f"({logits.tight}.topk({self.top}, dim={axis}).indices == {label.tight}.unsqueeze({axis})).any(dim={axis}).float().mean()"

    def numpy(self, at: Lowering, *arguments: Code) -> str:
        logits, label = arguments
        axis = self._axis(at)
        if self.top == 1:
            return f"({logits.tight}.argmax(axis={axis}) == {label.within(SUM)}).mean(dtype=np.float32)"
        best = f"np.argsort(-{logits.within(NEGATION)}, axis={axis}, kind='stable')"
        return (
            f"(np.take({best}, range({self.top}), axis={axis}) == np.expand_dims({label}, {axis})).any(axis={axis}).mean(dtype=np.float32)"
        )

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(cls(), (SampleTensor((16, 3)), SampleTensor((16,), DType.i64, 0, 3)))
        yield Sample(cls(top=2), (SampleTensor((16, 5)), SampleTensor((16,), DType.i64, 0, 5)))
        yield Sample(cls(axis=-1, top=2), (SampleTensor((2, 6, 4)), SampleTensor((2, 6), DType.i64, 0, 4)))
        yield Sample(cls(), (SampleTensor((2, 3, 4, 1)), SampleTensor((2, 4, 1), DType.i64, 0, 3)))
