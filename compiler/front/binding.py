"""Binds the constants of a call to a signature's attributes, converted, and says what does not fit and what would."""

from __future__ import annotations

import typing
from dataclasses import replace
from typing import Any

from compiler.diagnostics import Fix
from compiler.front import ast
from compiler.front.scope import Frame
from compiler.front.values import POISON, Argument, Poison, Unresolved, describe, is_tensor
from compiler.ir.signature import Attribute, KindError, Signature, Word
from compiler.ir.types import DType
from compiler.ops import near_names
from compiler.source import Span


def bind(
    frame: Frame,
    signature: Signature,
    attributes: tuple[Attribute, ...],
    positional: list[Argument],
    keywords: dict[str, Argument],
    span: Span,
) -> dict[str, Any] | None:
    """The attributes of a call by name, converted; None when something was reported or is poison."""
    given: dict[str, Any] = {}
    good = True
    remaining = list(positional)
    for attribute in attributes:
        if not remaining:
            break
        if attribute.variadic:
            listed = len(remaining) == 1 and isinstance(remaining[0].value, tuple)
            whole = remaining[0].value if listed else tuple(item.value for item in remaining)
            argument = replace(remaining[0], value=POISON if any(isinstance(item.value, Poison) for item in remaining) else whole)
            remaining = []
        else:
            argument = remaining.pop(0)
        given[attribute.name] = argument
    if remaining:
        item = remaining[0]
        if isinstance(item.value, Poison):
            return None
        frame.sink.report(
            "NL303" if not is_tensor(item.value) else "NL308",
            f"`{item.text}` is one argument too many for `{signature.name}`",
            item.span,
            help=f"the signature is `{signature}`",
            notes=frame.notes,
        )
        good = False
    for name, argument in keywords.items():
        if name in given:
            frame.sink.report("NL306", f"`{name}` is given twice", _keyword_span(frame, argument), notes=frame.notes)
            good = False
        elif all(item.name != name for item in attributes):
            _report_unknown_attribute(frame, signature, name, _keyword_span(frame, argument))
            good = False
        given.setdefault(name, argument)
    result: dict[str, Any] = {}
    for attribute in attributes:
        if attribute.name in given:
            converted = _convert(frame, signature, attribute, given[attribute.name])
            good = good and not isinstance(converted, Poison)
            result[attribute.name] = converted
        elif attribute.required:
            frame.sink.report(
                "NL304",
                f"`{signature.name}` needs `{attribute.name}`",
                span,
                help=f"the signature is `{signature}`",
                notes=frame.notes,
            )
            good = False
    return result if good else None


def _keyword_span(frame: Frame, argument: Argument) -> Span:
    if isinstance(argument.expr, ast.Keyword):
        return frame.scalar.locate(argument.expr.start, argument.expr.start + len(argument.expr.name))
    return argument.span


def _report_unknown_attribute(frame: Frame, signature: Signature, name: str, span: Span) -> None:
    near = near_names(name, [item.name for item in signature.attributes] + [item for item in signature.operands if item[0] != "*"])
    frame.sink.report(
        "NL302",
        f"`{signature.name}` has no attribute `{name}`",
        span,
        help=f"did you mean `{near[0]}`?" if near else f"the signature is `{signature}`",
        fix=Fix(span, near[0]) if near else None,
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
        near = near_names(value.text, list(error.choices)) if isinstance(value, Word) else []
        frame.sink.report(
            "NL305",
            f"`{attribute.name}` of `{signature.name}` expects {error.expected}, but `{argument.text}` is {describe(value)}"
            if not isinstance(value, Word | int | float) or isinstance(value, bool)
            else f"`{attribute.name}` of `{signature.name}` expects {error.expected}, not `{argument.text}`",
            argument.span,
            help=f"did you mean `{near[0]}`?" if near else None,
            fix=Fix(argument.span, near[0]) if near else None,
            notes=frame.notes,
        )
        return POISON


def report_unknown_name(frame: Frame, name: Unresolved) -> None:
    near = near_names(name.name, frame.known_names())
    frame.sink.report(
        "NL140",
        f"nothing is called `{name.name}` here",
        name.span,
        help=f"did you mean `{near[0]}`?" if near else None,
        fix=Fix(name.span, near[0]) if near else None,
        notes=frame.notes,
    )
