"""Pooling: published values, borders, and torch on drawn attributes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from compiler.ir.op import Op
from compiler.ir.types import DType, TensorType
from compiler.ops.pool import AvgPool, L2Pool, MaxPool
from compiler.ops.pool_grid import AdaptiveAvgPool, AdaptiveMaxPool, GlobalAvgPool
from tests.compiler.ops.apply import apply, infer, numbers, refuse

of = TensorType.of
F32 = DType.f32


def test_l2_pool_is_the_sum_form() -> None:
    x = (np.arange(16.0) - 5).reshape(1, 1, 4, 4)
    np.testing.assert_allclose(apply(L2Pool(2), x)[0, 0], [[6.480741, 4.242641], [11.747340, 15.556349]], rtol=0, atol=5e-7)


def test_avg_pool_counts_padding_unless_told_otherwise() -> None:
    x = np.ones((1, 1, 4, 4))
    counted = apply(AvgPool(3, stride=2, pad=1), x)[0, 0]
    np.testing.assert_allclose(counted[0], [4 / 9, 6 / 9], rtol=1e-15)
    np.testing.assert_allclose(apply(AvgPool(3, stride=2, pad=1, count_pad=False), x), 1, rtol=1e-15)


def test_max_pool_never_chooses_padding() -> None:
    x = -np.ones((1, 1, 3, 3))
    np.testing.assert_array_equal(apply(MaxPool(3, stride=2, pad=1), x), -np.ones((1, 1, 2, 2)))


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pad", "expected"), [(5, 2, 2, 0, 3), (4, 2, 3, 1, 2), (5, 1, 3, 0, 2), (1, 2, 2, 0, 1)]
)
def test_no_window_starts_in_the_padding_behind(size: int, kernel: int, stride: int, pad: int, expected: int) -> None:
    assert infer(MaxPool(kernel, stride=stride, pad=pad, ceil=True), 1, 1, size).shape[2] == expected


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_windows_agree_with_torch(data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 3))
    drawn = [data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 7), st.integers(1, 2))) for _ in range(rank)]
    kernel, stride, spatial, dilation = (tuple(column) for column in zip(*drawn, strict=True))
    pad = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    ceil, count_pad, largest = (data.draw(st.booleans()) for _ in range(3))
    x = numbers(1, 2, *spatial)
    op: Op = MaxPool(kernel, stride, pad, dilation, ceil) if largest else AvgPool(kernel, stride, pad, ceil, count_pad)
    try:
        if largest:
            function = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[rank - 1]
            expected = function(torch.from_numpy(x), kernel, stride, pad, dilation, ceil).numpy()
        else:
            average = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[rank - 1]
            expected = average(torch.from_numpy(x), kernel, stride, pad, ceil, count_pad).numpy()
    except RuntimeError:
        assert refuse(op, of(F32, *x.shape)).code == "NL206"
        assume(False)
    assert infer(op, *x.shape).shape == expected.shape
    np.testing.assert_allclose(apply(op, x), expected, rtol=0, atol=1e-13)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 9)), min_size=2, max_size=2))
def test_cells_agree_with_torch(sizes: list[tuple[int, int]]) -> None:
    (height, rows), (width, columns) = sizes
    x = numbers(1, 2, height, width)
    for op, function in ((AdaptiveAvgPool, functional.adaptive_avg_pool2d), (AdaptiveMaxPool, functional.adaptive_max_pool2d)):
        expected = function(torch.from_numpy(x), (rows, columns)).numpy()
        np.testing.assert_allclose(apply(op((rows, columns)), x), expected, rtol=0, atol=1e-13)


def test_symbolic_sizes() -> None:
    assert str(infer(MaxPool(2), "N", 3, "H", "W")) == "[N, 3, H//2, W//2]"
    assert str(infer(MaxPool(3, stride=2, pad=1, ceil=True), "N", 3, "H", "W")) == "[N, 3, H//2 + 1, W//2 + 1]"
    assert str(infer(GlobalAvgPool(), "N", "C", "H", "W")) == "[N, C]"
    assert str(infer(GlobalAvgPool(keepdims=True), "N", "C", "H", "W")) == "[N, C, 1, 1]"
    assert str(infer(AdaptiveAvgPool((7, 5)), "N", "C", "H", "W")) == "[N, C, 7, 5]"


@pytest.mark.parametrize(
    ("op", "shape", "code", "at", "message"),
    [
        (MaxPool(3), (1, 3, 2, 9), "NL206", "x", "the kernel of `max_pool` spans 3 but axis 2 of `{x}` is only 2"),
        (MaxPool(2, pad=2), (1, 3, 9, 9), "NL225", "pad", "`pad` of `max_pool` is 2, more than half of its kernel of 2"),
        (AvgPool(2, pad=1), (1, 3, 9, 1, 9), "NL206", "x", "needs at least its kernel of 2, but axis 3 of `{x}` is only 1"),
        (AvgPool(2), (3, 9), "NL202", "x", "`avg_pool` takes 3 or 4 or 5 dimensions"),
        (AvgPool(2, stride=(1, 2)), (1, 3, 9), "NL208", "stride", "`stride` of `avg_pool` lists 2 numbers for 1 spatial dimension"),
        (
            AdaptiveAvgPool((1, 2, 3)),
            (1, 3, 9, 9),
            "NL208",
            "size",
            "`size` of `adaptive_avg_pool` lists 3 numbers for 2 spatial dimensions",
        ),
    ],
)
def test_refusals(op: Op, shape: tuple[int | str, ...], code: str, at: str, message: str) -> None:
    error = refuse(op, of(F32, *shape))
    assert (error.code, error.at) == (code, at)
    assert message in error.message
