"""Names in printed files: unique, readable, never one that Python or the file itself already uses."""

from __future__ import annotations

import builtins
import keyword
import re
import textwrap
from collections.abc import Iterable
from typing import Final, final

IMPORTED: Final = frozenset({"torch", "nn", "F", "np", "math", "json", "Path", "OrderedDict", "NamedTuple", "annotations"})
ADDED: Final = frozenset({"NETWORKS", "TYPES", "example", "load", "load_file", "read_weights"})
"""What a stand-alone file defines besides the spec's own names."""
TAKEN: Final = frozenset(keyword.kwlist) | frozenset(dir(builtins)) | IMPORTED | ADDED
SPELLINGS: Final = {
    "alexnet": "AlexNet",
    "cnn": "CNN",
    "cyclegan": "CycleGAN",
    "dcgan": "DCGAN",
    "densenet": "DenseNet",
    "efficientnet": "EfficientNet",
    "gan": "GAN",
    "googlenet": "GoogLeNet",
    "gru": "GRU",
    "lenet": "LeNet",
    "lstm": "LSTM",
    "mlp": "MLP",
    "mobilenet": "MobileNet",
    "resnet": "ResNet",
    "rnn": "RNN",
    "squeezenet": "SqueezeNet",
    "unet": "UNet",
    "vae": "VAE",
    "vgg": "VGG",
    "wgan": "WGAN",
}
"""How well-known words are spelled in class names."""


@final
class Names:
    """Hands out names, each once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._reserved = frozenset(taken)
        self._taken = {*TAKEN, *self._reserved}

    @property
    def taken(self) -> frozenset[str]:
        """Every name that is used already."""
        return frozenset(self._taken)

    def claim(self, wanted: str) -> str:
        """`wanted` as an identifier; a taken one gets a suffix."""
        base = identifier(wanted)
        name = base
        if name in TAKEN or name in self._reserved:
            name = f"{base}_"
        count = 2
        while name in self._taken:
            name = f"{base}_{count}"
            count += 1
        self._taken.add(name)
        return name


def identifier(text: str) -> str:
    """`text` as a Python identifier: a prime becomes `_next`, what no name can hold an underscore."""
    name = re.sub(r"\W", "_", text.replace("'", "_next"), flags=re.ASCII).lstrip("_") or "value"
    return f"x{name}" if name[0].isdigit() else name


def network_parameter(name: str) -> str:
    """What functions that are given a network call it: never a name that the file uses; different ones for different networks."""
    base = identifier(name)
    return f"{base}_" if base.rstrip("_") in TAKEN else base


def class_name(text: str) -> str:
    """`residual_block` as `ResidualBlock`, `lenet5` as `LeNet5`."""
    words = re.findall(r"[A-Za-z]+|\d+|(?<=\d)_(?=\d)", text)
    return "".join(SPELLINGS.get(word.lower(), word[0].upper() + word[1:]) for word in words) or "Network"


def docstring(text: str, depth: int, width: int = 110) -> list[str]:
    """A docstring of a spec's free text: what could end it or escape from it is taken out."""
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    safe = plain.replace("\\", "/").replace('"', "'")
    indent = " " * 4 * depth
    if len(indent) + len(safe) + 6 <= width:
        return [f'{indent}"""{safe}"""']
    lines = textwrap.wrap(safe, width - len(indent) - 6)
    return [f'{indent}"""{lines[0]}', *(indent + line for line in lines[1:]), f'{indent}"""']
