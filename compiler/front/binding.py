"""Binds the constants of a call to a signature's attributes, converted, and says what does not fit and what would."""

from __future__ import annotations

import typing
from dataclasses import dataclass, replace
from typing import Any, final

from compiler.diagnostics import Fix
from compiler.front import ast
from compiler.front.scope import Frame
from compiler.front.suggest import suggest, suggests
from compiler.front.values import POISON, Argument, Poison, Source, Unresolved, describe, is_tensor
from compiler.ir.dims import Dim
from compiler.ir.signature import Attribute, KindError, Signature, Word, format_constant
from compiler.ir.types import DType
from compiler.source import Span

MOST_NAMES = 6


@final
@dataclass(frozen=True, slots=True)
class Bound:
    """The attributes of a call: converted values, and the arguments they come from (defaults have none)."""

    values: dict[str, Any]
    arguments: dict[str, Argument]


def bind(
    frame: Frame,
    signature: Signature,
    attributes: tuple[Attribute, ...],
    positional: list[Argument],
    keywords: dict[str, Argument],
    span: Span,
) -> Bound | None:
    """The attributes of a call; None when something was reported or is poison."""
    given, surplus = _assign(frame, attributes, positional)
    good = surplus is None
    if surplus is not None and not isinstance(surplus.value, Poison):
        _report_surplus(frame, signature, surplus)
    known = check_keywords(frame, signature, keywords)
    good = good and known
    for name, argument in keywords.items():
        if name in given:
            frame.sink.report("NL306", f"`{name}` is given twice", keyword_span(frame, argument), notes=frame.notes)
            good = False
        given.setdefault(name, argument)
    result: dict[str, Any] = {}
    for attribute in attributes:
        if attribute.name in given:
            converted = _convert(frame, signature, attribute, given[attribute.name])
            good = good and not isinstance(converted, Poison)
            result[attribute.name] = converted
        elif attribute.required:
            good = False
            if known:
                frame.sink.report(
                    "NL304", f"`{signature.name}` needs `{attribute.name}`", span, help=_show_signature(signature), notes=frame.notes
                )
    return Bound(result, given) if good else None


def _assign(frame: Frame, attributes: tuple[Attribute, ...], positional: list[Argument]) -> tuple[dict[str, Argument], Argument | None]:
    """Arguments without a name by the attribute they fill, and the first that fills none."""
    given: dict[str, Argument] = {}
    remaining = list(positional)
    for attribute in attributes:
        if not remaining:
            break
        if not attribute.variadic:
            given[attribute.name] = remaining.pop(0)
            continue
        if len(remaining) > 1 or not isinstance(remaining[0].value, tuple):
            given[attribute.name] = _join(frame, remaining)
        else:
            given[attribute.name] = remaining[0]
        remaining = []
    return given, remaining[0] if remaining else None


def _join(frame: Frame, arguments: list[Argument]) -> Argument:
    """Several positional values as one list: `reshape(N, 16)`."""
    first, last = arguments[0], arguments[-1]
    poisoned = any(isinstance(item.value, Poison) for item in arguments)
    value = POISON if poisoned else tuple(item.value for item in arguments)
    if first.expr is None or last.expr is None:
        return replace(first, value=value)
    text = first.text if first is last else ", ".join(item.text for item in arguments)
    return Argument(value, frame.scalar.locate(first.expr.start, last.expr.end), text, first.expr)


def check_keywords(frame: Frame, signature: Signature, keywords: dict[str, Argument]) -> bool:
    """Whether every named argument names an attribute; reports those that do not."""
    names = [item.name for item in signature.attributes]
    unknown = [name for name in keywords if name not in names]
    for name in unknown:
        operands = [item for item in signature.operands if item[0] != "*"]
        report_unknown(frame, "NL302", f"`{signature.name}` has no attribute `{name}`", keyword_span(frame, keywords[name]), name,
                       [*names, *operands], _show_signature(signature))  # fmt: skip
    return not unknown


def report_unknown(frame: Frame, code: str, message: str, span: Span, name: str, known: list[str], help: str | None) -> None:
    """Report a name that is not among the known ones, with the one that was meant, or else `help`, as the cure."""
    near = suggest(name, known, frame.sink)
    fix = Fix(span, near) if near is not None and span.text == name else None
    frame.sink.report(code, message, span, help=help if near is None else f"did you mean `{near}`?", fix=fix, notes=frame.notes)


