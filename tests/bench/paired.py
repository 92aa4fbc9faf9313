"""Times two ways of doing one thing, one after the other in one process, so that what else the machine does hits both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final


@final
@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of first / second over paired rounds, its quartiles, and each side's median in seconds."""

    median: float
    low: float
    high: float
    first: float
    second: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f}), {self.first * 1e3:.3f} ms against {self.second * 1e3:.3f} ms"


def paired(first: Callable[[], Any], second: Callable[[], Any], rounds: int = 30, warmup: int = 3, calls: int = 1) -> Ratio:
    """Alternate the two, which goes first changing from round to round; each side does `calls` calls a round."""
    for _ in range(warmup):
        first()
        second()
    times: list[tuple[float, float]] = []
    for index in range(rounds):
        if index % 2:
            b, a = _time(second, calls), _time(first, calls)
        else:
            a, b = _time(first, calls), _time(second, calls)
        times.append((a, b))
    ratios = sorted(a / b for a, b in times)
    low, _, high = statistics.quantiles(ratios, n=4)
    return Ratio(statistics.median(ratios), low, high, statistics.median(a for a, _ in times), statistics.median(b for _, b in times))


def _time(call: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls
