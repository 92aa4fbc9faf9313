"""What measures how large the gradient of an objective is with respect to the states of scans, time step by time step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from compiler.ir.dims import Dim
from compiler.ir.graph import Value
from netlang.training.engine import Placed
from netlang.training.weights import Stored


class Watch(ABC):
    """Abstract: the steps of a program whose objectives read a scan, by index; computing on networks of its own, it changes nothing."""

    steps: frozenset[int]

    @abstractmethod
    def measure(self, index: int, inputs: Placed, weights: Mapping[str, Mapping[str, Stored]]) -> dict[str, list[float]]:
        """For each state of a scan, the L2 norm of the gradient after each time step, in the order in which the scan runs.

        A mean over the batch. `inputs` are what the step reads, as the engine placed it.
        """


def read_sizes(values: Iterable[Value], inputs: Mapping[str, Any]) -> dict[str, int]:
    """The symbolic sizes of a graph's inputs as the tensors given for them say; inputs that are not given say nothing."""
    return {
        symbol: size
        for value in values
        if value.name in inputs
        for dim, size in zip(value.type.shape, inputs[value.name].shape, strict=True)
        for symbol in dim.symbols
        if dim == Dim.symbol(symbol)
    }
