"""Ops that derivatives are made of: adjoint to what they derive on drawn attributes, exact with equal maxima and repeated positions."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from compiler.ir.dims import Dim
from compiler.ir.op import Op, RuleError
from compiler.ops.conv_gradients import Convolve, ConvolveInput, ConvolveWeight
from compiler.ops.index_gradients import GatherGradient, TakeGradient
from compiler.ops.norm import BatchNorm
from compiler.ops.norm_gradients import BatchNormGradient, BatchNormTraining
from compiler.ops.pool import AvgPool, MaxPool
from compiler.ops.pool_gradients import AvgPoolGradient, MaxPoolGather, MaxPoolGradient
from compiler.ops.resize import Pad, Upsample
from compiler.ops.resize_gradients import PadGradient, UpsampleGradient
from compiler.passes.training_mode import training_graph
from tests.compiler.ops.apply import apply, numbers, type_of

MODES: st.SearchStrategy[Any] = st.sampled_from(["zeros", "reflect", "replicate", "circular"])


def dims(shape: tuple[int, ...]) -> tuple[Dim, ...]:
    return tuple(map(Dim.of, shape))


def accepts(op: Op, *operands: Any) -> None:
    """Discard drawn attributes that the type rule refuses."""
    try:
        op.infer(*map(type_of, operands))
    except RuleError:
        assume(False)


def assert_equal(found: float, expected: float) -> None:
    assert abs(found - expected) <= 1e-11 * max(1.0, abs(expected))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_convolution_and_its_adjoints(data: st.DataObject) -> None:
    """<conv(x, w), y> = <x, conv_input(y, w)> = <w, conv_weight(x, y)>."""
    rank = data.draw(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(data.draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank)))

    groups, width, filters = (data.draw(st.integers(1, 3)) for _ in range(3))
    mode = data.draw(MODES)
    pads = tuple(zip(each(0, 3), each(0, 3), strict=True))
    geometry: dict[str, Any] = {"stride": each(1, 3), "pads": pads, "dilation": each(1, 2), "groups": groups, "mode": mode}
    x = numbers(data.draw(st.integers(1, 3)), groups * width, *each(1, 7))
    weight = numbers(groups * filters, width, *each(1, 3), seed=1)
    accepts(Convolve(**geometry), x, weight)
    accepts(Pad(pads, mode), x)
    result = apply(Convolve(**geometry), x, weight)
    y = numbers(*result.shape, seed=2)
    expected = float(np.sum(result * y))
    assert_equal(float(np.sum(x * apply(ConvolveInput(**geometry, sizes=dims(x.shape[2:])), y, weight))), expected)
    assert_equal(float(np.sum(weight * apply(ConvolveWeight(**geometry, kernel=weight.shape[2:]), x, y))), expected)


def test_filters_of_many_examples_in_blocks() -> None:
    """Large enough that patches are taken by rows, and by examples."""
    for shape in ((2, 40, 60, 60), (40, 16, 20, 20)):
        x, weight = numbers(*shape), numbers(5, shape[1], 3, 3, seed=1)
        geometry: dict[str, Any] = {"stride": (1, 1), "pads": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1, "mode": "zeros"}
        y = numbers(shape[0], 5, *shape[2:], seed=2)
        found = apply(ConvolveWeight(**geometry, kernel=(3, 3)), x, y)
        tensors = [torch.from_numpy(item) for item in (x, weight, y)]
        (expected,) = torch.autograd.grad(functional.conv2d(tensors[0], tensors[1].requires_grad_(), padding=1), tensors[1], tensors[2])
        np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2), st.integers(1, 2), st.booleans(), st.integers(0, 2**20))
def test_first_of_equal_maxima(kernel: int, stride: int, pad: int, dilation: int, ceil: bool, seed: int) -> None:
    """Small integers, so that most windows have several maxima; against torch's choice."""
    x = np.random.default_rng(seed).integers(0, 3, (2, 2, 7, 6)).astype(np.float64)
    op = MaxPool(kernel, stride, pad, dilation, ceil)
    accepts(op, x)
    tensor = torch.from_numpy(x).requires_grad_()
    result = functional.max_pool2d(tensor, kernel, stride, pad, dilation, ceil)
    y, values = numbers(*result.shape), numbers(*x.shape, seed=1)
    (expected,) = torch.autograd.grad(result, tensor, torch.from_numpy(y))
    found = apply(MaxPoolGradient(kernel, stride, pad, dilation, ceil), x, y)
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-12)
    gathered = apply(MaxPoolGather(kernel, stride, pad, dilation, ceil), x, values)
    assert_equal(float(np.sum(gathered * y)), float(np.sum(found * values)))


