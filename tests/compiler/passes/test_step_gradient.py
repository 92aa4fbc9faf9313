"""Steps as flat graphs: which gradients there are, which mode each network is in, and what the printed functions compute."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from compiler.backends.numpy_steps import load_steps, print_steps
from compiler.backends.parameters import initial_parameters
from compiler.front.checked import Checked, check
from compiler.ir.graph import Call
from compiler.ir.types import DType
from compiler.ir.verify import verify
from compiler.passes.retype import retype
from compiler.passes.step_gradient import StepGradient, step_entries, step_gradient
from compiler.passes.training_mode import InTraining
from compiler.source import Source
from netlang.data import READERS

GAME = """\
netlang: 1
networks:
  G:
    inputs: {z: [N, 3]}
    layers: {a: linear(8) -> batch_norm -> relu, unused: a -> linear(4), b: a -> linear(2)}
  D:
    inputs: {x: [N, 2]}
    layers: {a: linear(7) -> tanh -> dropout(0.5), b: linear(1)}
data: {train: ring(samples=100)}
train:
  iterations: 1
  batch: 16
  draw: {z: "normal(N, 3)"}
  steps:
    - {name: critic, update: D, maximize: "mean(D(point)) - mean(D(G(z)))", with: sgd(lr=1)}
    - {name: generator, update: G, maximize: mean(D(G(z))), with: sgd(lr=1)}
    - {name: both, update: [D, G], minimize: mean(D(G(z)) * D(point)), with: sgd(lr=1)}
