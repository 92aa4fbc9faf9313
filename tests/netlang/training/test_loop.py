from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from compiler.backends.parameters import initial_parameters
from compiler.diagnostics import SpecError
from compiler.front.checked import check
from compiler.ir.types import DType, TensorType
from compiler.source import Source
from netlang.data import READERS, Reader
from netlang.data.batches import Batches
from netlang.data.fields import read_arrays
from netlang.training import CheckpointRecord, EvaluationRecord, Finished, StepRecord, train
from tests.netlang.training.runs import ADVERSARIAL, CLASSIFIER, digest_state, make, only, read_log, run, steps_of

PLAIN = CLASSIFIER.replace(" -> batch_norm -> relu -> dropout(0.2)", " -> tanh")


def final_weights(folder: Path, name: str = "model") -> dict[str, torch.Tensor]:
    return load_file(folder / f"{name}.safetensors")


def test_a_run_yields_its_records_in_order(tmp_path: Path) -> None:
    records = run(make(), tmp_path / "run")
    per_epoch = ["step"] * 7 + ["evaluation"]
    assert [record.kind for record in records] == ["checkpoint", *per_epoch * 6, "checkpoint", "finished"]
    steps = steps_of(records)
    assert [record.iteration for record in steps] == list(range(1, 43))
    assert [record.epoch for record in steps] == [(iteration + 1) // 7 for iteration in range(42)]
    assert [record.epoch for record in records if isinstance(record, EvaluationRecord)] == [1, 2, 3, 4, 5, 6]
    last = records[-1]
    assert isinstance(last, Finished)
    assert last.weights == {"net": tmp_path / "run" / "model.safetensors"}


def test_a_run_learns(tmp_path: Path) -> None:
    text = CLASSIFIER.replace("epochs: 6", "epochs: 20").replace("rate: 0.01", "rate: 0.03")
    records = run(make(text), tmp_path / "run")
    accuracies = [record.metrics["accuracy"] for record in records if isinstance(record, EvaluationRecord)]
    assert accuracies[-1] >= 0.9


@pytest.mark.parametrize(
    ("written", "build"),
    [
        ("sgd(lr=0.1, momentum=0.9)", lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, fused=True)),
        ("adam(lr=0.01, betas=(0.5, 0.9))", lambda weights: torch.optim.Adam(weights, lr=0.01, betas=(0.5, 0.9), fused=True)),
        ("rmsprop(lr=0.01)", lambda weights: torch.optim.RMSprop(weights, lr=0.01, foreach=True)),
    ],
)
@pytest.mark.parametrize("clip", [None, 0.3])
def test_weights_are_those_of_a_loop_written_by_hand(written: str, build: object, clip: float | None, tmp_path: Path) -> None:
    text = PLAIN.replace("adamw(lr=cosine(rate, warmup=4))", written)
    checked = make(text if clip is None else text.replace("      with:", f"      clip_norm: {clip}\n      with:"))
    records = steps_of(run(checked, tmp_path / "run"))
    torch.set_num_threads(1)
    first, second = torch.nn.Linear(2, 8), torch.nn.Linear(8, 3)
    start = initial_parameters(checked.networks["net"], 3)
    parameters = [first.weight, first.bias, second.weight, second.bias]
    with torch.no_grad():
        for parameter, array in zip(parameters, start.values(), strict=True):
            parameter.copy_(torch.from_numpy(array))
    optimizer = build(parameters)  # type: ignore[operator]
    batches = Batches(read_arrays(checked.readers["train"], None), 8, (3, 0))
    for record in records:
        batch = {name: torch.from_numpy(array) for name, array in batches.next_batch().items()}
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(second(torch.tanh(first(batch["point"]))), batch["label"])
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip if clip is not None else float("inf"))
        optimizer.step()
        assert (record.objective, record.gradient_norm) == (loss.item(), norm.item())
    weights = final_weights(tmp_path / "run")
    for name, parameter in zip(start, parameters, strict=True):
        assert torch.equal(weights[name], parameter)


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", None), ("b", None), ("c", 3), ("d", 4)):
        run(make(), tmp_path / name, seed=seed)
    assert digest_state(tmp_path / "a") == digest_state(tmp_path / "b") == digest_state(tmp_path / "c")
    assert read_log(tmp_path / "a") == read_log(tmp_path / "b") == read_log(tmp_path / "c")
    assert digest_state(tmp_path / "a")["network.net.safetensors"] != digest_state(tmp_path / "d")["network.net.safetensors"]


