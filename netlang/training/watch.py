"""What measures how large the gradient of an objective is with respect to the states of scans, time step by time step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from compiler.ir.dims import Dim
from compiler.ir.graph import Value
from compiler.ir.training import Program
from compiler.passes.program_plan import cut_replays
from compiler.passes.watch_states import WatchedGraph, watch_states
from netlang.training.engine import Placed
from netlang.training.weights import Stored


def find_watched(program: Program) -> dict[int, WatchedGraph]:
    """The steps, by index, whose objectives read a scan, with inputs for its states; none with buffers of earlier examples."""
    plain = [index for index, step in enumerate(program.steps) if cut_replays(step.graph)[1] is None]
    made = watch_states([program.steps[index].graph for index in plain])
    return {index: item for index, item in zip(plain, made, strict=True) if item.states}


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
