"""A spec file as records: what the tree of a file says, section by section, before any name is looked up.

The structure has been validated against the schema, so what does not fit here has been reported: it is left out.
Headers of blocks (`residual(C, stride=1)`) are parsed here, and names are checked to be usable as identifiers.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass, field
from typing import final

from compiler.diagnostics import Label
from compiler.diagnostics.quote import show
from compiler.front.ast import Call, Expr, Name
from compiler.front.expressions import parse_expression
from compiler.front.lexer import ExpressionError
from compiler.front.sink import Sink
from compiler.front.tree import Mapping, Node, Pair, Scalar, Sequence
from compiler.source import Source, Span

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z", re.ASCII)
RESERVED = frozenset(
    {"forward", "self", "super", "training", "torch", "nn", "F", "np", "math"}
    | {
        "add_module",
        "apply",
        "bfloat16",
        "buffers",
        "call_super_init",
        "children",
        "compile",
        "cpu",
        "cuda",
        "double",
        "dump_patches",
        "eval",
        "extra_repr",
        "float",
        "get_buffer",
        "get_extra_state",
        "get_parameter",
        "get_submodule",
        "half",
        "ipu",
        "load_state_dict",
        "modules",
        "mtia",
        "named_buffers",
        "named_children",
        "named_modules",
        "named_parameters",
        "parameters",
        "register_buffer",
        "register_module",
        "register_parameter",
        "requires_grad_",
        "set_extra_state",
        "set_submodule",
        "share_memory",
        "state_dict",
        "to",
        "to_empty",
        "train",
        "type",
        "xpu",
        "zero_grad",
    }
)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One layer: its name, where the name stands, and its expression; `misshapen` is one that is no text and has been reported."""

    name: str
    key: Scalar
    expression: Scalar
    misshapen: bool = False


@final
@dataclass(slots=True, eq=False)
class Body:
    """What networks and blocks have in common."""

    name: str
    key: Scalar
    doc: str = ""
    inputs: dict[str, Pair] = field(default_factory=dict)
    lets: dict[str, Pair] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    outputs: Node | None = None
    init: dict[str, Pair] = field(default_factory=dict)
    keys: dict[str, Pair] = field(default_factory=dict)
    asserts: list[Scalar] = field(default_factory=list)
    weights: Pair | None = None
    broken: bool = False


@final
@dataclass(frozen=True, slots=True, eq=False)
class BlockParameter:
    """A constant a block takes; `default` is None when it must be given."""

    name: str
    default: Expr | None


@final
@dataclass(frozen=True, slots=True, eq=False)
class BlockDefinition:
    body: Body
    parameters: tuple[BlockParameter, ...]

    @property
    def name(self) -> str:
        return self.body.name

    def __str__(self) -> str:
        shown = [item.name if item.default is None else f"{item.name}={self.text(item.default)}" for item in self.parameters]
        return f"{self.name}({', '.join(shown)})"

    def text(self, expr: Expr) -> str:
        return self.body.key.value[expr.start : expr.end]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Equation:
    """One line of a cell's step: `name` has no prime, `primed` says that it is the next value of the state of that name."""

    name: str
    primed: bool
    key: Scalar
    expression: Scalar

    @property
    def written(self) -> str:
        return f"{self.name}'" if self.primed else self.name


@final
@dataclass(frozen=True, slots=True, eq=False)
class Weight:
    """A parameter of a cell: where its name stands, and its declared sizes."""

    place: Span
    sizes: Node


@final
@dataclass(slots=True, eq=False)
class CellDefinition:
    """A recurrence: `header` has its name, constants, inputs, `let` and `init`, the rest is what only cells have."""

    header: BlockDefinition
    states: dict[str, Pair] = field(default_factory=dict)
    weights: dict[str, Weight] = field(default_factory=dict)
    equations: list[Equation] = field(default_factory=list)
    output: Scalar | None = None

    @property
    def body(self) -> Body:
        return self.header.body


