"""From the records of a spec to typed graphs: names, constants, networks, blocks, calls.

One Elaboration holds a run: its sink, its files, and the graphs made so far. Networks are made when first needed, so order in
the file does not matter; a circle is reported.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, final

from compiler.diagnostics import Diagnostic, Fix, Severity, SpecError
from compiler.front import ast
from compiler.front.bodies import elaborate_entries, make_frame, read_inits, read_lets, read_type, warn_unused_rules
from compiler.front.builder import InitRule
from compiler.front.builtins import BUILTINS, call_builtin
from compiler.front.calls import bind, coerce, split_operands
from compiler.front.evaluate import evaluate, evaluate_constant, evaluate_loosely
from compiler.front.expressions import read_expression
from compiler.front.matching import Mismatch, match_types
from compiler.front.readers import Reader
from compiler.front.scope import FileScope, Frame, Local, Task
from compiler.front.sink import Sink
from compiler.front.spec import BlockDefinition, Body, SpecFile
from compiler.front.tree import Node, Scalar, Sequence
from compiler.front.values import POISON, Applied, Argument, BlockFunction, BuiltinFunction, NetworkFunction, OpFunction, Partial, Poison, Unresolved
from compiler.ir.dims import Dim
from compiler.ir.graph import Call, Graph, Value
from compiler.ir.signature import MISSING, Attribute, Signature, Word
from compiler.ir.types import TensorType
from compiler.ops import OPS, near_names
from compiler.source import Source, Span

BLOCK_DEPTH = 32
SHADOW = "_"
"""Put before a declared size's name while it is matched, so that it is not the caller's size of that name."""


@final
class Elaboration:
    """One run over a spec and the files it uses."""

    def __init__(self, sink: Sink, readers: dict[str, type[Reader]], overrides: dict[str, str]) -> None:
        self.sink = sink
        self.readers = readers
        self.overrides = overrides
        self.main: FileScope | None = None
        self._blocks: dict[Any, Graph | Poison] = {}
        self.graphs: list[tuple[Graph, Body]] = []

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
        near = near_names(name, known)
        few = f"known are {', '.join(f'`{item}`' for item in known[:8])}{' …' if len(known) > 8 else ''}" if known else None
        self.sink.report(
            code, message, span, help=f"did you mean `{near[0]}`?" if near else few, fix=Fix(span, near[0]) if near else None, notes=notes
        )

    def constant(self, file: FileScope, name: str) -> Task:
        """The value of a file's constant; computed when first asked for."""
        if name in file.constants:
            return file.constants[name]
        pair = file.spec.lets[name]
        if name in file.evaluating:
            circle = " -> ".join([*file.evaluating[file.evaluating.index(name) :], name])
            self.sink.report("NL142", f"`{name}` is defined by itself: {circle}", pair.key.span)
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
        if isinstance(value, OpFunction | BlockFunction | Partial | Poison):
            return value
        return (yield evaluate_constant(inner, expr))

    def _override(self, frame: Frame, name: str, node: Node) -> Task:
        text = self.overrides[name]
        if isinstance(node, Scalar) and node.style != "plain":
            return text
        source = Source(f"--set {name}", text)
        scalar = Scalar(text, Span(source, 0, len(text)))
        expr = self.parse(scalar)
        return POISON if expr is None else (yield evaluate_constant(frame.at(scalar), expr))

    def resolve(self, file: FileScope, name: str) -> Task:
        """A network, block or op by that name; None when there is none."""
        if name in file.spec.networks:
            return (yield self.network(file, name))
        if name in file.spec.blocks:
            return BlockFunction(file.spec.blocks[name], file)
        if name in file.imported:
            return (yield self.resolve(file.imported[name], name))
        if name in OPS:
            return OpFunction(OPS[name])
        return BuiltinFunction(name) if name in BUILTINS else None

    def network(self, file: FileScope, name: str) -> Task:
        """The network of a file, elaborated when first asked for."""
        if name not in file.networks:
            body = file.spec.networks[name]
            file.networks[name] = None
            made = yield self._make_network(file, body)
            file.networks[name] = NetworkFunction(made) if isinstance(made, Graph) else POISON
        elif file.networks[name] is None:
            self.sink.report("NL142", f"the network `{name}` uses itself", file.spec.networks[name].key.span)
            return POISON
        return file.networks[name]

    def _make_network(self, file: FileScope, body: Body) -> Task:
        if body.broken:
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
        if isinstance(made, Graph) and good:
            warn_unused_rules(frame, rules)
            self.graphs.append((made, body))
            return made
        return POISON

    def _check_keys(self, body: Body) -> None:
        names = {entry.name for entry in body.entries}
        for name, scalar in body.keys.items():
            if name not in names:
                self.report_near("NL146", f"`keys` names `{name}`, which is no entry of `{body.name}`", scalar.span, name, list(names))

    def call_network(self, frame: Frame, function: NetworkFunction, partial: Partial, incoming: Argument | None) -> Any:
        graph = function.graph
        arguments = self._bind_inputs(frame, graph.name, [value.name for value in graph.inputs], partial, incoming)
        if arguments is None:
            return partial
        if isinstance(arguments, Poison) or frame.builder is None:
            return POISON
        tensors = [coerce(frame, item) for item in arguments]
        operands = tuple(item for item in tensors if isinstance(item, Value))
        if len(operands) != len(tensors):
            return POISON
        shadow: dict[str, Dim | int] = {name: Dim.symbol(SHADOW + name) for name in graph.symbols}
        declared = [value.type.substitute(shadow) for value in graph.inputs]
        sizes = match_types(declared, [value.type for value in operands])
        if isinstance(sizes, Mismatch):
            self._report_mismatch(frame, graph.name, sizes, arguments, operands, [str(value.type) for value in graph.inputs], graph.inputs)
            return POISON
        plain = {name.removeprefix(SHADOW): size for name, size in sizes.items()}
        return Applied(graph, frame.builder.call(graph, operands, plain, partial.span), partial.text)

    def _bind_inputs(self, frame: Frame, name: str, names: list[str], partial: Partial, incoming: Argument | None) -> list[Argument] | Poison | None:
        split = split_operands(partial, tuple(names), incoming)
        if split is None:
            return None
        arguments, rest = split
        unknown = next((key for key in partial.keywords if key not in names), None)
        if unknown is not None:
            argument = partial.keywords[unknown]
            self.report_near("NL302", f"`{name}` has no input `{unknown}`", argument.span, unknown, names, frame.notes)
            return POISON
        if rest or len(arguments) != len(names):
            span = rest[0].span if rest else partial.span
            shown = ", ".join(f"`{item}`" for item in names)
            self.sink.report(
                "NL307", f"`{name}` takes {len(names)} inputs ({shown}) and gets {len(arguments) + len(rest)}", span, notes=frame.notes
            )
            return POISON
        return arguments

    def _report_mismatch(
        self,
        frame: Frame,
        name: str,
        mismatch: Mismatch,
        arguments: list[Argument],
        operands: tuple[Value, ...],
        declared: list[str],
        inputs: list[Value],
    ) -> None:
        argument, operand = arguments[mismatch.index], operands[mismatch.index]
        self.sink.report(
            "NL201" if mismatch.decided else "NL204",
            f"`{name}` takes `{inputs[mismatch.index].name}` as {declared[mismatch.index]}, but `{argument.text}` is {operand.type}"
            if mismatch.decided
            else f"`{name}` takes `{inputs[mismatch.index].name}` as {declared[mismatch.index]}, and `{argument.text}` is not proved to fit: {operand.type}",
            argument.span,
            label=str(operand.type),
            notes=frame.notes,
            help=None if mismatch.decided else "give the sizes concretely, or declare them as products such as `16*H`",
        )

    def call_block(self, frame: Frame, function: BlockFunction, partial: Partial, incoming: Argument | None) -> Task:
        definition = function.definition
        body = definition.body
        names = list(body.inputs) or ["x"]
        split = split_operands(partial, tuple(names), incoming)
        if split is None:
            return partial
        arguments, rest = split
        keywords = {key: value for key, value in partial.keywords.items() if key not in names}
        inner = Frame(self, function.scope, Local(), body.key, notes=frame.notes)
        constants = yield self._bind_constants(frame, inner, definition, rest, keywords, partial)
        if constants is None or body.broken or frame.builder is None:
            return POISON
        tensors = [coerce(frame, item) for item in arguments]
        operands = tuple(item for item in tensors if isinstance(item, Value))
        if len(operands) != len(tensors):
            return POISON
        if len(operands) != len(names):
            self.sink.report("NL307", f"`{body.name}` takes {len(names)} inputs and gets {len(operands)}", partial.span, notes=frame.notes)
            return POISON
        key = (id(definition), tuple(constants.items()), tuple(value.type for value in operands), frame.inits)
        if key not in self._blocks:
            if body.name in frame.blocks or len(frame.blocks) >= BLOCK_DEPTH:
                chain = " -> ".join((*frame.blocks, body.name))
                self.sink.report("NL142", f"blocks use each other without end: {chain}", partial.span, notes=frame.notes)
                return POISON
            self._blocks[key] = yield self._make_block(frame, inner, definition, constants, arguments, operands, partial)
        graph = self._blocks[key]
        if isinstance(graph, Poison):
            return POISON
        return Applied(graph, frame.builder.call(graph, operands, {}, partial.span), partial.text)

    def _bind_constants(
        self, frame: Frame, inner: Frame, definition: BlockDefinition, rest: list[Argument], keywords: dict[str, Argument], partial: Partial
    ) -> Task:
        attributes = tuple(Attribute(item.name, object, None if item.default is not None else MISSING, False) for item in definition.parameters)
        signature = Signature(definition.name, tuple(definition.body.inputs) or ("x",), attributes)
        words = [item if not isinstance(item.value, Unresolved) else replace(item, value=Word(item.value.name)) for item in rest]
        bound = bind(frame, signature, attributes, words, keywords, partial.span)
        if bound is None:
            return None
        for item in definition.parameters:
            if item.name not in bound and item.default is not None:
                bound[item.name] = yield evaluate(Frame(self, inner.file, Local(dict(bound)), inner.scalar), item.default)
        return None if any(isinstance(value, Poison) for value in bound.values()) else {item.name: bound[item.name] for item in definition.parameters}

    def _make_block(
        self,
        frame: Frame,
        inner: Frame,
        definition: BlockDefinition,
        constants: dict[str, Any],
        arguments: list[Argument],
        operands: tuple[Value, ...],
        partial: Partial,
    ) -> Task:
        body = definition.body
        shown = ", ".join(f"{name}={_show(value)}" for name, value in constants.items())
        notes = (f"in block `{body.name}({shown})`, used at {partial.span}", *frame.notes)
        graph = Graph(body.name, "block", constants=dict(constants), doc=body.doc)
        rules: tuple[InitRule, ...] = yield read_inits(inner, body.init)
        made_in = make_frame(replace(inner, blocks=(*frame.blocks, body.name)), body, graph, constants, notes, (*rules, *frame.inits))
        assert made_in.builder is not None
        declared: list[TensorType] = []
        for pair in body.inputs.values():
            declared.append((yield read_type(made_in, pair.value, SHADOW)))
        if any(isinstance(item, Poison) for item in declared):
            return POISON
        if declared:
            sizes = match_types(declared, [value.type for value in operands])
            if isinstance(sizes, Mismatch):
                plain = {name: Dim.symbol(name.removeprefix(SHADOW)) for item in declared for dim in item.shape for name in dim.symbols}
                texts = [str(item.substitute(plain)) for item in declared]
                inputs = [Value(item, name) for item, name in zip(declared, body.inputs, strict=True)]
                self._report_mismatch(frame, body.name, sizes, arguments, operands, texts, inputs)
                return POISON
            for name, size in sizes.items():
                made_in.local.values[name.removeprefix(SHADOW)] = size if size.constant is None else size.constant
        for name, value in zip(body.inputs or ["x"], operands, strict=True):
            made_in.local.values[name] = made_in.builder.add_input(name, value.type)
        yield read_lets(made_in, body.lets)
        made = yield elaborate_entries(made_in, body)
        if isinstance(made, Graph):
            self.graphs.append((made, body))
        return made

    def call_builtin(self, frame: Frame, function: BuiltinFunction, partial: Partial, incoming: Argument | None) -> Any:
        return call_builtin(frame, function.name, partial, incoming)

    def warn_unused(self) -> None:
        """Warn of entries and inputs that nothing reads; to be called when everything is elaborated."""
        read: dict[int, set[int]] = {}
        for graph, _ in self.graphs:
            for node in graph.nodes:
                if isinstance(node.op, Call):
                    taps = read.setdefault(id(node.op.graph), set())
                    taps.update(id(node.op.graph.read(name)) for name in node.op.reads)
        for graph, body in self.graphs:
            used = read.get(id(graph), set()) | {id(value) for value in graph.outputs.values()}
            for node in graph.nodes:
                used.update(id(value) for value in node.operands)
            self._warn_unused_names(graph, body, used)

    def _warn_unused_names(self, graph: Graph, body: Body, used: set[int]) -> None:
        for entry in body.entries:
            value = graph.entries.get(entry.name)
            if value is not None and id(value) not in used:
                self.sink.report(
                    "NL143",
                    f"nothing uses the entry `{entry.name}`",
                    entry.key.span,
                    help="remove it, or read it in a later entry or under `outputs`",
                    severity=Severity.WARNING,
                )
        for name, value in zip(body.inputs, graph.inputs, strict=False):
            if id(value) not in used:
                self.sink.report(
                    "NL144", f"nothing uses the input `{name}` of `{body.name}`", body.inputs[name].key.span, severity=Severity.WARNING
                )

    def report_unknown_overrides(self, spec: SpecFile) -> None:
        for name in self.overrides:
            if name not in spec.lets:
                near = near_names(name, list(spec.lets))
                self.sink.add(
                    Diagnostic(
                        "NL147",
                        f"`--set {name}` names no constant under `let`",
                        None,
                        help=f"did you mean `{near[0]}`?" if near else f"constants are {', '.join(spec.lets) or 'none'}",
                    )
                )


def _show(value: Any) -> str:
    if isinstance(value, OpFunction):
        return value.op.name
    if isinstance(value, BlockFunction):
        return value.definition.name
    if isinstance(value, Partial):
        return value.text
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
