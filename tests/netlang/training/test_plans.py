"""Programs run by their plans: the same numbers as without sharing, on both back ends, and nothing changes but what a step updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from compiler.front.checked import Checked
from compiler.passes.program_plan import ProgramPlan, plan_program
from netlang.training import EvaluationRecord, StepRecord, numpy_engine, torch_engine, train
from netlang.training.engine import Engine
from netlang.training.engines import make_engine
from netlang.training.feed import Feed
from netlang.training.loop import Inputs
from tests.netlang.training.runs import EVERYTHING, digest_state, make, run, steps_of

GAME = """\
netlang: 1
name: game
networks:
  G:
    inputs: {z: [N, 3]}
    layers: {a: linear(8) -> relu, b: linear(2)}
  D:
    inputs: {x: [N, 2]}
    layers: {a: linear(8) -> relu, b: linear(1)}
data:
  train: ring(samples=100)
train:
  iterations: 12
  batch: 16
  draw:
    z: normal(N, 3)
  let: {fake: G(z)}
  steps:
    - name: critic
      update: D
      minimize: mean(softplus(D(fake))) + mean(softplus(-D(point)))
      with: adam(lr=1e-2)
    - name: generator
      update: G
      minimize: mean(softplus(-D(fake)))
      with: adam(lr=1e-2)
"""


def objectives(checked: Checked, folder: Path, backend: str) -> list[float]:
    return [record.objective for record in steps_of(run(checked, folder, backend=backend, dtype="f64"))]


def share_nothing(checked: Checked, flatten: Any = None) -> ProgramPlan:
    """A plan in which steps compute everything for themselves."""
    program = checked.program
    assert program is not None
    alone = [plan_program(type(program)((step,), program.batch, None, 1, 0, program.draws), (), flatten) for step in program.steps]
    none = (None,) * len(alone)
    return ProgramPlan((), None, none, none, tuple(plan.steps[0] for plan in alone))


@pytest.mark.parametrize("backend", ["torch", "numpy"])
def test_sharing_changes_no_number(tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = objectives(make(GAME), tmp_path / "shared", backend)
    monkeypatch.setattr(torch_engine, "plan_spec", share_nothing)
    monkeypatch.setattr(numpy_engine, "plan_spec", share_nothing)
    apart = objectives(make(GAME), tmp_path / "apart", backend)
    assert len(shared) == 24
    np.testing.assert_allclose(shared, apart, rtol=1e-12)


def test_both_back_ends_give_the_same_losses(tmp_path: Path) -> None:
    text = GAME.replace("-> relu, b: linear(2)", "-> batch_norm -> relu, b: linear(2)")
    losses = [objectives(make(text), tmp_path / backend, backend) for backend in ("torch", "numpy")]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-9)


def start(checked: Checked, backend: str) -> tuple[Engine, Inputs]:
    program = checked.require().program
    assert program is not None
    engine, feed = make_engine(checked, 0, 10, backend, "cpu", 1), Feed(checked, 0)
    return engine, Inputs(feed, engine, engine.place(feed.fixed))


@pytest.mark.parametrize("backend", ["torch", "numpy"])
def test_a_step_changes_the_bits_of_what_it_updates_and_of_nothing_else(backend: str) -> None:
    checked = make(GAME)
    engine, inputs = start(checked, backend)
    assert checked.program is not None
    for index, step in enumerate(checked.program.steps):
        before = {name: {key: bytes(item.data) for key, item in found.items()} for name, found in engine.weights().items()}
        engine.update(index, inputs.read(step.graph), 0, 10)
        after = {name: {key: bytes(item.data) for key, item in found.items()} for name, found in engine.weights().items()}
        assert {name for name in after if after[name] != before[name]} == set(step.update)
    engine.close()


def test_no_gradient_buffer_is_made_outside_of_what_a_step_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = make(GAME)
    engine, inputs = start(checked, "torch")
    assert checked.program is not None
    assert isinstance(engine, torch_engine.TorchEngine)
    asked: list[set[int]] = []
    grad = torch.autograd.grad

    def watch(outputs: Any, wanted: Any, **keywords: Any) -> Any:
        asked.append({id(item) for item in wanted})
        return grad(outputs, wanted, **keywords)

    monkeypatch.setattr(torch.autograd, "grad", watch)
    for index, step in enumerate(checked.program.steps):
        engine.update(index, inputs.read(step.graph), 0, 10)
        owned = {id(item) for name in step.update for item in engine.modules[name].parameters()}
        assert asked.pop() == owned
        others = [item for module in engine.modules.values() for item in module.parameters() if id(item) not in owned]
        assert others
        assert all(item.grad is None for item in others)
        assert not any(item.requires_grad for item in others)


def test_the_generator_runs_once_an_iteration() -> None:
    checked = make(GAME)
    engine, inputs = start(checked, "torch")
    assert checked.program is not None
    assert isinstance(engine, torch_engine.TorchEngine)
    calls: list[str] = []
    for name, module in engine.modules.items():
        module.register_forward_hook(lambda *_, name=name: calls.append(name))
    for index, step in enumerate(checked.program.steps):
        engine.update(index, inputs.read(step.graph), 0, 10)
    assert calls.count("G") == 1
    assert calls.count("D") == 3


def test_all_that_programs_have_gives_the_same_numbers_on_both_back_ends(tmp_path: Path) -> None:
    runs = [run(make(EVERYTHING), tmp_path / backend, backend=backend, dtype="f64") for backend in ("torch", "numpy")]
    losses = [[record.objective for record in steps_of(records)] for records in runs]
    assert len(losses[0]) == 40
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-9)
    (mine,), (theirs,) = ([record.metrics for record in records if isinstance(record, EvaluationRecord)] for records in runs)
    assert mine["score"] == pytest.approx(theirs["score"], rel=1e-9)


@pytest.mark.parametrize("backend", ["torch", "numpy"])
def test_a_resumed_run_has_the_averages_buffers_and_draws_of_an_unbroken_one(tmp_path: Path, backend: str) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(make(EVERYTHING), whole, backend=backend, save_every=4)
    for record in train(make(EVERYTHING), folder=parts, threads=1, backend=backend, save_every=4):
        if isinstance(record, StepRecord) and record.iteration == 7:
            break
    run(make(EVERYTHING), parts, resume=True)
    assert digest_state(parts) == digest_state(whole)
    assert (parts / "G.safetensors").read_bytes() == (whole / "G.safetensors").read_bytes()


@pytest.mark.parametrize("backend", ["torch", "numpy"])
def test_averages_follow_their_rule_and_steps_of_one_optimizer_share_it(tmp_path: Path, backend: str) -> None:
    checked = make(EVERYTHING)
    engine, inputs = start(checked, backend)
    feed = Feed(checked, 0)
    assert checked.program is not None
    key, decay = "out.bias", 0.9

    def read() -> np.ndarray:
        return np.frombuffer(engine.weights()["G"][key].data, np.float32).copy()

    average = read()
    for iteration in range(3):
        engine.update(1, inputs.read(checked.program.steps[1].graph), iteration, 10)
        average = decay * average + (1 - decay) * read()
        inputs = Inputs(feed, engine, {})
    saved = engine.optimizers()[f"average:G.{key}"]
    np.testing.assert_allclose(np.frombuffer(saved.data, np.float32), average, rtol=1e-5)
    assert {name.partition(":")[0] for name in engine.optimizers()} >= {"1", "average", "replayed"}
    assert not any(name.startswith("2:") for name in engine.optimizers())
    engine.begin_evaluation()
    np.testing.assert_allclose(read(), average, rtol=1e-5)
    engine.end_evaluation()
