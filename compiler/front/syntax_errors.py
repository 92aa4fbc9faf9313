"""Names a syntax error from the token that does not fit, the one before it, the open brackets and what could have followed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from compiler.diagnostics.quote import show
from compiler.front.grammar import END
from compiler.front.lexer import BAD, OPERANDS, ExpressionError, Token

CLOSING: Final = {"(": ")", "[": "]"}
STARTS: Final = frozenset({"NAME", "NUMBER", "STRING", "TRUE", "FALSE", "NOT", "LPAR", "LSQB"})
BINARY: Final = frozenset({"ARROW", "OR", "AND", "COMPARISON", "PLUS", "MINUS", "TIMES", "POWER", "EQUAL", "IF", "ELSE", "NOT"})
INSTEAD: Final = {
    "^": "a power is `**`",
    "&": "the conjunction is `and`",
    "|": "the disjunction is `or`",
    "!": "the negation is `not`",
    "~": "the negation is `not`",
    "?": "a choice is `a if condition else b`",
    ";": "arguments are parted by `,`",
    "{": "there are no sets or mappings in expressions",
    "}": "there are no sets or mappings in expressions",
    "“": 'strings stand in straight double quotes: `"text"`',
    "”": 'strings stand in straight double quotes: `"text"`',
    "`": 'strings stand in double quotes: `"text"`',
    "–": "minus is `-`",
    "−": "minus is `-`",
    "×": "the product is `*`",
    "·": "the product is `*`",
    "→": "a pipeline is written `->`",
    "≤": "write `<=`",
    "≥": "write `>=`",
    "≠": "write `!=`",
    "…": "write `...`",
    "′": "a prime is `'`",
    "=>": "a pipeline is written `->`",
    "|>": "a pipeline is written `->`",
    "&&": "the conjunction is `and`",
    "||": "the disjunction is `or`",
    "<>": "write `!=`",
}
REPLACEMENTS: Final = {
    "^": "**", "–": "-", "−": "-", "×": "*", "·": "*", "→": "->", "≤": "<=", "≥": ">=", "≠": "!=", "…": "...", "′": "'",
    "=>": "->", "|>": "->", "&&": "and", "||": "or", "<>": "!=",
}  # fmt: skip


def name_error(tokens: Sequence[Token], position: int, accepted: frozenset[str]) -> ExpressionError:
    """The error for the token at `position`; the tokens before it are a good beginning."""
    token = tokens[position]
    before = tokens[position - 1] if position > 0 else None
    opened = open_brackets(tokens[:position])
    if before is None and token.kind == END:
        return ExpressionError("NL103", "the expression is empty", token.start, token.end, "write an expression, or leave the key out")
    if token.kind == BAD:
        return bad_character(token)
    for rule in (missing_operand, equal_sign, closing_bracket, missing_else, only_in_index, chained_comparison, odd_number, missing_comma):
        error = rule(before, token, opened, accepted)
        if error is not None:
            return error
    return unexpected(before, token)


def open_brackets(tokens: Sequence[Token]) -> list[Token]:
    """The brackets not yet closed, outermost first."""
    opened: list[Token] = []
    for token in tokens:
        if token.kind in ("LPAR", "LSQB"):
            opened.append(token)
        elif token.kind in ("RPAR", "RSQB"):
            opened.pop()
    return opened


def unexpected(before: Token | None, token: Token) -> ExpressionError:
    where = "at the beginning" if before is None else f"after {show(before.text, 40)}"
    what = "the expression cannot end" if token.kind == END else f"{show(token.text, 40)} cannot stand"
    help: str | None = None
    if token.kind == "COMMA":
        help = "put a tuple in parentheses: `(a, b)`"
    elif before is not None and before.kind in OPERANDS and token.kind in STARTS:
        help = "join the two with an operator or with `->`"
    elif token.kind in ("IF", "ELSE"):
        help = "a choice is written `a if condition else b`"
    elif token.kind == "PLUS":
        help = "leave the `+` out"
    return ExpressionError("NL100", f"{what} {where}", token.start, token.end, help)


def bad_character(token: Token) -> ExpressionError:
    """A character of no token, or a quote that does not close."""
    if token.text == '"':
        return ExpressionError("NL108", "the string is never closed", token.start, token.end, 'close it with `"`')
    if token.text.startswith("'"):
        help = 'strings stand in double quotes: `"text"`; a prime follows its name directly: `c\'`'
        closed = len(token.text) > 1 and token.text.endswith("'") and '"' not in token.text and "\\" not in token.text
        replacement = f'"{token.text[1:-1]}"' if closed else None
        message = f"{show(token.text, 40)} is not in double quotes" if closed else "`'` cannot open a string"
        return ExpressionError("NL108", message, token.start, token.end, help, replacement=replacement)
    if token.text == ".":
        return ExpressionError(
            "NL104", "`.` stands without a name behind it", token.start, token.end, "a member is read as `a.name` or `a.0`"
        )
    if len(token.text) > 1 or token.text.isprintable():
        message = f"`{token.text}` is not a sign of the language"
    else:
        message = f"the character U+{ord(token.text[0]):04X} is not a sign of the language"
    cure = INSTEAD.get(token.text)
    if cure is None and token.text.isalpha():
        cure = "names are of the letters a to z and A to Z, digits and `_`"
    return ExpressionError("NL104", message, token.start, token.end, cure, replacement=REPLACEMENTS.get(token.text))


def missing_operand(before: Token | None, token: Token, opened: list[Token], accepted: frozenset[str]) -> ExpressionError | None:
    """Something must stand between the token before and this one, and nothing does."""
    if "NAME" not in accepted or token.kind in STARTS or token.kind in ("MEMBER", "ELLIPSIS") or (token.kind == "COLON" and before is None):
        return None
    if before is None:
        if token.kind in ("PLUS", "RPAR", "RSQB", "COMMA"):
            return None
        return ExpressionError(
            "NL103", f"nothing comes before {show(token.text, 40)}", token.start, token.end, "write what it applies to in front of it"
        )
    if before.kind in BINARY:
        if token.kind == "EQUAL" and before.end == token.start and before.kind in ("EQUAL", "COMPARISON"):
            return None
        if token.text == "+":
            return ExpressionError(
                "NL103", f"{show(before.text, 40)} is followed by another sign, `+`", token.start, token.end, "leave one of them out"
            )
        message = f"nothing comes after {show(before.text, 40)}"
        return ExpressionError("NL103", message, before.start, before.end, "write what belongs there, or take the sign away")
    if token.kind == "COMMA" and before.kind in ("LPAR", "LSQB", "COMMA"):
        return ExpressionError(
            "NL103", "nothing stands before this `,`", token.start, token.end, "write what belongs there, or take the `,` away"
        )
    if token.kind == "RSQB" and before.kind == "LSQB":
        return ExpressionError("NL103", "the index is empty", before.start, token.end, "write what to pick: `x[0]`, `x[:, 0]`")
    return None


def equal_sign(before: Token | None, token: Token, opened: list[Token], accepted: frozenset[str]) -> ExpressionError | None:
    """`=` where only a comparison could stand, or an arrow or a comparison misspelt with it."""
    if token.kind != "EQUAL":
        return None
    if before is not None and before.kind == "COMPARISON" and before.end == token.start:
        return ExpressionError(
            "NL107", f"`{before.text}=` is not an operator", before.start, token.end, "equality is `==`", replacement="=="
        )
    if opened and opened[-1].text == "(":
        help = "equality is `==`; before the `=` of an argument stands its name alone"
    else:
        help = "equality is `==`; only arguments are named with `=`"
    return ExpressionError("NL107", "`=` does not compare", token.start, token.end, help, replacement="==")


def closing_bracket(before: Token | None, token: Token, opened: list[Token], accepted: frozenset[str]) -> ExpressionError | None:
    """Brackets that are not closed, closed by the wrong one, or never opened."""
    if token.kind in ("RPAR", "RSQB"):
        if not opened:
            return ExpressionError(
                "NL102", f"{show(token.text, 40)} closes nothing", token.start, token.end, "take it away, or open it before"
            )
        opening = opened[-1]
        closing = CLOSING[opening.text]
        if closing == token.text:
            return None
        message = f"`{opening.text}` is closed by {show(token.text, 40)}"
        also = ((opening.start, opening.end, "opened here"),)
        return ExpressionError("NL102", message, token.start, token.end, f"write `{closing}`", also=also, replacement=closing)
    if token.kind == END and opened:
        opening = opened[-1]
        closing = CLOSING[opening.text]
        return ExpressionError("NL102", f"`{opening.text}` is never closed", opening.start, opening.end, f"add a `{closing}`")
    return None


def missing_else(before: Token | None, token: Token, opened: list[Token], accepted: frozenset[str]) -> ExpressionError | None:
    if "ELSE" not in accepted or token.kind not in (END, "RPAR", "RSQB", "COMMA"):
        return None
    return ExpressionError("NL109", "`if` has no `else`", token.start, token.end, "a choice has two sides: `a if condition else b`")


def only_in_index(before: Token | None, token: Token, opened: list[Token], accepted: frozenset[str]) -> ExpressionError | None:
    if token.kind not in ("ELLIPSIS", "COLON"):
        return None
    if token.kind == "COLON" and opened and opened[-1].text == "[":
        message = "a `:` more than an index has"
        return ExpressionError("NL100", message, token.start, token.end, "a slice has at most three parts: `x[1:9:2]`")
    return ExpressionError(
        "NL100", f"{show(token.text, 40)} stands only in an index", token.start, token.end, "slices belong in brackets: `x[..., 1:3]`"
    )


def chained_comparison(before: Token | None, token: Token, opened: list[Token], accepted: frozenset[str]) -> ExpressionError | None:
    if token.kind != "COMPARISON":
        return None
    return ExpressionError("NL110", "comparisons do not chain", token.start, token.end, "join two of them: `a < b and b < c`")


def odd_number(before: Token | None, token: Token, opened: list[Token], accepted: frozenset[str]) -> ExpressionError | None:
    """`.5`, `1_000` and `2x`."""
    if token.kind == "MEMBER" and token.text[1:].isdigit():
        help = f"write `0{token.text}`"
        return ExpressionError("NL100", "a number begins with a digit", token.start, token.end, help, replacement="0" + token.text)
    if before is None or before.kind != "NUMBER" or token.kind != "NAME" or before.end != token.start:
        return None
    if token.text.replace("_", "").isdigit():
        replacement = before.text + token.text.replace("_", "")
        help = f"write `{replacement}`"
        return ExpressionError("NL100", "numbers have no `_` in them", before.start, token.end, help, replacement=replacement)
    help = f"a product needs its sign: `{before.text}*{token.text}`; a name begins with a letter"
    return ExpressionError(
        "NL100", f"{show(token.text, 40)} follows the number {show(before.text, 40)} directly", before.start, token.end, help
    )


def missing_comma(before: Token | None, token: Token, opened: list[Token], accepted: frozenset[str]) -> ExpressionError | None:
    if before is None or before.kind not in OPERANDS or token.kind not in STARTS or not opened or "COMMA" not in accepted:
        return None
    message = f"a `,` is missing between {show(before.text, 40)} and {show(token.text, 40)}"
    return ExpressionError("NL101", message, token.start, token.end, "part the two with `,`, or join them with an operator")
