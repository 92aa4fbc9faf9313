"""Calls: binding arguments to a signature, applying functions to operands, and the messages when that cannot be.

Positional arguments that are tensors are operands; where the first operand is missing, it is what comes down the pipeline
(`incoming`), and without one the call is a function that waits for it. Constants may fill later operands.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from compiler.diagnostics import Diagnostic, Label
from compiler.front import ast
from compiler.front.binding import bind, check_keywords, choices_of, report_unknown, report_unknown_name
from compiler.front.scope import Frame, Local, Task
from compiler.front.suggest import suggests
from compiler.front.values import (
    POISON,
    Applied,
    Argument,
    BlockFunction,
    BuiltinFunction,
    CellFunction,
    Composed,
    Function,
    NetworkFunction,
    OpFunction,
    Partial,
    Poison,
    Source,
    Unresolved,
    describe,
    is_constant,
    is_tensor,
)  # fmt: skip
from compiler.ir.dims import Dim
from compiler.ir.graph import Value
from compiler.ir.op import Op, RuleError
from compiler.ir.signature import signature_of
from compiler.ir.types import DType, TensorType
from compiler.ops import make_op
from compiler.source import Span

OPERAND = re.compile(r"\{(\w+)\}")


def call(frame: Frame, expr: ast.Call, incoming: Argument | None, *, awaits: bool = False) -> Task:
    """Evaluate a call; `awaits` makes it a function of its first operand whatever it holds."""
    from_name = isinstance(expr.function, ast.Name)
    function = yield _callee(frame, expr.function)
    arguments = []
    for item in expr.arguments:
        arguments.append((yield _argument(frame, item)))
    keywords = {}
    for keyword in expr.keywords:
        span = frame.scalar.locate(keyword.start, keyword.start + len(keyword.name))
        if keyword.name in keywords:
            frame.sink.report("NL306", f"`{keyword.name}` is given twice", span, notes=frame.notes)
            continue
        value = yield _argument(frame, keyword.value)
        keywords[keyword.name] = replace(value, expr=keyword)
    if isinstance(function, Poison):
        if isinstance(expr.function, ast.Name) and frame.file.knows(expr.function.name):
            report_unknown_names(frame, arguments)
        return POISON
    span = frame.span(expr.function) if from_name else frame.span(expr)
    partial = Partial(function, tuple(arguments), keywords, span, frame.text(expr))
    if awaits:
        return partial
    return (yield complete(frame, partial, incoming))


def _callee(frame: Frame, expr: ast.Expr) -> Task:
    """The function a call names."""
    value: Any = None
    if isinstance(expr, ast.Name):
        local: Local | None = frame.local
        while local is not None and value is None:
            if isinstance(local.values.get(expr.name), Function):
                value = local.values[expr.name]
                local.used.add(expr.name)
            local = local.outer
        if value is None:
            value = yield frame.elaboration.resolve(frame.file, expr.name)
    if value is None:
        value = yield from_expression(frame, expr)
    if isinstance(value, Function | Poison):
        return value
    if isinstance(value, Unresolved):
        report_unknown_function(frame, value)
    else:
        text = frame.text(expr)
        unquoted = f"write it without quotes: `{value}`" if isinstance(value, str) and frame.file.knows(value) else None
        frame.sink.report(
            "NL300",
            f"`{text}` is {describe(value, text)}: it cannot be called",
            frame.span(expr),
            help="an op, a block or a network stands before `(`" if unquoted is None else unquoted,
            notes=frame.notes,
        )
    return POISON


def report_unknown_function(frame: Frame, name: Unresolved) -> None:
    known = frame.file.known_functions() if suggests(frame.sink) else []
    message = f"there is no op, block or network `{name.name}`"
    report_unknown(frame, "NL301", message, name.span, name.name, known, "`netlang ops` lists the ops")


def from_expression(frame: Frame, expr: ast.Expr) -> Any:
    """The loose value of an expression, through the elaboration (which knows the evaluators)."""
    return frame.elaboration.evaluate_loosely(frame, expr)


def _argument(frame: Frame, expr: ast.Expr) -> Task:
    value = yield from_expression(frame, expr)
    return Argument(value, frame.span(expr), frame.text(expr), expr)


def apply(frame: Frame, function: Function, incoming: Argument, span: Span, text: str) -> Task:
    """Apply a function to what comes down the pipeline."""
    if isinstance(function, Composed):
        value: Any = incoming.value
        for stage, stage_span, stage_text in function.stages:
            value = yield apply(frame, stage, replace(incoming, value=value), stage_span, stage_text)
        return value
    if not isinstance(function, Partial):
        function = Partial(function, (), {}, span, text)
    return (yield complete(frame, function, incoming))


def complete(frame: Frame, partial: Partial, incoming: Argument | None) -> Task:
    """Bind a call's arguments and apply it, or return it when its first operand is still missing."""
    function = partial.function
    if isinstance(function, Partial):
        merged = Partial(
            function.function,
            (*function.arguments, *partial.arguments),
            {**function.keywords, **partial.keywords},
            partial.span,
            partial.text,
        )
        return (yield complete(frame, merged, incoming))
    if any(isinstance(item.value, Poison) for item in partial.arguments):
        if isinstance(function, OpFunction):
            operands = signature_of(function.op).operands
            check_keywords(
                frame, signature_of(function.op), {name: item for name, item in partial.keywords.items() if name not in operands}
            )
        return POISON
    if isinstance(function, OpFunction):
        return _complete_op(frame, function.op, partial, incoming)
    if isinstance(function, BlockFunction):
        return (yield frame.elaboration.call_block(frame, function, partial, incoming))
    if isinstance(function, NetworkFunction):
        return (yield frame.elaboration.call_network(frame, function, partial, incoming))
    if isinstance(function, CellFunction):
        return frame.elaboration.call_cell(frame, function, partial, incoming)
    if isinstance(function, BuiltinFunction):
        if any(isinstance(item.value, Unresolved) for item in partial.arguments):
            report_unknown_names(frame, list(partial.arguments))
            return POISON
        return (yield frame.elaboration.call_builtin(frame, function, partial, incoming))
    if isinstance(function, Composed):
        first = incoming if incoming is not None else next(iter(partial.arguments), None)
        return partial if first is None else (yield apply(frame, function, first, partial.span, partial.text))
    raise TypeError(f"cannot apply {function!r}")


