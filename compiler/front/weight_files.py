"""The entry `weights` of a network as a record: which file holds its numbers, whose names it uses, what its SHA-256 begins with.

Non-goals: finding and reading the file, which is the tool's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from compiler.front.sink import Sink
from compiler.front.spec import Body, text_of
from compiler.front.suggest import suggest
from compiler.front.tree import Mapping, Scalar
from compiler.source import Span

LAYOUTS: Final = ("torchvision", "hed")
"""Names of layouts, whose keys and shapes the tool knows."""

SUFFIXES: Final = (".safetensors", ".npz", ".pth", ".pt", ".h5")
DIGEST: Final = re.compile(r"[0-9a-f]{8,64}\Z", re.IGNORECASE)


@final
@dataclass(frozen=True, slots=True)
class WeightFile:
    """Where a network's weights come from. `folder` is that of the spec that says so; "" stands for no layout and for no digest."""

    file: str
    layout: str
    sha256: str
    folder: Path | None
    span: Span


def read_weight_file(body: Body, folder: Path | None, sink: Sink) -> WeightFile | None:
    """The record of a network's `weights`; None where it has none or something in it was reported."""
    node = None if body.weights is None else body.weights.value
    file = node.get("file") if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping) or not isinstance(file, Scalar):
        return None
    before = len(sink.diagnostics)
    if not file.value.lower().endswith(SUFFIXES):
        sink.report("NL606", f"`{file.value[:100]}` is no file of weights", file.span, help=f"such files end in {', '.join(SUFFIXES)}")
    layout = node.get("layout")
    if isinstance(layout, Scalar) and layout.value not in LAYOUTS:
        near = suggest(layout.value, list(LAYOUTS), sink)
        help_text = f"did you mean `{near}`?" if near is not None else f"known are {', '.join(f'`{name}`' for name in LAYOUTS)}"
        sink.report("NL607", f"there is no layout `{layout.value[:100]}`", layout.span, help=help_text)
    digest = node.get("sha256")
    if isinstance(digest, Scalar) and not DIGEST.match(digest.value):
        help_text = "give its first 8 to 64 hexadecimal digits, in quotes"
        sink.report("NL606", f"`{digest.value[:100]}` is no SHA-256", digest.span, help=help_text)
    if len(sink.diagnostics) > before:
        return None
    return WeightFile(file.value, text_of(layout), text_of(digest).lower(), folder, node.span)
