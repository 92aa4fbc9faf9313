"""What a program computes beside its steps: metrics, samples, and states that go from iteration to iteration."""

from __future__ import annotations

from compiler.diagnostics import Label
from compiler.front import ast
from compiler.front.builder import GraphBuilder
from compiler.front.program_names import TIME, ProgramNames, finish
from compiler.front.program_steps import read_objective
from compiler.front.scope import Local, Task
from compiler.front.spec import pairs_of
from compiler.front.tree import Pair, Scalar
from compiler.front.values import POISON, Generated
from compiler.ir.dims import Dim
from compiler.ir.graph import Graph, Value
from compiler.ir.prune import prune, prune_inputs
from compiler.ir.training import Carry, Pictures, Points, Text
from compiler.ir.types import TensorType
from compiler.ops.program import Replay
from compiler.ops.random import Draw
from compiler.source import Span

WRITTEN = "pictures are [K, 1 or 3, H, W], points [K, 2], and text is `generate(…)`"


def read_metric(names: ProgramNames, pair: Pair) -> Task:
    """The graph of one number of evaluation data; None when reported."""
    if not isinstance(pair.value, Scalar):
        return None
    builder, local = yield names.environment(pair.key.value, names.evaluation, "metric")
    value = yield read_objective(names, builder, local, pair.value, f"the metric `{pair.key.value}`")
    names.reads |= local.used
    if value is None:
        return None
    graph = finish(builder, {"": value})
    return graph if _is_free_of_buffers(names, graph, "a metric") else None


def _is_free_of_buffers(names: ProgramNames, graph: Graph, what: str) -> bool:
    """Whether a graph that is no step's reads no buffer; reports it otherwise."""
    node = next((node for node in graph.nodes if isinstance(node.op, Replay)), None)
    if node is not None and node.span is not None:
        help_text = "read the value itself here, and the buffer in a step"
        names.sink.report("NL412", f"`replay` keeps what steps make, and {what} reads it", node.span, help=help_text)
    return node is None


def read_sample(names: ProgramNames, pair: Pair) -> Task:
    """What one sample writes; None when reported."""
    scalar = pair.value
    if not isinstance(scalar, Scalar):
        return None
    expr = names.elaboration.parse(scalar)
    writes_text = expr is not None and any(isinstance(item, ast.Name) and item.name == "generate" for item in ast.walk(expr))
    builder, local = yield names.environment(pair.key.value, names.evaluation, "sample", writes_text)
    value = yield names.tensor(builder, local, scalar)
    if isinstance(value, Generated):
        return (yield _read_text(names, builder, local, value, scalar.span))
    if not isinstance(value, Value):
        return None
    kind = _kind_of(value.type)
    if kind is None:
        message = f"`{pair.key.value}` is {value.type}, which is neither pictures nor points nor text"
        names.sink.report("NL414", message, scalar.span, help=WRITTEN)
        return None
    graph = finish(builder, {"": value})
    return kind(graph, scalar.span) if _is_free_of_buffers(names, graph, "a sample") else None


def _kind_of(type: TensorType) -> type[Pictures] | type[Points] | None:
    if not type.dtype.is_float:
        return None
    if type.rank == 4 and type.shape[1] in (1, 3):
        return Pictures
    return Points if type.rank == 2 and type.shape[1] == 2 else None


def _read_text(names: ProgramNames, builder: GraphBuilder, local: Local, made: Generated, span: Span) -> Task:
    """A text that the program writes: its graph tells the next character, and the next states of those it reads."""
    following = yield _read_following(names, builder, local)
    builder.graph.outputs.update({"logits": made.logits, **following})
    whole, wanted = builder.finish(), ["logits"]
    graph = prune_inputs(prune(whole, ("logits",)))
    while missing := [item.name for item in graph.inputs if item.name in following and item.name not in wanted]:
        wanted += missing
        graph = prune_inputs(prune(whole, tuple(wanted)))
    fields = [item for item in graph.inputs if item.name not in following]
    shape = made.logits.type.shape
    batch, time = Dim.symbol("N"), Dim.symbol(TIME)
    if len(fields) != 1 or fields[0].name not in names.fields_of(names.evaluation) or fields[0].type.shape != (batch, time):
        read = ", ".join(f"`{item.name}`" for item in fields) or "nothing"
        message = f"`generate` needs what reads one text, i64[N, T], but `{made.argument.text}` reads {read}"
        names.sink.report("NL414", message, made.argument.span, help="give it what the network gives for the text alone: `net(text)`")
        return None
    if not made.logits.type.dtype.is_float or len(shape) != 3 or shape[:2] != (batch, time):
        message = f"`generate` needs a score for each next character, [N, T, V], but `{made.argument.text}` is {made.logits.type}"
        names.sink.report("NL414", message, made.argument.span, help="give it the logits of every step of the text")
        return None
    return Text(graph, span, fields[0].name, made.prompt, made.length, made.temperature)


