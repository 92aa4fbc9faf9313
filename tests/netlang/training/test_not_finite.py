"""A number that is not finite stops the run before anything is updated or saved with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from compiler.diagnostics import Diagnostic, SpecError
from netlang.training import Finished, Record, StepRecord, train
from netlang.training.checkpoint import load_newest
from netlang.training.torch_engine import TorchEngine
from tests.netlang.training.runs import CLASSIFIER, digest_state, make, only, run, steps_of

CLEAN = CLASSIFIER.replace("epochs: 6", "iterations: 9")


def poison(monkeypatch: pytest.MonkeyPatch, at: int, act: Any) -> None:
    """Call `act` with the engine and the inputs before update `at` (from 0)."""
    original = TorchEngine.update
    count = [0]

    def update(self: TorchEngine, index: int, inputs: dict[str, Any], iteration: int, total: int) -> Any:
        if count[0] == at:
            act(self, inputs)
        count[0] += 1
        return original(self, index, inputs, iteration, total)

    monkeypatch.setattr(TorchEngine, "update", update)


def fail(folder: Path, text: str = CLEAN, **settings: Any) -> tuple[Diagnostic, int]:
    """The diagnostic of a run that stops, and how many updates it made."""
    records: list[Record] = []
    with pytest.raises(SpecError) as caught:
        records.extend(train(make(text), folder=folder, threads=1, **settings))
    assert not any(isinstance(record, Finished) for record in records)
    return only(caught.value, "NL720"), len(steps_of(records))


def put_weight(engine: TorchEngine, _: object) -> None:
    with torch.no_grad():
        engine.modules["net"].get_parameter("b.weight")[0, 0] = float("nan")


def put_input(_: object, inputs: dict[str, Any]) -> None:
    inputs["point"] = torch.full_like(inputs["point"], float("inf"))


def put_optimizer_state(engine: TorchEngine, _: object) -> None:
    plan = engine._plans[0]
    plan.optimizer.state[plan.parameters[-1]]["exp_avg"].fill_(float("nan"))


@pytest.mark.parametrize(
    ("act", "first"), [(put_weight, "net.b"), (put_input, "net.a.linear")], ids=["weight", "input"]
)  # fmt: skip
def test_the_step_the_iteration_and_the_first_layer_are_named(
    act: Any, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, 5, act)
    found, steps = fail(tmp_path / "run", save_every=2)
    assert steps == 5
    assert found.message == "the objective of step `fit` is not finite in iteration 6"
    assert found.span is not None
    assert found.span.text == "cross_entropy(net(point), label)"
    assert found.notes == (f"first in `{first}`", "the run's last good state is `step-00000004`")


def test_a_gradient_is_named_by_its_weight(tmp_path: Path) -> None:
    text = CLEAN.replace("minimize: cross_entropy(net(point), label)", "minimize: mean(sqrt(relu(net(point)) * 0))")
    found, steps = fail(tmp_path / "run", text)
    assert steps == 0
    assert found.message == "the gradient of step `fit` is not finite in iteration 1"
    assert found.notes[0].startswith("first in `net.")


@pytest.mark.parametrize("act", [put_weight, put_input, put_optimizer_state])
@pytest.mark.parametrize("at", [1, 3, 8])
def test_no_poisoned_state_is_saved_and_the_last_good_one_goes_on(
    at: int, act: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        poison(patched, at, act)
        fail(tmp_path / "run", save_every=1)
    assert load_newest(tmp_path / "run")[0].iteration == at
    run(make(CLEAN), tmp_path / "run", resume=True)
    run(make(CLEAN), tmp_path / "whole")
    assert digest_state(tmp_path / "run") == digest_state(tmp_path / "whole")


def test_a_norm_that_overflows_stops_nothing(tmp_path: Path) -> None:
    text = CLEAN.replace("minimize: cross_entropy(net(point), label)", "minimize: 1e25 * cross_entropy(net(point), label)")
    text = text.replace("adamw(lr=cosine(rate, warmup=4))", "sgd(lr=1e-30)").replace(", rate: 0.01", "")
    records = run(make(text), tmp_path / "run")
    assert isinstance(records[-1], Finished)
    assert any(isinstance(record, StepRecord) and record.gradient_norm == float("inf") for record in records)
