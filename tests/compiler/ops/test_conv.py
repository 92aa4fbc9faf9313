"""Convolution against its definition, its adjoint, published costs, and torch on drawn attributes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.ir.dims import Dim
from compiler.ir.graph import Node, Value
from compiler.ir.op import Code, Op
from compiler.ir.types import DType, TensorType
from compiler.ops.conv import Conv, ConvTranspose
from compiler.ops.linear import Linear
from compiler.ops.pool import AvgPool, MaxPool
from compiler.ops.windows import resolve_padding
from compiler.passes.expand import Probe
from tests.compiler.ops.apply import apply, infer, numbers, refuse

of = TensorType.of
F32 = DType.f32


def by_definition(x: Any, w: Any, stride: int, pad: int, dilation: int, groups: int) -> Any:
    """y[n, o, i, j] as a sum over c, u, v, one number at a time."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    out = [(x.shape[2 + a] - dilation * (w.shape[2 + a] - 1) - 1) // stride + 1 for a in (0, 1)]
    y = np.zeros((x.shape[0], w.shape[0], *out))
    share = w.shape[0] // groups
    for n, o, i, j in itertools.product(range(x.shape[0]), range(w.shape[0]), range(out[0]), range(out[1])):
        for c, u, v in itertools.product(*map(range, w.shape[1:])):
            y[n, o, i, j] += w[o, c, u, v] * x[n, o // share * w.shape[1] + c, i * stride + u * dilation, j * stride + v * dilation]
    return y


@pytest.mark.parametrize(("stride", "pad", "dilation", "groups"), [(1, 0, 1, 1), (2, 1, 1, 2), (1, 2, 2, 4), (3, 1, 2, 1)])
def test_conv_is_its_definition(stride: int, pad: int, dilation: int, groups: int) -> None:
    x, w = numbers(2, 4, 9, 12), numbers(4, 4 // groups, 3, 2, seed=1)
    op = Conv(4, (3, 2), stride=stride, pad=pad, dilation=dilation, groups=groups, bias=False)
    np.testing.assert_allclose(apply(op, x, parameters=(w,)), by_definition(x, w, stride, pad, dilation, groups), rtol=0, atol=1e-12)


def test_conv_of_many_rows_is_that_of_blocks() -> None:
    x, w = numbers(1, 8, 150, 210), numbers(3, 8, 3, 3, seed=1)
    expected = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(w), padding=1).numpy()
    found = apply(Conv(3, 3, pad=1, bias=False), x, parameters=(w,))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert found.flags.c_contiguous


@pytest.mark.parametrize(
    ("batch", "height", "width", "pad"), [(1, 16, 14, 0), (3, 14, 14, 1), (1, 41, 30, 1), (2, 17, 23, "same"), (1, 6, 50, 3)]
)
@pytest.mark.parametrize("bias", [False, True])
def test_conv_by_tiles_is_that_by_patches(batch: int, height: int, width: int, pad: Any, bias: bool) -> None:
    x, w, b = numbers(batch, 64, height, width), numbers(65, 64, 3, 3, seed=1), numbers(65, seed=2)
    given = (torch.from_numpy(x), torch.from_numpy(w), torch.from_numpy(b) if bias else None)
    expected = torch.nn.functional.conv2d(*given, padding=1 if pad == "same" else pad).numpy()
    found = apply(Conv(65, 3, pad=pad, bias=bias), x, parameters=(w, b) if bias else (w,))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_tiles_are_there_for_wide_layers_alone() -> None:
    def kernel(op: Conv, channels: int, size: int | Dim = 32) -> str:
        x = of(F32, 1, channels, size, size)
        node = Node(op, (Value(x, "x"),), (), (Value(op.infer(x), "y"),))
        return op.numpy(Probe(node), *map(Code, "xwb")).partition("(")[0]

    assert kernel(Conv(64, 3, pad=1), 64) == kernel(Conv(64, 3, pad=1), 64, Dim.symbol("H")) == "convolve_tiles"
    assert kernel(Conv(64, 3, pad=1), 64, 13) == "convolve"
    narrow = [(Conv(63, 3), 64), (Conv(64, 3), 63), (Conv(64, 5), 64), (Conv(64, 3, stride=2), 64), (Conv(64, 3, dilation=2), 64)]
    for op, channels in (*narrow, (Conv(64, 3, groups=2), 128), (Conv(64, 3, pad=1, mode="reflect"), 64)):
        assert kernel(op, channels) == "convolve"


def test_conv_commutes_with_circular_shifts() -> None:
    x, w = numbers(1, 2, 7, 9), numbers(3, 2, 3, 3, seed=1)
    op = Conv(3, 3, pad=1, bias=False, mode="circular")
    shifted = apply(op, np.roll(x, (2, -3), (2, 3)), parameters=(w,))
    np.testing.assert_allclose(shifted, np.roll(apply(op, x, parameters=(w,)), (2, -3), (2, 3)), rtol=0, atol=1e-13)


def test_conv_sees_its_window_only() -> None:
    op, w, x = Conv(1, 3, pad=1, bias=False), np.ones((1, 1, 3, 3)), np.zeros((1, 1, 9, 9))
    x[0, 0, 4, 6] = 1
    touched = np.argwhere(apply(op, x, parameters=(w,))[0, 0])
    assert touched.min(0).tolist() == [3, 5]
    assert touched.max(0).tolist() == [5, 7]


@pytest.mark.parametrize(("stride", "pad", "dilation", "groups"), [(1, 0, 1, 1), (2, 1, 1, 2), (3, 2, 2, 1)])
def test_conv_transpose_is_the_adjoint(stride: int, pad: int, dilation: int, groups: int) -> None:
    x, w = numbers(2, 4, 11, 12), numbers(6, 4 // groups, 4, 3, seed=1)
    y = apply(Conv(6, (4, 3), stride=stride, pad=pad, dilation=dilation, groups=groups, bias=False), x, parameters=(w,))
    back = numbers(*y.shape, seed=2)
    left = [(x.shape[2 + a] + 2 * pad - dilation * (w.shape[2 + a] - 1) - 1) % stride for a in (0, 1)]
    op = ConvTranspose(4, (4, 3), stride=stride, pad=pad, output_pad=(left[0], left[1]), dilation=dilation, groups=groups, bias=False)
    transposed = apply(op, back, parameters=(w,))
    assert transposed.shape == x.shape
    np.testing.assert_allclose((y * back).sum(), (x * transposed).sum(), rtol=1e-12)


@pytest.mark.parametrize(("kernel", "pads"), [(3, (0, 1)), (5, (1, 2)), (4, (1, 1))])
def test_same_padding_at_stride_2_on_even_sizes(kernel: int, pads: tuple[int, int]) -> None:
    """What TensorFlow's `SAME` and ONNX's SAME_UPPER pad."""
    assert resolve_padding("conv", of(F32, 1, 1, 28), (kernel,), (2,), "same", (1,)) == (pads,)
    assert infer(Conv(1, kernel, stride=2, pad="same"), 1, 1, 28).shape[2] == 14


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_conv_agrees_with_torch(data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 3))
    groups = data.draw(st.sampled_from([1, 1, 2]))
    drawn = [data.draw(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.integers(1, 3))) for _ in range(rank)]
    kernel, stride, pad, dilation = (tuple(column) for column in zip(*drawn, strict=True))
    least = [max(d * (k - 1) + 1 - 2 * p, 1) for k, p, d in zip(kernel, pad, dilation, strict=True)]
    spatial = [size + data.draw(st.integers(0, 5)) for size in least]
    op = Conv(4, kernel, stride, pad, dilation, groups)
    x, w, b = numbers(data.draw(st.integers(1, 3)), 2 * groups, *spatial), numbers(4, 2, *kernel, seed=1), numbers(4, seed=2)
    function = (torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d)[rank - 1]
    tensors = [torch.from_numpy(array) for array in (x, w, b)]
    expected = function(tensors[0], tensors[1], tensors[2], stride, pad, dilation, groups).numpy()
    assert infer(op, *x.shape).shape == expected.shape
    np.testing.assert_allclose(apply(op, x, parameters=(w, b)), expected, rtol=0, atol=1e-11)


