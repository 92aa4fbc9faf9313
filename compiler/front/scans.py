"""Constructs that run cells over time: `scan`, `bidirectional`, and `last`, the last step of a sequence.

`scan(x, cell(128), reverse=true, h=start, lengths=n)`: sequences by position or by the cell's names, first states by name. With
`lengths` a finished row keeps its state and gives zeros; `last` of such a scan is each row's own last step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, final

from compiler.diagnostics import Label
from compiler.front.binding import keyword_span, report_unknown, report_unknown_name
from compiler.front.calls import coerce, rule_diagnostic
from compiler.front.cell_checks import ordered_step
from compiler.front.cells import BadInput, MadeCell, make_cell, size_names
from compiler.front.graph_calls import bind_constants, report_count, show_constant
from compiler.front.scope import Frame, Local, Task
from compiler.front.values import POISON, Applied, Argument, CellFunction, Partial, Poison, Unresolved, describe, is_constant, is_tensor
from compiler.ir.dims import Dim, compare
from compiler.ir.graph import Graph, Value
from compiler.ir.op import RuleError
from compiler.ir.signature import LARGEST_INTEGER
from compiler.ir.types import DType, TensorType
from compiler.ops import make_op
from compiler.ops.scan import Scan
from compiler.source import Span

ONE_STEP: Final = "a cell stands for one example and one time step: declare its inputs without batch and time"


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Given:
    """The arguments of a scan: the cell's call, sequences in the cell's order, first states by name."""

    function: CellFunction
    cell: Partial
    sequences: tuple[Argument, ...]
    states: dict[str, Argument]
    lengths: Argument | None
    reverse: bool


def scan(frame: Frame, partial: Partial, incoming: Argument | None) -> Task:
    """`rows -> scan(lstm(128))` is [N, T, D] -> [N, T, 128]; its members are the final states."""
    given = _read_arguments(frame, "scan", partial, incoming)
    if not isinstance(given, _Given):
        return given
    return (yield _run(frame, given, partial))


def bidirectional(frame: Frame, partial: Partial, incoming: Argument | None) -> Task:
    """A scan and a scan in reverse, with weights of their own; outputs stand side by side on the last axis."""
    given = _read_arguments(frame, "bidirectional", partial, incoming)
    if not isinstance(given, _Given):
        return given
    builder = frame.builder
    assert builder is not None
    made: list[Any] = []
    with builder.open_group("bidirectional"):
        for name, reverse in (("forwards", False), ("reverse", True)):
            with builder.open_part(name):
                made.append((yield _run(frame, replace(given, reverse=reverse), partial, name)))
            if isinstance(made[-1], Poison):
                return POISON
    joined: dict[str, Value | None] = {}

    def read(name: str) -> Value | None:
        if name not in joined:
            parts = [item.read(name) for item in made]
            joined[name] = None if None in parts else builder.add(make_op("concat", axis=-1), tuple(parts), partial.span)[0]
        return joined[name]

    try:
        read("")
    except RuleError as error:
        frame.sink.add(rule_diagnostic(frame, error, {}, partial.span))
        return POISON
    return Applied(made[0].graph, read, partial.text, made[0].lengths)


def last(frame: Frame, partial: Partial, incoming: Argument | None) -> Any:
    """The last step of a sequence: `x[:, -1]`, or with lengths each row's own last."""
    arguments = [*([incoming] if incoming is not None else []), *partial.arguments]
    stray = [key for key in partial.keywords if key != "lengths"]
    if stray or len(arguments) > 1:
        span = keyword_span(frame, partial.keywords[stray[0]]) if stray else arguments[1].span
        frame.sink.report("NL304", "`last` takes one sequence, and `lengths`", span, help="write `last(s)`", notes=frame.notes)
        return POISON
    if not arguments:
        return partial
    value = coerce(frame, arguments[0])
    if not isinstance(value, Value) or not _has_builder(frame, "last", partial.span):
        return POISON
    assert frame.builder is not None
    lengths: Any = arguments[0].value.lengths if isinstance(arguments[0].value, Applied) else None
    if "lengths" in partial.keywords:
        lengths = coerce(frame, partial.keywords["lengths"])
    if isinstance(lengths, Poison):
        return POISON
    if value.type.rank < 2:
        message = f"`last` takes a sequence [N, T, …], but `{arguments[0].text}` is {value.type}"
        frame.sink.report("NL202", message, arguments[0].span, notes=frame.notes)
        return POISON
    if lengths is None:
        whole = (None, None, None)
        return frame.builder.add(make_op("index", items=(whole, -1)), (value,), partial.span)[0]
    if not _fits(frame, "lengths", "last", TensorType(DType.i64, value.type.shape[:1]), lengths, partial.keywords.get("lengths")):
        return POISON
    return _gather_last(frame, value, lengths, partial.span)


