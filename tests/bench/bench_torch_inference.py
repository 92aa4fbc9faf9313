"""Forward passes with torch as `build --inference` writes them, against the same networks written by hand, eager: two threads.

Run: `python -m pytest -m bench tests/bench/bench_torch_inference.py -s`. The ratio is netlang's time over the other's.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import netlang
from tests.bench.bench_numpy_training import THREADS, resnet20
from tests.bench.bench_vgg19 import HandWritten
from tests.bench.paired import paired


@pytest.mark.bench
@pytest.mark.parametrize(
    ("spec", "make", "shape", "calls"),
    [
        ("vgg19", HandWritten, (1, 3, 224, 224), 1),
        ("resnet20", resnet20, (1, 3, 32, 32), 20),
        ("resnet20", resnet20, (32, 3, 32, 32), 1),
    ],
    ids=["vgg19 of 1", "resnet20 of 1", "resnet20 of 32"],
)
def test_inference_is_as_fast_as_by_hand(spec: str, make: Callable[[], nn.Module], shape: tuple[int, ...], calls: int) -> None:
    torch.set_num_threads(THREADS)
    mine, by_hand = netlang.load(spec, inference=True), make().eval()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    gray = x[:, :1] if spec == "resnet20" else x
    with torch.inference_mode():
        ratio = paired(lambda: mine(x), lambda: by_hand(gray), rounds=20, calls=calls)
    print(f"\n{spec} forward of {shape[0]}, for inference / by hand: {ratio}")
    assert ratio.median <= 1.0
