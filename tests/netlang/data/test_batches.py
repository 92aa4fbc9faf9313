from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from compiler.front.readers import ReaderError
from netlang.data.batches import Batches, Position, count_samples, in_order
from netlang.data.permutation import permute


def numbered(count: int) -> dict[str, NDArray[Any]]:
    return {"image": np.arange(count, dtype=np.float32)[:, None] * 10, "label": np.arange(count)}


def taken(batches: Batches, steps: int) -> list[list[int]]:
    return [batches.next_batch()["label"].tolist() for _ in range(steps)]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31), st.booleans())
def test_an_epoch_holds_every_sample_once(count: int, batch: int, seed: int, shuffle: bool) -> None:
    batches = Batches(numbered(count), batch, seed, shuffle=shuffle)
    for epoch in range(2):
        assert batches.position == (epoch, 0)
        rows = list(batches)
        assert len(rows) == batches.steps_per_epoch
        assert sorted(np.concatenate([row["label"] for row in rows]).tolist()) == list(range(count))
        assert all(len(row["label"]) == batch for row in rows[:-1])
        assert all((row["image"][:, 0] == row["label"] * 10).all() for row in rows)


@given(st.integers(1, 40), st.integers(1, 10), st.integers(0, 30), st.integers(1, 30), st.booleans())
def test_a_run_goes_on_exactly_where_it_stopped(count: int, batch: int, before: int, after: int, drop_last: bool) -> None:
    batch = min(batch, count)
    unbroken = Batches(numbered(count), batch, 7, drop_last=drop_last)
    expected = taken(unbroken, before + after)[before:]
    stopped = Batches(numbered(count), batch, 7, drop_last=drop_last)
    taken(stopped, before)
    resumed = Batches(numbered(count), batch, 7, drop_last=drop_last)
    resumed.seek(stopped.position)
    assert taken(resumed, after) == expected
    assert resumed.position == unbroken.position


def test_drop_last_leaves_the_rest_out() -> None:
    batches = Batches(numbered(10), 4, 0, drop_last=True)
    assert batches.steps_per_epoch == 2
    assert [len(row["label"]) for row in batches] == [4, 4]
    assert batches.position == Position(1, 0)


def test_orders_differ_by_seed_and_epoch_and_repeat() -> None:
    def first(seed: int | tuple[int, ...]) -> list[list[int]]:
        return taken(Batches(numbered(50), 50, seed), 2)

    assert first(1) == first(1)
    orders = [order for seed in (1, 2, (1, 2), (1, 3)) for order in first(seed)]
    assert len({tuple(order) for order in orders}) == 8


def test_the_order_never_changes_between_releases() -> None:
    assert permute(8, (0, 0)).tolist() == [0, 3, 7, 5, 1, 2, 6, 4]


def test_permutations_are_uniform() -> None:
    firsts = np.bincount([permute(5, (3, epoch))[0] for epoch in range(2000)], minlength=5)
    assert abs(firsts - 400).max() < 5 * np.sqrt(2000 * 0.2 * 0.8), "five standard deviations of a binomial count"


@pytest.mark.parametrize("position", [(-1, 0), (0, 3), (0, 12), (0, -4)])
def test_seek_refuses_what_is_no_batch(position: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no batch starts"):
        Batches(numbered(10), 4, 0).seek(position)


@pytest.mark.parametrize(("count", "batch", "drop_last"), [(0, 4, False), (3, 4, True), (3, 0, False)])
def test_batches_that_would_be_empty_are_refused(count: int, batch: int, drop_last: bool) -> None:
    with pytest.raises(ReaderError) as caught:
        Batches(numbered(count), batch, 0, drop_last=drop_last)
    assert caught.value.code == "NL507"


def test_evaluation_goes_in_order() -> None:
    assert [row["label"].tolist() for row in in_order(numbered(5), 2)] == [[0, 1], [2, 3], [4]]


def test_fields_of_unequal_length_are_named() -> None:
    with pytest.raises(ReaderError, match="`a` 2, `b` 3"):
        count_samples({"a": np.zeros(2), "b": np.zeros(3)})
    with pytest.raises(ReaderError, match="without fields"):
        count_samples({})


def test_rows_of_streams_go_on_from_batch_to_batch() -> None:
    numbers = np.arange(14)
    batches = Batches({"x": numbers}, 3, 0, streams=True)
    assert [batch["x"].tolist() for batch in batches] == [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]
    assert batches.position == (1, 0)
    assert batches.next_batch()["x"].tolist() == [0, 4, 8]
    with pytest.raises(ReaderError, match="do not fill a batch"):
        Batches({"x": numbers}, 15, 0, streams=True)
