"""Elaborates the training program: data sources, draws, steps, metrics, and the asserts that may speak of them."""

from __future__ import annotations

from typing import Any, Literal, final

from compiler.diagnostics import Label, Severity
from compiler.front import ast
from compiler.front.bodies import names_in
from compiler.front.builder import GraphBuilder
from compiler.front.calls import coerce
from compiler.front.elaborate import Elaboration
from compiler.front.evaluate import evaluate, evaluate_constant
from compiler.front.readers import Reader, ReaderError
from compiler.front.records import read_record
from compiler.front.scope import FileScope, Frame, Local, Task
from compiler.front.spec import pairs_of, scalars_of
from compiler.front.tree import Mapping, Pair, Scalar, Sequence
from compiler.front.values import POISON, Argument, Poison, Source, is_constant
from compiler.ir.dims import Dim
from compiler.ir.graph import Graph, Value, called_networks
from compiler.ir.signature import signature_of
from compiler.ir.training import OPTIMIZERS, SCHEDULES, Optimizer, Program, Step
from compiler.ir.types import TensorType

SPLITS = ("train", "test", "valid")
LATER = ("ema", "mode", "carry", "sample", "checkpoint")


@final
class ProgramElaboration:
    """What the program of the main file means; uses the run's Elaboration for names and networks."""

    def __init__(self, elaboration: Elaboration, file: FileScope) -> None:
        self.elaboration = elaboration
        self.sink = elaboration.sink
        self.file = file
        self.readers: dict[str, Reader] = {}
        self.fields: dict[str, dict[str, TensorType]] = {}
        self.draws: Graph | None = None
        self.unread: set[str] = set()

    def read_data(self) -> Task:
        """The readers of `data` and the types of their fields."""
        for name, pair in self.file.spec.data.items():
            if not isinstance(pair.value, Scalar):
                self.unread.add(name)
                continue
            expr = self.elaboration.parse(pair.value)
            frame = Frame(self.elaboration, self.file, Local(), pair.value)
            reader = None if expr is None else (yield read_record(frame, expr, "NL508", "data reader", self.elaboration.readers))
            if not isinstance(reader, Reader) or expr is None:
                self.unread.add(name)
                continue
            try:
                self.fields[name] = reader.fields(self.file.folder)
                self.readers[name] = reader
            except ReaderError as error:
                self.unread.add(name)
                span = self._attribute_span(frame, expr, reader, error.attribute)
                self.sink.report(error.code, error.message, span, help=error.help)

    def _attribute_span(self, frame: Frame, expr: ast.Expr, reader: Reader, attribute: str | None) -> Any:
        if isinstance(expr, ast.Call) and attribute is not None:
            for keyword in expr.keywords:
                if keyword.name == attribute:
                    return frame.span(keyword.value)
            names = [item.name for item in signature_of(type(reader)).attributes]
            if attribute in names and names.index(attribute) < len(expr.arguments):
                return frame.span(expr.arguments[names.index(attribute)])
        return frame.span(expr)

    def _local(self, builder: GraphBuilder, split: str) -> Local:
        """Names of a step: the fields of the split, other sources, and sizes; fields become inputs when read."""
        local = Local(dict.fromkeys(self.unread, POISON), incomplete=not self.unread.isdisjoint(SPLITS))
        types = self.fields.get(split) or self.fields.get("train", {})
        for field, type in types.items():
            local.values[field or split] = builder.add_input(field or split, type)
        for name, types in self.fields.items():
            if name not in SPLITS:
                local.values[name] = self._source(builder, name, types)
        local.values["N"] = Dim.symbol("N")
        return local

    def _source(self, builder: GraphBuilder, name: str, types: dict[str, TensorType]) -> Source:
        made: dict[str, Value] = {}

        def read(field: str) -> Value | None:
            if field in types and field not in made:
                made[field] = builder.add_input(f"{name}_{field}" if field else name, types[field])
            return made.get(field)

        return Source(name, read, tuple(types))

    def program(self) -> Task:
        """The program, or None when there is none or something in it was reported."""
        train = self.file.spec.train
        if train is None:
            return None
        before = len(self.sink.diagnostics)
        self._refuse_later(train)
        numbers = {}
        for name in ("epochs", "iterations", "batch", "seed"):
            numbers[name] = yield self._number(train, name, low=0 if name == "seed" else 1)
        yield self._read_draws(train)
        steps: list[Step] = []
        node = train.get("steps")
        for index, item in enumerate(node.items if isinstance(node, Sequence) else ()):
            if isinstance(item, Mapping):
                step = yield self._step(train, item, index)
                if step is not None:
                    steps.append(step)
        metrics: dict[str, Graph] = {}
        evaluation = next((name for name in ("test", "valid", "train") if name in self.fields), "train")
        for pair in pairs_of(train.get("metrics")):
            graph = yield self._scalar_graph(train, pair, evaluation)
            if graph is not None:
                metrics[pair.key.value] = graph
        drawn = () if self.draws is None else self.draws.outputs
        if not self.fields and any(value.name not in drawn for step in steps for value in step.graph.inputs):
            return None
        if any(item.severity is Severity.ERROR for item in self.sink.diagnostics[before:]):
            return None
        if numbers["batch"] is None:
            numbers["batch"] = 1 if not self.fields else 32
        return Program(
            tuple(steps), numbers["batch"], numbers["epochs"], numbers["iterations"], numbers["seed"] or 0, self.draws, metrics, evaluation
        )

    def _refuse_later(self, node: Mapping) -> None:
        for pair in node.pairs:
            if pair.key.value in LATER:
                self.sink.report("NL409", f"`{pair.key.value}` is not part of this version of the language", pair.key.span)
        for pair in self.file.spec.variables.values():
            self.sink.report("NL409", "`variables` are not part of this version of the language", pair.key.span)

    def _number(self, node: Mapping, name: str, low: int) -> Task:
        value = node.get(name)
        if not isinstance(value, Scalar):
            return None
        expr = self.elaboration.parse(value)
        frame = Frame(self.elaboration, self.file, Local(), value)
        number = POISON if expr is None else (yield evaluate_constant(frame, expr))
        if isinstance(number, Poison):
            return None
        if isinstance(number, bool) or not isinstance(number, int) or not low <= number < 2**63:
            self.sink.report("NL405", f"`{name}` must be an integer of at least {low}, not `{value.value}`", value.span)
            return None
        return number

    def _real(self, node: Mapping, name: str) -> Task:
        value = node.get(name)
        if not isinstance(value, Scalar):
            return None
        expr = self.elaboration.parse(value)
        number = POISON if expr is None else (yield evaluate_constant(Frame(self.elaboration, self.file, Local(), value), expr))
        if isinstance(number, Poison):
            return None
        if isinstance(number, bool) or not isinstance(number, int | float) or not number > 0:
            self.sink.report("NL405", f"`{name}` must be a positive number, not `{value.value}`", value.span)
            return None
        return float(number)

    def _read_draws(self, train: Mapping) -> Task:
        """`draw` of the program: one graph whose outputs every step may read."""
        pairs = pairs_of(train.get("draw"))
        if not pairs:
            return
        graph = Graph("draws", "step")
        builder = GraphBuilder(graph)
        local = Local({"N": Dim.symbol("N")})
        for pair in pairs:
            value = yield self._entry(builder, local, pair)
            if isinstance(value, Value):
                graph.outputs[pair.key.value] = value
        self.draws = builder.finish()

    def _entry(self, builder: GraphBuilder, local: Local, pair: Pair) -> Task:
        """One named value of a step (`draw`, `let`); its tensor, constant, or poison."""
        if not isinstance(pair.value, Scalar):
            return POISON
        expr = self.elaboration.parse(pair.value)
        frame = Frame(self.elaboration, self.file, local, pair.value, builder)
        with builder.open_entry(pair.key.value):
            value = POISON if expr is None else (yield evaluate(frame, expr))
        local.values[pair.key.value] = value
        return value

    def environment(self, name: str, train: Mapping | None, split: str) -> Task:
        """A graph of the program's names: its builder and its local names."""
        builder = GraphBuilder(Graph(name, "step"))
        local = self._local(builder, split)
        for draw, value in self.draws.outputs.items() if self.draws is not None else ():
            local.values[draw] = builder.add_input(draw, value.type)
        for pair in pairs_of(train.get("let")) if train is not None else ():
            yield self._entry(builder, local, pair)
        return builder, local

    def _objective(self, builder: GraphBuilder, local: Local, scalar: Scalar, what: str) -> Task:
        """The scalar value of an expression; None when reported."""
        expr = self.elaboration.parse(scalar)
        frame = Frame(self.elaboration, self.file, local, scalar, builder)
        if expr is None:
            return None
        value = yield evaluate(frame, expr)
        if is_constant(value):
            self.sink.report("NL402", f"{what} is the constant `{frame.text(expr)}`: nothing it could depend on", frame.span(expr))
            return None
        tensor = coerce(frame, Argument(value, frame.span(expr), frame.text(expr), expr))
        if not isinstance(tensor, Value):
            return None
        if tensor.type.shape or not tensor.type.dtype.is_float:
            self.sink.report(
                "NL401",
                f"{what} must be one floating-point number, but it is {tensor.type}",
                frame.span(expr),
                help="reduce it: `mean(…)` or `sum(…)`",
            )
            return None
        return tensor

    def _scalar_graph(self, train: Mapping, pair: Pair, split: str) -> Task:
        if not isinstance(pair.value, Scalar):
            return None
        builder, local = yield self.environment(pair.key.value, train, split)
        value = yield self._objective(builder, local, pair.value, f"the metric `{pair.key.value}`")
        if value is None:
            return None
        builder.graph.outputs[""] = value
        return keep_needed(builder.finish())

    def _step(self, train: Mapping, node: Mapping, index: int) -> Task:
        self._refuse_later(node)
        named = node.get("name")
        builder, local = yield self.environment(named.value if isinstance(named, Scalar) else f"step_{index + 1}", train, "train")
        for key in ("draw", "let"):
            for pair in pairs_of(node.get(key)):
                yield self._entry(builder, local, pair)
        sense: Literal["minimize", "maximize"] = "maximize" if node.get("maximize") is not None else "minimize"
        scalar = node.get(sense)
        if not isinstance(scalar, Scalar):
            return None
        value = yield self._objective(builder, local, scalar, "the objective")
        optimizer = yield self._optimizer(node)
        update = yield self._update(node)
        limits = {}
        for key in ("clip_norm", "clip_value", "clamp"):
            limits[key] = yield self._real(node, key)
        cadence = {}
        for key, low in (("repeat", 1), ("every", 1), ("after", 0), ("until", 1)):
            cadence[key] = yield self._number(node, key, low)
        if value is None or not isinstance(optimizer, Optimizer) or not update:
            return None
        builder.graph.outputs[""] = value
        graph = keep_needed(builder.finish())
        reached = called_networks(graph)
        for item in scalars_of(node.get("update")):
            if item.value in update and item.value not in reached:
                self.sink.report(
                    "NL403",
                    f"the step updates `{item.value}`, but its objective does not depend on it",
                    item.span,
                    also=(Label(scalar.span, "the objective"),),
                    help=f"use `{item.value}(…)` in the objective, or do not update it here",
                )
        return Step(
            graph.name, graph, sense, update, optimizer, scalar.span, **limits,
            repeat=cadence["repeat"] or 1, every=cadence["every"] or 1, after=cadence["after"] or 0, until=cadence["until"],
        )  # fmt: skip

    def _optimizer(self, node: Mapping) -> Task:
        scalar = node.get("with")
        if not isinstance(scalar, Scalar):
            return None
        expr = self.elaboration.parse(scalar)
        frame = Frame(self.elaboration, self.file, Local(), scalar)
        return None if expr is None else (yield read_record(frame, expr, "NL404", "optimizer", OPTIMIZERS, SCHEDULES))

    def _update(self, node: Mapping) -> Task:
        """The networks a step updates; empty when something was reported."""
        names: list[str] = []
        good = True
        for item in scalars_of(node.get("update")):
            known = self.file.spec.networks | {name: None for name, scope in self.file.imported.items() if name in scope.spec.networks}
            if item.value not in known:
                self.elaboration.report_near("NL403", f"there is no network `{item.value}` to update", item.span, item.value, list(known))
                good = False
            elif isinstance((yield self.elaboration.resolve(self.file, item.value)), Poison):
                good = False
            names.append(item.value)
        return tuple(names) if good else ()

    def check_asserts(self) -> Task:
        """Every fact under `assert`: true, or an error."""
        for scalar in self.file.spec.asserts:
            expr = self.elaboration.parse(scalar)
            if expr is None:
                continue
            builder, local = yield self.environment("assert", self.file.spec.train, "test")
            symbols = {name: Dim.symbol(name) for name in sizes_in(expr) if name not in self.file.spec.lets}
            frame = Frame(self.elaboration, self.file, Local({**symbols}, outer=local), scalar, builder)
            yield self._check_fact(frame, expr)

    def _check_fact(self, frame: Frame, expr: ast.Expr) -> Task:
        value = yield evaluate_constant(frame, expr)
        if isinstance(value, Poison) or value is True:
            return
        note: tuple[str, ...] = ()
        if isinstance(expr, ast.Chain) and len(expr.rest) == 1:
            left = yield evaluate_constant(frame, expr.first)
            right = yield evaluate_constant(frame, expr.rest[0][1])
            note = (f"`{frame.text(expr.first)}` is {show_constant(left)}, `{frame.text(expr.rest[0][1])}` is {show_constant(right)}",)
        if value is False:
            self.sink.report("NL450", f"this does not hold: `{frame.text(expr)}`", frame.span(expr), notes=note)
        else:
            self.sink.report("NL450", f"an assert must be `true` or `false`, but `{frame.text(expr)}` is `{value}`", frame.span(expr))


def show_constant(value: object) -> str:
    """A constant as a note shows it: thousands apart, lists in brackets."""
    if isinstance(value, tuple):
        return f"[{', '.join(str(item) for item in value)}]"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def sizes_in(expr: ast.Expr) -> set[str]:
    """Names that stand for sizes: those inside a list that is compared."""
    found: set[str] = set()
    parts = [expr.first, *(item for _, item in expr.rest)] if isinstance(expr, ast.Chain) else []
    for part in parts:
        if isinstance(part, ast.Sequence):
            found.update(names_in(part))
    return found


def keep_needed(graph: Graph) -> Graph:
    """Drop nodes and inputs that no output needs."""
    needed = {id(value) for value in graph.outputs.values()}
    kept = []
    for node in reversed(graph.nodes):
        if any(id(value) in needed for value in node.results):
            needed.update(id(value) for value in node.operands)
            kept.append(node)
    graph.nodes = kept[::-1]
    graph.inputs = [value for value in graph.inputs if id(value) in needed]
    return graph
