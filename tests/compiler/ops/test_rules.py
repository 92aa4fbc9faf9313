"""What type rules refuse, with which code, pointing at what; and how dtypes promote."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compiler.diagnostics.codes.types import CODES
from compiler.ir.dims import Dim
from compiler.ir.op import Op, RuleError
from compiler.ir.types import DType, TensorType
from compiler.ops import activation, arithmetic, classification, comparison, elementwise, functions, loss, random, reduce, search, softmax

F32, I64, BOOL = DType.f32, DType.i64, DType.bool
of = TensorType.of
C = Dim.symbol("C")

REFUSED: list[tuple[Op, tuple[TensorType, ...], str, str]] = [
    (arithmetic.Add(), (of(F32, 2, 3), of(F32, 4)), "NL203", "x"),
    (arithmetic.Add(), (of(F32, "N"), of(F32, 3)), "NL204", "x"),
    (arithmetic.Sub(), (of(BOOL, 2), of(BOOL, 2)), "NL210", "x"),
    (arithmetic.Pow(), (of(F32, 2), of(BOOL, 2)), "NL210", "y"),
    (comparison.LogicalAnd(), (of(BOOL, 2), of(F32, 2)), "NL210", "y"),
    (elementwise.Where(), (of(F32, 2), of(F32, 2), of(F32, 2)), "NL210", "condition"),
    (elementwise.Where(), (of(BOOL, 2), of(F32, 2), of(F32, 3)), "NL203", "condition"),
    (elementwise.Clip(1.0, 0.0), (of(F32, 2),), "NL214", "low"),
    (elementwise.Neg(), (of(BOOL, 2),), "NL210", "x"),
    (functions.Exp(), (of(I64, 2),), "NL210", "x"),
    (activation.Relu(), (of(I64, 2),), "NL210", "x"),
    (activation.Hardtanh(1.0, 1.0), (of(F32, 2),), "NL214", "low"),
    (softmax.Prelu(per_channel=True), (of(F32, 3),), "NL202", "x"),
    (softmax.Prelu(per_channel=True), (of(F32, "N", "C"),), "NL205", "x"),
    (softmax.Softmax(axis=2), (of(F32, 2, 3),), "NL207", "axis"),
    (softmax.Softmax(), (of(F32),), "NL207", "axis"),
    (softmax.Glu(), (of(F32, 2, 3),), "NL209", "x"),
    (softmax.Glu(), (of(F32, 2, "C"),), "NL204", "x"),
    (softmax.Glu(), (TensorType(F32, (2 * C + 1,)),), "NL209", "x"),
    (softmax.Maxout(3), (of(F32, 2, 4),), "NL209", "pieces"),
    (reduce.Sum(axis=(0, -2)), (of(F32, 2, 3),), "NL207", "axis"),
    (reduce.Sum(axis=()), (of(F32, 2, 3),), "NL207", "axis"),
    (reduce.Mean(), (of(I64, 2, 3),), "NL210", "x"),
    (reduce.Var(axis=1), (of(F32, "N", 1),), "NL215", "axis"),
    (reduce.Norm(), (of(F32, "N"),), "NL202", "x"),
    (reduce.Norm(), (of(F32),), "NL202", "x"),
    (search.Argmax(axis=-3), (of(F32, 2, 3),), "NL207", "axis"),
    (search.Argmax(), (of(BOOL, 2, 3),), "NL210", "x"),
    (search.Any(), (of(F32, 2, 3),), "NL210", "x"),
    (search.Cumsum(1), (of(F32, 2),), "NL207", "axis"),
    (loss.Mse(), (of(F32, "N", 1), of(F32, "N")), "NL212", "target"),
    (loss.Mse(), (of(F32, "N"), of(F32, "M")), "NL204", "target"),
    (loss.Mse(), (of(F32, "N"), of(I64, "N")), "NL210", "target"),
    (loss.Mse(), (of(F32, "N"), of(DType.f64, "N")), "NL210", "target"),
    (loss.BceWithLogits(), (of(I64, "N"), of(F32, "N")), "NL210", "x"),
    (loss.KlDiv(), (of(F32), of(F32)), "NL202", "x"),
    (loss.CosineSimilarity(), (of(F32, 2, 3), of(F32, 3)), "NL203", "y"),
    (classification.CrossEntropy(), (of(F32, "N", 10), of(F32, "N", 10)), "NL211", "label"),
    (classification.CrossEntropy(), (of(I64, "N"), of(F32, "N", 10)), "NL211", "logits"),
    (classification.CrossEntropy(), (of(F32, "N", "T", 10), of(I64, "N", "T")), "NL204", "label"),
    (classification.CrossEntropy(), (of(F32, 2, 7, 10), of(I64, 2, 7)), "NL212", "label"),
    (classification.CrossEntropy(), (of(F32, "N", 10), of(I64, "N", 1)), "NL212", "label"),
    (classification.CrossEntropy(), (of(F32), of(I64)), "NL202", "logits"),
    (classification.Nll(axis=2), (of(F32, 2, 3), of(I64, 2)), "NL207", "axis"),
    (classification.Accuracy(), (of(F32, "N", 10), of(DType.i32, "N")), "NL211", "label"),
    (classification.Accuracy(top=11), (of(F32, "N", 10), of(I64, "N")), "NL217", "top"),
    (random.Normal((Dim.of(3), Dim.of(0))), (), "NL213", "shape"),
    (random.Uniform((Dim.of(3),), low=1.0, high=1.0), (), "NL214", "low"),
    (random.Randint((Dim.of(3),), 0), (), "NL214", "high"),
    (random.ChannelDropout(), (of(F32, 2, 3),), "NL202", "x"),
]


@pytest.mark.parametrize(("op", "types", "code", "at"), REFUSED, ids=lambda item: getattr(item, "name", None))
def test_refusals(op: Op, types: tuple[TensorType, ...], code: str, at: str) -> None:
    with pytest.raises(RuleError) as caught:
        op.infer(*types)
    error = caught.value
    assert (error.code, error.at) == (code, at)
    assert at in op.operands or hasattr(op, at)
    assert not error.message.endswith(".")
    names = {name: name for name in op.operands}
    for text in (error.message, error.help or "", *error.labels):
        text.format_map(names)
    assert set(error.labels) <= set(op.operands)


def test_codes_are_explained() -> None:
    explained = {code.code for code in CODES}
    assert {code for _, _, code, _ in REFUSED} <= explained


def test_messages_name_the_cure() -> None:
    with pytest.raises(RuleError) as swapped:
        classification.CrossEntropy().infer(of(I64, "N"), of(F32, "N", 10))
    assert swapped.value.help == "swap them: `cross_entropy({label}, {logits})`"
    with pytest.raises(RuleError) as one_hot:
        classification.Accuracy().infer(of(F32, "N", 10), of(F32, "N", 10))
    assert one_hot.value.help == "one-hot labels become indices by `argmax({label}, axis=1)`"
    with pytest.raises(RuleError) as last:
        classification.CrossEntropy().infer(of(F32, 2, 7, 10), of(I64, 2, 7))
    assert last.value.help == "if the classes lie along axis 2, write `cross_entropy({logits}, {label}, axis=2)`"
    with pytest.raises(RuleError) as column:
        loss.Mse().infer(of(F32, "N", 1), of(F32, "N"))
    assert column.value.help == "give it the axis: `reshape({target}, N, 1)`"


DTYPES = [item for item in DType if item is not DType.bf16]


@pytest.mark.parametrize(("first", "second"), list(itertools.product(DTYPES, DTYPES)), ids=str)
@pytest.mark.parametrize("ranks", [(1, 1), (1, 0), (0, 1), (0, 0)], ids=str)
def test_promotion_is_torchs(first: DType, second: DType, ranks: tuple[int, int]) -> None:
    types = [of(dtype, *(2,) * rank) for dtype, rank in zip((first, second), ranks, strict=True)]
    tensors = [torch.ones((2,) * rank, dtype=getattr(torch, dtype.torch_name)) for dtype, rank in zip((first, second), ranks, strict=True)]
    assert getattr(torch, arithmetic.promoted(*types).torch_name) is torch.result_type(*tensors)


@given(st.lists(st.integers(1, 5), max_size=4), st.data())
def test_reduced_shapes(sizes: list[int], data: st.DataObject) -> None:
    axes = data.draw(st.none() if not sizes else st.none() | st.sets(st.integers(0, len(sizes) - 1), min_size=1).map(tuple))
    signed = axes if axes is None else tuple(axis - len(sizes) * data.draw(st.integers(0, 1)) for axis in axes)
    keepdims = data.draw(st.booleans())
    found = reduce.Sum(axis=signed, keepdims=keepdims).infer(of(F32, *sizes))
    expected = torch.ones(sizes).sum(dim=axes if axes is not None else tuple(range(len(sizes))), keepdim=keepdims)
    assert isinstance(found, TensorType)
    assert tuple(size.constant for size in found.shape) == (tuple(expected.shape) if sizes else ())
