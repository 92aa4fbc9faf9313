"""From the text of an expression to its tokens, with the limits on their number and their nesting kept on the way.

An unknown character ends the list as a BAD token, so that an earlier mistake is reported first.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final, NamedTuple, final

from compiler.front.grammar import END, load_grammar
from compiler.front.limits import EXPRESSION_DEPTH, EXPRESSION_TOKENS

BAD: Final = "BAD"
FOREIGN: Final = r"=>|\|>|&&|\|\||<>|'[^'\n]*'"
"""Signs and quotes of other languages that would fall apart into tokens of this one."""
OPERANDS: Final = frozenset({"NAME", "NUMBER", "STRING", "MEMBER", "RPAR", "RSQB", "TRUE", "FALSE"})
"""The tokens an operand can end with."""


@final
class ExpressionError(Exception):
    """One mistake in an expression: offsets are relative to its text; the caller maps them to the file.

    `label` is what stands under the place, `also` are other places as (start, end, words).
    """

    def __init__(
        self,
        code: str,
        message: str,
        start: int,
        end: int,
        help: str | None = None,
        label: str = "",
        also: tuple[tuple[int, int, str], ...] = (),
        replacement: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.start = start
        self.end = end
        self.help = help
        self.label = label
        self.also = also
        self.replacement = replacement


@final
class Token(NamedTuple):
    """`kind` is a terminal of the grammar, `$END` or `BAD`."""

    kind: str
    text: str
    start: int
    end: int


@cache
def scanner() -> re.Pattern[str]:
    """One pattern for all terminals, tried in the grammar's order."""
    groups = "|".join(f"(?P<{name}>{pattern})" for name, pattern in load_grammar().patterns)
    return re.compile(rf"[ \t\r\n]*+(?:(?P<{BAD}>{FOREIGN})|{groups}|(?P<OTHER>[^ \t\r\n]))")


def read_tokens(text: str) -> list[Token]:
    """All tokens and an end token; raises ExpressionError beyond the limits."""
    words = load_grammar().words
    tokens: list[Token] = []
    depth = Depth()
    weigh = depth.weigh
    plain = ("NAME", "NUMBER", "STRING", "EQUAL", "TRUE", "FALSE", "IF")
    previous = END
    stop = len(text.rstrip(" \t\r\n"))
    for match in scanner().finditer(text, 0, stop):
        number = match.lastindex or 0
        kind = match.lastgroup or BAD
        token_text = match.group(number)
        if kind == "NAME":
            kind = words.get(token_text, kind)
        elif kind == "OTHER":
            kind = BAD
        start, end = match.span(number)
        tokens.append(Token(kind, token_text, start, end))
        if kind == BAD:
            return tokens
        if kind not in plain and weigh(kind, previous) > EXPRESSION_DEPTH:
            raise too_deep(start, end)
        if len(tokens) > EXPRESSION_TOKENS:
            raise too_long(start, end)
        previous = kind
    tokens.append(Token(END, "", stop, stop))
    return tokens


def too_deep(start: int, end: int) -> ExpressionError:
    return ExpressionError(
        "NL105", f"the expression is nested more than {EXPRESSION_DEPTH} levels deep", start, end, "give inner parts a name of their own"
    )


def too_long(start: int, end: int) -> ExpressionError:
    return ExpressionError(
        "NL105", f"the expression has more than {EXPRESSION_TOKENS} words and signs", start, end, "give parts of it a name of their own"
    )


@final
class Depth:
    """How deep the syntax tree gets at most, counted token by token: brackets, and what nests without brackets
    (signs, `not`, `**`, members and calls of calls, `else`)."""

    def __init__(self) -> None:
        self.base = 0
        self.run = 0
        self.elses = 0
        self.outer: list[tuple[int, int, int]] = []

    def weigh(self, kind: str, previous: str) -> int:
        """Take the next token and answer the depth it stands at."""
        if kind in ("LPAR", "LSQB"):
            self.outer.append((self.base, self.run, self.elses))
            self.base += self.run + self.elses + 1
            self.run = self.elses = 0
        elif kind in ("RPAR", "RSQB"):
            if self.outer:
                self.base, self.run, self.elses = self.outer.pop()
                self.run += 1
        elif kind in ("MEMBER", "NOT", "POWER") or (kind == "MINUS" and previous not in OPERANDS):
            self.run += 1
        elif kind == "ELSE":
            self.elses += 1
            self.run = 0
        elif kind in ("COMMA", "COLON"):
            self.run = self.elses = 0
        else:
            self.run = 0
        return self.base + self.run + self.elses