def _gather_last(frame: Frame, value: Value, lengths: Value, span: Span) -> Value:
    builder = frame.builder
    assert builder is not None

    def add(name: str, *operands: Value, **attributes: Any) -> Value:
        return builder.add(make_op(name, **attributes), operands, span)[0]

    one = add("scalar", value=1, dtype=DType.i64)
    place = add("sub", add("max", lengths, one), one)
    batch, _, *rest = value.type.shape
    ones = (Dim.of(1),) * (1 + len(rest))
    index = add("expand", add("reshape", place, sizes=(batch, *ones)), sizes=(batch, Dim.of(1), *rest))
    return add("squeeze", add("gather", value, index, axis=1), axis=1)


def _has_builder(frame: Frame, name: str, span: Span) -> bool:
    if frame.builder is None:
        help_text = "tensors are made in entries, in steps and under `draw`"
        frame.sink.report("NL317", f"`{name}` makes a tensor, and only constants can stand here", span, help=help_text, notes=frame.notes)
    return frame.builder is not None


def cell_of(value: object) -> tuple[CellFunction, Partial | None] | None:
    """The cell that a value is, or that it is a call of."""
    if isinstance(value, CellFunction):
        return value, None
    if isinstance(value, Partial) and isinstance(value.function, CellFunction):
        return value.function, value
    return None


def call_cell(frame: Frame, function: CellFunction, partial: Partial, incoming: Argument | None) -> Any:
    """A cell waits for `scan`, and is not applied to a tensor itself."""
    if incoming is None and not any(is_tensor(item.value) for item in partial.arguments):
        return partial
    name = function.definition.body.name
    constants = ", ".join(item.text for item in partial.arguments if not is_tensor(item.value))
    frame.sink.report(
        "NL319",
        f"`{name}` is a cell, one step of a recurrence: it cannot be applied to a tensor",
        partial.span,
        help=f"run it over time: `scan({name}({constants}))`" if constants else f"run it over time: `scan({name})`",
        notes=frame.notes,
    )
    return POISON


def _report_sequences(frame: Frame, function: CellFunction, sequences: list[Argument], places: int, span: Span) -> None:
    """Too many or too few sequences by position; one too many may be meant as a first state."""
    body, more = function.definition.body, ""
    if len(sequences) > places:
        span = sequences[places].span
        more = f"; a first state is given by name: `{next(iter(function.definition.states))}={sequences[places].text}`"
    report_count(frame, body.name, list(body.inputs), len(sequences) + len(body.inputs) - places, span, more)


