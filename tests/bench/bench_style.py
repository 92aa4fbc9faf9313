"""Style transfer with VGG19 against loops written by hand with torch, same weights and pictures: time at 256 pixels, memory at 512.

Run: `python -m pytest -m bench tests/bench/bench_style.py -s`. One loop by hand freezes the weights, runs no layer beyond conv5_1 and
computes its targets once; the plain one runs all layers of the features with weights that could be trained, and computes its targets
in every iteration. An iteration is one evaluation with its gradient, and an update by Adam or by L-BFGS. Memory is the largest resident
set of a process of its own (`ru_maxrss`), with what it holds before the loop begins, since both load torch.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import pytest
import torch
from torch import nn

import netlang
from compiler.ir.training import Lbfgs
from netlang.training.engines import make_engine
from netlang.training.feed import Feed
from tests.bench.paired import paired

if TYPE_CHECKING:
    from netlang.training.torch_engine import TorchEngine

THREADS: Final = 2
CHANNELS: Final = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512, 0)
STYLE: Final = (0, 5, 10, 19, 28)
"""Where conv1_1, conv2_1, conv3_1, conv4_1 and conv5_1 stand in torchvision's features; a rectifier follows each."""
CONTENT: Final = 21


def vgg19(convolutions: list[nn.Conv2d], *, whole: bool) -> nn.Sequential:
    """The features of torchvision's VGG19, to conv5_1 or whole; kernels are copies of those given, the others drawn."""
    made: list[nn.Module] = []
    width, given = 3, iter(convolutions)
    for channels in CHANNELS:
        if channels == 0:
            made.append(nn.MaxPool2d(2))
            continue
        layer = nn.Conv2d(width, channels, 3, padding=1)
        if (known := next(given, None)) is not None:
            layer.load_state_dict(known.state_dict())
        made += [layer, nn.ReLU(inplace=True)]
        width = channels
    return nn.Sequential(*(made if whole else made[: STYLE[-1] + 2]))


class Pictures:
    """The pictures of style/gatys, and a loop's loss on them."""

    def __init__(self, size: int) -> None:
        checked = netlang.check("style/gatys", set={"size": size}).require()
        read = {name: torch.from_numpy(reader.read(checked.folder)[""]) for name, reader in checked.readers.items()}
        self.content, self.style = read["scene"], read["texture"]
        self.mean, self.deviation = (
            torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        )  # fmt: skip

    def features(self, network: nn.Sequential, picture: torch.Tensor) -> dict[int, torch.Tensor]:
        x = (picture - self.mean) / self.deviation
        found = {}
        for place, layer in enumerate(network):
            x = layer(x)
            if place - 1 in (*STYLE, CONTENT):
                found[place - 1] = x
        return found

    def targets(self, network: nn.Sequential) -> tuple[torch.Tensor, list[torch.Tensor]]:
        style = self.features(network, self.style)
        return self.features(network, self.content)[CONTENT], [gram(style[place]) for place in STYLE]

    def loss(self, network: nn.Sequential, canvas: torch.Tensor, targets: tuple[torch.Tensor, list[torch.Tensor]]) -> torch.Tensor:
        found = self.features(network, canvas)
        content = (found[CONTENT] - targets[0]).square().sum() / 2
        grams = zip((found[place] for place in STYLE), targets[1], strict=True)
        style = sum(((gram(x) - target).square().sum() / (4 * x.shape[1] ** 2) for x, target in grams), torch.zeros(()))
        return content + 200 * style


def gram(x: torch.Tensor) -> torch.Tensor:
    flat = x.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def build_optimizer(name: str, canvas: torch.Tensor) -> torch.optim.Optimizer:
    if name == "adam":
        return torch.optim.Adam([canvas], lr=0.02)
    return torch.optim.LBFGS([canvas], max_iter=1)


