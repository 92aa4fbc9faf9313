"""Asserts: facts that must hold before anything is printed. Each is a constant expression; a false one is an error with both sides."""

from __future__ import annotations

from compiler.front import ast
from compiler.front.builder import GraphBuilder
from compiler.front.evaluate import evaluate_constant
from compiler.front.scope import Frame, Local, Task
from compiler.front.tree import Scalar
from compiler.front.values import Poison
from compiler.ir.dims import Dim
from compiler.ir.graph import Graph


def check_facts(frame: Frame, asserts: list[Scalar]) -> Task:
    """Check each of `asserts` with the names of `frame`; what they compute belongs to no graph."""
    for scalar in asserts:
        expr = frame.elaboration.parse(scalar)
        if expr is None:
            continue
        outer: Local | None = frame.local
        known = set(frame.file.spec.lets)
        while outer is not None:
            known.update(outer.values)
            outer = outer.outer
        symbols = {name: Dim.symbol(name) for name in _sizes_in(expr) if name not in known}
        builder = GraphBuilder(Graph("assert", "step"))
        local = Local(dict(symbols), outer=frame.local)
        yield _check_fact(Frame(frame.elaboration, frame.file, local, scalar, builder, frame.notes), expr)


def _sizes_in(expr: ast.Expr) -> set[str]:
    """Names that stand for sizes: those inside a list that is compared."""
    parts = (expr.first, *(item for _, item in expr.rest)) if isinstance(expr, ast.Chain) else ()
    return {item.name for part in parts if isinstance(part, ast.Sequence) for item in ast.names_in(part)}


def _check_fact(frame: Frame, expr: ast.Expr) -> Task:
    value = yield evaluate_constant(frame, expr)
    if isinstance(value, Poison) or value is True:
        return
    text, notes = frame.text(expr), frame.notes
    if value is not False:
        message = f"an assert must be `true` or `false`, but `{text}` is `{value}`"
        frame.sink.report("NL450", message, frame.span(expr), help="compare it: `params(net) < 1e6`", notes=notes)
        return
    if isinstance(expr, ast.Chain) and len(expr.rest) == 1:
        sides = []
        for side in (expr.first, expr.rest[0][1]):
            sides.append(f"`{frame.text(side)}` is {_show((yield evaluate_constant(frame, side)))}")
        notes = (", ".join(sides), *notes)
    frame.sink.report("NL450", f"this does not hold: `{text}`", frame.span(expr), notes=notes)


def _show(value: object) -> str:
    """A constant as a note shows it: thousands apart, lists in brackets."""
    if isinstance(value, tuple):
        return f"[{', '.join(str(item) for item in value)}]"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