def cost(layers: list[Op], x: TensorType) -> list[int]:
    """Multiply-adds of each layer that multiplies, `x` going through all."""
    found = []
    for op in layers:
        if isinstance(op, Linear) and x.rank > 2:
            x = of(x.dtype, x.shape[0], x.elements // x.shape[0])
        y = op.infer(x)
        assert isinstance(y, TensorType)
        found.append(op.cost((x,), (y,)).constant or 0)
        x = y
    return [number for number in found if number]


def test_cost_of_lenet() -> None:
    layers: list[Op] = [Conv(6, 5, pad=2), AvgPool(2), Conv(16, 5), AvgPool(2), Linear(120), Linear(84), Linear(10)]
    assert cost(layers, of(F32, 1, 1, 28, 28)) == [117_600, 240_000, 48_000, 10_080, 840]
    assert sum(cost(layers, of(F32, 1, 1, 28, 28))) == 416_520


def test_cost_of_vgg19() -> None:
    """Features 19,508,428,800 and all 19,632,062,464 multiply-adds at 224 x 224 (arXiv:1409.1556, configuration E)."""
    layers: list[Op] = []
    for filters, count in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        layers += [Conv(filters, 3, pad=1)] * count + [MaxPool(2)]
    found = cost([*layers, Linear(4096), Linear(4096), Linear(1000)], of(F32, 1, 3, 224, 224))
    assert found[:4] == [86_704_128, 1_849_688_064, 924_844_032, 1_849_688_064]
    assert sum(found[:16]) == 19_508_428_800
    assert sum(found) == 19_632_062_464


def test_cost_of_dcgan() -> None:
    """pytorch/examples at 64 x 64: G 104.63 M, counted by input pixels, and D 103.82 M multiply-adds."""
    g: list[Op] = [ConvTranspose(512, 4, bias=False)]
    g += [ConvTranspose(filters, 4, stride=2, pad=1, bias=False) for filters in (256, 128, 64, 3)]
    d: list[Op] = [Conv(filters, 4, stride=2, pad=1, bias=False) for filters in (64, 128, 256, 512)]
    assert sum(cost(g, of(F32, 1, 100, 1, 1))) == 104_628_224
    assert sum(cost([*d, Conv(1, 4, bias=False)], of(F32, 1, 3, 64, 64))) == 103_817_216


def test_symbolic_sizes() -> None:
    assert str(infer(Conv(64, 3, stride=2), "N", 3, "H", "W")) == "[N, 64, (H - 3)//2 + 1, (W - 3)//2 + 1]"
    assert str(infer(Conv(64, 3, pad="same"), "N", 3, "H", "W")) == "[N, 64, H, W]"
    assert str(infer(ConvTranspose(64, 4, stride=2, pad=1), "N", 3, "H", "W")) == "[N, 64, 2*H, 2*W]"


@pytest.mark.parametrize(
    ("op", "shape", "code", "at", "message"),
    [
        (Conv(8, 5), (1, 3, 4, 9), "NL206", "x", "the kernel of `conv` spans 5 but axis 2 of `{x}` is only 4"),
        (
            Conv(8, 3, pad=1, dilation=3),
            (1, 3, 9, 4),
            "NL206",
            "x",
            "spans 3 (dilated to 7) but axis 3 of `{x}` is only 4 (6 with its padding)",
        ),
        (Conv(8, 5), (3, 28), "NL202", "x", "`conv` takes 3 or 4 or 5 dimensions (N, C and 1, 2 or 3 spatial ones), but `{x}` is [3, 28]"),
        (Conv(8, (3, 3)), (1, 3, 9), "NL208", "kernel", "`kernel` of `conv` lists 2 numbers for 1 spatial dimension"),
        (Conv(8, 3, groups=2), (1, 3, 9, 9), "NL209", "groups", "2 groups of `conv` do not divide the 3 channels of `{x}`"),
        (Conv(7, 3, groups=2), (1, 4, 9, 9), "NL209", "groups", "2 groups of `conv` do not divide the 7 filters"),
        (Conv(8, 3), (1, "C", 9, 9), "NL205", "x", "`conv` needs to know the number of channels of `{x}`, but it is `C`"),
        (Conv(8, 3, stride=2, pad="same"), (1, 3, "H", 9), "NL205", "x", "needs to know the size it pads with `pad=same` at stride 2"),
        (Conv(8, 3, pad=5, mode="reflect"), (1, 3, 5, 9), "NL225", "pad", "`reflect` padding of 5 needs a size of at least 6"),
        (
            ConvTranspose(8, 3, stride=2, output_pad=2),
            (1, 3, 5, 9),
            "NL225",
            "output_pad",
            "is 2 but must be smaller than its stride 2 or dilation 1",
        ),
        (ConvTranspose(8, 2, pad=1), (1, 3, 1, 9), "NL225", "pad", "takes 2 off a result of 2 at axis 2"),
        (ConvTranspose(8, 2, groups=3), (1, 3, 1, 9), "NL209", "groups", "3 groups of `conv_transpose` do not divide the 8 filters"),
    ],
)
def test_refusals(op: Op, shape: tuple[int | str, ...], code: str, at: str, message: str) -> None:
    error = refuse(op, of(F32, *shape))
    assert (error.code, error.at) == (code, at)
    assert message in error.message


def test_a_kernel_too_large_is_told_what_fits() -> None:
    error = refuse(Conv(8, 3, pad=1, dilation=3), of(F32, 1, 3, 9, 4))
    assert error.help == "use a kernel of at most 2, more padding, or fewer layers that shrink before it"
    assert infer(Conv(8, 2, pad=1, dilation=3), 1, 3, 9, 4).shape[3] == 3


def test_integers_are_refused() -> None:
    assert refuse(Conv(8, 3), of(DType.i64, 1, 3, 9, 9)).code == "NL210"
