"""Forward passes with NumPy against the same networks written by hand with torch, eager: same weights, same batch, two threads.

Run: `OPENBLAS_NUM_THREADS=2 python -m pytest -m bench tests/bench/bench_numpy_forward.py -s`. The ratio is NumPy's time over torch's. Each
side is called several times in a row, since the threads of the one keep spinning for a while when the other's turn has come.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import netlang
from compiler.backends.numpy_backend import load_numpy
from compiler.backends.parameters import initial_parameters
from compiler.ir.prune import prune
from netlang.training.blas import read_threads, set_threads
from tests.bench.bench_numpy_training import THREADS, lenet5
from tests.bench.bench_vgg19 import layers
from tests.bench.paired import paired


def vgg19_features() -> nn.Module:
    return nn.Sequential(*layers())


@pytest.mark.bench
@pytest.mark.parametrize(
    ("spec", "reads", "make", "shape", "calls"),
    [
        ("lenet5", None, lenet5, (1, 1, 28, 28), 200),
        ("lenet5", None, lenet5, (64, 1, 28, 28), 20),
        ("vgg19", "pool5", vgg19_features, (1, 3, 224, 224), 1),
    ],
    ids=["lenet5 of 1", "lenet5 of 64", "vgg19 features of 1"],
)
def test_forward_with_numpy_against_torch(
    spec: str, reads: str | None, make: Callable[[], nn.Module], shape: tuple[int, ...], calls: int
) -> None:
    torch.set_num_threads(THREADS)
    before = read_threads()
    set_threads(THREADS)
    whole = netlang.check(spec).require().networks[spec]
    graph = whole if reads is None else prune(whole, (reads,))
    parameters = initial_parameters(graph, 0)
    network = load_numpy([graph]).networks[spec](parameters)
    module = make().eval()
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    given = torch.from_numpy(x)

    def with_torch() -> None:
        with torch.inference_mode():
            module(given)

    ratio = paired(lambda: network(x), with_torch, rounds=20, calls=calls)
    print(f"\n{spec} forward of {shape[0]}, NumPy / torch: {ratio}")
    set_threads(before)
    assert ratio.median < 40