def read_starts(names: ProgramNames) -> Task:
    """The graph of the states' first values, and their types in `names.states`; None without any."""
    train = names.train
    lets = {pair.key.value: pair for pair in pairs_of(train.get("let") if train is not None else None)}
    states = pairs_of(train.get("carry") if train is not None else None)
    builder = GraphBuilder(Graph("start", "step"))
    outputs: dict[str, Value] = {}
    taken = {*names.fields_of("train"), *names.fields, *names.variables, *(names.draws.outputs if names.draws is not None else ())}
    for pair in states:
        name = pair.key.value
        names.states[name] = POISON
        first = lets.get(name)
        if name in taken:
            names.sink.report("NL413", f"`{name}` names both a carried state and something else", pair.key.span, help="rename the state")
        elif first is None or not isinstance(first.value, Scalar):
            message, help_text = (
                f"the carried state `{name}` has no first value",
                f"give it under `let` of `train`: `{name}: zeros(N, 128)`",
            )
            names.sink.report("NL416", message, pair.key.span, help=help_text)
        elif not _reads_a_batch(names, name, first.value, taken | lets.keys()):
            value = yield names.tensor(builder, Local({"N": Dim.symbol("N")}), first.value)
            if isinstance(value, Value):
                names.states[name], outputs[name] = value.type, value
    for node in builder.made():
        if isinstance(node.op, Draw) and node.span is not None:
            message = "a carried state cannot begin at random: every epoch begins with the same"
            names.sink.report("NL416", message, node.span, help="write `zeros(N, 128)`")
    return finish(builder, outputs) if outputs else None


def _reads_a_batch(names: ProgramNames, state: str, scalar: Scalar, batch: set[str]) -> bool:
    """Whether a first value reads what there is only in an iteration; reports it."""
    expr = names.elaboration.parse(scalar)
    found = next((item for item in ast.names_in(expr) if item.name in batch), None) if expr is not None else None
    if found is not None:
        message = f"the first value of `{state}` cannot read `{found.name}`: it is made before the first batch"
        help_text = "use sizes and constants of the file, such as `zeros(N, 128)`"
        names.sink.report("NL416", message, scalar.locate(found.start, found.end), help=help_text)
    return found is not None


def read_carry(names: ProgramNames, start: Graph) -> Task:
    """The states' first and following values; None when something about them was reported."""
    builder, local = yield names.environment("carry", "train", "carry")
    following = yield _read_following(names, builder, local)
    train = names.train
    for pair in pairs_of(train.get("carry") if train is not None else None):
        name, type = pair.key.value, names.states[pair.key.value]
        made = following.get(name)
        if made is None or not isinstance(type, TensorType):
            return None
        if made.type != type:
            message = f"the state `{name}` begins as {type}, but goes on as {made.type}"
            first = next(item for item in pairs_of(train.get("let") if train is not None else None) if item.key.value == name)
            also = (Label(first.value.span, f"begins as {type}"),)
            names.sink.report("NL416", message, pair.value.span, label=str(made.type), also=also, help="make the two agree")
            return None
    graph = finish(builder, following)
    return Carry(start, graph) if _is_free_of_buffers(names, graph, "a carried state") else None


def _read_following(names: ProgramNames, builder: GraphBuilder, local: Local) -> Task:
    """The next values of all states, as far as they are tensors."""
    found: dict[str, Value] = {}
    for pair in pairs_of(names.train.get("carry") if names.train is not None else None):
        value = (yield names.tensor(builder, local, pair.value)) if isinstance(pair.value, Scalar) else None
        if isinstance(value, Value):
            found[pair.key.value] = value
    return found
