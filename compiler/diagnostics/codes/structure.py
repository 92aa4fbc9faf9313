"""NL120 to NL199: the structure of a spec and its names."""

from __future__ import annotations

from typing import Final

from compiler.diagnostics.codes.code import Code

CODES: Final[tuple[Code, ...]] = (
    Code(
        "NL120",
        "unknown key",
        """A mapping of the language has a fixed set of keys. A key outside it is refused, since a misspelt one would otherwise be
ignored. Keys that you choose yourself (names of networks, entries, constants) stand one level below.

Bad:
    networks:
      net:
        inputs: {x: [N, 4]}
        layer: [relu]
Good:
    networks:
      net:
        inputs: {x: [N, 4]}
        layers: [relu]""",
    ),
    Code(
        "NL121",
        "wrong kind of value",
        """A key holds text, a number, a list or a mapping, and here it holds another of them. Often an expression needs quotes,
because YAML reads `[` or `{` at its beginning as a list or a mapping.

Bad:
    use: std/resnet
Good:
    use: [std/resnet]""",
    ),
    Code(
        "NL122",
        "missing key",
        """A network needs `inputs` and `layers`, a block `layers`, a cell `inputs`, `state`, `step` and `output`, a variable `init`,
`train` needs `steps`, and each step `update` and `with`.

Bad:
    networks:
      net:
        layers: [linear(10)]
Good:
    networks:
      net:
        inputs: {x: [N, 8]}
        layers: [linear(10)]""",
    ),
    Code(
        "NL123",
        "unknown language version",
        """Every spec says for which version of the language it was written, so that a later version can change a meaning without
changing that of old specs. The only version so far is 1.

Bad:
    name: net
Good:
    netlang: 1
    name: net""",
    ),
    Code(
        "NL124",
        "exactly one of several keys is needed",
        """`train` runs either for `epochs` or for `iterations`; a step has an objective, which it either minimizes or maximizes.

Bad:
    train:
      epochs: 10
      iterations: 5000
Good:
    train:
      epochs: 10""",
    ),
    Code(
        "NL125",
        "empty value",
        """A key stands there without a value, or holds a list or a mapping without members where at least one is needed.

Bad:
    networks:
      net:
        inputs: {x: [N, 8]}
        layers:
Good:
    networks:
      net:
        inputs: {x: [N, 8]}
        layers: [relu]""",
    ),
    Code(
        "NL126",
        "unknown word",
        """The value must be one of a few words.

Bad:
    mode: {net: evaluation}
Good:
    mode: {net: eval}""",
    ),
)
