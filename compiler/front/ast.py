"""The syntax of expressions, as the grammar builds it.

Offsets are relative to the expression's own text, so equal texts share one tree wherever they stand in a file;
`compiler.front.tree.Scalar` maps them to a span of the file. Nodes compare by identity.
"""

from __future__ import annotations

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
