"""Checks the names in blocks that nothing elaborated, because nothing uses them or because what would use them failed.

Without operands nothing can be typed, but a misspelt op or attribute is wrong whatever comes in. Non-goals: sizes, constants.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from compiler.front import ast
from compiler.front.binding import check_keywords
from compiler.front.builder import GraphBuilder
from compiler.front.calls import report_unknown_function
from compiler.front.elaborate import FUNCTIONS, Elaboration
from compiler.front.scope import FileScope, Frame, Local
from compiler.front.spec import BlockDefinition
from compiler.front.values import POISON, Argument, Unresolved
from compiler.ir.graph import Graph
from compiler.ir.signature import signature_of
from compiler.ops import OPS


def check_unreached(elaboration: Elaboration, file: FileScope) -> None:
    """Report unknown functions and attributes in the blocks of `file` that were never elaborated."""
    reached = {key[0] for key in elaboration.blocks}
    for definition in file.spec.blocks.values():
        if id(definition) not in reached and not definition.body.broken:
            _check_block(elaboration, file, definition)


def _check_block(elaboration: Elaboration, file: FileScope, definition: BlockDefinition) -> None:
    body = definition.body
    own = {item.name for item in definition.parameters} | set(body.inputs) | set(body.lets) | {entry.name for entry in body.entries}
    frame = Frame(elaboration, file, Local(), body.key, GraphBuilder(Graph(body.name, "block")))
    for entry in body.entries:
        expr = elaboration.parse(entry.expression)
        if expr is None:
            continue
        inner = frame.at(entry.expression)
        for item in ast.walk(expr):
            for name in _functions(item):
                if name.name not in own and not _is_known(file, name.name):
                    report_unknown_function(inner, Unresolved(name.name, inner.span(name)))
            if isinstance(item, ast.Call):
                _check_attributes(inner, item, own)


def _functions(expr: ast.Expr) -> Iterator[ast.Name]:
    """The names that can only be functions here: what is called, and what stands behind an arrow."""
    candidates = expr.stages[1:] if isinstance(expr, ast.Pipe) else (expr.function,) if isinstance(expr, ast.Call) else ()
    yield from (item for item in candidates if isinstance(item, ast.Name))


def _is_known(file: FileScope, name: str) -> bool:
    return file.knows(name) or name in FUNCTIONS or name in file.spec.lets or name in file.spec.refused


def _check_attributes(frame: Frame, expr: ast.Call, own: set[str]) -> None:
    """Report keywords that the called op does not have."""
    function = expr.function
    file = frame.file
    if not isinstance(function, ast.Name) or function.name not in OPS:
        return
    if function.name in own or function.name in file.spec.networks or function.name in file.spec.blocks or function.name in file.imported:
        return
    signature = signature_of(OPS[function.name])
    given = {item.name: Argument(POISON, frame.span(item), frame.text(item), item) for item in expr.keywords}
    check_keywords(frame, replace(signature, operands=()), {name: item for name, item in given.items() if name not in signature.operands})
