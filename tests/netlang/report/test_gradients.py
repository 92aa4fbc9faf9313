from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netlang.report.gradients import choose, describe, draw_gradients, read_gradients, write_gradients, write_gradients_of
from netlang.training import CheckpointRecord, GradientRecord, Record

SPEC = """\
netlang: 1
name: small
use: [rnn/cells]
networks:
  net:
    inputs: {row: [N, T, 2]}
    layers:
      s: scan(rnn(4))
      total: last(s) -> linear(1)
data:
  train: adding(12)
train:
  iterations: 4
  steps:
    - update: net
      minimize: mse(net(row), target) * RATE
      with: sgd(lr=0.1)
"""

DRAWN = """\
norm of the gradient with respect to net.s.h, a mean over the batch

time step   iteration 1   iteration 11
──────────────────────────────────────
        1      1.00e-06       1.00e-01
        2      1.00e-03       1.00e-01
        3      1.00e+00       1.00e-01

iteration 11: the first state's gradient is 1 of the last one's: it gets through
"""


def records(step: str = "fit") -> list[GradientRecord]:
    return [GradientRecord(1, 0, step, {"net.s.h": [1e-6, 1e-3, 1.0]}), GradientRecord(11, 0, step, {"net.s.h": [0.1, 0.1, 0.1]})]


def test_the_table_shows_time_steps_of_iterations() -> None:
    assert draw_gradients(records(), width=None, color=False) == DRAWN
    assert draw_gradients([], width=None, color=False) == ""
    assert "net.s.h in other, a mean" in draw_gradients([*records(), *records("other")], width=None, color=False)


def test_the_sentence_says_what_became_of_the_gradient() -> None:
    record = records()[0]
    assert describe(record, [1e-6, 1.0]).endswith("is 1e-06 of the last one's: it vanishes\n")
    assert describe(record, [2e6, 1.0]).endswith("is 2e+06 of the last one's: it explodes\n")
    assert describe(record, [1.0, 0.0]) == ""
    assert describe(record, [1.0, float("nan")]) == ""
    assert describe(record, [float("inf"), 1.0]).endswith("it explodes\n")
    assert describe(record, [float("inf"), float("inf")]) == ""


def test_a_few_are_chosen_evenly() -> None:
    assert choose(range(100), 4) == [0, 33, 66, 99]
    assert choose(range(3), 4) == [0, 1, 2]


def test_a_log_gives_its_measurements_alone(tmp_path: Path) -> None:
    lines = [{"kind": "step", "iteration": 1}, {"kind": "gradients", "iteration": 1}, [], {"kind": "gradients", **vars_of(records()[0])}]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*map(json.dumps, lines), '{"kind": "gradi']))
    assert read_gradients(tmp_path / "metrics.jsonl") == records()[:1]
    assert [path.name for path in write_gradients(tmp_path)] == ["gradients.csv", "gradients.png"]


def vars_of(record: GradientRecord) -> dict[str, Any]:
    return {"iteration": record.iteration, "epoch": record.epoch, "step": record.step, "norms": record.norms}


def test_without_pillow_there_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"kind": "gradients", **vars_of(records()[0])}))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert [path.name for path in write_gradients(tmp_path)] == ["gradients.csv"]


def test_nothing_measured_is_nothing_written(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("")

    def run() -> Iterator[Record]:
        yield CheckpointRecord(0, tmp_path / "step-00000000", 0.0)

    assert len(list(write_gradients_of(run()))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_the_command_shows_the_table_at_the_end(netlang: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SPEC.replace("RATE", "1"))
    result = netlang("train", path, "--run", tmp_path / "run", "--watch", "gradients", "--watch-every", "2")
    assert result.code == 0
    assert "norm of the gradient with respect to net.s.h" in result.err
    assert "iteration 1   iteration 3" in result.err
    assert (tmp_path / "run" / "gradients.png").exists()


def test_the_command_shows_the_table_of_a_run_that_breaks(netlang: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SPEC.replace("RATE", "1e30"))
    result = netlang("train", path, "--run", tmp_path / "run", "--watch", "gradients", "--watch-every", "1")
    assert result.code == 1
    assert result.err.index("norm of the gradient") < result.err.index("NL720")
    assert (tmp_path / "run" / "gradients.csv").exists()
