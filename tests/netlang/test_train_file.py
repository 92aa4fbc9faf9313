"""A built `train.py` trains to the numbers of `netlang train`, without netlang."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import netlang
from compiler.emit.train_file import Settings, train_file
from compiler.source import Source
from netlang.catalog import list_specs
from netlang.training import EvaluationRecord, train
from tests.netlang.test_artefact import PROGRAM as ALONE
from tests.netlang.training.runs import ADVERSARIAL, CLASSIFIER, make, steps_of

GAME = """\
netlang: 1
name: game
networks:
  G:
    inputs: {z: [N, 3]}
    layers: {a: linear(8) -> batch_norm -> relu, b: linear(2)}
  D:
    inputs: {x: [N, 2]}
    layers: {a: linear(8) -> relu, b: linear(1)}
data:
  train: ring(samples=100)
train:
  iterations: 20
  batch: 16
  draw:
    z: normal(N, 3)
  let: {fake: G(z)}
  steps:
STEPS
  metrics:
    spread: mean((G(normal(N, 3)) - point) ** 2)
"""
SHARED = """\
    - name: critic
      update: D
      minimize: mean(softplus(D(fake))) + mean(softplus(-D(point)))
      with: adam(lr=1e-2)
    - name: generator
      update: G
      minimize: mean(softplus(-D(fake)))
      with: adam(lr=linear(1e-2, hold=5))
      ema: 0.9
"""
WHEN = """\
    - name: first
      until: 4
      repeat: 3
      update: D
      maximize: mean(D(point)) - mean(D(fake))
      with: rmsprop(lr=1e-3)
      clamp: 0.05
    - name: later
      after: 4
      every: 3
      update: D
      maximize: mean(D(point)) - mean(D(fake))
      with: rmsprop(lr=1e-3)
      clamp: 0.05
    - name: G
      every: 2
      update: G
      maximize: mean(D(fake))
      with: sgd(lr=step(0.1, every=5), momentum=0.5)
      mode: {D: eval}
"""
PENALTY = """\
    - name: critic
      repeat: 2
      update: D
      draw:
        e: uniform(N, 1)
      let:
        between: e * point + (1 - e) * fake
      minimize: mean(D(fake)) - mean(D(point)) + 10 * mean((norm(grad(D(between), between), axis=1) - 1) ** 2)
      with: adam(lr=1e-3, betas=(0.0, 0.9))
    - name: G
      update: G
      maximize: mean(D(fake))
      with: adamw(lr=1e-3)
      clip_value: 0.01
"""
BETWEEN = """\
    - name: before
      update: G
      minimize: mean(G(z) ** 2)
      with: sgd(lr=0.1)
    - name: critic
      repeat: 2
      update: D
      minimize: mean(D(fake)) - mean(D(point))
      with: momentum(lr=0.01)
      clip_norm: 0.5
    - name: both
      update: [G, D]
      minimize: mean(D(G(z + 1))) + mean(D(point)) ** 2
      with: adam
"""
REPLAYED = """\
    - name: critic
      update: D
      minimize: mean((D(replay(fake, 20))) ** 2) + mean((D(point) - 1) ** 2)
      with: adagrad(lr=1e-2)
    - name: G
      update: G
      minimize: mean((D(fake) - 1) ** 2)
      with: sgd(lr=exponential(0.1, gamma=0.9, warmup=3))
"""
LBFGS = """\
    - name: fit
      update: [G, D]
      minimize: mean((D(fake) - point) ** 2)
      with: lbfgs(lr=0.01, max_iter=4)
      clip_norm: 1.0
"""

CARRIED = """\
netlang: 1
networks:
  net:
    inputs: {x: [N, 2], h: [N, 4]}
    layers:
      state: concat(x, h) -> linear(4) -> tanh
      y: linear(2)
    outputs: {y: y, h: state}
data:
  train: blobs(samples=50)
train:
  LENGTH
  batch: 8
  carry: {h: out.h}
  let:
    h: full(0, N, 4)
    out: net(point, h)
  steps:
    - update: net
      minimize: mean((out.y - point) ** 2)
      with: adam(lr=1e-2)
  evaluate: {every: 4}
  metrics:
    error: mean((out.y - point) ** 2)
"""
PAINTED = """\
netlang: 1
networks:
  judge:
    inputs: {x: [N, 2]}
    layers: {a: linear(8) -> tanh, b: linear(3)}
data:
  train: ring(samples=40)
variables:
  canvas: {init: "normal(40, 2)"}
train:
  iterations: 6
  batch: 40
  let:
    wanted: judge(full(0.5, 1, 2))
  steps:
    - update: canvas
      minimize: mean((judge(canvas) - wanted) ** 2) + 1e-3 * mean(point ** 2)
      with: lbfgs(lr=0.5, max_iter=3)
  metrics:
    size: mean(canvas ** 2)