def test_what_the_caller_draws_changes_nothing_and_is_not_changed(tmp_path: Path) -> None:
    run(make(), tmp_path / "a")
    torch.manual_seed(5)
    wanted = [torch.rand(()) for _ in range(43)]
    torch.manual_seed(5)
    found = [torch.rand(()) for record in train(make(), folder=tmp_path / "b", threads=1) if record.kind in ("step", "finished")]
    assert found == wanted
    assert digest_state(tmp_path / "a") == digest_state(tmp_path / "b")


def test_threads_are_given_back(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    for record in train(make(), folder=tmp_path / "run", threads=before + 1):
        if record.kind == "step":
            assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_a_game_updates_in_turn_and_only_what_each_step_names(tmp_path: Path) -> None:
    records = run(make(ADVERSARIAL), tmp_path / "run")
    steps = steps_of(records)
    assert [record.step for record in steps] == ["critic", "critic", "generator"] * 12
    assert steps[-1].epoch == 24 // 6
    critic = final_weights(tmp_path / "run", "D")
    assert max(float(tensor.abs().max()) for tensor in critic.values()) == pytest.approx(0.05)
    assert final_weights(tmp_path / "run", "G").keys() == {"a.weight", "a.bias", "b.weight", "b.bias"}


def test_a_step_leaves_networks_it_does_not_name_as_they_are(tmp_path: Path) -> None:
    text = ADVERSARIAL.replace("      update: G\n", "      update: D\n").replace("adam(lr=1e-3)", "adam(lr=0.5)")
    checked = make(text)
    run(checked, tmp_path / "run")
    start = initial_parameters(checked.networks["G"], 0)
    for name, tensor in final_weights(tmp_path / "run", "G").items():
        np.testing.assert_array_equal(tensor.numpy(), start[name])


def test_maximizing_is_minimizing_the_negative(tmp_path: Path) -> None:
    run(make(), tmp_path / "a")
    run(make(CLASSIFIER.replace("minimize: cross", "maximize: -cross")), tmp_path / "b")
    assert digest_state(tmp_path / "a") == digest_state(tmp_path / "b")


def test_schedules_and_cadence_follow_the_iteration(tmp_path: Path) -> None:
    text = CLASSIFIER.replace("      with:", "      every: 3\n      after: 1\n      until: 8\n      with:").replace(
        "epochs: 6", "iterations: 12"
    )
    steps = steps_of(run(make(text), tmp_path / "run"))
    assert [record.iteration for record in steps] == [2, 5, 8]
    program = make(text).program
    assert program is not None
    wanted = [program.steps[0].optimizer.settings(iteration, 12)["lr"] for iteration in (1, 4, 7)]
    assert [record.learning_rate for record in steps] == wanted


def test_training_statistics_move_only_in_training(tmp_path: Path) -> None:
    run(make(CLASSIFIER.replace("epochs: 6", "iterations: 3")), tmp_path / "run")
    assert final_weights(tmp_path / "run")["a.batch_norm.num_batches_tracked"].item() == 3


def test_metrics_are_taken_in_evaluation_mode_and_weighted_by_samples(tmp_path: Path) -> None:
    text = CLASSIFIER.replace("    accuracy: accuracy(net(point), label)\n", "    loss: cross_entropy(net(point), label)\n")
    records = run(make(text), tmp_path / "run")
    weights = final_weights(tmp_path / "run")
    arrays = read_arrays(make().readers["test"], None)
    x = torch.from_numpy(arrays["point"])
    hidden = torch.nn.functional.linear(x, weights["a.linear.weight"], weights["a.linear.bias"])
    normal = (hidden - weights["a.batch_norm.running_mean"]) / torch.sqrt(weights["a.batch_norm.running_var"] + 1e-5)
    features = torch.relu(normal * weights["a.batch_norm.weight"] + weights["a.batch_norm.bias"])
    scores = torch.nn.functional.linear(features, weights["b.weight"], weights["b.bias"])
    wanted = torch.nn.functional.cross_entropy(scores, torch.from_numpy(arrays["label"])).item()
    last = [record for record in records if isinstance(record, EvaluationRecord)][-1]
    assert last.metrics["loss"] == pytest.approx(wanted, rel=1e-5)


def test_the_folder_tells_the_run(tmp_path: Path) -> None:
    records = run(make(), tmp_path / "run", save_every=10)
    assert [record.iteration for record in records if isinstance(record, CheckpointRecord)] == [0, 10, 20, 30, 40, 42]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "environment.json", "lock", "metrics.jsonl", "model.safetensors", "spec.yaml", "step-00000040", "step-00000042",
    ]  # fmt: skip
    assert (tmp_path / "run" / "spec.yaml").read_text() == CLASSIFIER
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert (environment["seed"], environment["threads"], environment["constants"]) == (3, 1, {"hidden": "8", "rate": "0.01"})
    logged = read_log(tmp_path / "run")
    assert len(logged) == 48
    assert logged[0]["objective"] == next(record.objective for record in records if isinstance(record, StepRecord))


