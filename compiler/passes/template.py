"""Graphs made from text of the language: what formulas and derivatives of ops elaborate to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from compiler.diagnostics import SpecError
from compiler.front import tree
from compiler.front.builder import GraphBuilder
from compiler.front.elaborate import Elaboration
from compiler.front.evaluate import evaluate
from compiler.front.expressions import read_expression
from compiler.front.scope import FileScope, Frame, Local, run
from compiler.front.sink import Sink
from compiler.front.spec import SpecFile
from compiler.ir.graph import Graph, Node, Value
from compiler.ir.types import TensorType
from compiler.ops import make_op
from compiler.source import Source, Span


@final
class TemplateError(Exception):
    """A text that does not elaborate to tensors."""


def elaborate_text(title: str, text: str, builder: GraphBuilder, names: Mapping[str, Any]) -> Graph:
    """The graph of `builder` with what `text` means as outputs: "" for one tensor, "0", "1" … for a list. Raises TemplateError.

    `names` are tensors of the builder's graph, and constants.
    """
    source = Source(title, text)
    scalar = tree.Scalar(text, Span(source, 0, len(text)))
    sink, spec = Sink(), SpecFile(source, tree.Mapping((), scalar.span))
    frame = Frame(Elaboration(sink, {}, {}), FileScope(spec, None, internal=True), Local(dict(names)), scalar, builder)
    try:
        made = run(evaluate(frame, read_expression(scalar)))
    except SpecError as error:
        raise TemplateError(str(error)) from error
    if sink.failed:
        raise TemplateError("; ".join(item.message for item in sink.diagnostics))
    results = made if isinstance(made, tuple) else (made,)
    if not all(isinstance(item, Value) for item in results):
        raise TemplateError(f"`{text}` is no tensor")
    builder.graph.outputs = {str(index) if len(results) > 1 else "": item for index, item in enumerate(results)}
    graph = builder.finish()
    if graph.parameters:
        raise TemplateError(f"`{text}` holds an op with tensors of its own")
    return graph


def append(nodes: list[Node], name: str, *operands: Value, hint: str = "", **attributes: Any) -> Value:
    """The result of an op of one result, added to `nodes`; `hint` names it."""
    op = make_op(name, **attributes)
    inferred = op.infer(*(value.type for value in operands))
    assert isinstance(inferred, TensorType)
    result = Value(inferred, hint or name)
    nodes.append(Node(op, operands, (), (result,)))
    return result


def instantiate(
    template: Graph, arguments: tuple[Value, ...], entry: str = "", results: tuple[Value, ...] = ()
) -> tuple[list[Node], tuple[Value, ...]]:
    """Copies of a template's nodes on other values, and the outputs there.

    `results` are values to make in place of the outputs; where an output is one of the arguments, it is returned instead.
    """
    values = dict(zip(template.inputs, arguments, strict=True))
    for made, result in zip(template.outputs.values(), results, strict=False):
        values.setdefault(made, result)
    copies: list[Node] = []
    for item in template.nodes:
        operands = tuple(values[value] for value in item.operands)
        made_here = tuple(values.setdefault(value, Value(value.type, value.name)) for value in item.results)
        copies.append(Node(item.op, operands, (), made_here, entry, item.label, "", item.span))
    return copies, tuple(values[value] for value in template.outputs.values())
