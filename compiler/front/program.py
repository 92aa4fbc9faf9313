"""Elaborates the training program: data sources, variables, draws, steps, metrics, samples, and the asserts that may speak of them."""

from __future__ import annotations

from typing import Any, final

from compiler.diagnostics import Severity
from compiler.front import ast
from compiler.front.builder import GraphBuilder
from compiler.front.elaborate import Elaboration
from compiler.front.facts import check_facts
from compiler.front.program_names import ProgramNames
from compiler.front.program_samples import read_carry, read_metric, read_sample, read_starts
from compiler.front.program_steps import read_step
from compiler.front.program_variables import read_variables
from compiler.front.program_warnings import warn_program
from compiler.front.readers import Reader, ReaderError
from compiler.front.records import read_record
from compiler.front.scope import FileScope, Frame, Local, Task
from compiler.front.spec import pairs_of
from compiler.front.tree import Mapping, Pair, Scalar, Sequence
from compiler.front.values import Poison
from compiler.ir.dims import Dim
from compiler.ir.graph import Graph, Value
from compiler.ir.signature import signature_of
from compiler.ir.training import Program, Sample, Step, Variable

BATCH = 32
"""Samples in a batch where the spec does not say; without data it is one."""


@final
class ProgramElaboration:
    """What the program of the main file means; uses the run's Elaboration for names and networks."""

    def __init__(self, elaboration: Elaboration, file: FileScope) -> None:
        self.elaboration = elaboration
        self.sink = elaboration.sink
        self.file = file
        self.names = ProgramNames(elaboration, file)

    @property
    def readers(self) -> dict[str, Reader]:
        return self.names.readers

    @property
    def variables(self) -> dict[str, Variable]:
        return {name: item for name, item in self.names.variables.items() if isinstance(item, Variable)}

    def read_data(self) -> Task:
        """The readers of `data` and the types of their fields, then the variables, which may begin as data."""
        for name, pair in self.file.spec.data.items():
            yield self._read_source(name, pair)
        yield read_variables(self.names)

    def _read_source(self, name: str, pair: Pair) -> Task:
        names = self.names
        names.unread.add(name)
        expr = self.elaboration.parse(pair.value) if isinstance(pair.value, Scalar) else None
        if not isinstance(pair.value, Scalar) or expr is None:
            return
        frame = names.frame(pair.value)
        reader = yield read_record(frame, expr, "NL508", "data reader", self.elaboration.readers)
        if not isinstance(reader, Reader):
            return
        try:
            names.fields[name] = reader.fields(self.file.folder)
            names.readers[name] = reader
            names.unread.discard(name)
        except ReaderError as error:
            self.sink.report(error.code, error.message, _attribute_span(frame, expr, reader, error.attribute), help=error.help)

    def program(self) -> Task:
        """The program, or None when there is none or something in it was reported."""
        train, names = self.file.spec.train, self.names
        if train is None:
            return None
        before = len(self.sink.diagnostics)
        settings: dict[str, Any] = {}
        for name in ("epochs", "iterations"):
            settings[name] = yield names.number(train, name, low=1)
        settings["batch"] = yield names.number(train, "batch", low=1, default=BATCH if names.has_batches else 1)
        settings["seed"] = yield names.number(train, "seed", low=0, default=0)
        for key, inner, setting in (
            ("evaluate", "every", "evaluate_every"),
            ("checkpoint", "every", "checkpoint_every"),
            ("checkpoint", "keep", "checkpoints_kept"),
        ):
            node = train.get(key)
            settings[setting] = (yield names.number(node, inner, low=1)) if isinstance(node, Mapping) else None
        yield self._read_draws(train)
        start = yield read_starts(names)
        steps = yield self._read_steps(train)
        metrics, samples = yield self._read_outcomes(train)
        carry = None if start is None else (yield read_carry(names, start))
        drawn = {*(() if names.draws is None else names.draws.outputs), *names.states}
        if not names.fields and any(value.name not in drawn for step in steps for value in step.graph.inputs):
            return None
        if self._has_failed(before):
            return None
        program = Program(
            tuple(steps),
            draws=names.draws,
            metrics=metrics,
            samples=samples,
            carry=carry,
            evaluation=names.evaluation,
            variables=self.variables,
            **settings,
        )
        if not self.sink.failed:
            warn_program(names, program, train)
        return program

    def _has_failed(self, before: int) -> bool:
        """Whether something about the program was reported, its variables included."""
        wrong = any(isinstance(item, Poison) for item in self.names.variables.values())
        return wrong or any(item.severity is Severity.ERROR for item in self.sink.diagnostics[before:])

    def _read_draws(self, train: Mapping) -> Task:
        """`draw` of the program: one graph whose outputs every step may read."""
        pairs = pairs_of(train.get("draw"))
        if not pairs:
            return
        graph = Graph("draws", "step")
        builder = GraphBuilder(graph)
        local = Local({"N": Dim.symbol("N")})
        for pair in pairs:
            value = yield self.names.entry(builder, local, pair)
            if isinstance(value, Value):
                graph.outputs[pair.key.value] = value
        self.names.reads |= local.used
        self.names.draws = builder.finish()

    def _read_steps(self, train: Mapping) -> Task:
        steps: list[Step] = []
        node = train.get("steps")
        for index, item in enumerate(node.items if isinstance(node, Sequence) else ()):
            step = (yield read_step(self.names, item, index)) if isinstance(item, Mapping) else None
            if step is not None:
                steps.append(step)
        return steps

    def _read_outcomes(self, train: Mapping) -> Task:
        """The metrics and the samples, by name."""
        metrics: dict[str, Graph] = {}
        samples: dict[str, Sample] = {}
        for pair in pairs_of(train.get("metrics")):
            graph = yield read_metric(self.names, pair)
            if graph is not None:
                metrics[pair.key.value] = graph
        for pair in pairs_of(train.get("sample")):
            sample = yield read_sample(self.names, pair)
            if sample is not None:
                samples[pair.key.value] = sample
        return metrics, samples

    def check_asserts(self) -> Task:
        """Every fact under the file's `assert`, which may speak of the program's names."""
        asserts = self.file.spec.asserts
        if asserts:
            _, local = yield self.names.environment("assert", "test", "assert")
            yield check_facts(Frame(self.elaboration, self.file, local, asserts[0]), asserts)


def _attribute_span(frame: Frame, expr: ast.Expr, reader: Reader, attribute: str | None) -> Any:
    if isinstance(expr, ast.Call) and attribute is not None:
        for keyword in expr.keywords:
            if keyword.name == attribute:
                return frame.span(keyword.value)
        names = [item.name for item in signature_of(type(reader)).attributes]
        if attribute in names and names.index(attribute) < len(expr.arguments):
            return frame.span(expr.arguments[names.index(attribute)])
    return frame.span(expr)