def test_a_spec_without_a_program_has_nothing_to_train(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        run(make(CLASSIFIER.split("data:")[0].replace(", rate: 0.01", "")), tmp_path / "run")
    only(caught.value, "NL710")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("device", ["cuda:9", "nonsense"])
def test_a_device_that_is_not_there_is_told(device: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        run(make(), tmp_path / "run", device=device)
    assert f"`{device}`" in only(caught.value, "NL722").message
    assert not (tmp_path / "run").exists()


def test_data_that_cannot_be_read_names_its_source(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        run(make(ADVERSARIAL.replace("samples=100", "samples=10")), tmp_path / "run")
    assert only(caught.value, "NL507").message.startswith("data source `train`: ")


def test_a_step_may_draw_as_many_rows_as_a_batch_without_reading_data(tmp_path: Path) -> None:
    text = ADVERSARIAL.replace("  draw:\n    z: normal(N, 3)\n", "").replace("G(z)", "G(normal(N, 3))")
    records = steps_of(run(make(text), tmp_path / "run"))
    assert len({record.objective for record in records}) == len(records)


@final
@dataclass(frozen=True)
class _Target(Reader):
    """One tensor that is the whole source."""

    name: ClassVar[str] = "target"

    def fields(self, folder: Path | None) -> dict[str, TensorType]:
        return {"": TensorType.of(DType.f32, 2)}

    def read(self, folder: Path | None) -> dict[str, Any]:
        return {"": np.array([0.5, -0.5], np.float32)}


def test_two_sources_and_one_that_is_a_tensor(tmp_path: Path) -> None:
    text = """\
netlang: 1
networks:
  net:
    inputs: {x: [N, 2]}
    layers: {a: linear(2)}
data:
  a: ring(samples=20)
  b: ring(samples=33, seed=1)
  goal: target
train:
  iterations: 9
  batch: 8
  steps:
    - update: net
      minimize: mean((net(a.point) - b.point - goal) ** 2)
      with: sgd(lr=0.1)
"""
    checked = check(Source("two.yaml", text.replace("goal: target", "goal: target()")), readers={**READERS, "target": _Target}).require()
    records = steps_of(run(checked, tmp_path / "run"))
    net = initial_parameters(checked.networks["net"], 0)
    a = Batches(read_arrays(checked.readers["a"], None), 8, (0, 0), drop_last=True).next_batch()["point"]
    b = Batches(read_arrays(checked.readers["b"], None), 8, (0, 1), drop_last=True).next_batch()["point"]
    wanted = np.mean((a @ net["a.weight"].T + net["a.bias"] - b - np.array([0.5, -0.5])) ** 2)
    assert records[0].objective == pytest.approx(float(wanted), rel=1e-5)
    assert len(records) == 9
