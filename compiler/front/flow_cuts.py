"""Sees that YAML has cut an expression in two: at a comma in `{…}` or `[…]`, at `: `, or at ` #`."""

from __future__ import annotations

import re
from collections.abc import Sequence as AbstractSequence
from typing import Final

from compiler.diagnostics.quote import show
from compiler.diagnostics.record import Diagnostic, Label
from compiler.front.tree import Node, Scalar
from compiler.source import Span

CODE: Final = "NL007"
HELP: Final = "quote it, or put it on a line of its own: `key: expression`"
SIGNS: Final = re.compile(r'["()\[\]]')
COMMENT: Final = re.compile(r"[ \t]+#")


def unbalanced(text: str) -> tuple[int, int]:
    """How many brackets (and open strings) a text closes without opening, and opens without closing."""
    closed = 0
    opened = 0
    in_string = False
    for match in SIGNS.finditer(text):
        sign = match.group()
        if sign == '"':
            in_string = not in_string
        elif in_string:
            continue
        elif sign in "([":
            opened += 1
        elif opened:
            opened -= 1
        else:
            closed += 1
    return closed, opened + in_string


def cut_by_flow(nodes: AbstractSequence[Node], is_mapping: bool) -> Diagnostic | None:
    """The mistake of a collection in brackets whose commas have cut an expression; `nodes` are items, or keys and values in turn."""
    first: Scalar | None = None
    for position, node in enumerate(nodes):
        if not isinstance(node, Scalar) or node.style != "plain" or not node.value:
            continue
        closed, opened = unbalanced(node.value)
        lacks_value = is_mapping and position % 2 == 0 and is_missing(nodes[position + 1])
        if first is not None and (closed or opened or lacks_value) and node.span.source is first.span.source:
            whole = Span(node.span.source, first.span.start, max(node.span.end, first.span.end))
            words = "mapping" if is_mapping else "list"
            message = f"a `,` inside {show(whole.text)} ends the value: this {words} is in brackets"
            return Diagnostic(CODE, message, Label(whole), help=HELP)
        if opened and first is None:
            first = node
    return None


def is_missing(node: Node) -> bool:
    return isinstance(node, Scalar) and node.is_missing


def _belongs(value: str, text: str, start: int) -> bool:
    """Whether the comment behind `start` is part of a value that leaves brackets open: it closes them, or no blank begins it."""
    end = text.find("\n", start)
    comment = text[start : end if end >= 0 else len(text)]
    return not comment.startswith((" ", "#")) or not unbalanced(value + comment)[1]


def cut_by_block(node: Node, is_key: bool) -> Diagnostic | None:
    """The mistake of a plain key that `: ` has ended too early, or a plain value that ` #` has."""
    if not isinstance(node, Scalar) or node.style != "plain" or not any(sign in node.value for sign in '(["'):
        return None
    _, opened = unbalanced(node.value)
    if not opened:
        return None
    source = node.span.source
    if is_key:
        colon = source.text.find(":", node.span.end)
        return Diagnostic(CODE, f"a `: ` ends the value behind {show(node.value)}", Label(Span(source, colon, colon + 1)), help=HELP)
    comment = COMMENT.match(source.text, node.span.end)
    if comment is None or not _belongs(node.value, source.text, comment.end()):
        return None
    place = Span(source, comment.end() - 1, comment.end())
    return Diagnostic(CODE, f"a ` #` ends the value behind {show(node.value)}: the rest is a comment", Label(place), help=HELP)
