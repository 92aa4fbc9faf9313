"""The recurrent specs: they check, and a cell written as equations learns to read digits."""

from __future__ import annotations

from pathlib import Path

import pytest

import netlang
from compiler.front.bundled import FOLDER
from netlang.training import EvaluationRecord


@pytest.mark.parametrize("path", sorted((FOLDER / "rnn").glob("*.yaml")), ids=lambda path: path.stem)
def test_it_checks_without_a_word(path: Path) -> None:
    assert not netlang.check(path).require().diagnostics


@pytest.mark.slow
def test_digits_are_read_row_by_row(tmp_path: Path) -> None:
    records = list(netlang.train("rnn/digits_rows", folder=tmp_path / "run"))
    measured = [record for record in records if isinstance(record, EvaluationRecord)]
    assert measured[-1].metrics["accuracy"] >= 0.95
