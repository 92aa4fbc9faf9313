"""Normalization: what it makes of numbers, what it owns, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from compiler.ir.op import Op
from compiler.ir.types import DType, TensorType
from compiler.ops.layer_norm import L2Normalize, LayerNorm, RmsNorm
from compiler.ops.norm import BatchNorm, GroupNorm, InstanceNorm, LocalResponseNorm
from tests.compiler.ops.apply import apply, numbers, refuse

of = TensorType.of
F32 = DType.f32


def test_batch_norm_uses_running_statistics() -> None:
    x = numbers(4, 3, 5)
    weight, bias, mean, variance = (numbers(3, seed=i) for i in range(1, 5))
    variance = variance**2
    found = apply(BatchNorm(eps=0.1), x, parameters=(weight, bias, mean, variance, np.int64(7)))
    expected = [(x[:, c] - mean[c]) / np.sqrt(variance[c] + 0.1) * weight[c] + bias[c] for c in range(3)]
    np.testing.assert_allclose(found, np.stack(expected, 1), rtol=0, atol=1e-13)


def test_batch_norm_owns_statistics_that_are_not_trained() -> None:
    found = [(item.name, str(item.type), item.trainable) for item in BatchNorm().parameters(of(F32, "N", 64, "H", "W"))]
    assert found == [
        ("weight", "[64]", True), ("bias", "[64]", True), ("running_mean", "[64]", False), ("running_var", "[64]", False),
        ("num_batches_tracked", "i64[]", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "module"), [((8, 3), "nn.BatchNorm1d(3)"), ((8, 3, 4), "nn.BatchNorm1d(3)"), ((8, 3, 4, 4), "nn.BatchNorm2d(3)")]
)
def test_batch_norm_is_the_module_of_its_rank(shape: tuple[int, ...], module: str) -> None:
    assert BatchNorm().torch_module(of(F32, *shape)) == module


@pytest.mark.parametrize("op", [InstanceNorm(eps=1e-12), GroupNorm(4, eps=1e-12, affine=False)])
def test_mean_0_and_variance_1(op: Op) -> None:
    found = apply(op, 3 + 5 * numbers(2, 4, 6, 7))
    np.testing.assert_allclose(found.mean((2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(found.var((2, 3)), 1, atol=1e-9)


def test_local_response_norm_is_its_sum() -> None:
    """Krizhevsky et al. 2012, section 3.3, with n = 5 and their alpha times n; channels beyond the ends are missing."""
    x = numbers(1, 7, 2, 3)
    found = apply(LocalResponseNorm(5, alpha=5e-2, beta=0.75, k=2.0), x)
    for c in range(7):
        around = x[:, max(c - 2, 0) : c + 3]
        np.testing.assert_allclose(found[:, c], x[:, c] / (2 + 1e-2 * (around**2).sum(1)) ** 0.75, rtol=1e-13)


def test_l2_normalize_of_a_zero_vector_is_zero() -> None:
    np.testing.assert_array_equal(apply(L2Normalize(), np.zeros((2, 3))), np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("op", "shape", "code", "at", "message"),
    [
        (
            BatchNorm(),
            (3,),
            "NL202",
            "x",
            "`batch_norm` takes 2 or 3 or 4 or 5 dimensions (N, C and up to 3 spatial ones), but `{x}` is [3]",
        ),
        (BatchNorm(), ("N", "C", 4), "NL205", "x", "`batch_norm` needs to know the number of channels of `{x}`, but it is `C`"),
        (InstanceNorm(), ("N", 3, 1, 1), "NL230", "x", "`instance_norm` has one number in each channel of `{x}`"),
        (InstanceNorm(affine=True), ("N", "C", 4), "NL205", "x", "needs to know the number of channels"),
        (GroupNorm(3), ("N", 4, 4), "NL209", "groups", "3 groups of `group_norm` do not divide the 4 channels of `{x}`"),
        (LayerNorm(3), ("N", 4), "NL207", "axes", "`layer_norm` over the last 3 dimensions, but `{x}` is [N, 4]"),
        (LayerNorm((1,)), ("N", 4, 5), "NL207", "axes", "`layer_norm` normalizes the last dimensions, but `axes` lists [1] of 3"),
        (LayerNorm(2), ("N", "T", 5), "NL205", "x", "`layer_norm` needs to know the sizes it normalizes, but it is `T`"),
        (RmsNorm((3,)), ("N", 4, 5), "NL207", "axes", "`rms_norm` has no axis 3 in a tensor of 3 dimensions"),
        (L2Normalize(axis=2), ("N", 4), "NL207", "axis", "`l2_normalize` has no axis 2 in a tensor of 2 dimensions"),
    ],
)
def test_refusals(op: Op, shape: tuple[int | str, ...], code: str, at: str, message: str) -> None:
    error = refuse(op, of(F32, *shape))
    assert (error.code, error.at) == (code, at)
    assert message in error.message
