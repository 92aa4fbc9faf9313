"""Memory and threads for the printed functions of the NumPy back end, kept from call to call.

Values have numbered places, kernels have named scratch arrays; both grow to the largest that was asked for, so that a function that is
called again with the same sizes allocates nothing. What a function gave is overwritten when it is called again. Work is shared out
over threads of its own while BLAS keeps to one, since the two in turn would wait for each other. Non-goal: use from several threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, final

import numpy as np

from netlang.training.blas import ThreadCount

Array = np.ndarray[Any, Any]


@final
class Threads:
    """As many threads as `count` says, the caller's own among them."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count - 1, "netlang") if count > 1 else None
        self._blas = ThreadCount()

    def share(self, function: Callable[[int, int], None], count: int) -> None:
        """Call function(worker, index) for each index below `count`, each worker for indices that follow each other."""
        workers = min(self.count, count)
        ends = [count * worker // workers for worker in range(workers + 1)]

        def work(worker: int) -> None:
            for index in range(ends[worker], ends[worker + 1]):
                function(worker, index)

        if self._pool is None or workers < 2:
            work(0)
            return
        before = self._blas.get()
        self._blas.set(1)
        try:
            pending = [self._pool.submit(work, worker) for worker in range(1, workers)]
            work(0)
            for item in pending:
                item.result()
        finally:
            self._blas.set(before)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()


@final
class Workspace:
    """The memory of one printed function, on `threads` that it may share with others."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self.threads = threads.count
        self.share = threads.share
        self._memory: dict[int | str, Array] = {}
        self._arrays: dict[tuple[object, ...], Array] = {}

    def place(self, number: int, shape: tuple[int, ...], dtype: Any) -> Array:
        """The array of a value; one of four axes and more lies channel by channel: its second axis is the outermost in memory."""
        found = self._arrays.get((number, shape, dtype))
        if found is None:
            turned = len(shape) >= 4
            flat = self._reserve(number, shape, dtype)
            found = flat.reshape(shape[1], shape[0], *shape[2:]).swapaxes(0, 1) if turned else flat.reshape(shape)
            self._arrays[number, shape, dtype] = found
        return found

    def take(self, slot: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """Scratch memory of a kernel, contiguous."""
        found = self._arrays.get((slot, shape, dtype))
        if found is None:
            found = self._arrays[slot, shape, dtype] = self._reserve(slot, shape, dtype).reshape(shape)
        return found

    def _reserve(self, slot: int | str, shape: tuple[int, ...], dtype: Any) -> Array:
        """The first numbers of a slot's memory, which is made anew where it is too small."""
        count = math.prod(shape) * np.dtype(dtype).itemsize
        if slot not in self._memory or self._memory[slot].size < count:
            self._arrays = {key: array for key, array in self._arrays.items() if key[0] != slot}
            self._memory[slot] = np.empty(count, np.uint8)
        made: Array = self._memory[slot][:count].view(dtype)
        return made

    @property
    def bytes(self) -> tuple[int, int]:
        """What the places of values and the scratch arrays take."""
        values = sum(array.nbytes for key, array in self._memory.items() if isinstance(key, int))
        return values, sum(array.nbytes for array in self._memory.values()) - values