@final
@dataclass(slots=True, eq=False)
class SpecFile:
    """One file of a spec."""

    source: Source
    root: Mapping
    name: str = ""
    doc: str = ""
    uses: list[Scalar] = field(default_factory=list)
    lets: dict[str, Pair] = field(default_factory=dict)
    blocks: dict[str, BlockDefinition] = field(default_factory=dict)
    cells: dict[str, CellDefinition] = field(default_factory=dict)
    networks: dict[str, Body] = field(default_factory=dict)
    variables: dict[str, Pair] = field(default_factory=dict)
    data: dict[str, Pair] = field(default_factory=dict)
    train: Mapping | None = None
    asserts: list[Scalar] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """Names of blocks and cells that were reported: what uses them is not."""


def read_spec(root: Mapping, source: Source, sink: Sink) -> SpecFile:
    """The records of a validated tree."""
    spec = SpecFile(source, root)
    spec.name = text_of(root.get("name"))
    spec.doc = text_of(root.get("doc"))
    spec.uses = scalars_of(root.get("use"))
    spec.asserts = scalars_of(root.get("assert"))
    spec.lets = _named(root.get("let"), sink)
    spec.variables = _named(root.get("variables"), sink)
    spec.data = _named(root.get("data"), sink)
    for pair in pairs_of(root.get("blocks")):
        definition = _read_block(pair, sink)
        if definition is not None:
            spec.blocks[definition.name] = definition
        else:
            spec.refused.add(pair.key.value.partition("(")[0].strip())
    for name, pair in _named(root.get("networks"), sink).items():
        spec.networks[name] = _read_body(name, pair, sink)
    for pair in pairs_of(root.get("cells")):
        cell = _read_cell(pair, sink)
        if cell is not None:
            spec.cells[cell.body.name] = cell
        else:
            spec.refused.add(pair.key.value.partition("(")[0].strip())
    train = root.get("train")
    spec.train = train if isinstance(train, Mapping) else None
    return spec


def text_of(node: Node | None) -> str:
    return node.value if isinstance(node, Scalar) else ""


def scalars_of(node: Node | None) -> list[Scalar]:
    """The scalars of a sequence, or the one scalar."""
    if isinstance(node, Scalar):
        return [node]
    return [item for item in node.items if isinstance(item, Scalar)] if isinstance(node, Sequence) else []


def pairs_of(node: Node | None) -> tuple[Pair, ...]:
    return node.pairs if isinstance(node, Mapping) else ()


def _named(node: Node | None, sink: Sink) -> dict[str, Pair]:
    """Pairs by name; a bad name is reported and kept, so that what uses it is not reported too."""
    for pair in pairs_of(node):
        check_name(pair.key, sink)
    return {pair.key.value: pair for pair in pairs_of(node)}


def check_name(key: Scalar, sink: Sink, what: str = "a name") -> None:
    """Report a name that cannot be one in emitted source."""
    name = key.value
    if not IDENTIFIER.match(name):
        help_text = "use letters, digits and `_`, and start with a letter"
        if "," in name:
            help_text = "give each its own line: a line has one name and one expression"
        sink.report("NL135", f"{show(name)} cannot be {what}", key.span, help=help_text)
    elif keyword.iskeyword(name) or name in ("true", "false"):
        sink.report("NL135", f"`{name}` cannot be {what}: Python keeps that word", key.span, help=f"call it `{name}_`")


def check_entry_name(key: Scalar, sink: Sink) -> None:
    """As `check_name`, and refuse what an `nn.Module` has already."""
    if key.value in RESERVED:
        message = f"`{key.value}` cannot name an entry: PyTorch's modules have that name already"
        sink.report("NL135", message, key.span, help=f"call it `{key.value}_`")
    else:
        check_name(key, sink, "an entry's name")


def _read_body(name: str, pair: Pair, sink: Sink) -> Body:
    body = Body(name, pair.key)
    node = pair.value
    layers = node.get("layers") if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping) or not isinstance(layers, Mapping | Sequence):
        body.broken = True
        return body
    body.doc = text_of(node.get("doc"))
    body.inputs = _named(node.get("inputs"), sink)
    body.lets = _named(node.get("let"), sink)
    body.outputs = node.get("outputs")
    body.init = {item.key.value: item for item in pairs_of(node.get("init"))}
    body.keys = {item.key.value: item for item in pairs_of(node.get("keys")) if isinstance(item.value, Scalar)}
    body.asserts = scalars_of(node.get("assert"))
    body.weights = next((item for item in node.pairs if item.key.value == "weights"), None)
    if isinstance(layers, Sequence):
        for index, item in enumerate(layers.items):
            scalar = item if isinstance(item, Scalar) else pair.key
            body.entries.append(Entry(str(index), scalar, scalar, item is not scalar))
    else:
        for entry in layers.pairs:
            check_entry_name(entry.key, sink)
            scalar = entry.value if isinstance(entry.value, Scalar) else entry.key
            body.entries.append(Entry(entry.key.value, entry.key, scalar, entry.value is not scalar))
    for key in body.inputs.values():
        clash = next((entry for entry in body.entries if entry.name == key.key.value), None)
        if clash is not None:
            sink.report("NL136", f"`{clash.name}` names both an input and an entry", clash.key.span, help="rename one of them")
    return body


