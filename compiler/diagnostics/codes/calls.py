"""NL3xx: calls, their operands and attributes, and constants."""

from __future__ import annotations

from typing import Final

from compiler.diagnostics.codes.code import Code

CODES: Final[tuple[Code, ...]] = (
    Code(
        "NL300",
        "not something to call",
        """Before `(` stands the name of an op, a block or a network. Tensors and constants are not called.

Bad:
    c1: conv(6, 5)
    out: c1(x)
Good:
    c1: conv(6, 5)
    out: c1 + x[:, :, 2:-2, 2:-2]""",
    ),
    Code(
        "NL301",
        "unknown op, block or network",
        """`netlang ops` lists the ops with their signatures; blocks and networks are those of the spec and of the files that it uses.

Bad:
    c1: Conv2d(3, 6, 5)
Good:
    c1: conv(6, 5)""",
    ),
    Code(
        "NL302",
        "unknown argument",
        """The call has no attribute, constant or input of that name. `netlang ops conv` shows what `conv` takes.

Bad:
    c1: conv(6, 5, padding=2)
Good:
    c1: conv(6, 5, pad=2)""",
    ),
    Code(
        "NL303",
        "one argument too many",
        """All attributes have a value already when this argument comes. A list stands in brackets.

Bad:
    c1: relu(x, 1)
Good:
    c1: max(x, 1)""",
    ),
    Code(
        "NL304",
        "an argument is missing",
        """An attribute without a default must be given. In signatures the operands stand before `;`, and attributes that have a
default show it.

Bad:
    c1: conv(6)
Good:
    c1: conv(6, 5)""",
    ),
    Code(
        "NL305",
        "an argument of the wrong kind",
        """The attribute takes another kind of value: an integer, a number within bounds, one of a few words, a list. `/` always gives
a number with a fraction; `//` divides integers.

Bad:
    c1: linear(hidden / 2)
Good:
    c1: linear(hidden // 2)""",
    ),
    Code(
        "NL306",
        "an argument given by place and by name",
        """Arguments without a name fill the attributes in their order, and one of them fills the one that is named again.

Bad:
    c1: conv(6, 5, kernel=3)
Good:
    c1: conv(6, kernel=3)""",
    ),
    Code(
        "NL307",
        "too few or too many tensors",
        """An op, a block or a network works on a fixed number of tensors. What comes down a pipeline is the first of them. At the head
of an entry, the entry above is the first only where the call names no tensor itself.

Bad:
    out: max(a)
Good:
    out: max(a, b)""",
    ),
    Code(
        "NL308",
        "a tensor where none belongs",
        """The call has all its tensors already, or takes none.

Bad:
    out: x -> normal(N, 8)
Good:
    out: x + normal(N, 8)""",
    ),
    Code(
        "NL309",
        "no tensor where one is needed",
        """An op, a network that is not called, or a constant of the wrong kind stands where a tensor is needed.

Bad:
    out: x + relu
Good:
    out: x + relu(x)""",
    ),
    Code(
        "NL310",
        "not something to pipe into",
        """After `->` stands an op, a block or a network, bare or with further arguments.

Bad:
    out: x -> skip
Good:
    out: x + skip""",
    ),
    Code(
        "NL311",
        "no constant where one is needed",
        """Sizes, attributes, `let` and asserts are known before anything runs. A tensor's numbers are not; its sizes are, by `shape`.

Bad:
    assert: [net(image) > 0]
Good:
    assert: ["shape(net(image)) == [N, 10]"]""",
    ),
    Code(
        "NL312",
        "several tensors where one is needed",
        """A network with several outputs, a data source with several fields, or a list of tensors must be read by name or place.

Bad (encoder has the outputs mu and log_var):
    z: encoder(x) -> linear(8)
Good:
    z: encoder(x).mu -> linear(8)""",
    ),
    Code(
        "NL313",
        "arithmetic that cannot be done",
        """Constants are integers of 64 bits, numbers, `true` and `false`, and text. Division by zero, results that do not fit, and
operators on what they are not made for are refused.

Bad:
    let: {depth: 0, width: 10 // depth}
Good:
    let: {depth: 2, width: 10 // depth}""",
    ),
    Code(
        "NL314",
        "a choice that cannot be made beforehand",
        """`if` chooses before anything runs. It cannot depend on the numbers in a tensor, nor on a size that the spec leaves open.
`where(condition, a, b)` chooses element by element at run time.

Bad:
    out: x if x > 0 else 0 * x
Good:
    out: where(x > 0, x, 0)""",
    ),
    Code(
        "NL315",
        "no such member",
        """`.` reads an output or an entry of a network that was called, or a field of a data source. Tensors have no members.

Bad:
    out: encoder(x).hiden
Good:
    out: encoder(x).hidden""",
    ),
    Code(
        "NL316",
        "no such item in a list",
        """Lists of constants are read by one integer, from 0, or from -1 backwards.

Bad (let: {widths: [8, 16]}):
    fc: linear(widths[2])
Good:
    fc: linear(widths[1])""",
    ),
    Code(
        "NL317",
        "a tensor where only constants can stand",
        """`let` of a spec or a network, attributes and settings are computed before anything runs. Random tensors belong under `draw`
of a training program, or into an entry.

Bad:
    let: {noise: "normal(4)"}
Good:
    train: {draw: {noise: "normal(4)"}, …}""",
    ),
    Code(
        "NL318",
        "unknown initializer",
        """The values of `init` are initializers: `normal`, `uniform`, `constant`, `zeros`, `ones`, `kaiming_normal`,
`fan_in_uniform`, `xavier_uniform`, `xavier_normal`.

Bad:
    init: {conv.weight: he}
Good:
    init: {conv.weight: kaiming_normal}""",
    ),
    Code(
        "NL319",
        "a cell applied to a tensor",
        """A cell is one step of a recurrence. `scan` runs it over the time axis of a sequence.

Bad:
    rows -> lstm(64)
Good:
    rows -> scan(lstm(64))""",
    ),
)