def split_operands(partial: Partial, names: tuple[str, ...], incoming: Argument | None) -> tuple[list[Argument], list[Argument]] | None:
    """Operands and remaining positional arguments; None when the first operand is missing.

    `names` are the operands', the last one variadic when it starts with `*`.
    """
    positional = list(partial.arguments)
    keyed = [name for name in names if name in partial.keywords]
    if not names:
        return [], positional
    if names[-1].startswith("*"):
        count = next((i for i, item in enumerate(positional) if not is_tensor(item.value)), len(positional))
        operands = positional[:count]
        if incoming is not None:
            operands.insert(0, incoming)
        return (operands, positional[count:]) if operands else None
    free = len(names) - len(keyed)
    if incoming is None:
        if free and not any(is_tensor(item.value) for item in positional[:free]):
            return None
        if len(positional) < free and all(is_tensor(item.value) for item in positional):
            return None
        operands = positional[:free]
    else:
        operands = [incoming, *positional[: free - 1]] if free else [incoming]
    rest = positional[free if incoming is None else max(free - 1, 0) :]
    for index, name in enumerate(names):
        if name in partial.keywords:
            operands.insert(index, partial.keywords[name])
    return operands, rest


def _complete_op(frame: Frame, op: type[Op], partial: Partial, incoming: Argument | None) -> Any:
    signature = signature_of(op)
    if partial.arguments and isinstance(partial.arguments[0].value, Unresolved):
        first = partial.arguments[0].value
        if not signature.attributes or first.name not in choices_of(signature.attributes[0].annotation):
            report_unknown_name(frame, first)
            check_keywords(frame, signature, {name: item for name, item in partial.keywords.items() if name not in signature.operands})
            return POISON
    split = split_operands(partial, signature.operands, incoming)
    if split is None:
        return partial
    operands, rest = split
    if incoming is not None and not signature.operands:
        frame.sink.report("NL308", f"`{op.name}` takes no tensor, but one comes down the pipeline", partial.span, notes=frame.notes)
        return POISON
    keywords = {name: value for name, value in partial.keywords.items() if name not in signature.operands}
    bound = bind(frame, signature, signature.attributes, rest, keywords, partial.span)
    report_unknown_names(frame, operands)
    if bound is None or any(isinstance(item.value, Poison) for item in operands):
        return POISON
    return operate(frame, op(**bound.values), operands, partial.span, bound.arguments)


