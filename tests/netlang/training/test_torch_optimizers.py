"""Every optimizer record updates as torch.optim's plain implementation with the same settings does."""

from __future__ import annotations

import math

import pytest
import torch

from compiler.ir.training import Adagrad, Adam, AdamW, Constant, Cosine, Momentum, Optimizer, RmsProp, Sgd
from netlang.training.torch_optimizers import NAMES, build_optimizer, read_state, scheduled_settings, to_setting, write_state

RECORDS: list[Optimizer] = [
    Sgd(0.1),
    Sgd(0.1, momentum=0.9, weight_decay=0.01, dampening=0.1),
    Momentum(0.1, nesterov=True),
    RmsProp(0.01, momentum=0.5, centered=True, weight_decay=0.1),
    Adam(0.01, betas=(0.0, 0.9), weight_decay=0.1),
    Adam(0.01, amsgrad=True),
    AdamW(0.01, weight_decay=0.3),
    Adagrad(0.1, lr_decay=0.1, initial_accumulator_value=0.2),
]
# Fused kernels sum in another order than the plain loops: a few units in the last place over 20 updates.
TOLERANCE = 1e-6
UPDATES = 20


def weights() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(4, 3, generator=generator, requires_grad=True), torch.randn(3, generator=generator, requires_grad=True)]


def set_gradients(parameters: list[torch.Tensor], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("record", RECORDS, ids=str)
def test_updates_are_torchs(record: Optimizer) -> None:
    ours, theirs = weights(), weights()
    optimizer = build_optimizer(record, ours, UPDATES)
    reference = getattr(torch.optim, NAMES[type(record)])(theirs, **record.settings(0, UPDATES), foreach=False)
    for index in range(UPDATES):
        for parameters, used in ((ours, optimizer), (theirs, reference)):
            set_gradients(parameters, index)
            used.step()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("record", RECORDS, ids=str)
def test_a_state_put_back_goes_on_bit_for_bit(record: Optimizer) -> None:
    names = ["net.weight", "net.bias"]
    whole, first = weights(), weights()
    used, before = build_optimizer(record, whole, UPDATES), build_optimizer(record, first, UPDATES)
    for index in range(6):
        set_gradients(whole, index)
        used.step()
    for index in range(3):
        set_gradients(first, index)
        before.step()
    later = [parameter.detach().clone().requires_grad_() for parameter in first]
    after = build_optimizer(record, later, UPDATES)
    write_state(after, names, later, {name: value.clone() for name, value in read_state(before, names, first).items()})
    for index in range(3, 6):
        set_gradients(later, index)
        after.step()
    for mine, other in zip(later, whole, strict=True):
        assert torch.equal(mine, other)
    final, wanted = read_state(after, names, later), read_state(used, names, whole)
    assert final.keys() == wanted.keys()
    assert all(torch.equal(final[name], wanted[name]) for name in wanted)


def test_a_state_of_other_weights_is_refused() -> None:
    parameters = weights()
    optimizer = build_optimizer(Adam(), parameters, 1)
    with pytest.raises(ValueError, match="belongs to no parameter"):
        write_state(optimizer, ["a", "b"], parameters, {"c:exp_avg": torch.zeros(3)})
    with pytest.raises(ValueError, match="belongs to no parameter"):
        write_state(optimizer, ["a", "b"], parameters, {"b:exp_avg": torch.zeros(4)})


def test_only_schedules_change() -> None:
    record = AdamW(lr=Cosine(0.1, warmup=2), weight_decay=Constant(0.3))
    assert list(scheduled_settings(record)) == ["lr", "weight_decay"]
    assert scheduled_settings(Sgd(0.1)) == {}


def test_cosine_is_torchs_annealing() -> None:
    parameters = weights()
    reference = torch.optim.SGD(parameters, lr=0.2)
    annealing = torch.optim.lr_scheduler.CosineAnnealingLR(reference, T_max=10, eta_min=0.01)
    schedule = Cosine(0.2, end=0.01)
    for iteration in range(10):
        assert math.isclose(schedule.at(iteration, 10), reference.param_groups[0]["lr"], rel_tol=1e-12)
        reference.step()
        annealing.step()


@pytest.mark.parametrize(("given", "kept"), [(1, 1.0), (True, True), ((0, 1), (0.0, 1.0)), (0.5, 0.5)])
def test_numbers_are_given_as_torch_wants_them(given: object, kept: object) -> None:
    assert repr(to_setting(given)) == repr(kept)
