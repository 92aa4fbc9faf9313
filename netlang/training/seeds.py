"""One seed for each purpose, all from the run's: what one purpose consumes changes nothing for another."""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import final


@final
class Purpose(IntEnum):
    """What numbers are drawn for; the values are part of a seed's meaning and never change."""

    PARAMETERS = 0
    DATA = 1
    TRAINING = 2
    EVALUATION = 3
    REPLAY = 4


@cache
def derive_seed(seed: int, purpose: Purpose) -> int:
    """A seed of 64 bits."""
    import numpy as np

    words = np.random.SeedSequence([seed, int(purpose)]).generate_state(2, np.uint32)
    return int(words[0]) << 32 | int(words[1])
