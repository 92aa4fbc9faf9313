"""Elaborates a cell for what a scan gives it: the step as a typed graph for one example, then for a batch.

A cell is elaborated once for every different use (constants and input types). Weights that the step does not reach, because a
constant decided a conditional, are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from compiler.front import ast
from compiler.front.batch import NoBatch, batch
from compiler.front.bodies import make_frame, read_inits, read_lets, read_type, warn_unused_rules
from compiler.front.builder import InitRule
from compiler.front.calls import coerce
from compiler.front.cell_checks import Step, ordered_step
from compiler.front.evaluate import evaluate
from compiler.front.graph_calls import show_constant
from compiler.front.matching import Mismatch, match_types
from compiler.front.scope import Frame, Local, Task
from compiler.front.spec import CellDefinition
from compiler.front.tree import Node, Scalar, Sequence
from compiler.front.values import POISON, Argument, CellFunction, Poison, is_constant
from compiler.ir.cell import BATCH, Cell
from compiler.ir.dims import Dim
from compiler.ir.graph import Call, Graph, Parameter, Value
from compiler.ir.graph import Node as GraphNode
from compiler.ir.initializers import FanInUniform, Initializer, Uniform
from compiler.ir.prune import prune
from compiler.ir.types import TensorType
from compiler.source import Span

if TYPE_CHECKING:
    from compiler.front.elaborate import Elaboration

SHADOW = "_"
"""Put before a declared size's name while it is matched, so that it is not the caller's size of that name."""


@final
@dataclass(frozen=True, slots=True)
class MadeCell:
    """A cell for one kind of use, and its open sizes in the caller's."""

    cell: Cell
    sizes: tuple[tuple[str, Dim], ...]


@final
@dataclass(frozen=True, slots=True)
class BadInput:
    """The input of that number does not fit its declaration."""

    mismatch: Mismatch
    declared: TensorType


def size_names(elaboration: Elaboration, definition: CellDefinition) -> set[str]:
    """The names that stand alone for a size in a cell's inputs, states or weights."""
    nodes = [pair.value for table in (definition.body.inputs, definition.states) for pair in table.values()]
    nodes += [weight.sizes for weight in definition.weights.values()]
    found: set[str] = set()
    for node in nodes:
        scalars = node.items if isinstance(node, Sequence) else [node]
        for expr in (elaboration.parse(item) for item in scalars if isinstance(item, Scalar)):
            parts = expr.items if isinstance(expr, ast.Index) else (expr,) if isinstance(node, Sequence) else ()
            found.update(part.name for part in parts if isinstance(part, ast.Name))
    return found


def make_cell(frame: Frame, function: CellFunction, constants: dict[str, Any], steps: tuple[TensorType, ...], span: Span) -> Task:
    """The cell for inputs of these types at one step; BadInput where one does not fit, poison when reported."""
    key = (id(function.definition), tuple(constants.items()), steps)
    if key not in frame.elaboration.cells:
        frame.elaboration.stepping.append(function.definition.body.name)
        frame.elaboration.cells[key] = yield _make(frame, function, constants, steps, span)
        frame.elaboration.stepping.pop()
    return frame.elaboration.cells[key]


