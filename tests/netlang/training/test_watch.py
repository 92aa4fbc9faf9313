"""Gradients that are watched: exact, shown where they vanish and explode, cured by clipping, and nothing that a run notices."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import netlang
from compiler.diagnostics import SpecError
from compiler.front.checked import check
from compiler.source import Source
from netlang.data import READERS
from netlang.training.engines import in_numbers_of, make_watch
from netlang.training.records import EvaluationRecord, GradientRecord, Record, StepRecord
from netlang.training.torch_tensors import to_stored

ADDING = """\
netlang: 1
use: [rnn/cells]
let: {cell: rnn, spread: 0.1, clip: 1e9, size: 16}
networks:
  adder:
    inputs: {row: [N, T, 2]}
    layers:
      states: row -> scan(cell(size))
      total: last(states) -> linear(1)
    init: {states.U: normal(std=spread)}
data:
  train: adding(40, low=-1)
train:
  iterations: 60
  batch: 32
  steps:
    - {update: adder, minimize: "mse(adder(row), target)", with: sgd(lr=0.01), clip_norm: clip}
"""


def run(text: str, folder: Path, **options: Any) -> list[Record]:
    options = {"watch": "gradients"} | options
    return list(netlang.train(Source("adding.yaml", text), folder=folder, **options))


def watched(records: list[Record]) -> list[GradientRecord]:
    return [record for record in records if isinstance(record, GradientRecord)]


def share(record: GradientRecord, state: str = "adder.states.h") -> float:
    """What of the last state's gradient reaches the first."""
    norms = record.norms[state]
    return norms[0] / norms[-1]


def test_gradients_vanish_with_small_weights(tmp_path: Path) -> None:
    records = watched(run(ADDING, tmp_path / "run", set={"spread": 0.05}))
    assert [record.iteration for record in records] == list(range(1, 61, 3))
    assert all(len(record.norms["adder.states.h"]) == 40 for record in records)
    assert all(share(record) < 1e-12 for record in records)


EXPLODING = {"cell": "rnn(activation=relu)", "spread": 0.7}


def test_gradients_explode_with_large_weights_and_training_breaks(tmp_path: Path) -> None:
    seen: list[Record] = []
    with pytest.raises(SpecError, match="not finite"):
        seen.extend(netlang.train(Source("adding.yaml", ADDING), folder=tmp_path / "run", set=EXPLODING, watch="gradients"))
    lines = (tmp_path / "run" / "gradients.csv").read_text().splitlines()
    assert lines[0] == "iteration,step,state,time,norm"
    assert lines[1].startswith("1,step_1,adder.states.h,1,")
    assert len(lines) % 40 == 1
    norms = [float(line.split(",")[-1]) for line in lines[1:41]]
    assert norms[0] > 1e6 * norms[-1]


def test_clipping_cures_gradients_that_explode(tmp_path: Path) -> None:
    records = run(ADDING, tmp_path / "run", set=EXPLODING | {"clip": 1.0})
    objectives = [record.objective for record in records if isinstance(record, StepRecord)]
    assert share(watched(records)[0]) > 1e6
    assert len(objectives) == 60
    assert all(map(math.isfinite, objectives))
    assert min(objectives[-10:]) < objectives[0] / 100


