"""Elaborates the training program: data sources, draws, steps, metrics, and the asserts that may speak of them."""

from __future__ import annotations

from typing import Any, Literal, final

from compiler.diagnostics import Label, Severity
from compiler.front import ast
from compiler.front.builder import GraphBuilder
from compiler.front.calls import coerce
from compiler.front.elaborate import Elaboration
from compiler.front.evaluate import evaluate, evaluate_constant
from compiler.front.facts import check_facts
from compiler.front.readers import Reader, ReaderError
from compiler.front.records import read_record
from compiler.front.scope import FileScope, Frame, Local, Task
from compiler.front.spec import pairs_of, scalars_of
from compiler.front.tree import Mapping, Pair, Scalar, Sequence
from compiler.front.values import POISON, Argument, Poison, Source, is_constant
from compiler.ir.dims import Dim
from compiler.ir.graph import Graph, Value, called_networks
from compiler.ir.prune import prune
from compiler.ir.signature import signature_of
from compiler.ir.training import OPTIMIZERS, SCHEDULES, Optimizer, Program, Step
from compiler.ir.types import TensorType
from compiler.source import Span

SPLITS = ("train", "test", "valid")
LATER = ("ema", "mode", "carry", "sample", "checkpoint", "evaluate")
LATER_HELP = {"weights": "give them on the command line: `--weights FILE`", "evaluate": "metrics are measured after each epoch"}
BATCH = 32
"""Samples in a batch where the spec does not say; without data it is one."""


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

    def refuse_later(self) -> None:
        """Report what the language has and this version does not, wherever it stands in the file."""
        spec = self.file.spec
        for pair in spec.variables.values():
            self._refuse("variables", pair.key.span)
        for body in spec.networks.values():
            if body.weights is not None:
                self._refuse("weights", body.weights.span)

    def _refuse(self, name: str, span: Span) -> None:
        self.sink.report("NL409", f"`{name}` is not part of this version of the language", span, help=LATER_HELP.get(name))

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
        length = {}
        for name in ("epochs", "iterations"):
            length[name] = yield self._number(train, name, low=1)
        batch = yield self._number(train, "batch", low=1, default=BATCH if self.fields else 1)
        seed = yield self._number(train, "seed", low=0, default=0)
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
        return Program(tuple(steps), batch, length["epochs"], length["iterations"], seed, self.draws, metrics, evaluation)

    def _refuse_later(self, node: Mapping) -> None:
        for pair in node.pairs:
            if pair.key.value in LATER:
                self._refuse(pair.key.value, pair.key.span)

    def _number(self, node: Mapping, name: str, low: int, default: int | None = None) -> Task:
        """The integer under `name`, `default` where there is none or it was reported."""
        value = yield self._constant(node, name)
        if value is None or isinstance(value[1], Poison):
            return default
        scalar, number = value
        if isinstance(number, bool) or not isinstance(number, int) or not low <= number < 2**63:
            self.sink.report("NL405", f"`{name}` must be an integer of at least {low}, not `{scalar.value}`", scalar.span)
            return default
        return number

    def _bound(self, node: Mapping, name: str) -> Task:
        """The positive number under `name`; None where there is none or it was reported."""
        value = yield self._constant(node, name)
        if value is None or isinstance(value[1], Poison):
            return None
        scalar, number = value
        if isinstance(number, bool) or not isinstance(number, int | float) or not number > 0:
            self.sink.report("NL405", f"`{name}` must be a positive number, not `{scalar.value}`", scalar.span)
            return None
        return float(number)

    def _constant(self, node: Mapping, name: str) -> Task:
        """The scalar under a key and the constant it means; None without one."""
        scalar = node.get(name)
        if not isinstance(scalar, Scalar):
            return None
        expr = self.elaboration.parse(scalar)
        return scalar, POISON if expr is None else (yield evaluate_constant(Frame(self.elaboration, self.file, Local(), scalar), expr))

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
        return finish(builder, value)

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
            limits[key] = yield self._bound(node, key)
        cadence = {}
        for key, low, default in (("repeat", 1, 1), ("every", 1, 1), ("after", 0, 0), ("until", 1, None)):
            cadence[key] = yield self._number(node, key, low, default)
        if value is None or not isinstance(optimizer, Optimizer) or not update:
            return None
        graph = finish(builder, value)
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
        return Step(graph.name, graph, sense, update, optimizer, scalar.span, **limits, **cadence)

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
        """Every fact under the file's `assert`, which may speak of the program's names."""
        asserts = self.file.spec.asserts
        if asserts:
            _, local = yield self.environment("assert", self.file.spec.train, "test")
            yield check_facts(Frame(self.elaboration, self.file, local, asserts[0]), asserts)


def finish(builder: GraphBuilder, objective: Value) -> Graph:
    """The graph of one number, with the inputs it reads and no others."""
    builder.graph.outputs[""] = objective
    graph = prune(builder.finish(), ("",))
    used = {value for node in graph.nodes for value in node.operands} | {objective}
    graph.inputs = [value for value in graph.inputs if value in used]
    return graph
