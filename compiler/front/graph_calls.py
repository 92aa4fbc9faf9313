"""Applies networks (shared weights) and blocks (new weights at every use) to operands.

A block is elaborated once for every different use; its declared sizes are solved against what it is given.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from compiler.diagnostics import Label
from compiler.front.binding import bind, keyword_span, report_unknown, report_unknown_name
from compiler.front.bodies import elaborate_entries, make_frame, read_inits, read_lets, read_type
from compiler.front.builder import InitRule
from compiler.front.calls import coerce, count, split_operands
from compiler.front.evaluate import evaluate
from compiler.front.matching import Mismatch, match_types
from compiler.front.scope import Frame, Local, Task
from compiler.front.spec import BlockDefinition, Body
from compiler.front.values import (
    POISON,
    Applied,
    Argument,
    BlockFunction,
    CellFunction,
    NetworkFunction,
    OpFunction,
    Partial,
    Poison,
    Unresolved,
)
from compiler.ir.dims import Dim
from compiler.ir.graph import Graph, Value
from compiler.ir.signature import MISSING, Attribute, Signature, Word, format_constant
from compiler.ir.types import TensorType
from compiler.source import Span

BLOCK_DEPTH = 32
SHADOW = "_"
"""Put before a declared size's name while it is matched, so that it is not the caller's size of that name."""


def call_network(frame: Frame, function: NetworkFunction, partial: Partial, incoming: Argument | None) -> Any:
    graph = function.graph
    arguments = _bind_inputs(frame, graph.name, [value.name for value in graph.inputs], partial, incoming)
    if arguments is None:
        return partial
    if isinstance(arguments, Poison) or frame.builder is None or not frame.elaboration.spend(partial.span):
        return POISON
    tensors = [coerce(frame, item) for item in arguments]
    operands = tuple(item for item in tensors if isinstance(item, Value))
    if len(operands) != len(tensors):
        return POISON
    shadow: dict[str, Dim | int] = {name: Dim.symbol(SHADOW + name) for name in graph.symbols}
    declared = [value.type.substitute(shadow) for value in graph.inputs]
    sizes = match_types(declared, [value.type for value in operands])
    if isinstance(sizes, Mismatch):
        _report_mismatch(frame, function.body, sizes, arguments, operands, [value.type for value in graph.inputs], partial.span)
        return POISON
    plain = {name.removeprefix(SHADOW): size for name, size in sizes.items()}
    return Applied(graph, frame.builder.call(graph, operands, plain, partial.span), partial.text)


def _bind_inputs(frame: Frame, name: str, names: list[str], partial: Partial, incoming: Argument | None) -> list[Argument] | Poison | None:
    stray = [key for key in partial.keywords if key not in names]
    for key in stray:
        message = f"`{name}` has no input `{key}`"
        report_unknown(frame, "NL302", message, keyword_span(frame, partial.keywords[key]), key, names, f"it takes {', '.join(names)}")
    unknown = [item.value for item in partial.arguments if isinstance(item.value, Unresolved)]
    for item in unknown:
        report_unknown_name(frame, item)
    if stray or unknown:
        return POISON
    split = split_operands(partial, tuple(names), incoming)
    if split is None:
        return None
    arguments, rest = split
    if rest or len(arguments) != len(names):
        report_count(frame, name, names, len(arguments) + len(rest), rest[0].span if rest else partial.span)
        return POISON
    return arguments


def report_count(frame: Frame, name: str, names: list[str], given: int, span: Span, more: str = "") -> None:
    """Say how many inputs there are; `more` goes on with the help."""
    shown = ", ".join(f"`{item}`" for item in names)
    frame.sink.report(
        "NL307", f"`{name}` takes {count(len(names), 'input')} and gets {given}", span, help=f"it takes {shown}{more}", notes=frame.notes
    )


def _report_mismatch(
    frame: Frame,
    body: Body,
    mismatch: Mismatch,
    arguments: list[Argument],
    operands: tuple[Value, ...],
    declared: list[TensorType],
    span: Span,
) -> None:
    argument, operand = arguments[mismatch.index], operands[mismatch.index]
    name, wanted = list(body.inputs)[mismatch.index], declared[mismatch.index]
    given = Label(argument.span, str(operand.type))
    declaration = Label(body.inputs[name].key.span, f"declared as {wanted}")
    if mismatch.decided:
        message = f"`{body.name}` takes `{name}` as {wanted}, but `{argument.text}` is {operand.type}"
    else:
        message = f"`{body.name}` takes `{name}` as {wanted}, and it is not proved that `{argument.text}`, {operand.type}, fits"
    primary, also = (given, (declaration,)) if argument.expr is not None else (Label(span), (given, declaration))
    frame.sink.report(
        "NL201" if mismatch.decided else "NL204",
        message,
        primary.span,
        label=primary.text,
        also=also,
        notes=frame.notes,
        help=_cure(argument.text, operand.type, wanted) if mismatch.decided else "give the sizes concretely, or declare them as `16*H`",
    )


def _cure(text: str, given: TensorType, wanted: TensorType) -> str | None:
    """What makes the given type the wanted one, where one op does."""
    if given.dtype is not wanted.dtype and given.rank == wanted.rank:
        return f"convert it: `cast({text}, {wanted.dtype})`"
    if wanted.rank == 2 < given.rank:
        return f"make one axis of all but the first: `flatten({text})`"
    return f"add the axis of channels: `unsqueeze({text}, 1)`" if wanted.rank == given.rank + 1 and wanted.rank > 2 else None


def call_block(frame: Frame, function: BlockFunction, partial: Partial, incoming: Argument | None) -> Task:
    definition = function.definition
    body = definition.body
    names = list(body.inputs) or ["x"]
    split = split_operands(partial, tuple(names), incoming)
    if split is None:
        return partial
    arguments, rest = split
    keywords = {key: value for key, value in partial.keywords.items() if key not in names}
    inner = Frame(frame.elaboration, function.scope, Local(), body.key, notes=frame.notes)
    constants = yield bind_constants(frame, inner, definition, rest, keywords, partial)
    if constants is None or body.broken or frame.builder is None or not frame.elaboration.spend(partial.span):
        return POISON
    tensors = [coerce(frame, item) for item in arguments]
    operands = tuple(item for item in tensors if isinstance(item, Value))
    if len(operands) != len(tensors):
        return POISON
    if len(operands) != len(names):
        report_count(frame, body.name, names, len(operands), partial.span)
        return POISON
    key = (id(definition), tuple(constants.items()), tuple(value.type for value in operands), frame.inits)
    if key not in frame.elaboration.blocks:
        if body.name in frame.blocks or len(frame.blocks) >= BLOCK_DEPTH:
            chain = " -> ".join((*frame.blocks, body.name))
            message = f"blocks use each other without end: {chain}"
            frame.sink.report("NL142", message, partial.span, help="chain copies with `repeat(n, …)`", notes=frame.notes)
            return POISON
        frame.elaboration.blocks[key] = yield _make_block(frame, inner, definition, constants, arguments, operands, partial)
    graph = frame.elaboration.blocks[key]
    if isinstance(graph, Poison):
        return POISON
    return Applied(graph, frame.builder.call(graph, operands, {}, partial.span), partial.text)


def bind_constants(
    frame: Frame, inner: Frame, definition: BlockDefinition, rest: list[Argument], keywords: dict[str, Argument], partial: Partial
) -> Task:
    """The constants of a template by name, defaults evaluated; None when something was reported."""
    defaults = [MISSING if item.default is None else Word(definition.text(item.default)) for item in definition.parameters]
    attributes = tuple(Attribute(item.name, object, default, False) for item, default in zip(definition.parameters, defaults, strict=True))
    signature = Signature(definition.name, tuple(definition.body.inputs) or ("x",), attributes)
    words = [item if not isinstance(item.value, Unresolved) else replace(item, value=Word(item.value.name)) for item in rest]
    given = bind(frame, signature, attributes, words, keywords, partial.span)
    if given is None:
        return None
    bound = dict(given.values)
    for item in definition.parameters:
        if item.name not in bound and item.default is not None:
            bound[item.name] = yield evaluate(Frame(frame.elaboration, inner.file, Local(dict(bound)), inner.scalar), item.default)
    return (
        None
        if any(isinstance(value, Poison) for value in bound.values())
        else {item.name: bound[item.name] for item in definition.parameters}
    )


def _make_block(
    frame: Frame,
    inner: Frame,
    definition: BlockDefinition,
    constants: dict[str, Any],
    arguments: list[Argument],
    operands: tuple[Value, ...],
    partial: Partial,
) -> Task:
    body = definition.body
    shown = ", ".join(f"{name}={show_constant(value)}" for name, value in constants.items())
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
            _report_mismatch(frame, body, sizes, arguments, operands, [item.substitute(plain) for item in declared], partial.span)
            return POISON
        for name, size in sizes.items():
            made_in.local.values[name.removeprefix(SHADOW)] = size if size.constant is None else size.constant
    for name, value in zip(body.inputs or ["x"], operands, strict=True):
        made_in.local.values[name] = made_in.builder.add_input(name, value.type)
    yield read_lets(made_in, body.lets)
    made = yield elaborate_entries(made_in, body)
    if isinstance(made, Graph):
        frame.elaboration.weigh(made)
        frame.elaboration.graphs.append((made, body))
    return made


def show_constant(value: Any) -> str:
    """A block's constant as a note shows it."""
    if isinstance(value, OpFunction):
        return value.op.name
    if isinstance(value, BlockFunction):
        return value.definition.name
    if isinstance(value, CellFunction):
        return value.definition.body.name
    return value.text if isinstance(value, Partial) else format_constant(value)
