"""Constructor calls of `torch.nn` modules as pieces: their arguments become slots that know what they stand for."""

from __future__ import annotations

import re
from typing import Final

from compiler.backends.pieces import Piece, Pieces, Slot
from compiler.backends.wrapping import split_items

POSITIONS: Final = (
    (r"nn\.Conv(Transpose)?\dd", ("in_channels", "out_channels", "kernel_size")),
    (r"nn\.(Linear|Bilinear)", ("in_features", "out_features")),
    (r"nn\.(BatchNorm|InstanceNorm)\dd", ("channels",)),
    (r"nn\.GroupNorm", ("groups", "channels")),
    (r"nn\.LayerNorm|nn\.RMSNorm", ("features",)),
    (r"nn\.(Max|Avg|LP)Pool\dd", ("kernel_size",)),
    (r"nn\.Dropout.*", ("p",)),
    (r"nn\.PReLU", ("channels",)),
)
DEFAULTS: Final = {
    r"nn\.Conv\dd": {"stride": "1", "padding": "0", "dilation": "1", "groups": "1", "bias": "True"},
    r"nn\.Linear": {"bias": "True"},
}
"""Keywords that are printed only where they differ from torch's default; a class whose uses differ in one takes it as a parameter."""


def constructor(text: str) -> Pieces:
    """`nn.Conv2d(64, 128, 3, stride=2)` in pieces."""
    name, _, rest = text.partition("(")
    roles = next((roles for pattern, roles in POSITIONS if re.fullmatch(pattern, name)), ())
    defaults = next((found for pattern, found in DEFAULTS.items() if re.fullmatch(pattern, name)), {})
    pieces: list[Piece] = [f"{name}("]
    given: dict[str, str] = {}
    items = split_items(rest.removesuffix(")"))
    for index, item in enumerate(items):
        keyword = re.match(r"(\w+)=(?!=)", item)
        lead = ", " if index else ""
        if keyword is None:
            pieces.append(lead)
            pieces.append(Slot(roles[index] if index < len(roles) else "value", item) if _is_constant(item) else item)
        else:
            given[keyword.group(1)] = item[keyword.end() :]
    for word in (*defaults, *(word for word in given if word not in defaults)):
        value = given.get(word, defaults.get(word, ""))
        pieces.append(Slot(word, value, f", {word}=", defaults.get(word)) if _is_constant(value) else f", {word}={value}")
    return (*pieces, ")")


def _is_constant(text: str) -> bool:
    """Whether the text is a number, a truth value or a tuple of them."""
    return re.fullmatch(r"[-\d.e+(), ]+|True|False", text) is not None
