"""What is printed: the words a good engineer would choose, with parentheses where they are needed and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compiler.ir.dims import Dim
from compiler.ir.op import NEGATION, PRODUCT, SUM, Code, Op
from compiler.ir.types import DType, TensorType
from compiler.ops import activation, arithmetic, classification, comparison, elementwise, functions, loss, random, reduce, search, softmax
from tests.compiler.ops.harness import NUMPY, PlainLowering, run

F32, I64 = DType.f32, DType.i64
of = TensorType.of
X, Y = Code("x"), Code("y")
A_SUM, MINUS = Code("a + b", SUM), Code("-a", NEGATION)
MATRIX, SCALAR, INTEGERS = of(F32, 4, 3), of(F32), of(I64, 4, 3)
LABELS = of(I64, 4)

TEXTS: list[tuple[Op, tuple[TensorType, ...], tuple[Code, ...], str, str | None]] = [
    (arithmetic.Sub(), (MATRIX, MATRIX), (X, A_SUM), "x - (a + b)", "x - (a + b)"),
    (arithmetic.Sub(), (MATRIX, MATRIX), (A_SUM, X), "a + b - x", "a + b - x"),
    (arithmetic.Mul(), (MATRIX, MATRIX), (A_SUM, MINUS), "(a + b) * -a", "(a + b) * -a"),
    (arithmetic.Mul(), (INTEGERS, SCALAR), (X, Code("0.5")), "x * 0.5", "x.astype(np.float32) * 0.5"),
    (arithmetic.Mul(), (INTEGERS, SCALAR), (A_SUM, Y), "(a + b) * y", "(a + b).astype(np.float32) * y"),
    (arithmetic.Div(), (INTEGERS, INTEGERS), (X, Y), "x / y", "x.astype(np.float32) / y.astype(np.float32)"),
    (arithmetic.Pow(), (MATRIX, SCALAR), (MINUS, Code("2")), "(-a) ** 2", "(-a) ** 2"),
    (arithmetic.Pow(), (MATRIX, MATRIX), (X, MINUS), "x ** -a", "x ** -a"),
    (arithmetic.Max(), (MATRIX, SCALAR), (X, Code("0.5")), "torch.clamp(x, min=0.5)", "np.maximum(x, 0.5)"),
    (arithmetic.Min(), (MATRIX, MATRIX), (X, Y), "torch.minimum(x, y)", "np.minimum(x, y)"),
    (comparison.Lt(), (MATRIX, MATRIX), (Code("a < b", 4), A_SUM), "(a < b) < a + b", "(a < b) < a + b"),
    (elementwise.Neg(), (MATRIX,), (A_SUM,), "-(a + b)", "-(a + b)"),
    (elementwise.Cast(F32), (INTEGERS,), (A_SUM,), "(a + b).float()", "(a + b).astype(np.float32)"),
    (elementwise.Cast(DType.u8), (INTEGERS,), (X,), "x.to(torch.uint8)", "x.astype(np.uint8)"),
    (elementwise.Clip(-1.0, 0.5), (MATRIX,), (X,), "torch.clamp(x, -1, 0.5)", None),
    (functions.Erf(), (MATRIX,), (X,), "torch.erf(x)", "erf(x)"),
    (activation.Silu(), (MATRIX,), (X,), "F.silu(x)", None),
    (activation.LeakyRelu(0.2), (MATRIX,), (X,), "F.leaky_relu(x, negative_slope=0.2)", None),
    (activation.Gelu("tanh"), (MATRIX,), (X,), "F.gelu(x, approximate='tanh')", None),
    (activation.Softplus(2.0), (MATRIX,), (A_SUM,), "F.softplus(a + b, beta=2)", "np.logaddexp(2 * (a + b), 0) / 2"),
    (softmax.Sigmoid(), (MATRIX,), (X,), "torch.sigmoid(x)", "sigmoid(x)"),
    (softmax.Softmax(axis=1), (MATRIX,), (X,), "F.softmax(x, dim=1)", "softmax(x, axis=1)"),
    (softmax.Maxout(3), (MATRIX,), (X,), "x.unflatten(1, (-1, 3)).amax(dim=2)", "maxout(x, 3, axis=1)"),
    (reduce.Sum(), (MATRIX,), (A_SUM,), "(a + b).sum()", "(a + b).sum()"),
    (reduce.Mean(axis=(0, 1), keepdims=True), (MATRIX,), (X,), "x.mean(dim=(0, 1), keepdim=True)", "x.mean(axis=(0, 1), keepdims=True)"),
    (reduce.Var(axis=1, correction=0), (MATRIX,), (X,), "x.var(dim=1, correction=0)", "x.var(axis=1)"),
    (reduce.Amax(axis=-1), (MATRIX,), (X,), "x.amax(dim=-1)", "x.max(axis=-1)"),
    (reduce.Norm(), (of(F32, 4, 3, 2),), (X,), "torch.linalg.vector_norm(x, dim=(1, 2))", "np.sqrt(np.square(x).sum(axis=(1, 2)))"),
    (search.Argmax(axis=1), (MATRIX,), (X,), "x.argmax(dim=1)", "x.argmax(axis=1)"),
    (loss.Mse(), (MATRIX, MATRIX), (X, Y), "F.mse_loss(x, y)", None),
    (loss.Mse(), (MATRIX, SCALAR), (X, Code("1")), "F.mse_loss(x, torch.ones_like(x))", None),
    (loss.Hinge(), (MATRIX, SCALAR), (A_SUM, Code("1")), "F.relu(1 - (a + b)).mean()", None),
    (
        loss.BceWithLogits("sum"), (MATRIX, SCALAR), (X, Code("0.9")),
        "F.binary_cross_entropy_with_logits(x, torch.full_like(x, 0.9), reduction='sum')", None,
    ),
    (classification.CrossEntropy(), (MATRIX, LABELS), (X, Y), "F.cross_entropy(x, y)", "cross_entropy(x, y)"),
    (
        classification.CrossEntropy(axis=-1, ignore_index=0), (of(F32, 2, 5, 3), of(I64, 2, 5)), (X, Y),
        "F.cross_entropy(x.movedim(-1, 1), y, ignore_index=0)", "cross_entropy(x, y, axis=-1, ignore=0)",
    ),
    (
        classification.Accuracy(), (MATRIX, LABELS), (X, Y),
        "(x.argmax(dim=1) == y).float().mean()", "(x.argmax(axis=1) == y).mean(dtype=np.float32)",
    ),
    (
        random.Normal((Dim.of(8), Dim.of(64))), (), (),
        "torch.randn(8, 64)", "generator.standard_normal((8, 64), dtype=np.float32)",
    ),
    (random.Uniform((Dim.of(8),), -1.0, 1.0), (), (), "-1 + 2 * torch.rand(8)", "-1 + 2 * generator.random((8,), dtype=np.float32)"),
    (random.Dropout(0.1), (MATRIX,), (X,), "", "x"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "types", "arguments", "torch_text", "numpy_text"), TEXTS, ids=lambda item: getattr(item, "name", None))
def test_texts(op: Op, types: tuple[TensorType, ...], arguments: tuple[Code, ...], torch_text: str, numpy_text: str | None) -> None:
    at = PlainLowering(types, op.infer(*types))
    if torch_text:
        assert op.torch(at, *arguments) == torch_text
    if numpy_text is not None:
        assert op.numpy(at, *arguments) == numpy_text


@pytest.mark.parametrize(
    ("op", "types", "text"),
    [
        (activation.Relu(), (MATRIX,), "nn.ReLU()"),
        (activation.LeakyRelu(0.2), (MATRIX,), "nn.LeakyReLU(negative_slope=0.2)"),
        (softmax.Softmax(axis=1), (MATRIX,), "nn.Softmax(dim=1)"),
        (softmax.Prelu(per_channel=True, init=0.1), (MATRIX,), "nn.PReLU(num_parameters=3, init=0.1)"),
        (random.Dropout(0.25), (MATRIX,), "nn.Dropout(0.25)"),
        (random.ChannelDropout(), (of(F32, 2, 3, 4, 4),), "nn.Dropout2d(0.5)"),
        (reduce.Sum(), (MATRIX,), None),
    ],
)
def test_modules(op: Op, types: tuple[TensorType, ...], text: str | None) -> None:
    assert op.torch_module(*types) == text


def test_results_that_bind_loosely_say_so() -> None:
    at = PlainLowering((MATRIX, MATRIX), MATRIX)
    product = arithmetic.Mul().torch(at, X, Y)
    assert isinstance(product, Code)
    assert product.level == PRODUCT
    assert arithmetic.Sub().torch(at, X, Code(arithmetic.Add().torch(at, X, Y), SUM)) == "x - (x + y)"
    softplus = activation.Softplus(2.0).numpy(PlainLowering((MATRIX,), MATRIX), X)
    assert isinstance(softplus, Code)
    assert softplus.level == PRODUCT


def test_error_function() -> None:
    x = np.concatenate([np.linspace(-8, 8, 40_001), [0.0, -0.0, 1e-300, 1e-12, 1.0, -1.0, np.inf, -np.inf, np.nan]])
    found = run_erf(x)
    expected = torch.erf(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=0)
    np.testing.assert_allclose(run_erf(x.astype(np.float32)), expected, rtol=0, atol=3e-7)


def run_erf(x: np.ndarray) -> np.ndarray:
    result: np.ndarray = NUMPY["erf"](x)
    return result


def test_draws_have_their_moments() -> None:
    size = (Dim.of(200), Dim.of(500))
    deviation = 1e5**-0.5
    for op, mean, spread in (
        (random.Normal(size, mean=-2.0, std=0.5), -2.0, 0.5),
        (random.Uniform(size, low=-1.0, high=3.0), 1.0, 4 / 12**0.5),
        (random.Bernoulli(size, p=0.25), 0.25, (0.25 * 0.75) ** 0.5),
        (random.Randint(size, 4, low=-3), 0.0, 2.0),
    ):
        at = PlainLowering((), op.infer())
        torch.manual_seed(3)
        by_torch = run(op.torch(at), {"torch": torch}).double().numpy()
        by_numpy = np.asarray(run(op.numpy(at), {"np": np, "generator": np.random.default_rng(3)}), float)
        for drawn in (by_torch, by_numpy):
            assert abs(drawn.mean() - mean) < 5 * spread * deviation
            assert abs(drawn.std() - spread) < 5 * spread * deviation
