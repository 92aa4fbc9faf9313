"""Gradients as values of a program: `grad(y, x)`.

Contract of `mark_differentiable` (for torch): what gradients are taken by is marked where it is made, and everything later reads the
marked value. Contract of `derive_gradients` (for flat graphs): no `Gradient` is left; the graph computes the same values.
"""

from __future__ import annotations

import dataclasses

from compiler.ir.graph import Graph, Node, Value
from compiler.ops.program import Differentiable, Gradient
from compiler.passes.autodiff import differentiate, lacks_derivatives
from compiler.passes.expand import expand
from compiler.passes.template import append


def has_gradients(graph: Graph) -> bool:
    return any(isinstance(node.op, Gradient) for node in graph.nodes)


def mark_differentiable(graph: Graph) -> Graph:
    """`graph` with its gradients' `x` marked; itself where it has no gradient."""
    wanted = {node.operands[1] for node in graph.nodes if isinstance(node.op, Gradient)}
    if not wanted:
        return graph
    marked: dict[Value, Value] = {}
    nodes: list[Node] = []

    def mark(value: Value, *, given: bool, entry: str = "") -> None:
        marked[value] = Value(value.type, value.name)
        nodes.append(Node(Differentiable(given), (value,), (), (marked[value],), entry))

    for value in graph.inputs:
        if value in wanted:
            mark(value, given=True)
    for node in graph.nodes:
        nodes.append(dataclasses.replace(node, operands=tuple(marked.get(value, value) for value in node.operands)))
        for value in node.results:
            if value in wanted:
                mark(value, given=False, entry=node.entry)
    outputs = {name: marked.get(value, value) for name, value in graph.outputs.items()}
    entries = {name: marked.get(value, value) for name, value in graph.entries.items()}
    return dataclasses.replace(graph, nodes=nodes, outputs=outputs, entries=entries)


def derive_gradients(flat: Graph) -> Graph:
    """The flat graph with the nodes that compute its gradients; ops before them have derivatives. Raises DerivativeError."""
    if not has_gradients(flat):
        return flat
    made = dataclasses.replace(flat, nodes=[], entries={}, outputs={})
    found: dict[Value, Value] = {}
    for node in flat.nodes:
        operands = tuple(found.get(value, value) for value in node.operands)
        if not isinstance(node.op, Gradient):
            made.nodes.append(dataclasses.replace(node, operands=operands))
            continue
        y, x = operands
        (gradient,) = differentiate(made, y, [x])
        if gradient is None:
            gradient = append(made.nodes, "full", value=0.0, sizes=x.type.shape, dtype=x.type.dtype)
        made.outputs[""] = gradient
        made = expand(made, lacks_derivatives)
        made = dataclasses.replace(made, nodes=list(made.nodes), outputs=dict(made.outputs))
        found[node.results[0]] = made.outputs[""]
    outputs = {name: found.get(value, value) for name, value in flat.outputs.items()}
    entries = {name: found.get(value, value) for name, value in flat.entries.items()}
    return dataclasses.replace(made, outputs=outputs, entries=entries)