def test_maxima_of_many_channels_in_blocks() -> None:
    x = numbers(3, 5, 300, 300)
    tensor = torch.from_numpy(x).requires_grad_()
    result = functional.max_pool2d(tensor, 3, 2, 1)
    (expected,) = torch.autograd.grad(result, tensor, torch.ones_like(result))
    np.testing.assert_array_equal(apply(MaxPoolGradient(3, 2, 1), x, np.ones(result.shape)), expected.numpy())


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2), st.booleans(), st.booleans())
def test_means_of_windows(kernel: int, stride: int, pad: int, ceil: bool, count_pad: bool) -> None:
    x = numbers(2, 2, 7, 6)
    op = AvgPool(kernel, stride, pad, ceil, count_pad)
    accepts(op, x)
    result = apply(op, x)
    y = numbers(*result.shape, seed=1)
    back = apply(AvgPoolGradient(dims(x.shape[2:]), kernel, stride, pad, ceil, count_pad), y)
    assert_equal(float(np.sum(back * x)), float(np.sum(result * y)))


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(1, 9), st.integers(1, 9)), st.sampled_from(["nearest", "linear"]), st.booleans())
def test_upsampling(size: tuple[int, int], mode: Any, align_corners: bool) -> None:
    x = numbers(2, 3, 4, 5)
    op = Upsample(None, size, mode, align_corners and mode == "linear")
    result = apply(op, x)
    y = numbers(*result.shape, seed=1)
    back = apply(UpsampleGradient(dims(x.shape[2:]), None, size, mode, op.align_corners), y)
    assert_equal(float(np.sum(back * x)), float(np.sum(result * y)))


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(0, 4)] * 4), MODES.filter(lambda mode: mode != "zeros"))
def test_padding(sides: tuple[int, int, int, int], mode: Any) -> None:
    x = numbers(1, 2, 4, 5)
    pads = (sides[:2], sides[2:])
    accepts(Pad(pads, mode), x)
    result = apply(Pad(pads, mode), x)
    y = numbers(*result.shape, seed=1)
    assert_equal(float(np.sum(apply(PadGradient(pads, mode), y) * x)), float(np.sum(result * y)))


@pytest.mark.parametrize(("count", "positions", "width"), list(itertools.product((1, 7, 300, 5000), (1, 6, 900, 30_000), (1, 3))))
def test_repeated_positions_add_up(count: int, positions: int, width: int) -> None:
    """Few and many bins, few and many positions: each takes another way."""
    index = np.random.default_rng(0).integers(0, max(1, count // 2), positions)
    y = numbers(2, positions, width)
    expected = np.zeros((2, count, width))
    np.add.at(expected.swapaxes(0, 1), index, y.swapaxes(0, 1))
    np.testing.assert_allclose(apply(TakeGradient(1, Dim.of(count)), y, index), expected, rtol=0, atol=1e-11)
    rows = np.stack([index, index[::-1]])
    along = np.zeros((2, count))
    np.add.at(along, (np.arange(2)[:, None], rows), y[:, :, 0])
    found = apply(GatherGradient(1, Dim.of(count)), np.ascontiguousarray(y[:, :, 0]), rows)
    np.testing.assert_allclose(found, along, rtol=0, atol=1e-11)


def test_one_position_and_positions_from_the_end() -> None:
    y = numbers(2, 3)
    found = apply(TakeGradient(1, Dim.of(4)), y, np.asarray(-1))
    np.testing.assert_array_equal(found, np.stack([np.zeros_like(y)] * 3 + [y], axis=1))


@pytest.mark.parametrize("shape", [(6, 4, 5, 3), (8, 4), (3, 4, 7)])
def test_three_steps_of_batch_normalization(shape: tuple[int, ...]) -> None:
    """Results, running statistics and trained numbers as torch's after each of three steps."""
    module: Any = (torch.nn.BatchNorm1d if len(shape) < 4 else torch.nn.BatchNorm2d)(4, eps=1e-3, momentum=0.2).double()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    weight, bias, mean, variance, tracked = np.ones(4), np.zeros(4), np.zeros(4), np.ones(4), np.asarray(0)
    kept = (1, 4, *(1,) * (len(shape) - 2))
    for step in range(3):
        x, y = 3 * numbers(*shape, seed=step) + 1, numbers(*shape, seed=9 + step)
        tensor = torch.from_numpy(x).requires_grad_()
        optimizer.zero_grad()
        expected = module(tensor)
        expected.backward(torch.from_numpy(y))
        found, mean, variance, tracked = apply(BatchNormTraining(1e-3, 0.2), x, weight, bias, mean, variance, tracked)
        backward = BatchNormGradient((0, *range(2, len(shape))), 1e-3)
        back, by_weight, by_bias = apply(backward, x, weight.reshape(kept), y)
        weight, bias = weight - 0.1 * by_weight.reshape(-1), bias - 0.1 * by_bias.reshape(-1)
        optimizer.step()
        pairs = [(found, expected), (back, tensor.grad), (weight, module.weight), (bias, module.bias)]
        pairs += [(mean, module.running_mean), (variance, module.running_var)]
        for ours, theirs in pairs:
            np.testing.assert_allclose(ours, theirs.numpy(force=True), rtol=0, atol=1e-12)
        assert tracked == module.num_batches_tracked == step + 1


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_training_form_of_batch_norm(affine: bool, rank: int) -> None:
    x = type_of(numbers(5, 4, *(3,) * (rank - 2)))
    graph = training_graph(BatchNorm(affine=affine), (x,))
    assert [str(value.type) for value in graph.outputs.values()] == [str(x), "f64[4]", "f64[4]", "i64[]"]


def test_one_number_is_no_batch() -> None:
    operands = [numbers(1, 4), *[numbers(4)] * 4, np.asarray(0)]
    with pytest.raises(RuleError) as caught:
        BatchNormTraining(1e-5, 0.1).infer(*map(type_of, operands))
    assert caught.value.code == "NL230"
