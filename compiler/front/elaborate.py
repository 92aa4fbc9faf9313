"""From the records of a spec to typed graphs: names, constants, networks, blocks, calls.

One Elaboration holds a run: its sink, its files, and the graphs made so far. Networks are made when first needed, so order in
the file does not matter; a circle is reported.
"""

from __future__ import annotations

from typing import Any, final

from compiler.diagnostics import Diagnostic, Fix, SpecError
from compiler.front import ast
from compiler.front.bodies import elaborate_entries, make_frame, read_inits, read_lets, read_type, warn_unused_rules
from compiler.front.builtins import BUILTINS
from compiler.front.cell_checks import Step
from compiler.front.evaluate import evaluate, evaluate_constant, evaluate_loosely
from compiler.front.expressions import read_expression
from compiler.front.graph_calls import call_block, call_network
from compiler.front.limits import CALL_DEPTH, NODES
from compiler.front.program_builtins import PROGRAM_BUILTINS
from compiler.front.readers import Reader, TrustedPath
from compiler.front.scans import SCANS, call_cell
from compiler.front.scope import FileScope, Frame, Local, Task
from compiler.front.sink import Sink
from compiler.front.spec import Body, SpecFile
from compiler.front.suggest import suggest, suggests
from compiler.front.tree import Node, Scalar, Sequence
from compiler.front.values import (
    POISON,
    Argument,
    BlockFunction,
    BuiltinFunction,
    CellFunction,
    NetworkFunction,
    OpFunction,
    Partial,
    Poison,
)
from compiler.ir.dims import Dim
from compiler.ir.graph import Call, Graph
from compiler.ir.reach import Reach
from compiler.ir.types import TensorType
from compiler.source import Source, Span

CIRCLE_HELP = "break the circle: one of them must do without the others"

FUNCTIONS = {**BUILTINS, **SCANS, **PROGRAM_BUILTINS}
"""Functions of the language that are no ops."""


