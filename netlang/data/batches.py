"""Batches of a source's arrays, in an order that depends on the seed and the epoch alone, so that a run can stop and go on exactly.

Arrays are `[N, ...]` by field name, in memory. Non-goals: worker processes, augmentation (an expression of the spec), moving to a device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from compiler.front.readers import ReaderError
from netlang.data.permutation import permute

Arrays = Mapping[str, NDArray[Any]]


@final
class Position(NamedTuple):
    """How far a run has come: whole passes over the data, and samples taken in the current one."""

    epoch: int
    sample: int


@final
class Batches:
    """An endless row of batches; iterating yields what is left of the current epoch.

    `seed` may be several numbers (the run's seed and the source's number), so that two sources are shuffled each on its own. With
    `streams` nothing is shuffled and every row goes on, from batch to batch, through a part of the data of its own.
    """

    def __init__(
        self,
        arrays: Arrays,
        batch: int,
        seed: int | tuple[int, ...],
        *,
        shuffle: bool = True,
        drop_last: bool = False,
        streams: bool = False,
    ) -> None:
        self.arrays = dict(arrays)
        self.count = count_samples(arrays)
        if batch < 1:
            raise ReaderError(f"a batch of {batch} samples holds nothing", attribute="batch", code="NL507")
        if self.count == 0 or ((drop_last or streams) and self.count < batch):
            raise ReaderError(
                f"{self.count} samples do not fill a batch of {batch}", help="make the batch smaller", attribute="batch", code="NL507"
            )
        self.batch = batch
        self.seed = seed if isinstance(seed, tuple) else (seed,)
        self.shuffle = shuffle or streams
        self.drop_last = drop_last or streams
        self.streams = streams
        self._epoch = 0
        self._index = 0

    @cached_property
    def _used(self) -> int:
        return self.count - self.count % self.batch if self.drop_last else self.count

    @property
    def steps_per_epoch(self) -> int:
        return -(-self._used // self.batch)

    @property
    def position(self) -> Position:
        """Where the next batch starts: two plain integers to save."""
        return Position(self._epoch, self._index)

    def seek(self, position: tuple[int, int]) -> None:
        """Go to a saved position; ValueError when no batch starts there."""
        epoch, index = position
        if epoch < 0 or not 0 <= index < self._used or index % self.batch:
            raise ValueError(f"no batch starts at epoch {epoch}, sample {index}, of {self.count} samples in batches of {self.batch}")
        self._move(epoch, index)

    def next_batch(self) -> dict[str, NDArray[Any]]:
        """The next batch by field; the last of an epoch may be smaller unless `drop_last`."""
        end = min(self._index + self.batch, self._used)
        chosen: slice | NDArray[np.intp] = self._order[self._index : end] if self.shuffle else slice(self._index, end)
        taken = {name: array[chosen] for name, array in self.arrays.items()}
        self._move(*((self._epoch, end) if end < self._used else (self._epoch + 1, 0)))
        return taken

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        epoch = self._epoch
        while self._epoch == epoch:
            yield self.next_batch()

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        if self.streams:
            return np.arange(self._used).reshape(self.batch, -1).T.reshape(-1)
        return permute(self.count, (*self.seed, self._epoch))

    def _move(self, epoch: int, index: int) -> None:
        if epoch != self._epoch:
            self.__dict__.pop("_order", None)
        self._epoch, self._index = epoch, index


def in_order(arrays: Arrays, batch: int) -> Iterator[dict[str, NDArray[Any]]]:
    """Every sample once, as the source holds them, in batches of `batch`; the last may be smaller. For evaluation."""
    for start in range(0, count_samples(arrays), batch):
        yield {name: array[start : start + batch] for name, array in arrays.items()}


def count_samples(arrays: Arrays) -> int:
    """The length of the first axis, which every field shares; ReaderError NL507 when they differ."""
    counts = {name: len(array) for name, array in arrays.items()}
    if not counts:
        raise ReaderError("a source without fields has no samples", code="NL507")
    if len(set(counts.values())) > 1:
        told = ", ".join(f"`{name}` {count}" for name, count in counts.items())
        raise ReaderError(f"the fields of a source hold different numbers of samples: {told}", code="NL507")
    return next(iter(counts.values()))