def _read_arguments(frame: Frame, name: str, partial: Partial, incoming: Argument | None) -> _Given | Partial | Poison:
    """What a scan is given; the call itself where the sequence is still missing, poison when reported."""
    if frame.elaboration.stepping:
        message = f"`{name}` cannot stand in a cell: the steps of a cell run no other cell"
        frame.sink.report("NL168", message, partial.span, help="chain two scans: `x -> scan(a) -> scan(b)`", notes=frame.notes)
        return POISON
    sequences = [incoming] if incoming is not None else []
    cells: list[Argument] = []
    for item in partial.arguments:
        if isinstance(item.value, Unresolved):
            report_unknown_name(frame, item.value)
            return POISON
        if isinstance(item.value, Poison):
            return POISON
        if is_tensor(item.value):
            sequences.append(item)
        else:
            cells.append(item)
    if len(cells) != 1 or cell_of(cells[0].value) is None:
        return _report_cell(frame, name, partial, cells)
    found = cell_of(cells[0].value)
    assert found is not None
    function, call = found
    body = function.definition.body
    well = ordered_step(frame.elaboration, function.definition) is not None
    if not well or any(isinstance(item.value, Poison) for item in partial.keywords.values()):
        return POISON
    inputs, states = list(body.inputs), list(function.definition.states)
    known = [*inputs, "lengths"] + ([*states, "reverse"] if name == "scan" else [])
    for key, item in partial.keywords.items():
        if key not in known:
            help_text = f"it takes {', '.join(f'`{word}`' for word in known)}"
            report_unknown(
                frame, "NL302", f"`{name}` of `{body.name}` has no argument `{key}`", keyword_span(frame, item), key, known, help_text
            )
            return POISON
    free = [key for key in inputs if key not in partial.keywords]
    if free and not sequences:
        return partial
    if len(free) != len(sequences):
        _report_sequences(frame, function, sequences, len(free), partial.span)
        return POISON
    placed = {**dict(zip(free, sequences, strict=True)), **{key: partial.keywords[key] for key in inputs if key in partial.keywords}}
    reverse = partial.keywords.get("reverse")
    if reverse is not None and not isinstance(reverse.value, bool):
        message = f"`reverse` of `{name}` expects `true` or `false`, but `{reverse.text}` is {describe(reverse.value, reverse.text)}"
        frame.sink.report("NL305", message, reverse.span, notes=frame.notes)
        return POISON
    if not _has_builder(frame, name, partial.span):
        return POISON
    return _Given(
        function,
        call if call is not None else Partial(function, (), {}, cells[0].span, cells[0].text),
        tuple(placed[key] for key in inputs),
        {key: partial.keywords[key] for key in states if key in partial.keywords},
        partial.keywords.get("lengths"),
        bool(reverse is not None and reverse.value),
    )


def _report_cell(frame: Frame, name: str, partial: Partial, cells: list[Argument]) -> Poison:
    help_text = f"write `{name}(lstm(64))` with a cell of `cells` or of `rnn/cells`"
    if not cells:
        frame.sink.report("NL304", f"`{name}` needs a cell", partial.span, help=help_text, notes=frame.notes)
    elif all(cell_of(item.value) is not None for item in cells):
        message = f"`{name}` runs one cell, but `{cells[1].text}` is a second"
        frame.sink.report("NL303", message, cells[1].span, help="chain them: `x -> scan(a) -> scan(b)`", notes=frame.notes)
    else:
        wrong = next(item for item in cells if cell_of(item.value) is None)
        if len(cells) > 1 and is_constant(wrong.value):
            message, help_text = f"`{wrong.text}` is one argument too many for `{name}`", "constants of the cell stand in its own brackets"
            frame.sink.report("NL303", message, wrong.span, help=help_text, notes=frame.notes)
        else:
            message = f"`{name}` expects a cell, but `{wrong.text}` is {describe(wrong.value, wrong.text)}"
            frame.sink.report("NL305", message, wrong.span, help=help_text, notes=frame.notes)
    return POISON


def _run(frame: Frame, given: _Given, partial: Partial, name: str = "sequence") -> Task:
    builder = frame.builder
    assert builder is not None
    body = given.function.definition.body
    inner = Frame(frame.elaboration, given.function.scope, Local(), body.key, notes=frame.notes)
    call = given.cell
    constants = yield bind_constants(frame, inner, given.function.definition.header, list(call.arguments), call.keywords, call)
    sequences = _read_sequences(frame, given)
    if constants is None or sequences is None or _has_bad_size(frame, given, constants):
        return POISON
    steps = tuple(TensorType(item.type.dtype, item.type.shape[2:]) for item in sequences)
    made = yield make_cell(frame, given.function, constants, steps, partial.span)
    if isinstance(made, BadInput):
        _report_input(frame, given, made, sequences)
    if not isinstance(made, MadeCell):
        return POISON
    op = Scan(made.cell, given.reverse, tuple(given.states), given.lengths is not None, made.sizes)
    batch = sequences[0].type.shape[0]
    operands = list(sequences)
    for key, argument in given.states.items():
        state = coerce(frame, argument)
        if not isinstance(state, Value) or not _fits(frame, key, body.name, op.state_type(key, batch), state, argument):
            return POISON
        operands.append(state)
    lengths = None if given.lengths is None else coerce(frame, given.lengths)
    if lengths is not None:
        wanted = TensorType(DType.i64, (batch,))
        if not isinstance(lengths, Value) or not _fits(frame, "lengths", "scan", wanted, lengths, given.lengths):
            return POISON
        operands.append(lengths)
    results = builder.add(op, tuple(operands), partial.span, hints=(name, *made.cell.states))
    read: dict[str, Value] = dict(zip(("", *made.cell.states), results, strict=True))
    surface = Graph(body.name, "block", outputs=dict(read))
    return Applied(surface, read.get, partial.text, lengths)


