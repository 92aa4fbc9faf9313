"""Elaborates the body of a network or a block into a graph: inputs, constants, entries, outputs, initial values.

A network is elaborated once, with its sizes symbolic; a block once for every different use (constants and operand types).
"""

from __future__ import annotations

from typing import Any

from compiler.diagnostics import Fix, Severity
from compiler.front import ast
from compiler.front.builder import GraphBuilder, InitRule
from compiler.front.calls import coerce
from compiler.front.evaluate import evaluate, evaluate_constant, evaluate_pipeline
from compiler.front.facts import check_facts
from compiler.front.records import read_record
from compiler.front.scope import Frame, Local, Task
from compiler.front.spec import Body, text_of
from compiler.front.suggest import suggest
from compiler.front.tree import Mapping, Node, Pair, Scalar, Sequence
from compiler.front.values import POISON, Applied, Argument, Poison
from compiler.ir.dims import Dim
from compiler.ir.graph import Graph, Value
from compiler.ir.initializers import INITIALIZERS, Initializer
from compiler.ir.signature import LARGEST_INTEGER
from compiler.ir.types import DType, TensorType


def elaborate_entries(frame: Frame, body: Body) -> Task:
    """The graph of a body whose inputs are in the frame's graph and names already."""
    builder = frame.builder
    assert builder is not None
    graph, local = builder.graph, frame.local
    local.pending = {entry.name: entry.key.span for entry in body.entries if entry.key is not entry.expression}
    incoming: Argument | None = None
    if len(body.inputs) <= 1:
        name, span = next(((name, pair.key.span) for name, pair in body.inputs.items()), ("x", body.key.span))
        incoming = Argument(local.values[name], span, name)
    failed = False
    for entry in body.entries:
        inner = frame.at(entry.expression)
        expr = None if entry.misshapen else frame.elaboration.parse(entry.expression)
        value: Any = POISON
        if expr is not None:
            with builder.open_entry(entry.name):
                value = yield evaluate_pipeline(inner, expr, incoming)
                if not isinstance(value, tuple | Applied):
                    value = coerce(inner, Argument(value, entry.expression.span, inner.text(expr), expr))
        local.pending.pop(entry.name, None)
        local.values[entry.name] = value
        tensor = value.read("") if isinstance(value, Applied) else value
        if isinstance(tensor, Value):
            graph.entries[entry.name] = tensor
        failed = failed or isinstance(value, Poison)
        incoming = Argument(value, entry.key.span, entry.name)
    yield read_outputs(frame, body)
    if failed or not graph.outputs:
        return POISON
    yield check_facts(frame, body.asserts)
    return builder.finish()


def read_outputs(frame: Frame, body: Body) -> Task:
    """Fill the graph's outputs: the last entry, one expression, or several by name."""
    assert frame.builder is not None
    outputs = frame.builder.graph.outputs
    node = body.outputs
    if node is None:
        if not body.entries:
            return
        last = body.entries[-1]
        value = frame.local.values[last.name]
        tensor = coerce(frame.at(last.expression), Argument(value, last.expression.span, last.name))
        if isinstance(tensor, Value):
            outputs[""] = tensor
        return
    listed: list[tuple[str, Scalar]] = []
    if isinstance(node, Scalar):
        listed = [("", node)]
    elif isinstance(node, Sequence):
        listed = [(item.value, item) for item in node.items if isinstance(item, Scalar)]
    elif isinstance(node, Mapping):
        listed = [(pair.key.value, pair.value) for pair in node.pairs if isinstance(pair.value, Scalar)]
    complete = True
    for name, scalar in listed:
        expr = frame.elaboration.parse(scalar)
        inner = frame.at(scalar)
        value = POISON if expr is None else (yield evaluate(inner, expr))
        tensor = coerce(inner, Argument(value, scalar.span, scalar.value, expr))
        if isinstance(tensor, Value):
            outputs[name] = tensor
        complete = complete and isinstance(tensor, Value)
    if not complete:
        outputs.clear()


def read_lets(frame: Frame, lets: dict[str, Pair]) -> Task:
    """Constants of a body, in order."""
    for name, pair in lets.items():
        frame.local.values[name] = yield frame.elaboration.constant_of(frame, pair.value)


