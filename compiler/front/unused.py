"""Warns of entries and inputs that nothing reads."""

from __future__ import annotations

from compiler.diagnostics import Severity
from compiler.front.sink import Sink
from compiler.front.spec import Body
from compiler.ir.graph import Call, Graph


def warn_unused(graphs: list[tuple[Graph, Body]], sink: Sink) -> None:
    """Warn of entries and inputs that nothing reads; to be called when everything is elaborated."""
    read: dict[int, set[int]] = {}
    for graph, _ in graphs:
        for node in graph.nodes:
            if isinstance(node.op, Call):
                taps = read.setdefault(id(node.op.graph), set())
                taps.update(id(node.op.graph.read(name)) for name in node.op.reads)
    for graph, body in graphs:
        used = read.get(id(graph), set()) | {id(value) for value in graph.outputs.values()}
        for node in graph.nodes:
            used.update(id(value) for value in node.operands)
        _warn_unused_names(graph, body, used, sink)


def _warn_unused_names(graph: Graph, body: Body, used: set[int], sink: Sink) -> None:
    for entry in body.entries:
        value = graph.entries.get(entry.name)
        if value is not None and id(value) not in used:
            sink.report(
                "NL143",
                f"nothing uses the entry `{entry.name}`",
                entry.key.span,
                help="remove it, or read it in a later entry or under `outputs`",
                severity=Severity.WARNING,
            )
    for name, value in zip(body.inputs, graph.inputs, strict=False):
        if id(value) not in used:
            message = f"nothing uses the input `{name}` of `{body.name}`"
            sink.report("NL144", message, body.inputs[name].key.span, help="remove it, or read it in an entry", severity=Severity.WARNING)
