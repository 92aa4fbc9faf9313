"""NL0xx: files, YAML and limits."""

from __future__ import annotations

from typing import Final

from compiler.diagnostics.codes.code import Code

CODES: Final[tuple[Code, ...]] = (
    Code(
        "NL001",
        "the file cannot be read as a spec",
        """\
A spec is a regular file of UTF-8 text, at most 1 MiB, without byte order mark and without control
characters. Folders, pipes and devices are never opened for reading.

bad:   a file saved as UTF-16, or `netlang check /dev/stdin`
good:  the same text saved as UTF-8 in a file
""",
    ),
    Code(
        "NL002",
        "the YAML is not well formed",
        """\
The text does not follow YAML: a bracket or quote is never closed, a line is indented wrongly, or a
value begins with a sign that YAML keeps for itself (`@`, `%`, `*`, `&`, `!`).

bad:   a: b: c
good:  a: {b: c}
""",
    ),
    Code(
        "NL003",
        "a key is given twice",
        """\
Within one mapping each key stands once; a second one would silently replace the first.

bad:   {lr: 0.1, lr: 0.2}
good:  {lr: 0.2}
""",
    ),
    Code(
        "NL004",
        "a YAML tag",
        """\
Tags (`!name`, `!!type`) name types of a programming language; a spec has no use for them.

bad:   size: !!int 3
good:  size: 3
""",
    ),
    Code(
        "NL005",
        "a YAML merge key",
        """\
`<<` is not part of YAML 1.2. What several places share is a constant in `let` or a block with parameters.

bad:   conv2: {<<: *conv, stride: 2}
good:  conv2: conv(64, 3, stride=2)
""",
    ),
    Code(
        "NL006",
        "the YAML passes a limit",
        """\
Lists and mappings nest at most 64 levels, a text has at most 65,536 characters, and aliases add at most
100,000 nodes; a node never holds itself.

bad:   a: &a [*a]
good:  use a block and `repeat` for what recurs
""",
    ),
    Code(
        "NL007",
        "YAML cuts an expression in two",
        """\
In `{…}` and `[…]` a comma, `[` or `{` ends an unquoted value, and everywhere `: ` and ` #` do. So an
expression with one of them must be quoted, or stand on a line of its own where only `: ` and ` #` matter.

bad:   layers: {c1: conv(6, 5)}
good:  layers:
         c1: conv(6, 5)
""",
    ),
    Code(
        "NL008",
        "a tab indents a line",
        """\
YAML indents with spaces only.

bad:   a tab before `lr: 0.1`
good:  two spaces before it
""",
    ),
    Code(
        "NL009",
        "a number is out of range",
        """\
Integers reach from -2^63 to 2^63, other numbers to 1.8e308.

bad:   steps: 99999999999999999999
good:  steps: 1000000
""",
    ),
    Code(
        "NL010",
        "the file is empty or holds several documents",
        """\
One file is one spec: one mapping, begun by `netlang: 1`, with no second `---`.

bad:   two specs in one file, parted by `---`
good:  two files, one naming the other in `use`
""",
    ),
    Code(
        "NL011",
        "a key is not a word",
        """\
Keys are plain words or quoted texts; lists, mappings and nothing at all are not keys.

bad:   ? [a, b]
       : 1
good:  a: 1
       b: 1
""",
    ),
    Code(
        "NL012",
        "the file is not a mapping",
        """\
A spec is made of `key: value` lines at its top level.

bad:   - netlang: 1
good:  netlang: 1
""",
    ),
    Code(
        "NL013",
        "a control character in a value",
        """\
Escapes in double quotes can make characters that no message can show and no file name should hold.

bad:   name: "a\\x00b"
good:  name: ab
""",
    ),
)
