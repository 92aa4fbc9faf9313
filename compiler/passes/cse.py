"""Computes equal sub-expressions once.

Contract: two nodes with one op on the same values are one, the first; draws and calls stay apart, for two uses of a draw are never one.
Inputs, parameters and the names of outputs and entries stay as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable

from compiler.ir.graph import Call, Graph, Node, Value


def merge_equal_nodes(graph: Graph) -> Graph:
    """`graph` with each expression computed once; itself where nothing is computed twice."""
    known: dict[Hashable, tuple[Value, ...]] = {}
    merged: dict[Value, Value] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        if any(value in merged for value in node.operands):
            node = dataclasses.replace(node, operands=tuple(merged.get(value, value) for value in node.operands))
        if not node.op.random and not isinstance(node.op, Call):
            key = (node.op, node.operands, node.parameters)
            first = known.setdefault(key, node.results)
            if first is not node.results:
                merged.update(zip(node.results, first, strict=True))
                continue
        nodes.append(node)
    if not merged:
        return graph
    return dataclasses.replace(
        graph,
        nodes=nodes,
        entries={name: merged.get(value, value) for name, value in graph.entries.items()},
        outputs={name: merged.get(value, value) for name, value in graph.outputs.items()},
    )