def by_hand(pictures: Pictures, convolutions: list[nn.Conv2d], optimizer: str, *, plain: bool) -> Callable[[], float]:
    """One iteration of a loop by hand; the objective before its update."""
    network = vgg19(convolutions, whole=plain).requires_grad_(plain)
    canvas = pictures.content.clone().requires_grad_()
    chosen = build_optimizer(optimizer, canvas)
    with torch.no_grad():
        kept = None if plain else pictures.targets(network)

    def evaluate() -> torch.Tensor:
        chosen.zero_grad()
        with torch.no_grad():
            targets = pictures.targets(network) if kept is None else kept
        loss = pictures.loss(network, canvas, targets)
        torch.autograd.backward(loss)
        return loss.detach()

    return lambda: float(chosen.step(evaluate))  # type: ignore[arg-type]


def by_spec(size: int, optimizer: str) -> tuple[TorchEngine, Callable[[], float]]:
    """The engine of style/gatys and one iteration, with one step of L-BFGS instead of twenty."""
    given = {"size": size, "optimizer": optimizer, "iterations": 1000}
    checked = netlang.check("style/gatys", set=given).require()
    program = checked.program
    assert program is not None
    (step,) = program.steps
    if isinstance(step.optimizer, Lbfgs):
        step = dataclasses.replace(step, optimizer=dataclasses.replace(step.optimizer, max_iter=1, line_search_fn="none"))
    checked = dataclasses.replace(checked, program=dataclasses.replace(program, steps=(step,)))
    engine = make_engine(checked, 0, 1000, "torch", "cpu", THREADS)
    placed = engine.place(Feed(checked, 0).fixed)
    engine.begin(placed)
    return engine, lambda: engine.update(0, dict(placed), 0, 1000).objective  # type: ignore[return-value]


def convolutions_of(engine: TorchEngine) -> list[nn.Conv2d]:
    return [layer for layer in engine.modules["features"].modules() if isinstance(layer, nn.Conv2d)]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


@pytest.mark.bench
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_iterations_at_256_pixels(optimizer: str) -> None:
    engine, iterate = by_spec(256, optimizer)
    pictures, convolutions = Pictures(256), convolutions_of(engine)
    careful = by_hand(pictures, convolutions, optimizer, plain=False)
    plain = by_hand(pictures, convolutions, optimizer, plain=True)
    first = [call() for call in (iterate, careful, plain)]
    assert first == pytest.approx([first[0]] * 3, rel=1e-5)
    against_careful = paired(iterate, careful, rounds=10, warmup=2)
    against_plain = paired(iterate, plain, rounds=6, warmup=1)
    print(f"\n{optimizer}, iteration at 256 pixels: {against_careful} by hand; {against_plain} by hand, plain")
    assert against_careful.median <= 1.05
    assert against_plain.median <= 0.75


@pytest.mark.bench
def test_memory_at_512_pixels() -> None:
    ours, theirs = (measure_memory(name) for name in ("spec", "hand"))
    (start, peak), (start_by_hand, peak_by_hand) = ours, theirs
    print(f"\nlargest resident set at 512 pixels, MiB: {peak:.0f} from {start:.0f}; by hand {peak_by_hand:.0f} from {start_by_hand:.0f}")
    assert peak <= 1.1 * peak_by_hand


def measure_memory(loop: str) -> tuple[float, float]:
    """What a process of its own that runs four iterations of a loop takes, before it and at most, in MiB."""
    command = [sys.executable, "-c", f"from tests.bench.bench_style import report; report({loop!r})"]
    found: list[float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=900).stdout)
    return found[0], found[1]


def report(loop: str) -> None:
    """Run a loop here and print its memory."""
    torch.set_num_threads(THREADS)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if loop == "spec":
        _, iterate = by_spec(512, "lbfgs")
    else:
        iterate = by_hand(Pictures(512), [], "lbfgs", plain=False)
    for _ in range(4):
        iterate()
    print(json.dumps([start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