def _make(frame: Frame, function: CellFunction, constants: dict[str, Any], steps: tuple[TensorType, ...], span: Span) -> Task:
    definition, body = function.definition, function.definition.body
    step = ordered_step(frame.elaboration, definition)
    if step is None:
        return POISON
    shown = ", ".join(f"{name}={show_constant(value)}" for name, value in constants.items())
    notes = (f"in cell `{body.name}({shown})`, used at {span}", *frame.notes)
    graph = Graph(body.name, "block", constants=dict(constants), doc=body.doc)
    outer = Frame(frame.elaboration, function.scope, Local(dict(constants)), body.key)
    rules: tuple[InitRule, ...] = yield read_inits(outer, body.init)
    inner = make_frame(outer, body, graph, constants, notes, rules)
    declared = []
    for pair in body.inputs.values():
        declared.append((yield read_type(inner, pair.value, SHADOW)))
    if any(isinstance(item, Poison) for item in declared):
        return POISON
    matched = match_types(declared, steps)
    if isinstance(matched, Mismatch):
        plain = {name: Dim.symbol(name.removeprefix(SHADOW)) for item in declared for dim in item.shape for name in dim.symbols}
        return BadInput(matched, declared[matched.index].substitute(plain))
    work = _Work(inner, definition, rules, span)
    sizes = work.define_sizes(matched)
    types = [item.substitute({SHADOW + name: size for name, size in work.sizes.items()}) for item in declared]
    good = yield work.define_values(types)
    made = (yield work.elaborate(step)) if good else POISON
    if isinstance(made, Poison):
        return POISON
    warn_unused_rules(inner, rules)
    try:
        batched = batch(made)
    except NoBatch as error:
        work.refuse(error.node, "it has no form for a batch of examples")
        return POISON
    return MadeCell(Cell(body.name, batched, tuple(body.inputs), tuple(definition.states), body.doc), sizes)