def test_the_files_are_a_table_and_a_picture(tmp_path: Path) -> None:
    records = watched(run(ADDING, tmp_path / "run", watch_every=30))
    assert [record.iteration for record in records] == [1, 31]
    lines = (tmp_path / "run" / "gradients.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 40
    iteration, step, state, time, norm = lines[40].split(",")
    assert (iteration, step, state, time) == ("1", "step_1", "adder.states.h", "40")
    assert float(norm) == records[0].norms["adder.states.h"][-1]
    assert (tmp_path / "run" / "gradients.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_goes_on_watching_where_it_stopped(tmp_path: Path) -> None:
    records = netlang.train(Source("adding.yaml", ADDING), folder=tmp_path / "run", watch="gradients")
    for record in records:
        if isinstance(record, StepRecord) and record.iteration == 30:
            break
    records.close()  # type: ignore[attr-defined]
    run(ADDING, tmp_path / "run", resume=True)
    run(ADDING, tmp_path / "whole")
    assert (tmp_path / "run" / "gradients.csv").read_text() == (tmp_path / "whole" / "gradients.csv").read_text()


NOISY = ADDING.replace("last(states) -> linear(1)", "last(states) -> batch_norm -> dropout(0.5) -> linear(1)").replace(
    "  train: adding(40, low=-1)\n", "  train: adding(40, low=-1)\n  test: adding(40, seed=1)\n"
)
NOISY += "  draw: {z: normal(N)}\n  metrics:\n    error: mse(adder(row), target)\n"


def test_a_run_does_not_notice_that_it_is_watched(tmp_path: Path) -> None:
    """Batch statistics, dropout and draws are as without."""
    text = NOISY.replace("mse(adder(row), target)", "mse(adder(row), target) * mean(z) ** 2", 1)
    found = [run(text, tmp_path / str(watch), watch=watch) for watch in (None, "gradients")]
    plain, seen = ([r.objective for r in records if isinstance(r, StepRecord)] for records in found)
    assert plain == seen
    plain_metrics, seen_metrics = ([dict(r.metrics) for r in records if isinstance(r, EvaluationRecord)] for records in found)
    assert plain_metrics == seen_metrics
    assert watched(found[1])
    assert not watched(found[0])


@pytest.mark.parametrize("cell", ["rnn", "peephole_lstm", "gru_before"])
def test_numpy_measures_what_torch_does(cell: str, tmp_path: Path) -> None:
    """In f64, dropout aside; the weights are the same at first, and hardly differ after three updates."""
    text = ADDING.replace("iterations: 60", "iterations: 3").replace("    init: {states.U: normal(std=spread)}\n", "")
    options = {"dtype": "f64", "watch_every": 1, "set": {"cell": cell}}
    text = text.replace("spread: 0.1, ", "").replace("row -> scan(cell(size))", "row -> bidirectional(cell(size))")
    torch_norms, numpy_norms = (
        watched(run(text, tmp_path / backend, backend=backend, **options)) for backend in ("torch", "numpy")
    )  # fmt: skip
    assert len(torch_norms) == 3
    for mine, theirs in zip(numpy_norms, torch_norms, strict=True):
        assert list(mine.norms) == list(theirs.norms)
        for name, norms in mine.norms.items():
            np.testing.assert_allclose(norms, theirs.norms[name], rtol=1e-9)


def test_there_must_be_a_scan(tmp_path: Path) -> None:
    text = ADDING.replace("row -> scan(cell(size))", "row -> linear(size) -> tanh").replace(
        "    init: {states.U: normal(std=spread)}\n", ""
    )
    with pytest.raises(SpecError, match="reads a scan"):
        run(text.replace("cell: rnn, spread: 0.1, ", ""), tmp_path / "run")
    assert not (tmp_path / "run").exists()


LAW = """\
netlang: 1
use: [rnn/cells]
networks:
  net:
    inputs: {row: [N, T, 2]}
    layers: {s: scan(rnn(8))}
data: {train: adding(101)}
train:
  iterations: 1
  batch: 3
  steps:
    - {update: net, minimize: "mean(net(row)[:, -1])", with: adam}
"""


@pytest.mark.parametrize("backend", ["torch", "numpy"])
@pytest.mark.parametrize(("scale", "law"), [(0.9, 2.656139888758738e-5), (1.0, 1.0), (1.1, 13780.6123398)])
def test_gradients_follow_the_law_of_powers(scale: float, law: float, backend: str) -> None:
    """Where h stays 0 and U is an orthogonal matrix times a number, the gradient shrinks or grows by that number at each step."""
    checked = in_numbers_of(check(Source("law.yaml", LAW), readers=READERS).require(), "f64")
    watch = make_watch(checked, backend, "cpu")
    orthogonal, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))
    weights = {"W": torch.zeros(8, 2), "U": torch.from_numpy(scale * orthogonal), "b": torch.zeros(8)}
    stored = {"net": {f"s.{key}": to_stored(value.double()) for key, value in weights.items()}}
    row = torch.zeros(3, 101, 2, dtype=torch.float64)
    norms = watch.measure(0, {"row": row.numpy() if backend == "numpy" else row}, stored)["net.s.h"]
    assert len(norms) == 101
    assert math.isclose(norms[0] / norms[-1], law, rel_tol=1e-9)
    for before, after in itertools.pairwise(norms):
        assert math.isclose(before / after, scale, rel_tol=1e-9)
