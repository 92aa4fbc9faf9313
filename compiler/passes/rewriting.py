"""Changes graphs and every graph they call, each once, so that what they share stays shared."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from compiler.ir.graph import Call, Graph
from compiler.passes.expand import calling_order


def rewrite_all(graphs: Iterable[Graph], change: Callable[[Graph], Graph]) -> list[Graph]:
    """What `change` makes of the graphs, callees before callers; a graph in which nothing changes may be returned as it is."""
    given = list(graphs)
    memo: dict[int, Graph] = {}
    for current in calling_order(*given):
        nodes = list(current.nodes)
        for index, node in enumerate(nodes):
            if isinstance(node.op, Call) and memo[id(node.op.graph)] is not node.op.graph:
                nodes[index] = dataclasses.replace(node, op=dataclasses.replace(node.op, graph=memo[id(node.op.graph)]))
        same = all(new is old for new, old in zip(nodes, current.nodes, strict=True))
        memo[id(current)] = change(current if same else dataclasses.replace(current, nodes=nodes))
    return [memo[id(graph)] for graph in given]