def _has_bad_size(frame: Frame, given: _Given, constants: dict[str, Any]) -> bool:
    """Report a constant of a cell that is a size without a number, or stands for a size and cannot be one."""
    name_of_cell = given.function.definition.body.name
    sizes = size_names(frame.elaboration, given.function.definition)
    for name, value in constants.items():
        if isinstance(value, Dim) and value.constant is None:
            message = f"`{name}` of `{name_of_cell}` must be a number, but it is the size `{value}`"
            frame.sink.report("NL205", message, given.cell.span, help="give the network's input a number there", notes=frame.notes)
            return True
        number = value.constant if isinstance(value, Dim) else value
        if name in sizes and (type(number) is not int or not 1 <= number <= LARGEST_INTEGER):
            message = f"`{name}` of `{name_of_cell}` is a size, a positive integer, but it is {show_constant(value)}"
            frame.sink.report("NL305", message, given.cell.span, notes=frame.notes)
            return True
    return False


def _read_sequences(frame: Frame, given: _Given) -> tuple[Value, ...] | None:
    """The sequences, which agree in batch and time."""
    made: list[Value] = []
    for argument in given.sequences:
        value = coerce(frame, argument)
        if not isinstance(value, Value):
            return None
        if value.type.rank < 2:
            message = f"`scan` takes sequences [N, T, …], but `{argument.text}` is {value.type}"
            frame.sink.report("NL202", message, argument.span, help="the axes are batch, time, and what a step takes", notes=frame.notes)
            return None
        if made and any(compare(a, b) is not True for a, b in zip(made[0].type.shape[:2], value.type.shape[:2], strict=True)):
            first = given.sequences[0]
            frame.sink.report(
                "NL203",
                f"`{first.text}` is {made[0].type} but `{argument.text}` is {value.type}: batch and time must agree",
                argument.span,
                also=(Label(first.span, str(made[0].type)),),
                notes=frame.notes,
            )
            return None
        made.append(value)
    return tuple(made)


def _report_input(frame: Frame, given: _Given, bad: BadInput, sequences: tuple[Value, ...]) -> None:
    index = bad.mismatch.index
    argument, value, body = given.sequences[index], sequences[index], given.function.definition.body
    name = list(body.inputs)[index]
    batch, time = value.type.shape[:2]
    wanted = TensorType(bad.declared.dtype, (batch, time, *bad.declared.shape))
    decided = bad.mismatch.decided
    message = f"`{body.name}` takes `{name}` as {bad.declared} at each step, {wanted} in all, "
    message += f"but `{argument.text}` is {value.type}" if decided else f"and it is not proved that `{argument.text}`, {value.type}, fits"
    frame.sink.report(
        "NL201" if decided else "NL204",
        message,
        argument.span,
        label=str(value.type),
        also=(Label(body.inputs[name].key.span, f"declared as {bad.declared}"),),
        notes=frame.notes,
        help=ONE_STEP if len(bad.declared.shape) == value.type.rank else None,
    )


def _fits(frame: Frame, name: str, owner: str, wanted: TensorType, given: Value, argument: Argument | None) -> bool:
    """Whether a first state or lengths have their type; reports what does not."""
    same = given.type.dtype is wanted.dtype and given.type.rank == wanted.rank
    good = same and all(compare(a, b) is True for a, b in zip(given.type.shape, wanted.shape, strict=True))
    if not good:
        assert argument is not None
        message = f"`{name}` of `{owner}` is {wanted}, but `{argument.text}` is {given.type}"
        frame.sink.report("NL201", message, argument.span, label=str(given.type), notes=frame.notes)
    return good


SCANS: dict[str, Callable[[Frame, Partial, Argument | None], Any]] = {"scan": scan, "bidirectional": bidirectional, "last": last}
