"""Tensor types: names, promotion against torch, broadcasting against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compiler.ir.dims import Dim
from compiler.ir.types import BroadcastError, DType, TensorType, broadcast, format_shape, promote

H, N, W = map(Dim.symbol, "HNW")


@pytest.mark.parametrize("a", DType)
@pytest.mark.parametrize("b", DType)
def test_promotion_is_that_of_torch(a: DType, b: DType) -> None:
    expected = torch.promote_types(getattr(torch, a.torch_name), getattr(torch, b.torch_name))
    assert getattr(torch, promote(a, b).torch_name) == expected


@pytest.mark.parametrize("dtype", DType)
def test_names_and_widths_are_those_of_torch_and_numpy(dtype: DType) -> None:
    theirs = getattr(torch, dtype.torch_name)
    assert theirs.itemsize == dtype.bytes
    assert theirs.is_floating_point == dtype.is_float
    assert dtype.is_integer == (not dtype.is_float and dtype is not DType.bool)
    if dtype is DType.bf16:
        with pytest.raises(ValueError, match="bf16"):
            _ = dtype.numpy_name
    else:
        assert np.dtype(dtype.numpy_name).itemsize == dtype.bytes
        assert torch.zeros(1, dtype=theirs).numpy().dtype == np.dtype(dtype.numpy_name)


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (TensorType.of(DType.f32, "N", 3, "H", W), "[N, 3, H, W]"),
        (TensorType.of(DType.i64, "N", "T"), "i64[N, T]"),
        (TensorType.of(DType.f64, 2), "f64[2]"),
        (TensorType.of(DType.f32), "f32[]"),
        (TensorType.of(DType.bool), "bool[]"),
        (TensorType.of(DType.f32, N, H // 2), "[N, H//2]"),
    ],
)
def test_text(type_: TensorType, text: str) -> None:
    assert str(type_) == text


def test_shape_facts() -> None:
    type_ = TensorType.of(DType.f32, "N", 3, "H")
    assert type_.rank == 3
    assert type_.elements == 3 * N * H
    assert TensorType.of(DType.f32).elements == 1
    assert type_.substitute({"N": 2, "H": W + 1}) == TensorType.of(DType.f32, 2, 3, W + 1)
    assert hash(type_) == hash(TensorType.of(DType.f32, N, 3, H))
    assert format_shape(type_.shape) == "[N, 3, H]"


_shapes = st.lists(st.lists(st.sampled_from([0, 1, 1, 2, 3]), max_size=4), max_size=4)


@given(_shapes)
def test_known_sizes_broadcast_as_in_numpy(shapes: list[list[int]]) -> None:
    ours = [tuple(map(Dim.of, shape)) for shape in shapes]
    try:
        expected = np.broadcast_shapes(*map(tuple, shapes))
    except ValueError:
        with pytest.raises(BroadcastError) as caught:
            broadcast(*ours)
        assert caught.value.decided
    else:
        assert broadcast(*ours) == expected


def test_symbolic_sizes_broadcast() -> None:
    one = Dim.of(1)
    assert broadcast((N, one, W), (H, one)) == (N, H, W)
    assert broadcast((H - H // 2,), ((H + 1) // 2,)) == (H - H // 2,)
    assert broadcast() == ()


@pytest.mark.parametrize(
    ("left", "right", "decided"),
    [(N, H, False), (N, Dim.of(3), False), (2 * H, 2 * W + 1, True), (H, H + 1, False), (H + 1, H, False), (H + 1, H + 2, True)],
)
def test_a_clash_says_where_and_whether_it_is_certain(left: Dim, right: Dim, decided: bool) -> None:
    with pytest.raises(BroadcastError) as caught:
        broadcast((N, left, W), (right, W))
    assert (caught.value.axis, caught.value.left, caught.value.right) == (-2, left, right)
    assert caught.value.decided is decided
