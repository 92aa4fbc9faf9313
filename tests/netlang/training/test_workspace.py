"""Memory and threads kept from call to call: places are given again, work is done once each, a training step allocates next to nothing."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import netlang
from netlang.training.engines import make_engine
from netlang.training.feed import Feed
from netlang.training.workspace import Threads, Workspace

LEFT = 200_000
"""Bytes that a step may allocate at once: statistics of channels, views and the buffers of casting ufuncs are not planned."""


def test_places_are_given_again_and_grow() -> None:
    work = Workspace(Threads(1))
    first = work.place(0, (2, 3), np.float32)
    assert work.place(0, (2, 3), np.float32) is first
    assert np.shares_memory(first, work.place(0, (3,), np.float64))
    assert not np.shares_memory(first, work.place(1, (2, 3), np.float32))
    larger = work.place(0, (4, 3), np.float32)
    assert np.shares_memory(larger, work.place(0, (2, 3), np.float32))
    assert work.bytes == (4 * 3 * 4 + 2 * 3 * 4, 0)
    work.take("patches", (5,), np.float64)
    assert work.bytes[1] == 40


def test_images_lie_channel_by_channel() -> None:
    work = Workspace(Threads(1))
    placed = work.place(0, (2, 3, 4, 5), np.float32)
    assert placed.shape == (2, 3, 4, 5)
    assert placed.swapaxes(0, 1).flags.c_contiguous
    assert work.take("patches", (2, 3, 4, 5), np.float32).flags.c_contiguous


@pytest.mark.parametrize(("threads", "count"), [(1, 5), (2, 1), (2, 5), (3, 2)])
def test_each_part_is_done_once(threads: int, count: int) -> None:
    done: list[tuple[int, int]] = []
    Threads(threads).share(lambda worker, index: done.append((worker, index)), count)
    assert sorted(index for _, index in done) == list(range(count))
    assert {worker for worker, _ in done} == set(range(min(threads, count)))


def test_what_a_part_raises_is_raised() -> None:
    def fail(_: int, index: int) -> None:
        if index == 3:
            raise ValueError("part 3")

    with pytest.raises(ValueError, match="part 3"):
        Threads(2).share(fail, 4)


@pytest.mark.parametrize("spec", ["mlp", "lenet5", "resnet20"])
def test_a_step_allocates_next_to_nothing(spec: str) -> None:
    checked = netlang.check(spec).require()
    engine = make_engine(checked, 0, 10_000, "numpy", "cpu", 1)
    placed = engine.place(Feed(checked, 0).take("train"))
    tracemalloc.start()
    try:
        for iteration in range(2):
            engine.update(0, dict(placed), iteration, 10_000)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        engine.update(0, dict(placed), 2, 10_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        engine.close()
    assert peak - before < LEFT