"""

Compare = Callable[[str], Any]


@pytest.fixture
def trains_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Compare:
    """Trains a spec both ways, holds the losses to the same bits and the weights too; gives the module."""

    def compare(text: str) -> Any:
        torch.set_num_threads(1)
        netlang.build(Source("spec.yaml", text), tmp_path / "built")
        monkeypatch.syspath_prepend(str(tmp_path / "built"))
        for name in ("model", "train"):
            sys.modules.pop(name, None)
        module: Any = importlib.import_module("train")
        losses: list[tuple[str, float]] = []
        for name in [name for name in vars(module) if name.startswith("update_")]:
            monkeypatch.setattr(module, name, recording(name.removeprefix("update_"), getattr(module, name), losses))
        module.main()
        records = list(train(make(text), folder=tmp_path / "run", threads=1))
        assert losses == [(record.step, record.objective) for record in steps_of(records)]
        weights = sorted(path.name for path in (tmp_path / "run").glob("*.safetensors"))
        assert weights
        assert all((tmp_path / "built" / "trained" / name).exists() for name in weights)
        for name in weights:
            assert tensors(tmp_path / "built" / "trained" / name) == tensors(tmp_path / "run" / name)
        metrics = [record.metrics for record in records if isinstance(record, EvaluationRecord)]
        printed = [line.removeprefix("metrics: ") for line in capsys.readouterr().out.splitlines() if line.startswith("metrics: ")]
        assert printed == [module.describe(item) for item in metrics]
        return module

    return compare


def recording(step: str, update: Callable[..., float], losses: list[tuple[str, float]]) -> Callable[..., float]:
    def call(*arguments: Any) -> float:
        loss = update(*arguments)
        losses.append((step, loss))
        return loss

    return call


def tensors(path: Path) -> dict[str, bytes]:
    from safetensors.torch import load_file

    return {name: value.numpy().tobytes() for name, value in load_file(path).items()}


def test_a_classifier_with_dropout_and_a_schedule(trains_alike: Compare) -> None:
    trains_alike(CLASSIFIER)


def test_a_game_with_repeated_steps(trains_alike: Compare) -> None:
    trains_alike(ADVERSARIAL)


@pytest.mark.parametrize("length", ["epochs: 2", "iterations: 15"])
def test_a_carried_state(trains_alike: Compare, length: str) -> None:
    trains_alike(CARRIED.replace("LENGTH", length))


def test_repeated_steps_read_the_state_of_their_iteration(trains_alike: Compare) -> None:
    trains_alike(CARRIED.replace("LENGTH", "iterations: 9").replace("    - update: net", "    - repeat: 2\n      update: net"))


def test_networks_may_be_called_like_the_file_s_own_functions(trains_alike: Compare) -> None:
    text = GAME.replace("STEPS\n", SHARED).replace("G(", "main(").replace("G:", "main:").replace("update: G", "update: main")
    trains_alike(text.replace("D(", "F(").replace("D:", "F:").replace("update: D", "update: F"))


def test_a_variable_and_a_constant_value(trains_alike: Compare) -> None:
    trains_alike(PAINTED)


@pytest.mark.parametrize(
    "steps", [SHARED, WHEN, PENALTY, BETWEEN, REPLAYED, LBFGS], ids=["shared", "when", "penalty", "between", "replayed", "lbfgs"]
)
def test_programs(trains_alike: Compare, steps: str) -> None:
    trains_alike(GAME.replace("STEPS\n", steps))


def test_files_stand_alone_and_are_tidy(tmp_path: Path) -> None:
    netlang.build(Source("spec.yaml", GAME.replace("STEPS\n", SHARED)), tmp_path)
    path = str(tmp_path / "train.py")
    program = ALONE.format(blocked=("netlang", "compiler", "specs"), folder=str(tmp_path), body="import train\ntrain.main()\nresult = 0")
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False, cwd="/")
    assert (done.returncode, done.stderr) == (0, "")
    assert "iteration 20: critic" in done.stdout
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--isolated", "--no-cache", "--line-length", "120"]
    for command in (["check", *options, "--select", "E,F,I,UP,B,SIM,PIE,RET", path], ["format", "--check", *options, path]):
        tidy = subprocess.run([*ruff, *command], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert tidy.returncode == 0, tidy.stdout


def test_the_text_of_a_game(golden: Callable[[str, str], None]) -> None:
    golden("torch/train", train_file(make(GAME.replace("STEPS\n", PENALTY)), Settings("netlang", 0, 20)))


@pytest.mark.parametrize("name", [name for name in list_specs() if not name.startswith("std/")])
def test_files_of_bundled_specs_are_python(name: str) -> None:
    checked = netlang.check(name).require()
    if checked.program is not None:
        text = train_file(checked, Settings("netlang", 0, 1000))
        compile(text, name, "exec")
        assert max(map(len, text.splitlines())) <= 120


def test_a_file_says_what_it_leaves_out() -> None:
    text = GAME.replace("STEPS\n", SHARED) + "  sample:\n    made: G(z)\n"
    title = train_file(make(text), Settings("netlang", 0, 20)).split('"""')[1]
    assert "It writes no samples (made)." in " ".join(title.split())


def test_data_can_be_left_out(tmp_path: Path) -> None:
    paths = netlang.build(Source("spec.yaml", CLASSIFIER), tmp_path, data=False)
    assert [path.name for path in paths] == ["model.py", "model.safetensors", "train.py"]


def test_data_that_are_missing_are_said_to_be_optional(tmp_path: Path) -> None:
    with pytest.raises(netlang.SpecError) as caught:
        netlang.build("dcgan", tmp_path / "out")
    assert any("--no-data" in note for note in caught.value.diagnostics[0].notes)
    assert not (tmp_path / "out").exists()
    assert netlang.build("dcgan", tmp_path / "out", data=False)[-1].name == "train.py"
