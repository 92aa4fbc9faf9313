"""NL7xx: runs and commands."""

from __future__ import annotations

from typing import Final

from compiler.diagnostics.codes.code import Code

CODES: Final[tuple[Code, ...]] = (
    Code(
        "NL701",
        "no such spec",
        """A command was given a spec that is neither a file nor the name of a spec that comes with netlang. A file wins over a name.
`netlang specs` lists the names.

Bad:
    netlang check lennet5
Good:
    netlang check lenet5
    netlang check nets/lenet5.yaml""",
    ),
    Code(
        "NL702",
        "output exists already",
        """A command would write over files that are there. Nothing was written. With `--force` they are replaced once the new ones are
complete.

Bad:
    netlang build lenet5 --out out      # the second time
Good:
    netlang build lenet5 --out out --force""",
    ),
    Code(
        "NL703",
        "output cannot be written",
        """A file or folder that a command makes could not be made: the place is read-only, the disk is full, or a part of the path is a
file. What was there before is as it was.

Bad:
    netlang build lenet5 --out /proc/out
Good:
    netlang build lenet5 --out out""",
    ),
    Code(
        "NL704",
        "no such size",
        """`--size` gives a number to a size that the spec leaves open. The name must be a symbolic size of an input of one of its
networks, and the number positive.

Bad:
    netlang show vgg19 --size M=64
Good:
    netlang show vgg19 --size N=64""",
    ),
    Code(
        "NL705",
        "no weights for these networks",
        """A file of weights was given for a spec with several networks, or for one that has none. With several networks `--weights`
names a folder with one file a network: `G.safetensors`, `D.safetensors`.

Bad:
    netlang build dcgan --weights G.safetensors
Good:
    netlang build dcgan --weights weights/""",
    ),
)
