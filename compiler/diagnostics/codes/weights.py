"""NL6xx: weight files and layouts."""

from __future__ import annotations

from typing import Final

from compiler.diagnostics.codes.code import Code

CODES: Final[tuple[Code, ...]] = (
    Code(
        "NL601",
        "weights cannot be read",
        """A file of weights is not there, may not be read, or is a folder, a pipe or a device. A run's folder holds `model.safetensors`
when it is finished, and its checkpoints before.

Bad:
    netlang eval lenet5 --weights runs/lenet5        # holds runs, and is none
Good:
    netlang eval lenet5 --weights runs/lenet5/20260101-120000""",
    ),
    Code(
        "NL602",
        "damaged or foreign weight file",
        """Weights are read from safetensors files. The header is judged before any number is read: its length (at most 10 MiB), its
names (at most 100,000, each once), and that the tensors fill the file without gaps. Pickles are never read, since they can run code.

Bad:
    netlang eval lenet5 --weights lenet5.pt
Good:
    netlang eval lenet5 --weights lenet5.safetensors""",
    ),
    Code(
        "NL603",
        "names of weights differ",
        """A file holds weights that the network does not have, or lacks some that it has. Nothing was loaded. The message lists both and
the nearest names: an entry may have been renamed since.

Bad:
    layers: {dense: linear(10)}      # the file has `head.weight`
Good:
    layers: {head: linear(10)}""",
    ),
    Code(
        "NL604",
        "shapes or types of weights differ",
        """All names match, but a weight in the file has another shape or element type than the network's. Nothing was loaded.

Bad:
    layers: {head: linear(100)}      # the file has `head.weight` f32[10, 84]
Good:
    layers: {head: linear(10)}""",
    ),
    Code(
        "NL605",
        "weights that are not finite",
        """A file of weights holds NaN or an infinity, so that every result would be one. It was saved by a run that had gone wrong.

Bad:
    netlang eval lenet5 --weights diverged.safetensors
Good:
    netlang eval lenet5 --weights lenet5.safetensors""",
    ),
)
