"""VGG19 at 224 pixels, batch 1: the printed module against the one written by hand, same weights, two threads.

Run: `python -m pytest -m bench tests/bench/bench_vgg19.py -s`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from compiler.backends.torch_backend import load_torch
from compiler.front.checked import check
from netlang.data import READERS
from tests.bench.paired import paired

CHANNELS = [64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512, 0]


class HandWritten(nn.Module):
    """Configuration E of Simonyan and Zisserman 2014 with torchvision's keys."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*layers())
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(25088, 4096), nn.ReLU(True), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(True), nn.Dropout(), nn.Linear(4096, 1000)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        grid: torch.Tensor = self.avgpool(self.features(x))
        scores: torch.Tensor = self.classifier(grid.flatten(1))
        return scores


def layers() -> Iterator[nn.Module]:
    width = 3
    for channels in CHANNELS:
        if channels == 0:
            yield nn.MaxPool2d(2)
        else:
            yield nn.Conv2d(width, channels, 3, padding=1)
            yield nn.ReLU(inplace=True)
            width = channels


@pytest.mark.bench
def test_vgg19_runs_at_hand_written_speed() -> None:
    torch.set_num_threads(2)
    checked = check("specs/cnn/vgg19.yaml", readers=READERS).require()
    printed = load_torch([checked.networks["vgg19"]]).networks["vgg19"].eval()
    hand = HandWritten().eval()
    assert list(printed.state_dict()) == list(hand.state_dict())
    printed.load_state_dict(hand.state_dict())
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(printed(image), hand(image), rtol=1e-5, atol=1e-5)
        ratio = paired(lambda: printed(image), lambda: hand(image), rounds=25)
    print(f"\nvgg19 forward, printed / hand-written: {ratio}")
    assert ratio.median <= 1.03