"""


def make(text: str = GAME) -> Checked:
    return check(Source("game.yaml", text), readers=READERS).require()


def gradients(checked: Checked, training: set[str]) -> list[StepGradient]:
    assert checked.program is not None
    return [step_gradient(step, training) for step in checked.program.steps]


def numbers(checked: Checked, batch: int = 16) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    flat = {f"{name}/{key}": array for name, graph in checked.networks.items() for key, array in initial_parameters(graph, 0).items()}
    generator = np.random.default_rng(0)
    return flat, generator.standard_normal((batch, 2), np.float32), generator.standard_normal((batch, 3), np.float32)


def draws_numbers(made: StepGradient) -> bool:
    return any(node.op.random and not node.operands for node in made.graph.nodes)


@pytest.mark.parametrize("training", [set(), {"G"}, {"G", "D"}], ids=lambda names: " ".join(sorted(names)) or "none")
def test_graphs_are_flat_and_sound(training: set[str]) -> None:
    for made in gradients(make(), training):
        verify(made.graph)
        assert not any(isinstance(node.op, Call | InTraining) for node in made.graph.nodes)


def test_only_what_is_updated_has_gradients_and_nothing_unreached_has() -> None:
    critic, generator, both = gradients(make(), {"G", "D"})
    assert set(critic.gradients) == {f"D/{key}" for key in ("a.linear.weight", "a.linear.bias", "b.weight", "b.bias")} or set(
        critic.gradients
    ) == {f"D/{key}" for key in ("a.weight", "a.bias", "b.weight", "b.bias")}
    assert all(key.startswith("G/") for key in generator.gradients)
    assert not any("unused" in key for key in generator.gradients)
    assert {key[0] for key in both.gradients} == {"D", "G"}
    assert not any("unused" in item.key for item in both.graph.parameters)


def test_weight_gradients_of_frozen_networks_are_not_computed() -> None:
    _, generator, _ = gradients(make(), {"G", "D"})
    shapes = [value.type.shape for node in generator.graph.nodes for value in node.results]
    weights = [item.type.shape for item in generator.graph.parameters if item.key.startswith("D/") and item.type.rank == 2]
    assert weights
    assert not [shape for shape in weights if shape in shapes]


def test_modes_decide_on_draws_and_buffers() -> None:
    checked = make()
    draws = {}
    for training in (frozenset(), frozenset({"G"}), frozenset({"D"})):
        made = gradients(checked, set(training))[0]
        draws[training] = (draws_numbers(made), sorted(key.rpartition(".")[2] for key in made.buffers))
    buffers = ["num_batches_tracked", "running_mean", "running_var"]
    assert list(draws.values()) == [(False, []), (False, buffers), (True, [])]
    assert checked.program is not None
    without = step_gradient(checked.program.steps[0], {"D", "G"}, draws=False)
    assert not draws_numbers(without)
    assert len(without.buffers) == 3


def test_second_use_of_a_layer_starts_from_the_statistics_of_the_first() -> None:
    text = GAME.replace("mean(D(G(z)))", "mean(D(G(z))) + mean(D(G(2 * z + 1)))").replace(" -> dropout(0.5)", "")
    checked = make(text)
    flat, _, z = numbers(checked)
    made = gradients(checked, {"G"})[1]
    (run,) = load_steps([made]).functions
    _, _, buffers = run(flat, z)
    (mean_key,) = (key for key in buffers if key.endswith("running_mean"))
    (count_key,) = (key for key in buffers if key.endswith("num_batches_tracked"))
    weight, bias = (flat[f"G/a.linear.{what}"] for what in ("weight", "bias"))
    expected = np.zeros(8, np.float32)
    for inputs in (z, 2 * z + 1):
        expected = 0.9 * expected + 0.1 * (inputs @ weight.T + bias).mean(axis=0)
    np.testing.assert_allclose(buffers[mean_key], expected, rtol=1e-4, atol=1e-6)
    assert buffers[count_key] == 2


def test_maximizing_turns_gradients_round() -> None:
    up, down = (make(GAME.replace("maximize", word).replace(" -> dropout(0.5)", "")) for word in ("maximize", "minimize"))
    flat, point, z = numbers(up)
    found = []
    for checked in (up, down):
        run = load_steps(gradients(checked, set())).functions[0]
        found.append(run(flat, point, z) if gradients(checked, set())[0].graph.inputs[0].name == "point" else run(flat, z, point))
    assert found[0][0] == found[1][0]
    for key, gradient in found[0][1].items():
        np.testing.assert_array_equal(gradient, -found[1][1][key])


def test_dropout_masks_and_scales_alike_forward_and_backward() -> None:
    text = GAME.replace("linear(7) -> tanh -> dropout(0.5), b: linear(1)", "linear(512) -> dropout(0.25), b: 'mean(a, axis=1)'")
    checked = make(text)
    flat, point, z = numbers(checked)
    made = gradients(checked, {"D"})[0]
    steps = load_steps([made])
    assert steps.draws == (True,)
    inputs = [{"point": point, "z": z}[value.name] for value in made.graph.inputs]
    first, second, again = (steps.functions[0](flat, *inputs, generator=np.random.default_rng(seed)) for seed in (1, 2, 1))
    (key,) = (key for key in first[1] if key.endswith("bias"))
    assert first[0] == again[0] != second[0]
    kept = (first[1][key] * -1).reshape(-1)
    assert np.abs(kept).max() < 4 / 512
    weight = first[1][key.replace("bias", "weight")]
    assert (weight != second[1][key.replace("bias", "weight")]).any()


def test_entries_are_those_of_the_forward_pass_in_order() -> None:
    checked = make()
    assert checked.program is not None
    made = step_entries(checked.program.steps[1], {"G"})
    assert list(made.buffers) == ["G.a", "G.b", "D.a", "D.b"]
    flat, _, z = numbers(checked)
    objective, nothing, entries = load_steps([made]).functions[0](flat, z)
    assert nothing == {}
    np.testing.assert_allclose(entries["D.b"].mean(), objective, rtol=1e-5)


def test_everything_is_in_the_type_of_the_graph() -> None:
    """No f64 slips into a step in f32, nor f32 into one in f64: neither in values nor in results."""
    checked = make()
    flat, point, z = numbers(checked)
    assert checked.program is not None
    graphs = retype([step.graph for step in checked.program.steps], DType.f64)
    wide = [dataclasses.replace(step, graph=graphs[step.graph]) for step in checked.program.steps]
    for steps, dtype in ((checked.program.steps, np.float32), (wide, np.float64)):
        made = [step_gradient(step, {"G", "D"}) for step in steps]
        loaded = load_steps(made)
        arrays = {key: array.astype(dtype) if array.dtype == np.float32 else array for key, array in flat.items()}
        for item, run, draws in zip(made, loaded.functions, loaded.draws, strict=True):
            verify(item.graph)
            inputs = [{"point": point, "z": z}[value.name].astype(dtype) for value in item.graph.inputs]
            objective, found, buffers = run(arrays, *inputs, **({"generator": np.random.default_rng(0)} if draws else {}))
            floats = [objective, *found.values(), *(value for key, value in buffers.items() if "tracked" not in key)]
            assert {value.dtype for value in map(np.asarray, floats)} == {np.dtype(dtype)}


def test_printed_function_reads_well() -> None:
    checked = make()
    text = print_steps(gradients(checked, {"G"})[1:2]).text
    body = text[text.index("def generator") :]
    assert body.startswith("def generator(p: Arrays, z: np.ndarray, *, work: Any = None) -> tuple[np.ndarray, Arrays, Arrays]:")
    for line in (
        '    G_b_weight = p["G/b.weight"]  # [2, 8]',
        "    G_a = np.maximum(",
        "    grad_G_b_bias = ",
        "    return objective, gradients, buffers",
    ):
        assert line in body, line
    assert not re.search(r"\bunused\b", body)
    assert max(map(len, text.splitlines())) <= 140


def test_name_of_the_lone_network_is_left_out() -> None:
    text = print_steps(gradients(make(GAME), set())[:1]).text
    assert 'D_b_weight = p["D/b.weight"]' in text
    alone = make(GAME.replace("mean(D(point)) - mean(D(G(z)))", "mean(D(point))"))
    assert '    b_weight = p["D/b.weight"]' in print_steps(gradients(alone, set())[:1]).text
