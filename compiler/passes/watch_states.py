"""A step's graph with an input for every state of every scan, which is added to the state after each time step.

At zero such an input changes nothing, and the gradient of the objective with respect to it is the gradient with respect to the states,
by all ways: the step's output and all later steps. Contract: inputs, outputs and parameter keys stay; the new inputs come last. Graphs
that run no scan are returned as they are. Non-goals: states of integers, which have no gradient.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import final

from compiler.ir.cell import Cell
from compiler.ir.graph import Call, Graph, Node, Value
from compiler.ir.types import TensorType
from compiler.ops.scan import Scan
from compiler.passes.expand import calling_order
from compiler.passes.template import append


@final
@dataclass(frozen=True, slots=True, eq=False)
class WatchedState:
    """A state of a scan by the input [N, T, …] that is added to it; `reverse` says that the scan runs from the last step to the first."""

    name: str
    input: Value
    reverse: bool


@final
@dataclass(frozen=True, slots=True, eq=False)
class WatchedGraph:
    """What `watch_states` makes of a graph: the graph, and its new inputs in order."""

    graph: Graph
    states: tuple[WatchedState, ...]


def watch_states(graphs: list[Graph]) -> list[WatchedGraph]:
    """The graphs with their states as inputs, named after where they stand: `reader.states.h`. What they call is changed alike."""
    made: dict[int, WatchedGraph] = {}
    cells: dict[int, Cell] = {}
    for graph in calling_order(*graphs):
        made[id(graph)] = _Watch(graph, made, cells).run()
    return [made[id(graph)] for graph in graphs]


@final
class _Watch:
    """Adds the inputs to one graph, whose callees have theirs."""

    def __init__(self, graph: Graph, made: dict[int, WatchedGraph], cells: dict[int, Cell]) -> None:
        self._graph = graph
        self._made = made
        self._cells = cells
        self._states: dict[str, WatchedState] = {}

    def run(self) -> WatchedGraph:
        nodes = [self._visit(node) for node in self._graph.nodes]
        if not self._states:
            return WatchedGraph(self._graph, ())
        states = tuple(self._states.values())
        inputs = [*self._graph.inputs, *(state.input for state in states)]
        return WatchedGraph(dataclasses.replace(self._graph, nodes=nodes, inputs=inputs), states)

    def _visit(self, node: Node) -> Node:
        if isinstance(node.op, Scan):
            return self._visit_scan(node, node.op)
        if isinstance(node.op, Call):
            return self._visit_call(node, node.op)
        return node

    def _visit_scan(self, node: Node, op: Scan) -> Node:
        cell = self._cells.setdefault(id(op.cell), _open(op.cell))
        if cell is op.cell:
            return node
        changed = dataclasses.replace(op, cell=cell)
        batch, time, *_ = node.operand_types[0].shape
        count = len(op.cell.inputs)
        place = node.prefix or node.entry or op.cell.name
        added = [
            self._add(f"{place}.{cell.inputs[index].removesuffix(SHIFT)}", changed.sequence_type(index, batch, time), op.reverse)
            for index in range(count, len(cell.inputs))
        ]
        operands = (*node.operands[:count], *added, *node.operands[count:])
        return dataclasses.replace(node, op=changed, operands=operands)

    def _visit_call(self, node: Node, op: Call) -> Node:
        callee = self._made[id(op.graph)]
        if not callee.states:
            return node
        place = op.graph.name if op.graph.kind == "network" else node.prefix or node.entry
        sizes = dict(op.sizes)
        added = [self._add(f"{place}.{item.name}", item.input.type.substitute(sizes), item.reverse) for item in callee.states]
        return dataclasses.replace(node, op=dataclasses.replace(op, graph=callee.graph), operands=(*node.operands, *added))

    def _add(self, wanted: str, type: TensorType, reverse: bool) -> Value:
        name, number = wanted, 2
        while name in self._states:
            name, number = f"{wanted}_{number}", number + 1
        self._states[name] = WatchedState(name, Value(type, f"{name.replace('.', '_')}{SHIFT}"), reverse)
        return self._states[name].input


SHIFT = "_shift"


def _open(cell: Cell) -> Cell:
    """The cell with an input for each of its states, added to the next state wherever that is read; itself without a state to add to."""
    graph, count = cell.graph, len(cell.inputs)
    states = [name for name in cell.states if graph.outputs[name].type.dtype.is_float]
    if not states:
        return cell
    shifts = {name: Value(graph.outputs[name].type, f"{name}{SHIFT}") for name in states}
    made = {value for node in graph.nodes for value in node.results}
    outputs, moved, nodes = dict(graph.outputs), dict[Value, Value](), list[Node]()

    def shift(name: str) -> Value:
        return append(nodes, "add", graph.outputs[name], shifts[name], hint=name)

    for node in graph.nodes:
        nodes.append(dataclasses.replace(node, operands=tuple(moved.get(value, value) for value in node.operands)))
        for name in states:
            if graph.outputs[name] in node.results:
                outputs[name] = shift(name)
                moved.setdefault(graph.outputs[name], outputs[name])
    outputs |= {name: shift(name) for name in states if graph.outputs[name] not in made}
    outputs[""] = moved.get(outputs[""], outputs[""])
    inputs = [*graph.inputs[:count], *shifts.values(), *graph.inputs[count:]]
    opened = dataclasses.replace(graph, nodes=nodes, inputs=inputs, outputs=outputs, entries={})
    return dataclasses.replace(cell, graph=opened, inputs=(*cell.inputs, *(value.name for value in shifts.values())))
