"""A training step with NumPy against the same step written by hand with torch, eager: same weights, same batch, two threads.

Run: `OPENBLAS_NUM_THREADS=2 python -m pytest -m bench tests/bench/bench_numpy_training.py -s`. The ratio is NumPy's time over torch's.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

import netlang
from netlang.training.engines import make_engine
from netlang.training.feed import Feed
from tests.bench.paired import paired

THREADS = 2


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm around an identity that is strided and padded with empty channels where shapes differ."""

    def __init__(self, inward: int, channels: int) -> None:
        super().__init__()
        self.stride, self.extra = (1, 0) if inward == channels else (2, (channels - inward) // 2)
        self.conv1 = nn.Conv2d(inward, channels, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        shortcut = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.extra, self.extra))
        return functional.relu(y + shortcut)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))


def lenet5() -> nn.Module:
    convolutions = [nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)]
    head = [nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)]
    return nn.Sequential(*convolutions, *head)


class Coloured(nn.Module):
    """A gray image as three equal channels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.expand(-1, 3, -1, -1)


def resnet20() -> nn.Module:
    widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    blocks = [Residual(a, b) for a, b in pairwise(widths)]
    stem = [Coloured(), nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


@pytest.mark.bench
@pytest.mark.parametrize(("spec", "make", "batch"), [("mlp", mlp, 64), ("lenet5", lenet5, 64), ("resnet20", resnet20, 32)])
def test_step_with_numpy_against_torch(spec: str, make: Callable[[], nn.Module], batch: int) -> None:
    torch.set_num_threads(THREADS)
    checked = netlang.check(spec).require()
    assert checked.program is not None
    assert checked.program.batch == batch
    engine = make_engine(checked, 0, 10_000, "numpy", "cpu", THREADS)
    taken = Feed(checked, 0).take("train")
    placed = engine.place(taken)
    module = make().train()
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3, momentum=0.9)
    image, label = (torch.from_numpy(taken[name]) for name in ("image", "label"))

    def with_torch() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(functional.cross_entropy(module(image), label))
        optimizer.step()

    ratio = paired(lambda: engine.update(0, dict(placed), 9_999, 10_000), with_torch, rounds=15)
    print(f"\n{spec} batch {batch}, a step with NumPy / torch: {ratio}")
    engine.close()
    assert ratio.median < 40
