"""The syntax of expressions, as the grammar builds it.

Offsets are relative to the expression's own text, so equal texts share one tree wherever they stand in a file;
`compiler.front.tree.Scalar` maps them to a span of the file. Nodes compare by identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final


@dataclass(frozen=True, slots=True, eq=False)
class Expr:
    """Abstract: the characters `start` up to `end` of the expression's text."""

    start: int
    end: int


@final
@dataclass(frozen=True, slots=True, eq=False)
class Literal(Expr):
    """A number, `true`, `false`, or a string in double quotes."""

    value: int | float | bool | str


@final
@dataclass(frozen=True, slots=True, eq=False)
class Name(Expr):
    """A name; a prime belongs to it (`c'`)."""

    name: str


@final
@dataclass(frozen=True, slots=True, eq=False)
class Member(Expr):
    """`base.name`; `name` may be digits (`features.0`)."""

    base: Expr
    name: str
    name_start: int


@final
@dataclass(frozen=True, slots=True, eq=False)
class Keyword(Expr):
    """`name=value` in a call."""

    name: str
    value: Expr


@final
@dataclass(frozen=True, slots=True, eq=False)
class Call(Expr):
    function: Expr
    arguments: tuple[Expr, ...]
    keywords: tuple[Keyword, ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Slice(Expr):
    """`lower:upper:step`, each may be missing; only inside an index."""

    lower: Expr | None
    upper: Expr | None
    step: Expr | None


@final
@dataclass(frozen=True, slots=True, eq=False)
class Ellipsis(Expr):
    """`...`; only inside an index."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Index(Expr):
    """`base[items]`."""

    base: Expr
    items: tuple[Expr, ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Unary(Expr):
    """`-operand` or `not operand`."""

    operator: str
    operand: Expr


@final
@dataclass(frozen=True, slots=True, eq=False)
class Chain(Expr):
    """Operators of one precedence from left to right: `first op1 x1 op2 x2 …`.

    One node however long the chain: `+ -`, or `* / // @ %`, or `and`, or `or`, or one comparison, or one `**`.
    """

    first: Expr
    rest: tuple[tuple[str, Expr], ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Conditional(Expr):
    """`then if test else otherwise`, on a constant test."""

    then: Expr
    test: Expr
    otherwise: Expr


@final
@dataclass(frozen=True, slots=True, eq=False)
class Pipe(Expr):
    """`x -> f -> g(3)`: two stages or more."""

    stages: tuple[Expr, ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Sequence(Expr):
    """`[a, b]` or `(a, b)`; `kind` is `list` or `tuple`."""

    kind: str
    items: tuple[Expr, ...]


def children(expr: Expr) -> tuple[Expr, ...]:
    """The expressions a node is made of, in order."""
    if isinstance(expr, Member | Index):
        return (expr.base, *(expr.items if isinstance(expr, Index) else ()))
    if isinstance(expr, Call):
        return (expr.function, *expr.arguments, *expr.keywords)
    if isinstance(expr, Chain):
        return (expr.first, *(operand for _, operand in expr.rest))
    if isinstance(expr, Conditional):
        return (expr.then, expr.test, expr.otherwise)
    if isinstance(expr, Pipe):
        return expr.stages
    if isinstance(expr, Sequence):
        return expr.items
    if isinstance(expr, Slice):
        return tuple(item for item in (expr.lower, expr.upper, expr.step) if item is not None)
    if isinstance(expr, Unary):
        return (expr.operand,)
    return (expr.value,) if isinstance(expr, Keyword) else ()


def walk(expr: Expr) -> Iterator[Expr]:
    """A node and everything below it, outer ones first."""
    pending = [expr]
    while pending:
        item = pending.pop()
        yield item
        pending += reversed(children(item))


def names_in(expr: Expr) -> Iterator[Name]:
    """Every name in an expression that stands for a value, in order; what is called is none."""
    called = {id(item.function) for item in walk(expr) if isinstance(item, Call)}
    return (item for item in walk(expr) if isinstance(item, Name) and id(item) not in called)
