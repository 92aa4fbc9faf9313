"""Checks a tree against the schema of structure.py: one visit to each node, without recursion and without imports beyond it.

Every mistake of a file is reported, in its order, with its place and a fix where one is likely. Non-goals: names,
expressions and their types, which the elaborator reads.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

from compiler.diagnostics.quote import show
from compiler.diagnostics.record import Diagnostic, Fix, Label, SpecError
from compiler.front.scalars import plain_value
from compiler.front.structure import CONSTANT, COUNT, EXPRESSION, HOMES, NAMES, NUMBER, OUTPUTS, SCHEMA, SIZES, TEXT, Schema
from compiler.front.tree import Mapping, Node, Scalar, Sequence
from compiler.source import Span

__all__ = ["SCHEMA", "node_kind", "validate"]

CLOSE: Final = 0.7
"""How alike (difflib's ratio) a known key must be to be what was meant."""

MOST_HINTS: Final = 20
"""Unknown keys that get a near name: looking for one takes time, and a file with more has another trouble."""


_KIND_NAMES: Final = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
_EXPECTED: Final = {
    tuple(EXPRESSION): "an expression",
    tuple(COUNT): "a whole number or an expression",
    tuple(NUMBER): "a number or an expression",
    tuple(CONSTANT): "an expression or a list",
    tuple(SIZES): "a list of sizes or a type such as `f32[N, 3]`",
    tuple(NAMES): "a name or a list of names",
    tuple(OUTPUTS): "a name, a list of names or a mapping",
}
_PROSE: Final = ("`name`", "`doc`", "`file`", "`layout`", "`sha256`", "prefix ")
"""How messages begin to speak of what is free text: a number there was meant as text."""

_MISSING_HELP: Final = {
    "inputs": "say what comes in, such as `inputs: {x: [N, 8]}`",
    "layers": "say what it computes, such as `layers: [linear(10)]`",
    "state": "name what is kept from step to step, such as `state: {h: [H]}`",
    "step": "give the equations, with a primed name for each next state",
    "output": "name what the cell gives at each step, such as `output: h'`",
    "file": "name the file, such as `file: weights.safetensors`",
    "init": "give its first value, such as `init: normal(0, 1)`",
    "update": "name what the step changes, such as `update: net`",
    "with": "name the optimizer, such as `with: adam(lr=1e-3)`",
    "steps": "list the steps of one iteration: what each updates, what it minimizes, with which optimizer",
    "every": "say how many iterations lie between, such as `every: 100`",
}


@final
@dataclass(frozen=True, slots=True)
class _Visit:
    """A node to check: `what` is how messages speak of it, `owner` the key or node that messages about missing keys point at."""

    node: Node
    schema: Schema
    what: str
    owner: Span


def validate(tree: Mapping) -> list[Diagnostic]:
    """Every structural mistake of a spec, in the order of the file; a node that is wrong itself is not looked into.

    A node that aliases share is checked once for each place of the schema where it stands.
    """
    found: list[Diagnostic] = []
    visits = [_Visit(tree, SCHEMA, "the spec", _head(tree))]
    seen: set[tuple[int, int]] = set()
    while visits:
        visit = visits.pop()
        place = (id(visit.node), id(visit.schema))
        if place in seen:
            continue
        seen.add(place)
        wrong = _wrong_value(visit)
        found.extend(wrong)
        if wrong:
            continue
        if isinstance(visit.node, Mapping):
            found.extend(_check_keys(visit, visit.node, len(found)))
            visits.extend(_values(visit, visit.node))
        elif isinstance(visit.node, Sequence):
            visits.extend(_items(visit, visit.node))
    return sorted(found, key=lambda item: item.span.start if item.span is not None else 0)


def node_kind(node: Node) -> str:
    """What JSON Schema calls it; whole numbers are `integer`, an empty value is `null`."""
    if isinstance(node, Mapping):
        return "object"
    if isinstance(node, Sequence):
        return "array"
    value = plain_value(node)
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    return "null" if value is None else "string"


def _head(node: Node) -> Span:
    """Where to point for a node that has no key: at its first key, or at all of it."""
    return node.pairs[0].key.span if isinstance(node, Mapping) and node.pairs else node.span


def _values(visit: _Visit, node: Mapping) -> Iterator[_Visit]:
    properties = visit.schema.get("properties", {})
    other = visit.schema.get("additionalProperties", False)
    for pair in node.pairs:
        key = pair.key.value
        schema = properties.get(key, other)
        if schema:
            what = f"`{key}`" if key in properties else f"{schema['title']} {show(key)}"
            yield _Visit(pair.value, schema, what, pair.key.span)


def _items(visit: _Visit, node: Sequence) -> Iterator[_Visit]:
    schema = visit.schema["items"]
    for number, item in enumerate(node.items, start=1):
        yield _Visit(item, schema, f"{schema['title']} {number} of {visit.what}", _head(item))


def _wrong_value(visit: _Visit) -> tuple[Diagnostic, ...]:
    """The mistake of a node by itself: its kind, its value, its emptiness."""
    node, schema = visit.node, visit.schema
    try:
        kind = node_kind(node)
    except SpecError as error:
        return error.diagnostics
    if "const" in schema:
        return _wrong_version(visit, schema["const"], kind)
    if kind == "null":
        help_text = f"give it {_expected(schema['type'])}, or take the key out"
        return (Diagnostic("NL125", f"{visit.what} is empty", Label(visit.owner), help=help_text),)
    if kind not in schema["type"] and not (kind == "integer" and "number" in schema["type"]):
        return (_wrong_kind(visit, kind),)
    if "enum" in schema and isinstance(node, Scalar) and node.value not in schema["enum"]:
        choices = " or ".join(f"`{choice}`" for choice in schema["enum"])
        return (Diagnostic("NL126", f"{visit.what} must be {choices}, not {show(node.value)}", Label(node.span)),)
    least = schema.get("minProperties" if kind == "object" else "minItems", 0)
    if not isinstance(node, Scalar) and len(node.pairs if isinstance(node, Mapping) else node.items) < least:
        return (Diagnostic("NL125", f"{visit.what} is empty", Label(node.span), help=f"it holds {schema['description']}"),)
    return ()


def _wrong_version(visit: _Visit, version: int, kind: str) -> tuple[Diagnostic, ...]:
    node = visit.node
    if isinstance(node, Scalar) and kind == "integer" and plain_value(node) == version:
        return ()
    help_text = f"this compiler reads `netlang: {version}`"
    if not isinstance(node, Scalar) or kind == "null":
        return (Diagnostic("NL123", "`netlang` does not hold a version of the language", Label(visit.owner), help=help_text),)
    message = f"version {show(node.value)} of the language is unknown"
    return (Diagnostic("NL123", message, Label(node.span), help=help_text),)


def _wrong_kind(visit: _Visit, kind: str) -> Diagnostic:
    kinds = visit.schema["type"]
    help_text, fix = None, None
    if kind in ("object", "array") and "string" in kinds:
        help_text = "write one expression; put it in quotes if it holds `: `, or starts with `[` or `{`"
        if tuple(kinds) == tuple(TEXT):
            help_text = "write it as text"
    elif isinstance(visit.node, Scalar) and visit.what.startswith(_PROSE):
        help_text, fix = "put it in quotes", Fix(visit.node.span, f'"{visit.node.span.text}"')
    elif kinds == ["array"] and isinstance(visit.node, Scalar) and kind == "string":
        help_text = "write a list, even of one: put it into `[…]` or on a line of its own after `- `"
    message = f"{visit.what} must be {_expected(kinds)}, not {_KIND_NAMES[kind]}"
    at = Label(visit.node.span if isinstance(visit.node, Scalar) else visit.owner)
    return Diagnostic("NL121", message, at, help=help_text, fix=fix)


def _expected(kinds: list[str]) -> str:
    return _EXPECTED.get(tuple(kinds)) or " or ".join(_KIND_NAMES[kind] for kind in kinds)


def _check_keys(visit: _Visit, node: Mapping, already: int) -> Iterator[Diagnostic]:
    """Unknown and missing keys of a mapping; a key that is missing because it is misspelt counts once."""
    schema = visit.schema
    properties = schema.get("properties", {})
    keys = {pair.key.value: pair.key for pair in node.pairs}
    meant: set[str] = set()
    if schema.get("additionalProperties") is False:
        unknown = [(key, scalar) for key, scalar in keys.items() if key not in properties]
        free = [name for name in properties if name not in keys]
        for number, (key, scalar) in enumerate(unknown, start=already):
            near = difflib.get_close_matches(key, [name for name in free if name not in meant], 1, CLOSE) if number < MOST_HINTS else []
            meant.update(near)
            yield _unknown_key(visit, key, scalar, near)
    for name in schema.get("required", []):
        if name not in keys and name not in meant:
            yield _missing_version(node) if schema is SCHEMA else _missing(visit, name)
    choice = [option["required"][0] for option in schema.get("oneOf", [])]
    given = [name for name in choice if name in keys]
    if choice and len(given) != 1 and not meant.intersection(choice):
        yield _choose_one(visit, choice, [keys[name].span for name in given])


def _unknown_key(visit: _Visit, key: str, scalar: Scalar, near: list[str]) -> Diagnostic:
    message = f"{visit.what} has no key {show(key)}"
    if near:
        return Diagnostic("NL120", message, Label(scalar.span), help=f"did you mean `{near[0]}`?", fix=Fix(scalar.span, near[0]))
    if key in HOMES:
        return Diagnostic("NL120", message, Label(scalar.span), help=f"`{key}` belongs in {HOMES[key]}")
    known = ", ".join(f"`{name}`" for name in visit.schema["properties"])
    return Diagnostic("NL120", message, Label(scalar.span), notes=(f"it can have {known}",))


def _missing(visit: _Visit, name: str) -> Diagnostic:
    return Diagnostic("NL122", f"{visit.what} has no `{name}`", Label(visit.owner), help=_MISSING_HELP[name])


def _missing_version(node: Mapping) -> Diagnostic:
    line = f"netlang: {SCHEMA['properties']['netlang']['const']}"
    start = Span(node.span.source, node.span.start, node.span.start)
    plain = start.column == 1 and bool(node.pairs) and not node.span.text.startswith("{")
    fix = Fix(start, f"{line}\n") if plain else None
    return Diagnostic("NL123", "the spec does not say its language version", Label(_head(node)), help=f"add the line `{line}`", fix=fix)


def _choose_one(visit: _Visit, choice: list[str], given: list[Span]) -> Diagnostic:
    names = " or ".join(f"`{name}`" for name in choice)
    if not given:
        return Diagnostic(
            "NL124", f"{visit.what} has neither {names.replace(' or ', ' nor ')}", Label(visit.owner), help=f"give it {names}"
        )
    both = " and ".join(f"`{name}`" for name in choice)
    return Diagnostic("NL124", f"{visit.what} has both {both}", Label(given[1]), also=(Label(given[0]),), help="keep one of them")
