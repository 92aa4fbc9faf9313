"""The bundled convolutional networks: every spec is accepted without a warning, and parameters are named as torchvision names them."""

from __future__ import annotations

from pathlib import Path

import pytest

import specs
from compiler.front.checked import check
from compiler.ir.graph import owned_parameters
from compiler.source import Source
from netlang.data import READERS

FOLDER = Path(specs.__file__).parent
FILES = sorted([*(FOLDER / "cnn").glob("*.yaml"), *(FOLDER / "std").glob("*.yaml")])


def parameter_names(name: str) -> set[str]:
    """The state-dict keys of a bundled network."""
    checked = check(FOLDER / "cnn" / f"{name}.yaml", readers=READERS).require()
    return {key for key, _ in owned_parameters(checked.networks[name])}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_bundled_spec_is_accepted_without_a_warning(path: Path) -> None:
    checked = check(path, readers=READERS)
    assert [(str(item.span), item.code, item.message) for item in checked.diagnostics] == []
    assert checked.doc


@pytest.mark.parametrize("path", [path for path in FILES if path.parent.name == "cnn"], ids=lambda path: path.stem)
def test_the_size_of_a_network_is_proved_exactly(path: Path) -> None:
    text = path.read_text()
    assert f"params({path.stem}) ==" in text
    assert f"flops({path.stem}" in text


def test_a_wrong_size_is_refused() -> None:
    text = (FOLDER / "cnn" / "lenet5.yaml").read_text().replace("== 61706", "== 61707")
    checked = check(Source("lenet5.yaml", text), readers=READERS)
    assert [item.code for item in checked.diagnostics] == ["NL450"]


def with_bias(*prefixes: str) -> set[str]:
    return {f"{prefix}.{name}" for prefix in prefixes for name in ("weight", "bias")}


def normalized(*prefixes: str) -> set[str]:
    """The names of batch norms in a state dict."""
    names = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return {f"{prefix}.{name}" for prefix in prefixes for name in names}


@pytest.mark.parametrize(
    ("name", "features", "classifier"),
    [
        ("alexnet", (0, 3, 6, 8, 10), (1, 4, 6)),
        ("vgg16", (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), (0, 3, 6)),
        ("vgg19", (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34), (0, 3, 6)),
    ],
)
def test_plain_networks_have_the_names_of_torchvision(name: str, features: tuple[int, ...], classifier: tuple[int, ...]) -> None:
    expected = with_bias(*(f"features.{i}" for i in features), *(f"classifier.{i}" for i in classifier))
    assert parameter_names(name) == expected


@pytest.mark.parametrize(("name", "counts", "convolutions"), [("resnet18", (2, 2, 2, 2), 2), ("resnet50", (3, 4, 6, 3), 3)])
def test_residual_networks_have_the_names_of_torchvision(name: str, counts: tuple[int, ...], convolutions: int) -> None:
    expected = {"conv1.weight"} | normalized("bn1") | with_bias("fc")
    for layer, count in enumerate(counts, start=1):
        for block in range(count):
            prefix = f"layer{layer}.{block}"
            for number in range(1, convolutions + 1):
                expected |= {f"{prefix}.conv{number}.weight"} | normalized(f"{prefix}.bn{number}")
            if block == 0 and (layer > 1 or convolutions == 3):
                expected |= {f"{prefix}.downsample.0.weight"} | normalized(f"{prefix}.downsample.1")
    assert parameter_names(name) == expected


def test_the_mobile_network_has_the_names_of_torchvision() -> None:
    expected = {"features.0.0.weight", "features.18.0.weight"} | normalized("features.0.1", "features.18.1") | with_bias("classifier.1")
    expected |= {"features.1.conv.0.0.weight", "features.1.conv.1.weight"} | normalized("features.1.conv.0.1", "features.1.conv.2")
    for block in range(2, 18):
        prefix = f"features.{block}.conv"
        expected |= {f"{prefix}.0.0.weight", f"{prefix}.1.0.weight", f"{prefix}.2.weight"}
        expected |= normalized(f"{prefix}.0.1", f"{prefix}.1.1", f"{prefix}.3")
    assert parameter_names("mobilenet_v2") == expected


BLOCKS = """\
netlang: 1
use: [std/conv, std/resnet]
networks:
  net:
    inputs: {image: [N, 16, 2*H, 2*W]}
    layers:
      a: separable(32)
      b: squeeze_excite
      c: residual(32)
      d: plain_residual(64, stride=2)
      e: bottleneck(16)
      f: depthwise(5, pad=2)
    assert:
      - shape(a) == [N, 32, 2*H, 2*W]
      - shape(b) == shape(a)
      - shape(c) == shape(a)
      - shape(d) == [N, 64, H, W]
      - shape(e) == shape(d)
      - shape(f) == shape(d)
assert:
  - params(net) == SUM
"""


def test_blocks_of_the_library_fit_each_other() -> None:
    separable = 16 * 9 + 2 * 16 + 16 * 32 + 2 * 32
    squeeze_excite = (32 * 8 + 8) + (8 * 32 + 32)
    residual = 2 * (32 * 32 * 9 + 2 * 32)
    plain_residual = 32 * 64 * 9 + 64 * 64 * 9 + 4 * 64
    bottleneck = 64 * 16 + 16 * 16 * 9 + 16 * 64 + 2 * 16 + 2 * 16 + 2 * 64
    depthwise = 64 * 25 + 2 * 64
    total = separable + squeeze_excite + residual + plain_residual + bottleneck + depthwise
    checked = check(Source("blocks.yaml", BLOCKS.replace("SUM", str(total))), readers=READERS)
    assert [(str(item.span), item.message) for item in checked.diagnostics] == []
