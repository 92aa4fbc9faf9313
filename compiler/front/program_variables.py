"""Variables: tensors that are trained themselves. Each becomes a network without inputs that owns one parameter, `value`."""

from __future__ import annotations

from collections.abc import Container

from compiler.diagnostics import Label
from compiler.front.bodies import read_type
from compiler.front.builder import GraphBuilder
from compiler.front.calls import coerce
from compiler.front.evaluate import evaluate
from compiler.front.program_names import ProgramNames, finish
from compiler.front.scope import Task
from compiler.front.spec import pairs_of
from compiler.front.tree import Mapping, Pair, Scalar
from compiler.front.values import POISON, Argument, Poison
from compiler.ir.graph import Graph, Node, Parameter, Value
from compiler.ir.training import Variable
from compiler.ir.types import TensorType
from compiler.ops import make_op
from compiler.ops.program import Held
from compiler.source import Span


def read_variables(names: ProgramNames) -> Task:
    """Fill `names.variables`; one that is wrong is there as poison."""
    for name, pair in names.file.spec.variables.items():
        made = yield _read_variable(names, name, pair)
        names.variables[name] = made


def _read_variable(names: ProgramNames, name: str, pair: Pair) -> Task:
    node = pair.value
    init = node.get("init") if isinstance(node, Mapping) else None
    if _clashes(names, name, pair) or not isinstance(node, Mapping) or not isinstance(init, Scalar):
        return POISON
    builder = GraphBuilder(Graph(name, "step"))
    local = names.locals(builder, "train")
    frame = names.frame(init, local, builder)
    expr = names.elaboration.parse(init)
    if expr is None:
        return POISON
    value = yield evaluate(frame, expr)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = builder.add(make_op("full", value=float(value), sizes=()), ())[0]
    value = coerce(frame, Argument(value, frame.span(expr), frame.text(expr), expr))
    if not isinstance(value, Value) or not _is_trainable(names, name, value.type, frame.span(expr)):
        return POISON
    shape = node.get("shape")
    if shape is not None:
        declared = yield read_type(names.frame(pair.key), shape)
        if isinstance(declared, Poison) or not _agrees(names, name, value.type, declared, frame.span(expr), shape.span):
            return POISON
    start = finish(builder, {"": value})
    return Variable(_make_network(name, value.type, pair.key.span), start, pair.key.span)


def _make_network(name: str, type: TensorType, span: Span) -> Graph:
    op, made = Held(type), Value(type, name)
    parameters = [Parameter(item.name, Value(item.type, item.name), item.init, item.trainable) for item in op.parameters()]
    node = Node(op, (), tuple(item.value for item in parameters), (made,), span=span)
    return Graph(name, "network", parameters=parameters, nodes=[node], outputs={"": made})


def _clashes(names: ProgramNames, name: str, pair: Pair) -> bool:
    """Whether something else of the program has the name; reports it."""
    spec, train = names.file.spec, names.train
    others: dict[str, Container[str]] = {
        "a network": spec.networks | {key: None for key, scope in names.file.imported.items() if key in scope.spec.networks},
        "a block": spec.blocks,
        "a cell": spec.cells,
        "a data source": names.fields,
        "a field of the data": names.fields_of("train"),
        "a draw": {item.key.value: None for item in pairs_of(train.get("draw") if train is not None else None)},
        "a value under `let`": {item.key.value: None for item in pairs_of(train.get("let") if train is not None else None)},
    }
    kind = next((kind for kind, table in others.items() if name in table), None)
    if kind is not None:
        names.sink.report("NL413", f"`{name}` names both a variable and {kind}", pair.key.span, help="rename one of them")
    return kind is not None


def _is_trainable(names: ProgramNames, name: str, type: TensorType, span: Span) -> bool:
    if not type.dtype.is_float:
        message = f"a variable is trained, so it holds floating-point numbers, but the first value of `{name}` is {type}"
        names.sink.report("NL413", message, span, help="convert it: `cast(…, f32)`")
        return False
    if any(dim.constant is None for dim in type.shape):
        message = f"the sizes of a variable are numbers, but the first value of `{name}` is {type}"
        names.sink.report("NL413", message, span, help="give it numbers, such as `normal(1, 64)`, or a source that is one tensor")
        return False
    return True


def _agrees(names: ProgramNames, name: str, type: TensorType, declared: TensorType, span: Span, place: Span) -> bool:
    if type == declared:
        return True
    message = f"`{name}` is declared as {declared}, but its first value is {type}"
    also = (Label(place, f"declared as {declared}"),)
    names.sink.report("NL413", message, span, label=str(type), also=also, help="make them agree, or leave out `shape`")
    return False
