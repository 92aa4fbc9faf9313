"""Permutations that depend on their key alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def permute(count: int, key: tuple[int, ...]) -> NDArray[np.intp]:
    """The numbers below `count` in an order drawn from `key` (non-negative integers).

    Sorts raw Philox words: NumPy promises those to stay the same between its releases, and does not promise it of `Generator.permutation`.
    """
    words = np.random.Philox(np.random.SeedSequence(list(key))).random_raw(count)
    return np.argsort(words, kind="stable")
