"""Iterations of adversarial programs against the same ones written by hand with torch, eager, one thread, paired in one process.

Run: `OMP_NUM_THREADS=1 python -m pytest -m bench tests/bench/bench_gan.py -s`. The ratio is netlang's time over the other's.
The best loop makes the fake batch once, freezes D in G's step and has fused optimizers; the naive one does none of that.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, Literal

import pytest
import torch
from torch import nn
from torch.nn import functional

import netlang
from compiler.front.checked import Checked
from netlang.training.engine import Engine, Placed
from netlang.training.engines import make_engine
from netlang.training.feed import Feed
from netlang.training.loop import Inputs
from tests.bench.paired import paired

ADAM: dict[str, Any] = {"lr": 2e-4, "betas": (0.5, 0.999)}
TOTAL = 100_000


def generator() -> nn.Module:
    """That of dcgan_small."""
    return nn.Sequential(
        nn.Unflatten(1, (64, 1, 1)),
        *(nn.ConvTranspose2d(64, 64, 7, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.ConvTranspose2d(32, 1, 4, 2, 1, bias=False), nn.Tanh()),
    )


def discriminator() -> nn.Module:
    """That of dcgan_small."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(32, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(64, 1, 7, bias=False), nn.Flatten()),
    )


def perceptron(inward: int, outward: int, *last: nn.Module) -> nn.Module:
    """Those of the rings."""
    sizes = [(inward, 256), (256, 256), (256, 256)]
    hidden = [layer for a, b in sizes for layer in (nn.Linear(a, b), nn.LeakyReLU(0.2))]
    return nn.Sequential(*hidden, nn.Linear(256, outward), *last)


def best(
    networks: tuple[nn.Module, nn.Module], real: torch.Tensor, noise: int, repeat: int, settings: dict[str, Any]
) -> Callable[[], None]:
    g, d = networks
    of_g = torch.optim.Adam(g.parameters(), fused=True, **settings)
    of_d = torch.optim.Adam(d.parameters(), fused=True, **settings)

    def judge(fake: torch.Tensor) -> None:
        loss = functional.softplus(-d(real)).mean() + functional.softplus(d(fake.detach())).mean()
        of_d.zero_grad()
        torch.autograd.backward(loss)
        of_d.step()

    def iterate() -> None:
        for _ in range(repeat if repeat > 1 else 0):
            with torch.no_grad():
                fake = g(torch.randn(len(real), noise))
            judge(fake)
        fake = g(torch.randn(len(real), noise))
        if repeat == 1:
            judge(fake)
        d.requires_grad_(False)
        loss = functional.softplus(-d(fake)).mean()
        of_g.zero_grad()
        torch.autograd.backward(loss)
        of_g.step()
        d.requires_grad_(True)

    return iterate


def naive(networks: tuple[nn.Module, nn.Module], real: torch.Tensor, noise: int) -> Callable[[], None]:
    g, d = networks
    of_g, of_d = torch.optim.Adam(g.parameters(), **ADAM), torch.optim.Adam(d.parameters(), **ADAM)

    def iterate() -> None:
        of_d.zero_grad()
        fake = g(torch.randn(len(real), noise))
        torch.autograd.backward(functional.softplus(-d(real)).mean() + functional.softplus(d(fake)).mean())
        of_d.step()
        of_g.zero_grad()
        torch.autograd.backward(functional.softplus(-d(g(torch.randn(len(real), noise)))).mean())
        of_g.step()

    return iterate


def iteration(checked: Checked, engine: Engine, batch: Placed, repeat: int) -> Callable[[], None]:
    """What the training loop does in an iteration, but for taking a batch: D's step `repeat` times, then G's."""
    feed = Feed(checked, 0)
    program = checked.require().program
    assert program is not None
    of_d, of_g = (step.graph for step in program.steps)

    def iterate() -> None:
        whole = Inputs(feed, engine, batch)
        for _ in range(repeat):
            engine.update(0, (Inputs(feed, engine, batch) if repeat > 1 else whole).read(of_d), 9_999, TOTAL)
        engine.update(1, whole.read(of_g), 9_999, TOTAL)

    return iterate


@pytest.mark.bench
def test_dcgan_against_the_best_and_the_naive_loop() -> None:
    torch.set_num_threads(1)
    checked = netlang.check("gan/dcgan_small", set={"dataset": "digits"}).require()
    image = torch.rand(64, 1, 28, 28)
    with closing(make_engine(checked, 0, TOTAL, "torch", "cpu", 1)) as engine:
        ours = iteration(checked, engine, engine.place({"image": image.numpy()}), 1)
        fast = paired(ours, best((generator(), discriminator()), 2 * image - 1, 64, 1, ADAM), rounds=40)
        slow = paired(ours, naive((generator(), discriminator()), 2 * image - 1, 64), rounds=40)
    print(f"\ndcgan_small batch 64, an iteration with netlang / best by hand: {fast}\n  / naive by hand: {slow}")
    assert fast.median <= 1.03
    assert slow.median <= 0.85


@pytest.mark.bench
@pytest.mark.parametrize(("backend", "bar"), [("numpy", 0.9), ("torch", 1.1)])
def test_ring_against_the_best_loop(backend: Literal["torch", "numpy"], bar: float) -> None:
    torch.set_num_threads(1)
    checked = netlang.check("gan/nsgan_ring").require()
    point = torch.rand(256, 2) - 0.5
    with closing(make_engine(checked, 0, TOTAL, backend, "cpu", 1)) as engine:
        ours = iteration(checked, engine, engine.place({"point": point.numpy()}), 5)
        networks = perceptron(32, 2, nn.Tanh()), perceptron(2, 1)
        ratio = paired(ours, best(networks, point, 32, 5, {"lr": 3e-4}), rounds=40)
    print(f"\nnsgan_ring batch 256, an iteration with {backend} / best by hand: {ratio}")
    assert ratio.median <= bar
