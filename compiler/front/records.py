"""Reads calls that make records: initializers, schedules, optimizers, data readers. Their signatures are their fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler.front import ast
from compiler.front.binding import bind
from compiler.front.evaluate import choose_branch, evaluate_loosely
from compiler.front.scope import Frame, Task
from compiler.front.values import Argument, Poison
from compiler.ir.signature import signature_of

Registry = Mapping[str, type[Any]]


def read_record(frame: Frame, expr: ast.Expr, code: str, what: str, registry: Registry, nested: Registry | None = None) -> Task:
    """The record that `name` or `name(…)` makes, or the side of a conditional that applies; None when reported.

    `nested` are records that may stand as arguments.
    """
    while isinstance(expr, ast.Conditional):
        branch = yield choose_branch(frame, expr)
        if branch is None:
            return None
        expr = branch
    function = expr.function if isinstance(expr, ast.Call) else expr
    if not isinstance(function, ast.Name) or function.name not in registry:
        name = function.name if isinstance(function, ast.Name) else frame.text(expr)
        frame.elaboration.report_near(code, f"there is no {what} `{name}`", frame.span(function), name, list(registry), notes=frame.notes)
        return None
    record = registry[function.name]
    arguments: list[Argument] = []
    keywords: dict[str, Argument] = {}
    if isinstance(expr, ast.Call):
        for item in expr.arguments:
            value = yield _read_argument(frame, item, nested)
            arguments.append(Argument(value, frame.span(item), frame.text(item), item))
        for item in expr.keywords:
            value = yield _read_argument(frame, item.value, nested)
            keywords[item.name] = Argument(value, frame.span(item.value), frame.text(item.value), item)
    if any(isinstance(item.value, Poison) for item in (*arguments, *keywords.values())):
        return None
    signature = signature_of(record)
    bound = bind(frame, signature, signature.attributes, arguments, keywords, frame.span(function))
    return None if bound is None else record(**bound.values)


def _read_argument(frame: Frame, expr: ast.Expr, nested: Registry | None) -> Task:
    if nested and isinstance(expr, ast.Call) and isinstance(expr.function, ast.Name):
        made = yield read_record(frame, expr, "NL404", "schedule", nested)
        return made if made is not None else Poison()
    return (yield evaluate_loosely(frame, expr))
