"""Checks that a graph is well formed: every value is made once and before it is used, every type is what its op infers.

Tests run it after elaboration and after every pass; a graph that fails was made by a faulty pass, never by a faulty spec.
"""

from __future__ import annotations

from typing import final

from compiler.ir.graph import Call, Graph, Node, Value
from compiler.ir.op import RuleError


@final
class VerifyError(Exception):
    """A graph is not well formed; `node` is where, None for what belongs to the graph as a whole."""

    def __init__(self, graph: Graph, node: Node | None, message: str) -> None:
        place = graph.name if node is None else f"{graph.name}, {node.op.name} in `{node.entry}`"
        super().__init__(f"{place}: {message}")
        self.graph = graph
        self.node = node


def verify(graph: Graph) -> None:
    """Raise VerifyError unless `graph` and every graph it calls are well formed."""
    pending, seen = [graph], {id(graph)}
    while pending:
        current = pending.pop()
        _verify_one(current)
        for node in current.nodes:
            if isinstance(node.op, Call) and id(node.op.graph) not in seen:
                seen.add(id(node.op.graph))
                pending.append(node.op.graph)


def _verify_one(graph: Graph) -> None:
    made: set[int] = set()

    def define(value: Value, node: Node | None) -> None:
        if id(value) in made:
            raise VerifyError(graph, node, f"`{value.name}` is made twice")
        made.add(id(value))

    for value in graph.inputs:
        define(value, None)
    keys: set[str] = set()
    for item in graph.parameters:
        define(item.value, None)
        if item.key in keys:
            raise VerifyError(graph, None, f"two parameters have the key `{item.key}`")
        keys.add(item.key)
    for node in graph.nodes:
        for value in (*node.operands, *node.parameters):
            if id(value) not in made:
                raise VerifyError(graph, node, f"`{value.name}` is used before it is made")
        _verify_types(graph, node)
        for value in node.results:
            define(value, node)
    for kind, values in (("output", graph.outputs), ("entry", graph.entries)):
        for name, value in values.items():
            if id(value) not in made:
                raise VerifyError(graph, None, f"nothing makes the {kind} `{name}`")


def _verify_types(graph: Graph, node: Node) -> None:
    types = node.operand_types
    if isinstance(node.op, Call):
        missing = [name for name in node.op.reads if node.op.graph.read(name) is None]
        if missing:
            raise VerifyError(graph, node, f"`{node.op.graph.name}` has no output or entry `{missing[0]}`")
    try:
        inferred = node.op.infer(*types)
    except (RuleError, ValueError) as error:
        raise VerifyError(graph, node, str(error)) from error
    expected = inferred if isinstance(inferred, tuple) else (inferred,)
    if expected != node.result_types:
        raise VerifyError(graph, node, f"results are {_shown(node.result_types)}, and the op infers {_shown(expected)}")
    specs = tuple(spec.type for spec in node.op.parameters(*types))
    held = tuple(value.type for value in node.parameters)
    if specs != held:
        raise VerifyError(graph, node, f"parameters are {_shown(held)}, and the op owns {_shown(specs)}")


def _shown(types: tuple[object, ...]) -> str:
    return ", ".join(map(str, types)) or "none"