def _read_block(pair: Pair, sink: Sink) -> BlockDefinition | None:
    header = _read_header(pair.key, "a block", sink)
    return None if header is None else BlockDefinition(_read_body(header[0], pair, sink), header[1])


def _read_header(key: Scalar, what: str, sink: Sink) -> tuple[str, tuple[BlockParameter, ...]] | None:
    """The name and the constants of `name(C, stride=1)`; None when reported."""
    try:
        header = parse_expression(key.value)
    except ExpressionError as error:
        sink.report(error.code, error.message, key.locate(error.start, error.end), help=error.help)
        return None
    if isinstance(header, Name):
        name, parameters = header.name, []
    elif isinstance(header, Call) and isinstance(header.function, Name) and all(isinstance(item, Name) for item in header.arguments):
        name = header.function.name
        parameters = [BlockParameter(item.name, None) for item in header.arguments if isinstance(item, Name)]
        parameters += [BlockParameter(item.name, item.value) for item in header.keywords]
    else:
        help_text = "write a name, or `name(C, stride=1)` with its constants"
        sink.report("NL137", f"`{key.value}` is not the header of {what}", key.span, help=help_text)
        return None
    if not IDENTIFIER.match(name):
        sink.report("NL135", f"`{name}` cannot be a name", key.span, help="use letters, digits and `_`, and start with a letter")
        return None
    return name, tuple(parameters)


def _read_cell(pair: Pair, sink: Sink) -> CellDefinition | None:
    header = _read_header(pair.key, "a cell", sink)
    if header is None:
        return None
    body = Body(header[0], pair.key)
    cell = CellDefinition(BlockDefinition(body, header[1]))
    node = pair.value
    output = node.get("output") if isinstance(node, Mapping) else None
    step = node.get("step") if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping) or not isinstance(output, Scalar) or not isinstance(step, Mapping):
        body.broken = True
        return cell
    cell.output = output
    body.doc = text_of(node.get("doc"))
    body.inputs = _named(node.get("inputs"), sink)
    body.lets = _named(node.get("let"), sink)
    body.init = {item.key.value: item for item in pairs_of(node.get("init"))}
    cell.states = _named(node.get("state"), sink)
    body.broken = not body.inputs or not cell.states
    for item in pairs_of(node.get("params")):
        _read_weights(cell, item, sink)
    for item in step.pairs:
        body.broken = body.broken or not isinstance(item.value, Scalar)
        if isinstance(item.value, Scalar):
            name = item.key.value.removesuffix("'")
            check_name(Scalar(name, item.key.span), sink, "the name of an equation")
            cell.equations.append(Equation(name, name != item.key.value, item.key, item.value))
    return cell


def _read_weights(cell: CellDefinition, pair: Pair, sink: Sink) -> None:
    """`W_i, W_f: [H, D]`: several parameters of one shape."""
    start = 0
    for part in pair.key.value.split(","):
        name = part.strip()
        begin = start + len(part) - len(part.lstrip())
        place = pair.key.locate(begin, begin + max(len(name), 1))
        start += len(part) + 1
        if name in RESERVED:
            message = f"`{name}` cannot name a parameter: PyTorch's modules have that name already"
            sink.report("NL135", message, place, help=f"call it `{name}_`")
        else:
            check_name(Scalar(name, place), sink, "a parameter's name")
        if name in cell.weights:
            first = Label(cell.weights[name].place, "defined here")
            sink.report(
                "NL160", f"`{name}` is defined twice in the cell `{cell.body.name}`", place, also=(first,), help="rename one of them"
            )
        cell.weights.setdefault(name, Weight(place, pair.value))
