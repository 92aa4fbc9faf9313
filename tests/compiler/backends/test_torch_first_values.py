"""First numbers that a printed module draws: those of the record's distribution, for tensors of any rank."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from compiler.backends.torch_first_values import SHAPELESS, print_first_values
from compiler.backends.torch_source import torch_source
from compiler.ir.initializers import (
    INITIALIZERS,
    Constant,
    FanInUniform,
    Initializer,
    KaimingNormal,
    Normal,
    Ones,
    Orthogonal,
    Uniform,
    XavierNormal,
    XavierUniform,
    Zeros,
)
from tests.compiler.backends.recurrences import draw_weights, scan_graph, torch_network

SHAPES = [(), (1, 7), (4000,), (300, 200), (60, 40, 5)]
RECORDS: list[Initializer] = [
    Constant(0.25), Zeros(), Ones(), Uniform(-3.0, 4.0), Normal(1.0, 0.5), FanInUniform(), FanInUniform(2.0), FanInUniform(1.0, 9),
    KaimingNormal(), XavierUniform(), XavierUniform(3.0), XavierNormal(), XavierNormal(0.5), Orthogonal(), Orthogonal(2.0),
]  # fmt: skip


def drawn(init: Initializer, shape: tuple[int, ...]) -> np.ndarray:
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.full(shape, torch.nan))
    exec(print_first_values(init, shape, "parameter"), {"nn": nn, "parameter": parameter})
    return parameter.detach().double().numpy()


def test_every_initializer_has_a_form() -> None:
    assert {item.name for item in RECORDS} == set(INITIALIZERS)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("init", RECORDS, ids=str)
def test_numbers_have_the_records_moments(init: Initializer, shape: tuple[int, ...]) -> None:
    """Mean, root mean square and range of 4,000 numbers and more, within 8 %; of a few, that each is a number."""
    found = drawn(init, shape)
    wanted = init.draw(np.random.default_rng(1), shape)
    assert np.isfinite(found).all()
    if found.size < 1000:
        return
    size = np.sqrt(np.mean(wanted**2))
    assert np.sqrt(np.mean(found**2)) == pytest.approx(size, rel=0.08)
    assert found.mean() == pytest.approx(wanted.mean(), abs=0.08 * size)
    assert np.abs(found).max() == pytest.approx(np.abs(wanted).max(), rel=0.35)


@pytest.mark.parametrize("init", [item for item in RECORDS if isinstance(item, SHAPELESS)], ids=str)
def test_what_is_called_shapeless_is(init: Initializer) -> None:
    assert len({print_first_values(init, shape, "w") for shape in SHAPES}) == 1


@pytest.mark.parametrize("init", ["xavier_uniform", "xavier_normal(2)", "kaiming_normal", "orthogonal(3)", "fan_in_uniform", "constant(2)"])
def test_a_cell_takes_every_initializer_for_every_rank(init: str) -> None:
    cell = f"""
  q(H):
    inputs: {{x: [D]}}
    state: {{h: [H]}}
    params: {{W: [H, D], U: [H, H], b: [H], a: []}}
    init: {{W: {init}, U: {init}, b: {init}, a: {init}}}
    step:
      h': tanh(W @ x + a * (U @ h) + b)
    output: h'
"""
    graph = scan_graph("scan(q(4))", "x: [N, T, 3]", "", cell)
    torch_network(graph, draw_weights(graph))
    assert f"nn.init.{init.split('(')[0].replace('fan_in_uniform', 'uniform')}_(" in torch_source([graph])