def report_unknown_names(frame: Frame, arguments: list[Argument]) -> None:
    """Report those of the arguments that are names without a meaning."""
    for item in arguments:
        if isinstance(item.value, Unresolved):
            report_unknown_name(frame, item.value)


def coerce(frame: Frame, argument: Argument) -> Value | Poison:
    """The tensor an argument stands for; reports what is none."""
    value = argument.value
    if isinstance(value, Value | Poison):
        return value
    if isinstance(value, Applied):
        found = value.read("")
        if found is None:
            names = [name for name in value.graph.outputs if name]
            shown = ", ".join(f"`{name}`" for name in names)
            frame.sink.report(
                "NL312",
                f"`{argument.text}` has several outputs: {shown}",
                argument.span,
                help=f"read one: `{argument.text}.{names[0]}`",
                notes=frame.notes,
            )
            return POISON
        return found
    if isinstance(value, Source):
        found = value.read("")
        if found is None:
            _report_fields(frame, argument, value)
            return POISON
        return found
    _report_no_tensor(frame, argument)
    return POISON


def _report_fields(frame: Frame, argument: Argument, source: Source) -> None:
    shown = " or ".join(f"`{source.name}.{name}`" for name in source.fields)
    frame.sink.report("NL312", f"`{argument.text}` is a data source, not one of its fields", argument.span, help=f"read {shown}")


def _report_no_tensor(frame: Frame, argument: Argument) -> None:
    """Say why an argument is no tensor: of calls that wait for a tensor, the innermost is to blame."""
    while isinstance(argument.value, Partial):
        inner = next((item for item in argument.value.arguments if isinstance(item.value, Partial | Unresolved | Source)), None)
        if inner is None:
            break
        argument = inner
    value, text, help_text = argument.value, argument.text, None
    if isinstance(value, Source):
        _report_fields(frame, argument, value)
        return
    if isinstance(value, Unresolved):
        report_unknown_name(frame, value)
        return
    if isinstance(value, Partial) and any(is_tensor(item.value) for item in value.arguments):
        report_few_operands(frame, value)
        return
    if isinstance(value, tuple) and is_tensor(value):
        written = argument.expr.value if isinstance(argument.expr, ast.Keyword) else argument.expr
        help_text = "leave out the brackets" if isinstance(written, ast.Sequence) else f"read one: `{text}[0]`"
        frame.sink.report("NL312", f"`{text}` is a list of {len(value)} tensors", argument.span, help=help_text, notes=frame.notes)
        return
    if isinstance(value, NetworkFunction):
        help_text = f"call it: `{text}({', '.join(item.name for item in value.graph.inputs)})`"
    elif isinstance(value, Function):
        help_text = f"give it one: `{_some_tensor(frame)} -> {text}`"
    message = f"a tensor is needed here, but `{text}` is {describe(value, text)}"
    frame.sink.report("NL309", message, argument.span, help=help_text, notes=frame.notes)


def _some_tensor(frame: Frame) -> str:
    """The name of a tensor for an example: the first there is."""
    return next((name for name, value in frame.local.values.items() if isinstance(value, Value)), "x")


