"""Every update rule against torch.optim in float64 after a hundred updates, with every attribute away from its default."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from compiler.ir.training import Adagrad, Adam, AdamW, Cosine, Momentum, Optimizer, RmsProp, Sgd, StepDecay
from netlang.training.numpy_optimizers import NumpyOptimizer
from netlang.training.torch_optimizers import NAMES, scheduled_settings, to_setting

RECORDS = [
    Sgd(0.1),
    Sgd(0.05, momentum=0.9, weight_decay=0.01),
    Sgd(0.05, momentum=0.9, dampening=0.3, weight_decay=0.01),
    Sgd(0.05, momentum=0.8, nesterov=True),
    Sgd(Cosine(0.1, end=0.01, warmup=5), momentum=Cosine(0.9, end=0.5)),
    Momentum(0.05),
    Momentum(0.05, momentum=0.7, nesterov=True, weight_decay=StepDecay(0.1, every=10)),
    RmsProp(),
    RmsProp(0.02, alpha=0.9, eps=1e-3, weight_decay=0.01, momentum=0.5),
    RmsProp(0.02, centered=True),
    RmsProp(0.02, centered=True, momentum=0.9, weight_decay=0.1),
    Adam(),
    Adam(0.01, betas=(0.5, 0.9), eps=1e-4, weight_decay=0.1),
    Adam(Cosine(0.01), amsgrad=True),
    AdamW(),
    AdamW(0.01, betas=(0.7, 0.95), weight_decay=0.3, amsgrad=True),
    Adagrad(),
    Adagrad(0.1, lr_decay=0.05, weight_decay=0.01, initial_accumulator_value=0.5, eps=1e-3),
]
SHAPES = {"weight": (4, 3), "bias": (4,), "scale": ()}


def gradient(name: str, w: np.ndarray[Any, Any], step: int) -> np.ndarray[Any, Any]:
    """Of a bowl with noise that gets smaller and larger again, so that amsgrad has something to remember."""
    generator = np.random.default_rng((step, len(name)))
    return np.asarray(w - 1 + (1 + np.sin(step / 7)) * generator.standard_normal(w.shape))


@pytest.mark.parametrize("record", RECORDS, ids=repr)
def test_hundred_updates_are_those_of_torch(record: Optimizer) -> None:
    generator = np.random.default_rng(0)
    arrays = {name: np.asarray(generator.standard_normal(shape)) for name, shape in SHAPES.items()}
    tensors = {name: torch.tensor(array.copy(), requires_grad=True) for name, array in arrays.items()}
    ours = NumpyOptimizer(record, arrays, np)
    settings = {name: to_setting(value) for name, value in record.settings(0, 100).items()}
    theirs = getattr(torch.optim, NAMES[type(record)])(list(tensors.values()), **settings)
    for step in range(100):
        gradients = {name: gradient(name, array, step) for name, array in arrays.items()}
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(gradients[name])
        for name, schedule in scheduled_settings(record).items():
            theirs.param_groups[0][name] = schedule.at(step, 100)
        ours.step(gradients, step, 100)
        theirs.step()
    for name, tensor in tensors.items():
        np.testing.assert_allclose(arrays[name], tensor.detach().numpy(), rtol=1e-12, atol=0)
        state = {what: value for what, value in theirs.state[tensor].items() if value is not None}
        mine = {what: ours.read_state()[f"{name}:{what}"] for what in state}
        for what, value in state.items():
            np.testing.assert_allclose(mine[what], value.numpy(), rtol=1e-10, atol=1e-14)
            assert mine[what].dtype == value.numpy().dtype


@pytest.mark.parametrize("record", RECORDS, ids=repr)
def test_gradients_stay_as_they_are(record: Optimizer) -> None:
    w = np.linspace(-1, 1, 12).reshape(3, 4)
    ours = NumpyOptimizer(record, {"w": w}, np)
    g = np.linspace(2, -1, 12).reshape(3, 4)
    before = g.copy()
    for step in range(3):
        ours.step({"w": g}, step, 3, 0.5, 0.3)
    np.testing.assert_array_equal(g, before)


@pytest.mark.parametrize("record", RECORDS, ids=repr)
def test_state_put_back_goes_on_alike(record: Optimizer) -> None:
    first = {"w": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)}
    ours = NumpyOptimizer(record, first, np)
    for step in range(5):
        ours.step({"w": first["w"] * 2 - 1}, step, 10)
    second = {"w": first["w"].copy()}
    other = NumpyOptimizer(record, second, np)
    other.write_state({name: value.copy() for name, value in ours.read_state().items()})
    for step in range(5, 10):
        ours.step({"w": first["w"] * 2 - 1}, step, 10)
        other.step({"w": second["w"] * 2 - 1}, step, 10)
    np.testing.assert_array_equal(first["w"], second["w"])
    assert first["w"].dtype == np.float32
    assert all(value.dtype == np.float32 for value in ours.read_state().values())


def test_foreign_state_is_refused() -> None:
    ours = NumpyOptimizer(Adam(), {"w": np.ones(3)}, np)
    with pytest.raises(ValueError, match="belongs to no parameter"):
        ours.write_state({"v:exp_avg": np.ones(3)})
    with pytest.raises(ValueError, match="belongs to no parameter"):
        ours.write_state({"w:exp_avg": np.ones(4)})