@final
class _Work:
    """One elaboration of a step for one example."""

    def __init__(self, frame: Frame, definition: CellDefinition, rules: tuple[InitRule, ...], span: Span) -> None:
        assert frame.builder is not None
        self._frame = frame
        self._definition = definition
        self._rules = rules
        self._span = span
        self._builder = frame.builder
        self._states: dict[str, TensorType] = {}
        self.sizes: dict[str, Dim] = {}

    def define_sizes(self, matched: dict[str, Dim]) -> tuple[tuple[str, Dim], ...]:
        """Names of sizes, as numbers where they are known; returns the open ones in the caller's sizes."""
        opened = []
        for shadow, size in matched.items():
            name = shadow.removeprefix(SHADOW)
            own = size if size.constant is not None else Dim.symbol(f"{name}_" if name == BATCH else name)
            self.sizes[name] = own
            self._frame.local.values[name] = own if own.constant is None else own.constant
            if own.constant is None:
                opened.append((str(own), size))
        self._builder.graph.constants.update(self._frame.local.values)
        return tuple(opened)

    def define_values(self, inputs: list[TensorType]) -> Task:
        """Inputs, constants, states and weights by name; whether all are well."""
        values, graph = self._frame.local.values, self._builder.graph
        for name, type in zip(self._definition.body.inputs, inputs, strict=True):
            values[name] = self._builder.add_input(name, type)
        yield read_lets(self._frame, self._definition.body.lets)
        good = True
        for name, pair in self._definition.states.items():
            state = yield self._declared(name, pair.value, pair.key.span)
            good = good and not isinstance(state, Poison)
            if isinstance(state, TensorType):
                self._states[name] = state
                values[name] = self._builder.add_input(name, state)
        for name, weight in self._definition.weights.items():
            type = yield self._declared(name, weight.sizes, weight.place)
            known = not isinstance(type, Poison) and self._require_weight(name, type, weight.place)
            good = good and known
            if known:
                value = values[name] = Value(type, name)
                graph.parameters.append(Parameter(name, value, self._initializer(name, type), True))
        return good

    def _declared(self, name: str, node: Node, place: Span) -> Task:
        type = yield read_type(self._frame, node)
        if isinstance(type, Poison):
            return POISON
        known = {str(size) for size in self.sizes.values() if size.constant is None}
        unknown = sorted({symbol for dim in type.shape for symbol in dim.symbols} - known)
        if unknown:
            self._frame.sink.report(
                "NL170",
                f"the size `{unknown[0]}` of `{name}` is told by no input and no constant",
                place,
                help=self._tell_size(unknown[0]),
                notes=self._frame.notes,
            )
            return POISON
        return type

    def _tell_size(self, name: str) -> str:
        """What to do about a size that nothing tells."""
        if name == BATCH:
            return "a cell stands for one example and one time step: leave the batch out"
        return f"use a size of the inputs, or make it a constant of the cell: `{self._definition.body.name}({name})`"

    def _require_weight(self, name: str, type: TensorType, place: Span) -> bool:
        """A weight has sizes that are numbers, and floats in it, for it is trained."""
        if not type.dtype.is_float:
            self._frame.sink.report(
                "NL210",
                f"the weight `{name}` is {type}: only floating-point numbers can be trained",
                place,
                help="leave the dtype out, or make it an input",
                notes=self._frame.notes,
            )
            return False
        opened = sorted({symbol for dim in type.shape for symbol in dim.symbols})
        if opened:
            self._frame.sink.report(
                "NL205",
                f"`{name}` of `{self._definition.body.name}` is {type}: the weight needs to know `{opened[0]}`",
                self._span,
                help="give the network's input a number there",
                notes=self._frame.notes,
            )
        return not opened

    def _initializer(self, name: str, type: TensorType) -> Initializer:
        """What `init` says, else uniform within one over the root of the first state's last size, as torch.nn.RNNBase."""
        rule = next((item for item in self._rules if item.pattern == name), None)
        if rule is not None:
            rule.used = True
            return rule.init
        state = next(iter(self._states.values()), type)
        size = state.shape[-1].constant if state.shape else 1
        if size is None:
            return FanInUniform()
        return Uniform(-1 / math.sqrt(size), 1 / math.sqrt(size))

    def elaborate(self, step: Step) -> Task:
        """The graph of the step for one example."""
        graph = self._builder.graph
        good = True
        for equation, expr in step.equations:
            value = yield self._evaluate(equation.written, equation.expression, expr, equation.primed)
            good = good and not isinstance(value, Poison)
            self._frame.local.values[equation.written] = value
            if equation.primed and isinstance(value, Value):
                good = self._check_state(equation.name, value, equation.expression.span) and good
                graph.outputs[equation.name] = value
        scalar = self._definition.output
        assert scalar is not None
        output = yield self._evaluate("output", scalar, step.output, True)
        if not good or isinstance(output, Poison):
            return POISON
        graph.outputs = {name: graph.outputs[name] for name in self._definition.states} | {"": output}
        made = self._builder.finish()
        return prune(made, tuple(made.outputs)) if self._check_ops(made) else POISON

    def _evaluate(self, name: str, scalar: Scalar, expr: Any, tensor: bool) -> Task:
        frame = self._frame.at(scalar)
        with self._builder.open_entry(name):
            value = yield evaluate(frame, expr)
            if isinstance(value, tuple) or (is_constant(value) and not tensor):
                return value
            value = coerce(frame, Argument(value, scalar.span, frame.text(expr), expr))
        if isinstance(value, Value) and value not in self._builder.graph.entries.values():
            self._builder.graph.entries[name] = value
        return value

    def _check_state(self, name: str, value: Value, span: Span) -> bool:
        wanted = self._states[name]
        if value.type != wanted:
            self._frame.sink.report(
                "NL231",
                f"the state `{name}` is {wanted}, but `{name}'` is {value.type}",
                span,
                label=str(value.type),
                help="a state keeps its type from step to step: declare it so, or change the equation",
                notes=self._frame.notes,
            )
        return value.type == wanted

    def _check_ops(self, graph: Graph) -> bool:
        """Report the ops that cannot stand in a step."""
        own = {item.key for item in graph.parameters} - set(self._definition.weights)
        good = True
        for node in graph.nodes:
            why = None
            if isinstance(node.op, Call):
                why = "a step holds ops and equations, no blocks and networks"
            elif node.parameters:
                why = "it has weights of its own; those of a cell stand under `params`"
            elif node.op.random:
                why = "it draws numbers, and a step must give the same for the same inputs"
            if why is not None:
                self.refuse(node, why)
                good = False
        return good and not own

    def refuse(self, node: GraphNode, why: str) -> None:
        name = node.op.graph.name if isinstance(node.op, Call) else node.op.name
        span = node.span if node.span is not None else self._definition.body.key.span
        self._frame.sink.report("NL168", f"`{name}` cannot stand in a cell: {why}", span, notes=self._frame.notes)
