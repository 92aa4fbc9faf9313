"""Buffers of earlier examples, for `replay(value, size)`. Shrivastava et al. 2017, arXiv:1612.07828; in CycleGAN 50 pictures.

Until a buffer is full every example is kept and given back. Then each example is, with probability 1/2, kept in place of a random
one, which is given back instead. Decisions are NumPy's, so they are the same on every back end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from netlang.training.seeds import Purpose, derive_seed


@final
class ReplayBuffer:
    """One buffer of at most `size` examples, rows of arrays or tensors, with how often it was used; `copy` gives one its own memory."""

    def __init__(self, size: int, seed: int, number: int, copy: Callable[[Any], Any]) -> None:
        self.examples: list[Any] = []
        self.uses = 0
        self._size = size
        self._seed = (derive_seed(seed, Purpose.REPLAY), number)
        self._copy = copy

    def exchange(self, given: Any) -> Any:
        """The rows of `given`, or earlier ones in their place, in memory of their own."""
        import numpy as np

        generator = np.random.default_rng([*self._seed, self.uses])
        self.uses += 1
        made = self._copy(given)
        for row in range(len(given)):
            if len(self.examples) < self._size:
                self.examples.append(self._copy(given[row]))
            elif generator.random() < 0.5:
                place = int(generator.integers(self._size))
                made[row] = self.examples[place]
                self.examples[place] = self._copy(given[row])
        return made
