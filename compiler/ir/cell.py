"""A recurrence, as the compiler sees it: one step for a whole batch, as a graph.

The spec writes a cell per example and per time step; here a leading batch axis `N` has been added to everything that
depends on inputs or states (`compiler.passes.batch`). Nothing else depends on N, so the graph may be run on `T*N` examples
at once wherever the recurrence allows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from compiler.ir.graph import Graph

BATCH = "N"
"""The symbol of the batch axis in a cell's graph."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One step of a recurrence.

    `graph.inputs` are the per-step inputs (`inputs` names them, in order), then the states (`states`); its outputs are
    the next state of each, by the state's name, and the step's output as "". `graph.parameters` are the cell's, keyed by
    name; their shapes have no N. Every value that depends on an input or a state has N as its first size. Shapes may hold
    other symbols (H, D) only if the network's declaration does.
    """

    name: str
    graph: Graph
    inputs: tuple[str, ...]
    states: tuple[str, ...]
    doc: str = ""
