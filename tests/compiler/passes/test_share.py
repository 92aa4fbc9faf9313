"""Which values steps share: what is the same, is not updated in between, and is worth it; and that nothing else changes."""

from __future__ import annotations

import dataclasses

import pytest

from compiler.front.checked import check
from compiler.ir.graph import Call, Graph
from compiler.ir.verify import verify
from compiler.passes.program_plan import ProgramPlan, plan_program, plan_spec
from compiler.source import Source
from netlang.data import READERS
from netlang.training.numpy_functions import flatten

GAME = """\
netlang: 1
networks:
  G:
    inputs: {z: [N, 3]}
    layers: {a: linear(8) -> batch_norm -> relu, b: linear(2)}
  D:
    inputs: {x: [N, 2]}
    layers: {a: linear(7) -> tanh, b: linear(1)}
  F:
    inputs: {x: [M, 2]}
    layers: {a: linear(7) -> tanh -> dropout(0.5), b: linear(1)}
data: {train: ring(samples=100)}
train:
  iterations: 1
  batch: 16
  draw: {z: "normal(N, 3)"}
  let: {fake: G(z)}
  steps:
"""
CRITIC = '    - {name: critic, update: D, minimize: "mean(D(fake)) - mean(D(point))", with: adam}\n'
GENERATOR = "    - {name: generator, update: G, minimize: -mean(D(fake)), with: adam}\n"
FIXED = '    - {name: fixed, update: D, minimize: "mean((D(point) - mean(F(full(1, 4, 2)))) ** 2)", with: adam}\n'


def make_plan(*steps: str, flat: bool = False, head: str = GAME) -> ProgramPlan:
    checked = check(Source("game.yaml", head + "".join(steps)), readers=READERS).require()
    assert checked.program is not None
    plan = plan_spec(checked, flatten(checked.program) if flat else None)
    for graph in (*plan.evaluated, *(item.graph for item in plan.shared)):
        verify(graph)
    return plan


def called(graph: Graph) -> list[str]:
    return [node.op.graph.name for node in graph.nodes if isinstance(node.op, Call)]


def test_the_fake_batch_is_made_once_and_what_has_been_updated_is_not_shared() -> None:
    plan = make_plan(CRITIC, GENERATOR)
    (shared,) = plan.shared
    assert called(shared.graph) == ["G"]
    assert shared.names == ("fake",)
    assert shared.networks == {"G"}
    assert not shared.constant
    assert [called(graph) for graph in plan.steps] == [["D", "D"], ["D"]]
    assert {value.name for value in plan.steps[1].inputs} == {"fake"}


@pytest.mark.parametrize(
    ("steps", "head", "why"),
    [
        ((GENERATOR, CRITIC), GAME, "G is updated between the steps"),
        ((CRITIC.replace("name", "repeat: 2, name"), GENERATOR), GAME, "repetitions have draws of their own"),
        ((CRITIC, GENERATOR), GAME.replace("-> relu", "-> relu -> dropout(0.5)"), "each call of G drops other numbers"),
        ((CRITIC, GENERATOR.replace("adam", "lbfgs")), GAME, "L-BFGS evaluates G anew"),
        (
            (CRITIC.replace("with", 'draw: {z: "normal(N, 3)"}, with').replace("fake", "G(z)"), GENERATOR.replace("fake", "G(z)")),
            GAME,
            "draws of its own",
        ),
    ],
    ids=lambda item: item if isinstance(item, str) and " " in item and ":" not in item else "",
)
def test_nothing_is_shared_where(steps: tuple[str, ...], head: str, why: str) -> None:
    assert make_plan(*steps, head=head).shared == (), why


def test_what_never_changes_is_computed_once_a_run() -> None:
    plan = make_plan(CRITIC, FIXED)
    (constants,) = plan.shared
    assert constants.constant
    assert called(constants.graph) == ["F"]
    assert called(plan.steps[1]) == ["D"]


def test_a_network_that_is_updated_is_no_constant() -> None:
    plan = make_plan(CRITIC, FIXED, "    - {update: F, minimize: mean(F(point) ** 2), with: adam}\n")
    assert plan.shared == ()


def test_flat_steps_share_the_forward_pass_that_the_backward_pass_reads() -> None:
    plan = make_plan(CRITIC, GENERATOR, flat=True)
    (shared,) = plan.shared
    buffers = [name for name in shared.graph.outputs if name.startswith("buffer/")]
    assert {name.rpartition(".")[2] for name in buffers} == {"running_mean", "running_var", "num_batches_tracked"}
    assert "fake_b" in shared.names
    assert len(shared.names) > 1
    for graph in plan.steps:
        assert not any(name.startswith("buffer/") for name in graph.outputs)
        assert not any(node.op.name == "batch_norm_training" for node in graph.nodes)
    assert any(name.startswith("gradient/G/a.linear.weight") for name in plan.steps[1].outputs)


def test_calls_that_read_different_results_are_one_where_they_are_shared() -> None:
    head = GAME.replace("fake: G(z)", "fake: G(z), inner: G(z).a")
    plan = make_plan(
        "    - {update: D, minimize: mean(D(fake)) + mean(inner) + mean(D(point)), with: adam}\n",
        "    - {update: G, minimize: mean(inner ** 2) - mean(D(fake)), with: adam}\n",
        head=head,
    )
    (shared,) = plan.shared
    (call,) = shared.graph.nodes
    assert isinstance(call.op, Call)
    assert set(call.op.reads) == {"", "a"}


def test_a_call_is_shared_by_units_that_read_different_results_of_it() -> None:
    head = GAME.replace("fake: G(z)", "fake: G(z), inner: G(z).a")
    plan = make_plan(
        "    - {update: D, minimize: mean(inner) + mean(D(point)), with: adam}\n",
        "    - {update: G, minimize: -mean(D(fake)), with: adam}\n",
        head=head,
    )
    (shared,) = plan.shared
    assert called(shared.graph) == ["G"]
    assert [called(graph) for graph in plan.steps] == [["D"], ["D"]]


def test_modes_tell_calls_apart() -> None:
    checked = check(Source("game.yaml", GAME + CRITIC + GENERATOR), readers=READERS).require()
    assert checked.program is not None
    critic, generator = checked.program.steps
    other = dataclasses.replace(generator, mode={"G": False})
    program = dataclasses.replace(checked.program, steps=(critic, other))
    assert plan_program(program, ()).shared == ()