def report_few_operands(frame: Frame, partial: Partial) -> None:
    """Report a call that has some of its operands."""
    function = partial.function
    if isinstance(function, OpFunction):
        name, names = function.op.name, signature_of(function.op).operands
        help_text: str | None = f"the signature is `{signature_of(function.op)}`"
    elif isinstance(function, NetworkFunction | BlockFunction):
        body = function.body if isinstance(function, NetworkFunction) else function.definition.body
        name, names = body.name, tuple(body.inputs)
        help_text = f"it takes {', '.join(f'`{item}`' for item in names)}"
    else:
        return
    given = sum(is_tensor(item.value) for item in partial.arguments)
    frame.sink.report(
        "NL307", f"`{name}` takes {count(len(names), 'tensor')} and gets {given}", partial.span, help=help_text, notes=frame.notes
    )


def count(number: int, noun: str) -> str:
    """`1 tensor`, `2 tensors`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def operate(frame: Frame, op: Op, arguments: list[Argument], span: Span, keywords: dict[str, Argument] | None = None) -> Any:
    """Apply an op to operands, constants among them; reports what its type rule refuses."""
    if frame.builder is None:
        help_text = "tensors are made in entries, in steps and under `draw`"
        frame.sink.report(
            "NL317", f"`{op.name}` makes a tensor, and only constants can stand here", span, help=help_text, notes=frame.notes
        )
        return POISON
    if not frame.elaboration.spend(span):
        return POISON
    names = op.operands
    variadic = bool(names) and names[-1].startswith("*")
    if not variadic and len(arguments) != len(names):
        frame.sink.report(
            "NL307",
            f"`{op.name}` takes {count(len(names), 'tensor')} and gets {len(arguments)}",
            span,
            help=f"the signature is `{signature_of(type(op))}`",
            notes=frame.notes,
        )
        return POISON
    tensors: list[Value | Poison | None] = [
        None if is_constant(item.value) and _is_scalar(item.value) else coerce(frame, item) for item in arguments
    ]
    if any(isinstance(item, Poison) for item in tensors):
        return POISON
    partner = next((item.type for item in tensors if isinstance(item, Value) and item.type.dtype is not DType.bool), None)
    operands = tuple(
        item if isinstance(item, Value) else _scalar(frame, argument.value, partner)
        for item, argument in zip(tensors, arguments, strict=True)
    )
    try:
        results = frame.builder.add(op, operands, span)
    except RuleError as error:
        named = (
            dict(zip(names, arguments, strict=False)) if not variadic else {f"{names[-1][1:]}{i}": item for i, item in enumerate(arguments)}
        )
        frame.sink.add(rule_diagnostic(frame, error, {**named, **(keywords or {})}, span))
        return POISON
    return results[0] if len(results) == 1 else results


def _is_scalar(value: object) -> bool:
    return isinstance(value, bool | int | float | Dim)


def _scalar(frame: Frame, value: Any, partner: TensorType | None) -> Value:
    """A constant as a tensor of the dtype it meets; a fraction never becomes an integer."""
    assert frame.builder is not None
    dtype = partner.dtype if partner is not None else DType.f32
    if isinstance(value, bool):
        dtype = DType.bool
    elif isinstance(value, float) and not dtype.is_float:
        dtype = DType.f32
    return frame.builder.add(make_op("scalar", value=value, dtype=dtype), ())[0]


def rule_diagnostic(frame: Frame, error: RuleError, arguments: dict[str, Argument], span: Span) -> Diagnostic:
    """A type rule's refusal in the spec's own words, at the argument it names; where that came down a pipeline, at the call."""

    def fill(text: str) -> str:
        return OPERAND.sub(lambda match: arguments[match[1]].text if match[1] in arguments else match[0], text)

    guilty = arguments.get(error.at) if error.at is not None else None
    if guilty is None or guilty.expr is None:
        primary, pointed = Label(span), None
    else:
        primary, pointed = Label(guilty.span, fill(error.labels.get(error.at or "", ""))), error.at
    also = tuple(Label(arguments[name].span, fill(text)) for name, text in error.labels.items() if name != pointed and name in arguments)
    return Diagnostic(error.code, fill(error.message), primary, also, frame.notes, fill(error.help) if error.help is not None else None)
