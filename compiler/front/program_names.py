"""The names that expressions of a training program can read: fields of data, draws, variables, carried states, values of `let`.

Every step, metric and sample is a graph of its own (an environment) in which all of them can be read; what is not read is
left out of it. Non-goals: what the expressions are for.
"""

from __future__ import annotations

from typing import Any, Final, final

from compiler.diagnostics import Severity
from compiler.front.builder import GraphBuilder, Place
from compiler.front.calls import coerce
from compiler.front.elaborate import Elaboration
from compiler.front.evaluate import evaluate, evaluate_constant
from compiler.front.readers import Reader
from compiler.front.scope import FileScope, Frame, Local, Task
from compiler.front.spec import pairs_of
from compiler.front.tree import Mapping, Pair, Scalar
from compiler.front.values import POISON, Applied, Argument, Generated, Poison, Source
from compiler.ir.dims import Dim
from compiler.ir.graph import Call, Graph, Value
from compiler.ir.prune import prune_inputs
from compiler.ir.training import Variable
from compiler.ir.types import DType, TensorType
from compiler.source import Span

SPLITS: Final = ("train", "test", "valid")
TIME: Final = "T"
"""The open length of the text that a sample writes."""


@final
class ProgramNames:
    """Filled section by section, in the order of the attributes; `reads` collects what graphs and other values of `let` read."""

    def __init__(self, elaboration: Elaboration, file: FileScope) -> None:
        self.elaboration = elaboration
        self.sink = elaboration.sink
        self.file = file
        self.train = file.spec.train
        self.readers: dict[str, Reader] = {}
        self.fields: dict[str, dict[str, TensorType]] = {}
        self.unread: set[str] = set()
        """Sources whose fields are not known because something about them was reported."""
        self.variables: dict[str, Variable | Poison] = {}
        self.draws: Graph | None = None
        self.states: dict[str, TensorType | Poison] = {}
        self.reads: set[str] = set()

    @property
    def evaluation(self) -> str:
        """The split that metrics and samples read."""
        return next((name for name in ("test", "valid", "train") if name in self.fields), "train")

    @property
    def has_batches(self) -> bool:
        return any("N" in dim.symbols for types in self.fields.values() for type in types.values() for dim in type.shape)

    def fields_of(self, split: str) -> dict[str, TensorType]:
        """Fields by the names that expressions call them."""
        types = self.fields.get(split) or self.fields.get("train", {})
        return {field or split: type for field, type in types.items()}

    def frame(self, scalar: Scalar, local: Local | None = None, builder: GraphBuilder | None = None) -> Frame:
        return Frame(self.elaboration, self.file, local if local is not None else Local(), scalar, builder)

    def environment(self, name: str, split: str, place: Place, writes_text: bool = False) -> Task:
        """A graph of the program's names: its builder and its local names; `writes_text` leaves the length of texts open."""
        builder = GraphBuilder(Graph(name, "step"), place=place)
        local = self.locals(builder, split, writes_text)
        self._add_variables(builder, local)
        for draw, value in self.draws.outputs.items() if self.draws is not None else ():
            local.values[draw] = builder.add_input(draw, value.type)
        for state, type in self.states.items():
            local.values[state] = builder.add_input(state, type) if isinstance(type, TensorType) else POISON
        for pair in pairs_of(self.train.get("let")) if self.train is not None else ():
            if pair.key.value not in self.states:
                yield self.entry(builder, local, pair)
        self.reads |= local.used
        local.used.clear()
        return builder, local

    def locals(self, builder: GraphBuilder, split: str, writes_text: bool = False) -> Local:
        """The fields of a split, which become inputs when read, other sources, and sizes."""
        local = Local(dict.fromkeys(self.unread, POISON), incomplete=not self.unread.isdisjoint(SPLITS))
        for field, type in self.fields_of(split).items():
            is_text = writes_text and type.dtype is DType.i64 and type.rank == 2
            local.values[field] = builder.add_input(field, TensorType(type.dtype, (type.shape[0], Dim.symbol(TIME))) if is_text else type)
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

    def _add_variables(self, builder: GraphBuilder, local: Local) -> None:
        for name, variable in self.variables.items():
            if isinstance(variable, Poison):
                local.values[name] = POISON
            else:
                local.values[name] = Applied(variable.network, builder.call(variable.network, (), {}, variable.span), name)

    def entry(self, builder: GraphBuilder, local: Local, pair: Pair) -> Task:
        """One named value (`draw`, `let`); its tensor, constant, or poison."""
        if not isinstance(pair.value, Scalar):
            return POISON
        expr = self.elaboration.parse(pair.value)
        with builder.open_entry(pair.key.value):
            value = POISON if expr is None else (yield evaluate(self.frame(pair.value, local, builder), expr))
        local.values[pair.key.value] = value
        return value

    def tensor(self, builder: GraphBuilder, local: Local, scalar: Scalar) -> Task:
        """The tensor of an expression, or the text that it says how to write; None where it was reported."""
        expr = self.elaboration.parse(scalar)
        if expr is None:
            return None
        frame = self.frame(scalar, local, builder)
        value = yield evaluate(frame, expr)
        self.reads |= local.used
        if isinstance(value, Generated):
            return value
        tensor = coerce(frame, Argument(value, frame.span(expr), frame.text(expr), expr))
        return tensor if isinstance(tensor, Value) else None

    def number(self, node: Mapping, name: str, low: int, default: int | None = None) -> Task:
        """The integer under `name`, `default` where there is none or it was reported."""
        value = yield self._constant(node, name)
        if value is None or isinstance(value[1], Poison):
            return default
        scalar, number = value
        if isinstance(number, bool) or not isinstance(number, int) or not low <= number < 2**63:
            self.sink.report("NL405", f"`{name}` must be an integer of at least {low}, not `{scalar.value}`", scalar.span)
            return default
        return number

    def bound(self, node: Mapping, name: str) -> Task:
        """The positive number under `name`; None where there is none or it was reported."""
        value = yield self._constant(node, name)
        if value is None or isinstance(value[1], Poison):
            return None
        scalar, number = value
        if isinstance(number, bool) or not isinstance(number, int | float) or not number > 0:
            self.sink.report("NL405", f"`{name}` must be a positive number, not `{scalar.value}`", scalar.span)
            return None
        return float(number)

    def decay(self, node: Mapping, name: str) -> Task:
        """The share from 0 to below 1 under `name`; None where there is none or it was reported."""
        value = yield self._constant(node, name)
        if value is None or isinstance(value[1], Poison):
            return None
        scalar, number = value
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < 1:
            help_text = "it is the share of the average that is kept at each update: 0.999 averages over a thousand"
            self.sink.report("NL405", f"`{name}` must be from 0 to below 1, not `{scalar.value}`", scalar.span, help=help_text)
            return None
        return float(number)

    def warn(self, code: str, message: str, span: Span, help: str | None = None, notes: tuple[str, ...] = ()) -> None:
        self.sink.report(code, message, span, help=help, notes=notes, severity=Severity.WARNING)

    def _constant(self, node: Mapping, name: str) -> Task:
        """The scalar under a key and the constant it means; None without one."""
        scalar = node.get(name)
        if not isinstance(scalar, Scalar):
            return None
        expr = self.elaboration.parse(scalar)
        made: Any = POISON if expr is None else (yield evaluate_constant(self.frame(scalar), expr))
        return scalar, made


def finish(builder: GraphBuilder, outputs: dict[str, Value]) -> Graph:
    """The graph of some values, with the inputs that they read and no others; what the program names is an entry."""
    builder.graph.outputs.update(outputs)
    graph = builder.finish()
    for node in graph.nodes:
        for read, value in zip(node.op.reads if isinstance(node.op, Call) else ("",), node.results, strict=False):
            if node.entry:
                graph.entries[f"{node.entry}_{read}" if read else node.entry] = value
    return prune_inputs(graph)
