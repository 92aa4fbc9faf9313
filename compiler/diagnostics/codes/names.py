"""NL135 to NL149: names, types of inputs, and the files a spec uses."""

from __future__ import annotations

from typing import Final

from compiler.diagnostics.codes.code import Code

CODES: Final[tuple[Code, ...]] = (
    Code(
        "NL135",
        "not usable as a name",
        """Names become attributes and variables of the emitted source. They are letters, digits and `_`, begin with a letter, and are
no word of Python; entries also keep clear of what every PyTorch module has (`forward`, `parameters`, `train`, …).

Bad:
    layers: {forward: linear(10)}
Good:
    layers: {logits: linear(10)}""",
    ),
    Code(
        "NL136",
        "an input and an entry share a name",
        """A name means one thing in a network. Call the entry otherwise; the input can still be read where it is wanted.

Bad:
    inputs: {x: [N, 8]}
    layers: {x: linear(10)}
Good:
    inputs: {x: [N, 8]}
    layers: {logits: linear(10)}""",
    ),
    Code(
        "NL137",
        "not the header of a block",
        """The key of a block is its name, with the constants it takes in parentheses; those with `=` have a default.

Bad:
    blocks: {residual(64): …}
Good:
    blocks: {residual(C): …}""",
    ),
    Code(
        "NL138",
        "not a type",
        """A type is a list of sizes, which are numbers or names (f32), or a dtype with such a list: `i64[N, T]`. A name that `let` does
not define stands for a size that stays open. Sizes are from 1 to 2^31 - 1, and expressions of them must not be negative.

Bad:
    inputs: {tokens: int64[N, T]}
Good:
    inputs: {tokens: "i64[N, T]"}""",
    ),
    Code(
        "NL140",
        "unknown name",
        """No input, entry, constant, block, network or op of that name can be seen from here. Entries see what stands above them,
blocks see only their own inputs, constants and entries and the constants of their file. Text stands in double quotes.

Bad:
    c1: conv(6, 5)
    out: relu(cl)
Good:
    c1: conv(6, 5)
    out: relu(c1)""",
    ),
    Code(
        "NL141",
        "used before it is defined",
        """Entries are computed in their order, so one can use only what stands above it.

Bad:
    out: a + b
    a: linear(8)
Good:
    a: linear(8)
    out: a + x""",
    ),
    Code(
        "NL142",
        "defined by itself",
        """Constants, networks or blocks need each other in a circle. A network that should run several times is called several times;
copies of a block are chained by `repeat`.

Bad:
    let: {width: 2 * depth, depth: width // 2}
Good:
    let: {width: 2 * depth, depth: 8}""",
    ),
    Code(
        "NL143",
        "unused entry",
        """Nothing reads the entry: no later entry, no output, no tap from outside. It would never be computed. Often a later entry
reads the wrong one. This is a warning.

Bad:
    a: linear(8)
    b: x -> linear(8)
    out: a -> relu
Good:
    a: linear(8)
    b: x -> linear(8)
    out: a + b -> relu""",
    ),
    Code(
        "NL144",
        "unused input",
        """The network or block asks for a tensor that it does not read. This is a warning.

Bad:
    inputs: {x: [N, 8], mask: [N, 8]}
    layers: [relu(x)]
Good:
    inputs: {x: [N, 8], mask: [N, 8]}
    layers: [relu(x) * mask]""",
    ),
    Code(
        "NL145",
        "a rule of `init` that nothing follows",
        """A rule names a parameter (`weight`), an op's parameter (`conv.weight`), or the end of a key (`c1.weight`). No parameter of
the network, or of the blocks in it, is called so. This is a warning.

Bad (there are only convolutions):
    init: {linear.weight: xavier_uniform}
Good:
    init: {conv.weight: xavier_uniform}""",
    ),
    Code(
        "NL146",
        "`keys` names no entry",
        """`keys` gives entries another prefix in weight files. Its own keys are names of entries of the same network.

Bad:
    layers: {conv1: "conv(64, 3)"}
    keys: {conv_1: features.0}
Good:
    layers: {conv1: "conv(64, 3)"}
    keys: {conv1: features.0}""",
    ),
    Code(
        "NL147",
        "`--set` names no constant",
        """The command line replaces constants that stand under `let` of the spec itself.

Bad (the spec has `let: {hidden: 128}`):
    netlang check spec.yaml --set hiden=256
Good:
    netlang check spec.yaml --set hidden=256""",
    ),
    Code(
        "NL148",
        "a used file cannot be used",
        """`use` names bundled specs (`std/resnet`, `vgg19`) and files in the spec's own folder or below it. It reaches no other folder,
files do not use each other in a circle, and there are at most 256 of them, 16 in a row.

Bad:
    use: [../blocks]
Good:
    use: [parts/blocks]""",
    ),
    Code(
        "NL149",
        "a used file brings a name twice",
        """Blocks and networks of used files are called by their plain names, so two of them cannot share one.

Bad (std/resnet has a block `residual`):
    use: [std/resnet]
    blocks: {residual(C): …}
Good:
    use: [std/resnet]
    blocks: {my_residual(C): …}""",
    ),
    Code(
        "NL150",
        "a network of too many ops",
        """A network may be made of 100,000 ops, with blocks counted as often as they are used, one `repeat` of 20,000, and calls of
networks and blocks go at most 64 deep. Copies of copies multiply.

Bad:
    deep: repeat(1000, repeat(1000, relu))
Good:
    deep: repeat(20, residual(64))""",
    ),
)