def keyword_span(frame: Frame, argument: Argument) -> Span:
    """Where an argument's name stands, or the argument where it has none."""
    if isinstance(argument.expr, ast.Keyword):
        return frame.scalar.locate(argument.expr.start, argument.expr.start + len(argument.expr.name))
    return argument.span


def _show_signature(signature: Signature) -> str:
    return f"the signature is `{signature}`"


def _report_surplus(frame: Frame, signature: Signature, surplus: Argument) -> None:
    if isinstance(surplus.value, Unresolved):
        report_unknown_name(frame, surplus.value)
        return
    frame.sink.report(
        "NL303" if not is_tensor(surplus.value) else "NL308",
        f"`{surplus.text}` is one argument too many for `{signature.name}`",
        surplus.span,
        help=_show_signature(signature),
        notes=frame.notes,
    )


def choices_of(annotation: Any) -> tuple[str, ...]:
    if annotation is DType:
        return tuple(DType)
    if typing.get_origin(annotation) is typing.Literal:
        return tuple(str(item) for item in typing.get_args(annotation))
    return tuple(choice for item in typing.get_args(annotation) if not isinstance(item, str) for choice in choices_of(item))


def _convert(frame: Frame, signature: Signature, attribute: Attribute, argument: Argument) -> Any:
    value = argument.value
    syntax = argument.expr.value if isinstance(argument.expr, ast.Keyword) else argument.expr
    if isinstance(syntax, ast.Name) and syntax.name in choices_of(attribute.annotation):
        value = Word(syntax.name)
    if isinstance(value, Poison):
        return POISON
    if isinstance(value, Unresolved):
        choices = choices_of(attribute.annotation)
        if not choices:
            report_unknown_name(frame, value)
            return POISON
        value = Word(value.name)
    try:
        return attribute.convert(value)
    except KindError as error:
        wanted = f"`{attribute.name}` of `{signature.name}` expects {error.expected}"
        near = suggest(value.text, error.choices, frame.sink) if isinstance(value, Word) else None
        frame.sink.report(
            "NL305",
            f"{wanted}{_contrast(argument.text, value)}",
            argument.span,
            help=f"did you mean `{near}`?" if near is not None else _suggest_number(argument.text, value),
            fix=Fix(argument.span, near) if near is not None and argument.span.text == argument.text else None,
            notes=frame.notes,
        )
        return POISON


def _contrast(text: str, value: object) -> str:
    """What was given in place of what was expected: `, not …`, or `, but … is …` where its text does not show it."""
    if isinstance(value, Word) or (isinstance(value, int | float | Dim) and format_constant(value) == text):
        return f", not `{text}`"
    if isinstance(value, int | float | Dim):
        return f", but `{text}` is `{format_constant(value)}`"
    return f", but `{text}` is {describe(value, text)}"


def _suggest_number(text: str, value: object) -> str | None:
    """The cure for a number with a fraction of 0, and for a number in quotes."""
    if isinstance(value, str):
        return f"write it without quotes: `{value}`" if value.replace(".", "", 1).isdecimal() else None
    if not isinstance(value, float) or not value.is_integer():
        return None
    return "divide with `//`: it gives an integer" if "/" in text else f"write `{int(value)}`"


def _list_names(frame: Frame) -> str | None:
    """The names of tensors and sources within reach, if they are few."""
    names = [name for name, value in frame.local.values.items() if is_tensor(value) or isinstance(value, Source)]
    return (
        f"there {'is' if len(names) == 1 else 'are'} {', '.join(f'`{item}`' for item in names)}" if 0 < len(names) <= MOST_NAMES else None
    )


def report_unknown_name(frame: Frame, name: Unresolved) -> None:
    """Report a name that means nothing; where only constants can stand, a text without quotes is likely."""
    if name.name in frame.file.spec.variables:
        message = f"`{name.name}` is a variable: steps, metrics and samples read it, nothing else does"
        cure = f"give the network an input, and call it with `{name.name}` in the program"
        frame.sink.report("NL413", message, name.span, help=cure, notes=frame.notes)
        return
    help_text, known = None, frame.known_names() if suggests(frame.sink) else []
    if name.name == "None":
        help_text, known = "leave it out: what is not given takes its default", []
    elif frame.builder is None:
        help_text = f'a text stands in double quotes: `"{name.name}"`'
    elif known:
        help_text = _list_names(frame)
    report_unknown(frame, "NL140", f"nothing is called `{name.name}` here", name.span, name.name, known, help_text)
