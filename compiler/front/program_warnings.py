"""What is likely a slip in a correct program: what never runs, what nothing reads, batch norm where it does harm."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics import Severity
from compiler.front import ast
from compiler.front.program_names import SPLITS, ProgramNames
from compiler.front.spec import pairs_of
from compiler.front.tree import Mapping, Pair, Scalar, Sequence
from compiler.ir.graph import Call, Graph, Node, Value, called_networks
from compiler.ir.reach import needed_nodes
from compiler.ir.training import Program, Step
from compiler.ops.norm import BatchNorm
from compiler.ops.program import Gradient, Replay
from compiler.source import Span

PARTS = ("warmup", "hold", "every")
"""Attributes of schedules that count iterations."""


def warn_program(names: ProgramNames, program: Program, train: Mapping) -> None:
    """Warn of all that is likely a slip in a program without errors."""
    node = train.get("steps")
    items = [item for item in node.items if isinstance(item, Mapping)] if isinstance(node, Sequence) else []
    trained = {name for step in program.steps for name in step.update}
    for step, item in zip(program.steps, items, strict=True):
        _warn_never(names, program, step, item)
        _warn_schedules(names, program, item)
        training = {name for name in called_networks(step.graph) if step.mode.get(name, name in trained)}
        _warn_penalties(names, step, training)
        _warn_replay(names, step)
    _note_untrained(names, program, trained)
    _warn_unread(names, program, train)


def _span_of(node: Mapping, key: str, other: Span) -> Span:
    scalar = node.get(key)
    return scalar.span if scalar is not None else other


def _warn_never(names: ProgramNames, program: Program, step: Step, node: Mapping) -> None:
    """Warn of a step that no iteration runs."""
    if step.until is not None and step.until <= step.after:
        message = f"this step never runs: it ends before iteration {step.until} and begins after {step.after}"
        names.warn("NL421", message, _span_of(node, "until", step.span), help="make `until` larger than `after`")
    elif program.iterations is not None and step.after >= program.iterations:
        message = f"this step never runs: it begins after iteration {step.after}, and there are {program.iterations}"
        names.warn("NL421", message, _span_of(node, "after", step.span), help="make `after` smaller, or `iterations` larger")


def _warn_schedules(names: ProgramNames, program: Program, node: Mapping) -> None:
    """Warn of the parts of schedules that lie behind the end of the run."""
    scalar = node.get("with")
    expr = names.elaboration.parse(scalar) if isinstance(scalar, Scalar) else None
    if expr is None or not isinstance(scalar, Scalar) or program.iterations is None:
        return
    for item in ast.walk(expr):
        if isinstance(item, ast.Keyword) and item.name in PARTS and isinstance(item.value, ast.Literal):
            count = item.value.value
            if isinstance(count, int) and count >= program.iterations:
                message = f"`{item.name}={count}` reaches to the end of the run, which has {program.iterations} iterations"
                help_text = "make it smaller: what the schedule does behind it is never reached"
                names.warn("NL421", message, scalar.locate(item.start, item.end), help=help_text)


def _normalizes(graph: Graph, seen: set[Graph]) -> bool:
    """Whether a network or a block it calls has batch norm; called networks are looked at by themselves."""
    if graph in seen:
        return False
    seen.add(graph)
    return any(
        isinstance(node.op, BatchNorm) or (isinstance(node.op, Call) and node.op.graph.kind == "block" and _normalizes(node.op.graph, seen))
        for node in graph.nodes
    )


def _between(nodes: list[Node], y: Value, x: Value) -> Iterator[Node]:
    """The nodes that lead from x to y."""
    reached = {x}
    for node in needed_nodes(nodes, y):
        if not reached.isdisjoint(node.operands):
            reached.update(node.results)
            yield node


def _warn_penalties(names: ProgramNames, step: Step, training: set[str]) -> None:
    """Warn of batch norm in a network whose gradient by its input is part of the objective."""
    for node in step.graph.nodes:
        if not isinstance(node.op, Gradient) or node.span is None:
            continue
        called = [item.op.graph for item in _between(step.graph.nodes, *node.operands) if isinstance(item.op, Call)]
        inside = {name: inner for graph in called for name, inner in [(graph.name, graph), *called_networks(graph).items()]}
        for name, graph in inside.items():
            if name in training and _normalizes(graph, set()):
                names.warn(
                    "NL422",
                    f"`{name}` has batch norm, and the gradient by its input is part of the objective",
                    node.span,
                    notes=("batch norm makes each output depend on the whole batch: this gradient is of no example alone",),
                    help="use `layer_norm` or `instance_norm` in it (Gulrajani et al. 2017, section 4)",
                )


def _note_untrained(names: ProgramNames, program: Program, trained: set[str]) -> None:
    """Note, once, which networks with batch norm steps run in training mode without training them, and `mode` does not ask for it."""
    found: dict[Step, list[str]] = {}
    for step in program.steps:
        for name, graph in called_networks(step.graph).items():
            if name in trained and name not in step.update and name not in step.mode and _normalizes(graph, set()):
                found.setdefault(step, []).append(name)
    if found:
        (step, networks), *others = found.items()
        shown = ", ".join(f"`{name}`" for name in networks)
        more = ", ".join(f"`{other.name}` for {', '.join(f'`{name}`' for name in inner)}" for other, inner in others)
        names.sink.report(
            "NL423",
            f"this step changes the running statistics of {shown}, which it does not train",
            step.span,
            notes=(f"other steps do so, too: {more}",) if more else (),
            help=f"`mode: {{{networks[0]}: eval}}` uses them as they are, `mode: {{{networks[0]}: train}}` says that this is meant",
            severity=Severity.NOTE,
        )


def _warn_replay(names: ProgramNames, step: Step) -> None:
    """Warn of a buffer of what is always the same."""
    for node in step.graph.nodes:
        if isinstance(node.op, Replay) and node.span is not None:
            before = needed_nodes(step.graph.nodes, node.operands[0])
            changing = set(step.graph.inputs) & {value for item in before for value in item.operands} | (
                set(step.graph.inputs) & {node.operands[0]}
            )
            if not changing and not any(item.op.random or isinstance(item.op, Call) for item in before):
                names.warn("NL421", "this buffer holds a constant", node.span, help="give it what changes, such as `replay(G(z), 50)`")


def _warn_unread(names: ProgramNames, program: Program, train: Mapping) -> None:
    """Warn of draws, values, states and data sources that nothing reads."""
    graphs = [step.graph for step in program.steps]
    graphs += [*program.metrics.values(), *(sample.graph for sample in program.samples.values())]
    read = {value.name for graph in graphs for value in graph.inputs}
    if program.carry is not None:
        read |= {value.name for value in program.carry.following.inputs if value.name not in names.states}
    read |= {value.name for variable in program.variables.values() for value in variable.init.inputs}
    read |= names.reads

    def warn(kind: str, pairs: tuple[Pair, ...]) -> None:
        for pair in pairs:
            if pair.key.value not in read:
                names.warn("NL420", f"nothing reads the {kind} `{pair.key.value}`", pair.key.span, help="remove it, or read it in a step")

    warn("draw", pairs_of(train.get("draw")))
    warn("carried state", pairs_of(train.get("carry")))
    warn("value", tuple(pair for pair in pairs_of(train.get("let")) if pair.key.value not in names.states))
    warn("variable", tuple(names.file.spec.variables.values()))
    fields = {name: {f"{name}_{field}" if field else name for field in types} for name, types in names.fields.items()}
    warn("data source", tuple(pair for name, pair in names.file.spec.data.items() if name not in SPLITS and not fields[name] & read))
    if "train" in names.fields and read.isdisjoint(names.fields_of("train")):
        warn("data source", tuple(pair for name, pair in names.file.spec.data.items() if name == "train" and name not in read))
