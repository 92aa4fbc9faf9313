"""Reduces a graph to what some of its outputs and entries need.

Contract: the result computes the same values for the names it is asked for; inputs stay as they are, so it is called as
before; parameters that nothing needs are gone, so who owns them is asked of the graph it was made from.
"""

from __future__ import annotations

from compiler.ir.graph import Call, Graph, Node, Value


def prune(graph: Graph, reads: tuple[str, ...]) -> Graph:
    """`graph` with only the nodes that the outputs or entries `reads` need, which become its outputs; KeyError for an unknown name."""
    outputs: dict[str, Value] = {}
    for name in reads:
        value = graph.read(name)
        if value is None:
            raise KeyError(name)
        outputs[name] = value
    needed = {id(value) for value in outputs.values()}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if any(id(value) in needed for value in node.results):
            kept.append(_narrow(node, needed))
            needed.update(id(value) for value in (*node.operands, *node.parameters))
    available = {id(value) for value in graph.inputs} | {id(value) for node in kept for value in node.results}
    return Graph(
        graph.name,
        graph.kind,
        list(graph.inputs),
        [item for item in graph.parameters if id(item.value) in needed],
        kept[::-1],
        {name: value for name, value in graph.entries.items() if id(value) in available},
        outputs,
        dict(graph.constants),
        graph.doc,
    )


def prune_inputs(graph: Graph) -> Graph:
    """`graph` with only the nodes that its outputs need and the inputs that these read: called with fewer of them."""
    made = prune(graph, tuple(graph.outputs))
    read = {id(value) for node in made.nodes for value in node.operands} | {id(value) for value in made.outputs.values()}
    made.inputs = [value for value in made.inputs if id(value) in read]
    return made


def _narrow(node: Node, needed: set[int]) -> Node:
    """A call that reads only what is needed."""
    if not isinstance(node.op, Call) or all(id(value) in needed for value in node.results):
        return node
    pairs = [(name, value) for name, value in zip(node.op.reads, node.results, strict=True) if id(value) in needed]
    op = Call(node.op.graph, tuple(name for name, _ in pairs), node.op.sizes)
    results = tuple(value for _, value in pairs)
    return Node(op, node.operands, node.parameters, results, node.entry, node.label, node.prefix, node.span)
