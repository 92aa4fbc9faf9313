"""NL100 to NL119: the syntax of expressions."""

from __future__ import annotations

from typing import Final

from compiler.diagnostics.codes.code import Code

CODES: Final[tuple[Code, ...]] = (
    Code(
        "NL100",
        "a word or sign stands where none of its kind can",
        """\
The expression is good up to this place, and what follows does not go on from there.

bad:   conv(6, 5) tanh
good:  conv(6, 5) -> tanh
""",
    ),
    Code(
        "NL101",
        "a comma is missing",
        """\
Arguments, items and indices are parted by commas.

bad:   conv(6 5)
good:  conv(6, 5)
""",
    ),
    Code(
        "NL102",
        "brackets do not match",
        """\
Each `(` and `[` is closed by its own sign, innermost first.

bad:   relu(conv(x, 6, 5)
good:  relu(conv(x, 6, 5))
""",
    ),
    Code(
        "NL103",
        "an operand is missing",
        """\
An operator, a comma, `->` or `=` has nothing on one of its sides, or there is no expression at all.

bad:   x + -> relu
good:  x + y -> relu
""",
    ),
    Code(
        "NL104",
        "an unknown character",
        """\
The language is written with ASCII signs: `+ - * / // % @ ** == != < <= > >= -> = , : . ( ) [ ]`, names, numbers
and strings in double quotes.

bad:   x ^ 2
good:  x ** 2
""",
    ),
    Code(
        "NL105",
        "the expression is too long or too deep",
        """\
An expression has at most 4,096 words and signs, nested at most 200 levels deep.

bad:   a chain of 5,000 additions
good:  parts of it as entries with names
""",
    ),
    Code(
        "NL106",
        "an argument without a name follows a named one",
        """\
Arguments without a name come first.

bad:   conv(filters=6, 5)
good:  conv(6, kernel=5)
""",
    ),
    Code(
        "NL107",
        "`=` where `==` is meant",
        """\
`=` names an argument of a call; `==` compares.

bad:   x if stride = 1 else y
good:  x if stride == 1 else y
""",
    ),
    Code(
        "NL108",
        "a string is not well formed",
        """\
Strings stand in double quotes on one line; the escapes are `\\"`, `\\\\` and `\\n`.

bad:   image('a.jpg')
good:  image("a.jpg")
""",
    ),
    Code(
        "NL109",
        "`if` has no `else`",
        """\
A choice always has two sides.

bad:   x if same
good:  x if same else conv(x, C, 1)
""",
    ),
    Code(
        "NL110",
        "comparisons do not chain",
        """\
A comparison has one sign; two of them are joined by `and`.

bad:   0 < p < 1
good:  0 < p and p < 1
""",
    ),
    Code(
        "NL111",
        "an argument is given twice",
        """\
Each name stands once in a call.

bad:   conv(6, 5, pad=1, pad=2)
good:  conv(6, 5, pad=2)
""",
    ),
)
