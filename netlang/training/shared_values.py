"""Values that several steps of an iteration read, and those that never change: computed when a step first needs them.

Shared values live among an iteration's inputs, under their names; constant ones are kept for the whole run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from compiler.ir.graph import Graph
from compiler.passes.program_plan import ProgramPlan
from netlang.training.engine import Placed


@final
class SharedValues:
    """The shared values of a plan; `compute(index, inputs)` evaluates its shared graph of that index."""

    def __init__(self, plan: ProgramPlan, compute: Callable[[int, Placed], Placed]) -> None:
        self._plan = plan
        self._compute = compute
        self._constants: dict[int, Placed] = {}
        self._needed = {id(graph): plan.shared_of(graph) for graph in plan.evaluated}
        self._last: dict[str, int] = {}
        for index, graph in enumerate(plan.steps):
            for shared in self._needed[id(graph)]:
                if not plan.shared[shared].constant:
                    self._last |= dict.fromkeys(plan.shared[shared].names, index)

    def fill(self, graph: Graph, inputs: Placed) -> None:
        """Add to an iteration's inputs what a graph of the plan reads and nothing has computed yet."""
        for index in self._needed[id(graph)]:
            item = self._plan.shared[index]
            if item.constant:
                if index not in self._constants:
                    self._constants[index] = self._compute(index, inputs)
                inputs |= self._constants[index]
            elif item.names[0] not in inputs:
                inputs |= self._compute(index, inputs)

    def release(self, step: int, inputs: Placed) -> None:
        """Drop from the inputs what no later step reads."""
        for name, last in self._last.items():
            if last == step:
                inputs.pop(name, None)

    def forget(self) -> None:
        """Compute constant values anew: weights have been replaced."""
        self._constants.clear()