@final
class Elaboration:
    """One run over a spec and the files it uses."""

    def __init__(self, sink: Sink, readers: dict[str, type[Reader]], overrides: dict[str, str]) -> None:
        self.sink = sink
        self.readers = readers
        self.overrides = overrides
        self.main: FileScope | None = None
        self.blocks: dict[Any, Graph | Poison] = {}
        self.graphs: list[tuple[Graph, Body]] = []
        self.cells: dict[Any, Any] = {}
        self.steps: dict[int, Step | None] = {}
        self.stepping: list[str] = []
        """The cell that is being elaborated, if one is."""
        self.reach = Reach()
        self._making: list[str] = []
        self._made = 0
        self._weights: dict[int, tuple[int, int]] = {}

    def spend(self, span: Span) -> bool:
        """Count one op or call more; False, reported once, when there are too many: blocks and `repeat` multiply quickly."""
        self._made += 1
        if self._made == NODES + 1:
            self.sink.report("NL150", f"the spec makes more than {NODES:,} ops", span, help="repeat fewer times, or use fewer blocks")
        return self._made <= NODES

    def weigh(self, graph: Graph) -> tuple[int, int]:
        """Ops of a new graph with every call counted as what it calls, and how deep its calls go; what it calls has been weighed."""
        called = [self._weights.get(id(node.op.graph), (1, 1)) for node in graph.nodes if isinstance(node.op, Call)]
        weight = (len(graph.nodes) - len(called) + sum(size for size, _ in called), 1 + max((depth for _, depth in called), default=0))
        self._weights[id(graph)] = weight
        return weight

    def parse(self, scalar: Scalar) -> ast.Expr | None:
        """The syntax tree of a scalar; None when reported."""
        try:
            return read_expression(scalar)
        except SpecError as error:
            for item in error.diagnostics:
                self.sink.add(item)
            return None

    def evaluate_loosely(self, frame: Frame, expr: ast.Expr) -> Any:
        return evaluate_loosely(frame, expr)

    def report_near(self, code: str, message: str, span: Span, name: str, known: list[str], notes: tuple[str, ...] = ()) -> None:
        """Report a name that is not among the known ones, with the nearest as the cure."""
        near = suggest(name, known, self.sink)
        few = f"known are {', '.join(f'`{item}`' for item in known[:8])}{' …' if len(known) > 8 else ''}" if known else None
        fix = Fix(span, near) if near is not None and span.text == name else None
        self.sink.report(code, message, span, help=f"did you mean `{near}`?" if near is not None else few, fix=fix, notes=notes)

    def constant(self, file: FileScope, name: str) -> Task:
        """The value of a file's constant; computed when first asked for."""
        if name in file.constants:
            return file.constants[name]
        pair = file.spec.lets[name]
        if name in file.evaluating:
            circle = " -> ".join([*file.evaluating[file.evaluating.index(name) :], name])
            self.sink.report("NL142", f"`{name}` is defined by itself: {circle}", pair.key.span, help=CIRCLE_HELP)
            file.constants[name] = POISON
            return POISON
        file.evaluating.append(name)
        frame = Frame(self, file, Local(), pair.key)
        if file is self.main and name in self.overrides:
            value = yield self._override(frame, name, pair.value)
        else:
            value = yield self.constant_of(frame, pair.value)
        file.evaluating.pop()
        file.constants.setdefault(name, value)
        return file.constants[name]

    def constant_of(self, frame: Frame, node: Node) -> Task:
        """A constant as `let` writes it: an expression, a quoted string, or a list."""
        if isinstance(node, Sequence):
            items = []
            for item in node.items:
                items.append((yield self.constant_of(frame, item)))
            return POISON if any(isinstance(item, Poison) for item in items) else tuple(items)
        if not isinstance(node, Scalar):
            return POISON
        if node.style != "plain":
            return node.value
        expr = self.parse(node)
        if expr is None:
            return POISON
        inner = frame.at(node)
        value = yield evaluate(inner, expr)
        if isinstance(value, OpFunction | BlockFunction | CellFunction | Partial | Poison):
            return value
        return (yield evaluate_constant(inner, expr))

    def _override(self, frame: Frame, name: str, node: Node) -> Task:
        text = self.overrides[name]
        if isinstance(node, Scalar) and node.style != "plain":
            return TrustedPath(text)
        scalar = Scalar(text, Span(Source(f"--set {name}", text), 0, len(text)))
        return _trust((yield self.constant_of(frame, scalar)))

    def resolve(self, file: FileScope, name: str) -> Task:
        """A network, block or op by that name; None when there is none."""
        if name in file.spec.networks:
            return (yield self.network(file, name))
        if name in file.spec.blocks:
            return BlockFunction(file.spec.blocks[name], file)
        if name in file.spec.cells:
            return CellFunction(file.spec.cells[name], file)
        if name in file.imported:
            return (yield self.resolve(file.imported[name], name))
        if name in file.spec.refused:
            return POISON
        op = file.op(name)
        if op is not None:
            return OpFunction(op)
        return BuiltinFunction(name) if name in FUNCTIONS else None

    def network(self, file: FileScope, name: str) -> Task:
        """The network of a file, elaborated when first asked for."""
        if name not in file.networks:
            body = file.spec.networks[name]
            file.networks[name] = None
            self._making.append(name)
            made = yield self._make_network(file, body)
            self._making.pop()
            file.networks[name] = NetworkFunction(made, body) if isinstance(made, Graph) else POISON
        elif file.networks[name] is None:
            circle = " -> ".join([*self._making[self._making.index(name) :], name])
            message = f"the network `{name}` uses itself: {circle}"
            self.sink.report("NL142", message, file.spec.networks[name].key.span, help=CIRCLE_HELP)
            return POISON
        return file.networks[name]

    def _make_network(self, file: FileScope, body: Body) -> Task:
        if body.broken or not body.inputs:
            return POISON
        outer = Frame(self, file, Local(), body.key)
        graph = Graph(body.name, "network", doc=body.doc)
        rules = yield read_inits(outer, body.init)
        frame = make_frame(outer, body, graph, {}, (), rules)
        assert frame.builder is not None
        yield read_lets(frame, body.lets)
        good = True
        for name, pair in body.inputs.items():
            declared = yield read_type(frame, pair.value)
            good = good and not isinstance(declared, Poison)
            frame.local.values[name] = frame.builder.add_input(name, declared) if isinstance(declared, TensorType) else POISON
        for symbol in graph.symbols:
            frame.local.values.setdefault(symbol, Dim.symbol(symbol))
        made = yield elaborate_entries(frame, body)
        self._check_keys(body)
        if not isinstance(made, Graph) or not good or not self._bears(made, body):
            return POISON
        warn_unused_rules(frame, rules)
        self.graphs.append((made, body))
        return made

    def _bears(self, graph: Graph, body: Body) -> bool:
        """Whether a network is neither too large nor too deep; reports it otherwise."""
        size, depth = self.weigh(graph)
        if size > NODES:
            self.sink.report("NL150", f"`{body.name}` is made of {size:,} ops, and {NODES:,} is the most", body.key.span)
        elif depth > CALL_DEPTH:
            message = f"`{body.name}` calls networks and blocks that call others, {depth} deep, and {CALL_DEPTH} is the most"
            self.sink.report("NL150", message, body.key.span)
        return size <= NODES and depth <= CALL_DEPTH

    def _check_keys(self, body: Body) -> None:
        names = {entry.name for entry in body.entries}
        for name, pair in body.keys.items():
            if name not in names:
                known = list(names) if suggests(self.sink) else []
                self.report_near("NL146", f"`keys` names `{name}`, which is no entry of `{body.name}`", pair.key.span, name, known)

    def call_network(self, frame: Frame, function: NetworkFunction, partial: Partial, incoming: Argument | None) -> Any:
        return call_network(frame, function, partial, incoming)

    def call_block(self, frame: Frame, function: BlockFunction, partial: Partial, incoming: Argument | None) -> Any:
        return call_block(frame, function, partial, incoming)

    def call_cell(self, frame: Frame, function: CellFunction, partial: Partial, incoming: Argument | None) -> Any:
        return call_cell(frame, function, partial, incoming)

    def call_builtin(self, frame: Frame, function: BuiltinFunction, partial: Partial, incoming: Argument | None) -> Any:
        return FUNCTIONS[function.name](frame, partial, incoming)

    def report_unknown_overrides(self, spec: SpecFile) -> None:
        for name in self.overrides:
            if name not in spec.lets:
                near = suggest(name, list(spec.lets), self.sink)
                self.sink.add(
                    Diagnostic(
                        "NL147",
                        f"`--set {name}` names no constant under `let`",
                        None,
                        help=f"did you mean `{near}`?" if near is not None else _list_constants(spec),
                    )
                )


def _trust(value: Any) -> Any:
    """The value with every text in it as one that the command line gave: as a path it is relative to the working directory."""
    if isinstance(value, tuple):
        return tuple(_trust(item) for item in value)
    return TrustedPath(value) if isinstance(value, str) else value


def _list_constants(spec: SpecFile) -> str:
    return f"the constants are {', '.join(f'`{name}`' for name in spec.lets)}" if spec.lets else "the spec has no constants"
