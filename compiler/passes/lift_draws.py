"""Takes what a graph draws out of it: random tensors become inputs, drawn by a graph of their own.

Contract: the graph computes the same values from the same draws. What a called network draws stays (dropout), and so does a draw
whose size is not known from the size of a batch, N.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from compiler.ir.graph import Graph, Node, Value

BATCH: Final = frozenset({"N"})


def lift_draws(graph: Graph, taken: set[str]) -> tuple[Graph, Graph | None]:
    """The graph with its draws as inputs, called after their entries, and the graph that makes them by these names.

    A name that is `taken` begins with the graph's; the names are taken then.
    """
    drawn = Graph(f"{graph.name}_draws", graph.kind)
    taken.update(value.name for value in graph.inputs)
    lifted: dict[Value, Value] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        if not is_lifted(node):
            operands = tuple(lifted.get(value, value) for value in node.operands)
            nodes.append(dataclasses.replace(node, operands=operands) if operands != node.operands else node)
            continue
        (value,) = node.results
        name = _choose_name(graph.name, node.entry or value.name, taken)
        lifted[value] = Value(value.type, name)
        drawn.nodes.append(node)
        drawn.outputs[name] = drawn.entries[name] = value
    if not lifted:
        return graph, None
    outputs = {name: lifted.get(value, value) for name, value in graph.outputs.items()}
    entries = {name: value for name, value in graph.entries.items() if value not in lifted}
    return dataclasses.replace(graph, inputs=[*graph.inputs, *lifted.values()], nodes=nodes, outputs=outputs, entries=entries), drawn


def is_lifted(node: Node) -> bool:
    """Whether a node draws a tensor whose sizes are numbers or multiples of the size of a batch."""
    if not node.op.random or node.operands:
        return False
    return all(dim.symbols <= BATCH for type in node.result_types for dim in type.shape)


def _choose_name(graph: str, name: str, taken: set[str]) -> str:
    chosen, count = name, 1
    while chosen in taken:
        chosen, count = f"{graph}_{name}_{count}" if count > 1 else f"{graph}_{name}", count + 1
    taken.add(chosen)
    return chosen
