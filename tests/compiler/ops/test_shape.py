"""Shapes, parts and sizes: symbolic results, index formulas, NumPy and torch on drawn attributes, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from compiler.ir.dims import Dim
from compiler.ir.op import Op
from compiler.ir.types import DType, TensorType
from compiler.ops.index import Gather, Index, OneHot, Take
from compiler.ops.join import Concat, Split, Stack
from compiler.ops.linear import Embedding, Linear, Matmul
from compiler.ops.repeat import Expand, Tile
from compiler.ops.resize import Pad, PixelShuffle, PixelUnshuffle, Upsample
from compiler.ops.shape import Flatten, Permute, Reshape, Squeeze, Transpose, Unsqueeze
from tests.compiler.ops import harness
from tests.compiler.ops.apply import apply, infer, numbers, refuse

of = TensorType.of
F32, I64 = DType.f32, DType.i64
H, T = Dim.symbol("H"), Dim.symbol("T")
WHOLE = (None, None, None)


def sizes(*values: int | str | Dim) -> tuple[Dim, ...]:
    return tuple(Dim.symbol(value) if isinstance(value, str) else Dim.of(value) for value in values)


@pytest.mark.parametrize(
    ("op", "shape", "expected"),
    [
        (Flatten(), ("N", 16, 5, 5), "[N, 400]"),
        (Flatten(), ("N", 16, "H", "W"), "[N, 16*H*W]"),
        (Reshape(sizes("N", -1, 8)), ("N", "T", 16), "[N, 2*T, 8]"),
        (Reshape(sizes("N", "T", 4, 16)), ("N", "T", 64), "[N, T, 4, 16]"),
        (Reshape(sizes(-1)), ("N", 2, 3), "[6*N]"),
        (Permute((0, 2, 1)), ("N", "T", "D"), "[N, D, T]"),
        (Transpose(), ("N", "T", "D"), "[N, D, T]"),
        (Unsqueeze(-1), ("N",), "[N, 1]"),
        (Squeeze((1, 3)), ("N", 1, "H", 1), "[N, H]"),
        (Expand(sizes("N", -1, 5)), (3, 1), "[N, 3, 5]"),
        (Tile(sizes(2)), ("N", 3), "[N, 6]"),
        (Index((WHOLE, 0)), ("N", "T", "D"), "[N, D]"),
        (Index((WHOLE, (1, None, None))), ("N", "T", "D"), "[N, T - 1, D]"),
        (Index((WHOLE, (None, -1, None))), ("N", "T", "D"), "[N, T - 1, D]"),
        (Index(("...", (None, None, 2))), ("N", 3, "W"), "[N, 3, (W + 1)//2]"),
        (Index((WHOLE, (None, H, None))), ("N", "H"), "[N, H]"),
        (Index((WHOLE, (H, None, None))), ("N", H + 2), "[N, 2]"),
        (Pad(((2, 0),)), ("N", "C", "T"), "[N, C, T + 2]"),
        (Upsample(2), ("N", "C", "H", "W"), "[N, C, 2*H, 2*W]"),
        (PixelShuffle(2), ("N", 256, "H", "W"), "[N, 64, 2*H, 2*W]"),
        (PixelUnshuffle(2), ("N", 3, 2 * H, 4), "[N, 12, H, 2]"),
        (Linear(5), ("N", "T", 4), "[N, T, 5]"),
    ],
)
def test_results(op: Op, shape: tuple[int | str, ...], expected: str) -> None:
    assert str(infer(op, *shape)) == expected


def test_results_of_several_operands() -> None:
    assert str(Concat().infer(of(F32, "N", "C", 4), of(F32, "N", 3, 4), of(F32, "N", "C", 4))) == "[N, 2*C + 3, 4]"
    assert str(Stack(axis=1).infer(of(F32, "N", 4), of(F32, "N", 4))) == "[N, 2, 4]"
    assert [str(item) for item in Split(3).infer(of(F32, "N", 12))] == ["[N, 4]"] * 3
    assert [str(item) for item in Split(sizes(1, "T"), axis=0).infer(of(F32, T + 1))] == ["[1]", "[T]"]
    assert str(Take(axis=1).infer(of(F32, "N", 5, 3), of(I64, "M", 2))) == "[N, M, 2, 3]"
    assert str(Gather().infer(of(F32, "N", 10), of(I64, "N", 1))) == "[N, 1]"
    assert str(Matmul().infer(of(F32, "N", "T", 8), of(F32, "N", 8, "T"))) == "[N, T, T]"
    assert str(Matmul().infer(of(F32, 4, 8), of(F32, 8))) == "[4]"


def test_costs() -> None:
    x, y = of(F32, "N", "T", 8), of(F32, 8, 3)
    assert str(Matmul().cost((x, y), (of(F32, "N", "T", 3),))) == "24*N*T"
    assert str(Linear(5).cost((x,), (of(F32, "N", "T", 5),))) == "40*N*T"


def test_pixel_shuffle_is_its_formula() -> None:
    x, r = numbers(1, 8, 3, 5), 2
    y = apply(PixelShuffle(r), x)
    for c, h, w, i, j in np.ndindex(2, 3, 5, r, r):
        assert y[0, c, h * r + i, w * r + j] == x[0, c * r**2 + i * r + j, h, w]
    np.testing.assert_array_equal(apply(PixelUnshuffle(r), y), x)


def test_float32_stays_float32() -> None:
    x = numbers(1, 2, 3, 4).astype(np.float32)
    for op in (Upsample(3, mode="linear"), Upsample(size=(5, 2)), Pad(1, value=0.5), Pad(1, mode="reflect")):
        assert apply(op, x).dtype == np.float32


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 20)), min_size=1, max_size=3),
    st.sampled_from(["nearest", "linear"]),
    st.booleans(),
)
def test_upsample_agrees_with_torch(pairs: list[tuple[int, int]], mode: Any, corners: bool) -> None:
    spatial, size = zip(*pairs, strict=True)
    x = numbers(1, 2, *spatial)
    corners = corners and mode == "linear"
    named = mode if mode == "nearest" else ("linear", "bilinear", "trilinear")[len(size) - 1]
    given_corners = {"align_corners": corners} if mode == "linear" else {}
    expected = torch.nn.functional.interpolate(torch.from_numpy(x), size, mode=named, **given_corners).numpy()
    np.testing.assert_allclose(apply(Upsample(size=size, mode=mode, align_corners=corners), x), expected, rtol=0, atol=1e-12)


bounds = st.none() | st.integers(-7, 7)
items = st.integers(-7, 7) | st.tuples(bounds, bounds, st.none() | st.integers(1, 3)) | st.just("...")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.lists(items, min_size=1, max_size=3))
def test_index_agrees_with_numpy(shape: list[int], chosen: list[Any]) -> None:
    x = numbers(*shape)
    key = tuple(slice(*item) if isinstance(item, tuple) else ... if item == "..." else item for item in chosen)
    try:
        expected = x[key]
    except IndexError:
        expected = np.empty(0)
    op = Index(tuple(chosen))
    if expected.size == 0:
        assert refuse(op, of(F32, *shape)).code == "NL223"
        return
    assert infer(op, *shape).shape == expected.shape
    np.testing.assert_array_equal(apply(op, x), expected)


@settings(max_examples=100, deadline=None)
@given(st.tuples(bounds, bounds, st.none() | st.integers(1, 3)), st.integers(1, 9))
def test_a_slice_of_a_symbol_is_right_for_every_size(item: tuple[int | None, int | None, int | None], size: int) -> None:
    op = Index((item,))
    assume(harness.refusal(op, (of(F32, "T"),)) not in ("NL204", "NL223"))
    length = infer(op, "T").shape[0].substitute({"T": size})
    assert max(length.constant or 0, 0) == len(range(size)[slice(*item)])


@pytest.mark.parametrize(
    ("op", "operands", "code", "at", "message"),
    [
        (Flatten(3), (of(F32, "N", 4),), "NL207", "start", "`flatten` has no axis 3 in a tensor of 2 dimensions"),
        (Flatten(2, 1), (of(F32, "N", 4, 5),), "NL207", "start", "`flatten` starts at axis 2, after its end 1"),
        (Reshape(sizes(2, 5)), (of(F32, 3, 4),), "NL220", "sizes", "`{x}` is [3, 4], 12 numbers, not the 10 of [2, 5]"),
        (Reshape(sizes(5, -1)), (of(F32, 3, 4),), "NL220", "sizes", "12 numbers, not a multiple of the 5 of [5, -1]"),
        (Reshape(sizes(-1, -1)), (of(F32, 3, 4),), "NL220", "sizes", "works out one size, but [-1, -1] holds -1 twice"),
        (Reshape(sizes(6, -1)), (of(F32, "N", 4),), "NL204", "sizes", "4*N numbers, not proved to be a multiple of the 6"),
        (Reshape(sizes(0, -1)), (of(F32, 3, 4),), "NL213", "sizes", "`reshape` makes sizes of at least 1, but `sizes` holds 0"),
        (Permute((0, 1)), (of(F32, "N", 4, 5),), "NL208", "axes", "`permute` lists 2 axes, but `{x}` is [N, 4, 5]: it has 3"),
        (Permute((0, 1, -2)), (of(F32, "N", 4, 5),), "NL207", "axes", "`axes` of `permute` names an axis twice: [0, 1, -2]"),
        (Squeeze(1), (of(F32, "N", 4),), "NL226", "axis", "axis 1 of `{x}` is `4` in [N, 4]"),
        (Expand(sizes(2, 5)), (of(F32, 2, 4),), "NL203", "sizes", "its `4` cannot be expanded to `5`"),
        (Concat(), (of(F32, "N", 4, 5), of(F32, "N", 4, 6)), "NL221", "x1", "`{x0}` is [N, 4, 5] but `{x1}` is [N, 4, 6]"),
        (Concat(), (of(F32, "N", 4, 5), of(F32, "N", 4)), "NL221", "x1", "`concat` needs equal sizes except along axis 1"),
        (Concat(), (of(F32, "N", 4), of(F32, "M", 4)), "NL204", "x1", "and it is not proved to fit"),
        (Concat(), (), "NL221", None, "`concat` needs at least one tensor"),
        (Stack(), (of(F32, 3), of(F32, 4)), "NL221", "x1", "`stack` needs equal sizes: `{x0}` is [3] but `{x1}` is [4]"),
        (Stack(), (of(F32, 3), of(I64, 3)), "NL210", "x1", "`stack` takes one element type"),
        (Split(3), (of(F32, "N", 7),), "NL222", "parts", "axis 1 of `{x}` is `7` in [N, 7], not to be split into 3 equal parts"),
        (Split(2), (of(F32, "N", "C"),), "NL204", "parts", "not proved to be split into 2 equal parts"),
        (Split(sizes(3, 5)), (of(F32, "N", 7),), "NL222", "parts", "into parts of 3, 5, together 8"),
        (Index((WHOLE, 10)), (of(F32, "N", 10),), "NL223", "x", "there is no 10 along axis 1 of `{x}`, which is [N, 10]"),
        (Index((0, 0, 0)), (of(F32, "N", 10),), "NL223", "x", "it has 2 axes, but the index names 3"),
        (Index((WHOLE, (3, 3, None))), (of(F32, "N", 10),), "NL223", "x", "`3:3` takes nothing from axis 1 of `{x}`"),
        (Index((WHOLE, (None, None, -1))), (of(F32, "N", 10),), "NL224", None, "the step of a slice is a positive number, but it is `-1`"),
        (
            Index((WHOLE, (None, 9, None))),
            (of(F32, "N", "T"),),
            "NL204",
            "x",
            "a slice's end `9` is not proved to lie within axis 1 of `{x}`",
        ),
        (Take(), (of(F32, 3), of(F32, 3)), "NL210", "index", "`take` takes i64 positions, but `{index}` is [3]"),
        (Gather(), (of(F32, 3, 4), of(I64, 2, 1)), "NL203", "index", "`gather` needs equal sizes except along axis 1"),
        (Gather(), (of(F32, 3, 4), of(I64, 3)), "NL202", "index", "`gather` takes 2 dimensions (as many as `{x}`)"),
        (OneHot(10), (of(F32, "N"),), "NL210", "x", "`one_hot` takes i64 positions"),
        (Embedding(10, 4), (of(F32, "N"),), "NL210", "x", "`embedding` looks up integers, but `{x}` is [N]"),
        (Linear(10), (of(F32, "N", "D"),), "NL205", "x", "`linear` needs to know the last size of `{x}`, but it is `D` in [N, D]"),
        (Linear(10), (of(F32),), "NL202", "x", "`linear` takes at least one dimension"),
        (
            Matmul(),
            (of(F32, "N", 4), of(F32, 5, 4)),
            "NL228",
            "x",
            "`@` sums over the last size of `{x}`, `4` in [N, 4], but the last but one",
        ),
        (Matmul(), (of(F32, "N", 4), of(F32, "K", 4)), "NL204", "x", "which is not proved to be the last but one of `{y}`, `K` in [K, 4]"),
        (Matmul(), (of(F32, 3, 4, 5), of(F32, 2, 5, 1)), "NL203", "x", "`3` and `2` do not broadcast"),
        (Matmul(), (of(F32), of(F32, 2)), "NL202", "x", "`@` takes at least one dimension"),
        (Matmul(), (of(F32, 2), of(I64, 2)), "NL210", "x", "two tensors of one number type"),
        (Pad((1, 1, 1)), (of(F32, 3, 4),), "NL208", "pads", "`pads` of `pad` lists 3 dimensions, but `{x}` is [3, 4]"),
        (Pad(4, mode="reflect"), (of(F32, 1, 1, 4, 9),), "NL225", "pads", "`reflect` padding of 4 needs a size of at least 5"),
        (Pad((1,), mode="reflect"), (of(F32, 1, 1, 4, 9),), "NL208", "pads", "pads all 2 spatial dimensions of `{x}`, but `pads` lists 1"),
        (Upsample(), (of(F32, 1, 1, 4),), "NL227", None, "`upsample` takes `scale` or `size`, and neither is given"),
        (Upsample(2, size=3), (of(F32, 1, 1, 4),), "NL227", None, "and both is given"),
        (Upsample(2, mode="bilinear"), (of(F32, 1, 1, 4),), "NL227", "mode", "`mode=bilinear` is not for 1 spatial dimension"),
        (Upsample(2, align_corners=True), (of(F32, 1, 1, 4),), "NL227", "align_corners", "which `mode=nearest` does not"),
        (
            PixelShuffle(2),
            (of(F32, 1, 6, 4, 4),),
            "NL209",
            "x",
            "`pixel_shuffle` takes a multiple of 4 channels, but axis 1 of `{x}` is `6`",
        ),
        (PixelShuffle(2), (of(F32, 1, "C", 4, 4),), "NL204", "x", "axis 1 of `{x}` is `C`"),
        (PixelUnshuffle(2), (of(F32, 1, 6, 4, 5),), "NL209", "x", "heights and widths that are multiples of 2, but axis 3 of `{x}` is `5`"),
    ],
)
def test_refusals(op: Op, operands: tuple[TensorType, ...], code: str, at: str | None, message: str) -> None:
    error = refuse(op, *operands)
    assert (error.code, error.at) == (code, at)
    assert message in error.message


@pytest.mark.parametrize(
    ("op", "operands", "help"),
    [
        (Reshape(sizes(12)), (of(F32, "N", 3, 4),), "name the batch too: `reshape(N, 12)`"),
        (Concat(), (of(F32, "N", 4, 5), of(F32, "N", 4, 6)), "they fit along axis 2: `axis=2`"),
        (Split(2), (of(F32, "N", "C"),), "declare the size as a multiple, such as `2*K`"),
        (Matmul(), (of(F32, "N", 4), of(F32, 5, 4)), "transpose the second: `{x} @ transpose({y})`"),
        (Matmul(), (of(F32, 4, 3), of(F32, 4, 5)), "transpose the first: `transpose({x}) @ {y}`"),
        (Matmul(), (of(F32, 4), of(F32, 5, 4)), "swap them: `{y} @ {x}`"),
        (Linear(10), (of(F32, "N", "D"),), "give `D` a number in the inputs, or pool to a known size first"),
    ],
)
def test_cures(op: Op, operands: tuple[TensorType, ...], help: str) -> None:
    assert refuse(op, *operands).help == help