def read_type(frame: Frame, node: Node, prefix: str = "") -> Task:
    """A declared type: `[N, 3, H, W]` (f32) or `i64[N, T]`; names that are no constants are sizes, under `prefix` + name."""
    if isinstance(node, Sequence):
        shape = []
        for item in node.items:
            expr = frame.elaboration.parse(item) if isinstance(item, Scalar) else None
            shape.append(POISON if expr is None else (yield _read_size(frame.at(item), expr, prefix)))  # type: ignore[arg-type]
        return _make_type(DType.f32, shape)
    if not isinstance(node, Scalar):
        return POISON
    expr = frame.elaboration.parse(node)
    inner = frame.at(node)
    if isinstance(expr, ast.Index) and isinstance(expr.base, ast.Name) and expr.base.name in tuple(DType):
        shape = []
        for dim in expr.items:
            shape.append((yield _read_size(inner, dim, prefix)))
        return _make_type(DType(expr.base.name), shape)
    if isinstance(expr, ast.Name) and expr.name in tuple(DType):
        return TensorType(DType(expr.name), ())
    if expr is not None:
        named = expr.base if isinstance(expr, ast.Index) else expr
        near = suggest(named.name, tuple(DType), frame.sink) if isinstance(named, ast.Name) else None
        frame.sink.report(
            "NL138",
            f"`{inner.text(named)}` is not a type",
            inner.span(named),
            help=f"did you mean `{near}`?" if near else _show_types(expr),
            fix=Fix(inner.span(named), near) if near else None,
        )
    return POISON


def _show_types(expr: ast.Expr) -> str:
    """How a type is written, where `expr` is none."""
    if isinstance(expr, ast.Name):
        return f"a vector of `{expr.name}` numbers is `[{expr.name}]`, a single number `[]`; another dtype stands before: `i64[N, T]`"
    return f"write `[N, 3, H, W]`, or with a dtype `i64[N, T]`; dtypes are {', '.join(DType)}"


def _make_type(dtype: DType, shape: list[Any]) -> Any:
    return POISON if any(isinstance(item, Poison) for item in shape) else TensorType(dtype, tuple(shape))


def _read_size(frame: Frame, expr: ast.Expr, prefix: str) -> Task:
    names = [item.name for item in ast.names_in(expr)]
    names = [name for name in names if name not in frame.local.values and name not in frame.file.spec.lets]
    symbols = {name: Dim.symbol(prefix + name) for name in names}
    inner = Frame(frame.elaboration, frame.file, Local(dict(symbols), outer=frame.local), frame.scalar, None, frame.notes)
    value = yield evaluate_constant(inner, expr)
    if isinstance(value, Poison):
        return POISON
    if isinstance(value, bool) or not isinstance(value, int | Dim):
        frame.sink.report("NL138", f"a size must be an integer or a name, not `{frame.text(expr)}`", frame.span(expr), notes=frame.notes)
        return POISON
    low = Dim.of(value).lower_bound()
    known = Dim.of(value).constant
    if known is not None and not 1 <= known <= LARGEST_INTEGER:
        frame.sink.report("NL138", f"a size must be from 1 to {LARGEST_INTEGER}, but it is {known}", frame.span(expr), notes=frame.notes)
        return POISON
    if known is None and low is not None and low < 0:
        frame.sink.report("NL138", f"`{value}` can be negative", frame.span(expr), notes=frame.notes)
        return POISON
    return Dim.of(value)


def read_inits(frame: Frame, init: dict[str, Pair]) -> Task:
    """The rules of an `init` mapping, the most specific first: long keys, an entry's parameter, an op's, a bare name."""
    rules: list[InitRule] = []
    for pattern, pair in init.items():
        if not isinstance(pair.value, Scalar):
            continue
        expr = frame.elaboration.parse(pair.value)
        made = None if expr is None else (yield read_record(frame.at(pair.value), expr, "NL318", "initializer", INITIALIZERS))
        if isinstance(made, Initializer):
            rules.append(InitRule(pattern, made, pair.key.span))
    return tuple(sorted(rules, key=lambda rule: (-rule.pattern.count("."), frame.file.op(rule.pattern.partition(".")[0]) is not None)))


def make_frame(
    outer: Frame, body: Body, graph: Graph, constants: dict[str, Any], notes: tuple[str, ...], inits: tuple[InitRule, ...]
) -> Frame:
    """The frame in which a body is elaborated."""
    keys = {name: text_of(pair.value) for name, pair in body.keys.items()}
    builder = GraphBuilder(graph, keys, inits)
    return Frame(outer.elaboration, outer.file, Local(dict(constants)), body.key, builder, notes, outer.blocks, inits)


def warn_unused_rules(frame: Frame, rules: tuple[InitRule, ...]) -> None:
    for rule in rules:
        if not rule.used:
            frame.sink.report(
                "NL145",
                f"no parameter is called `{rule.pattern}`",
                rule.span,
                help="name a parameter (`weight`), an op's (`conv.weight`) or an entry's (`c1.weight`)",
                severity=Severity.WARNING,
            )
