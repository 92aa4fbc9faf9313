"""Lines about a run."""

from __future__ import annotations

import re

from compiler.front.checked import check
from compiler.ir.training import Program
from compiler.source import Source
from netlang.data import READERS
from netlang.report.runs import RunLog
from netlang.training import EvaluationRecord, StepRecord

SPEC = """
netlang: 1
networks:
  a: {inputs: {point: [N, 2]}, layers: {y: linear(1)}}
  b: {inputs: {point: [N, 2]}, layers: {y: linear(1)}}
data: {train: moons(samples=10)}
train:
  LENGTH
  steps:
    - {update: a, minimize: mean(a(point)), with: sgd(lr=1)}
"""
SECOND = "    - {update: [a, b], minimize: mean(a(point) * b(point)), with: sgd(lr=1)}\n"


def program(length: str, more: str = "") -> Program:
    found = check(Source("net.yaml", SPEC.replace("LENGTH", length) + more), readers=READERS).require().program
    assert found is not None
    return found


def step(iteration: int, epoch: int, objective: float, name: str = "step_1") -> StepRecord:
    return StepRecord(iteration, epoch, name, objective, 1.0, 1.0, 0.0)


def texts(log: RunLog, *records: StepRecord | EvaluationRecord) -> list[str]:
    """The lines, without their times."""
    lines = [line for record in records if (line := log.read(record)) is not None]
    last = log.finish()
    return [re.sub(r"  [\d.]+ s$", "", line) for line in [*lines, *([last] if last is not None else [])]]


def test_a_line_for_every_evaluation() -> None:
    metrics = program("epochs: 12", "  metrics: {score: mean(a(point))}\n")
    log = RunLog(metrics)
    lines = texts(log, step(1, 0, 3.0), step(2, 1, 1.0), EvaluationRecord(2, 1, {"score": 0.5}, 0.1), step(3, 1, 7.0))
    assert lines == ["epoch  1/12  iteration 2  objective 2  score 0.5000", "epoch  1/12  iteration 3  objective 7"]


def test_a_line_for_every_epoch_without_metrics() -> None:
    log = RunLog(program("epochs: 2"))
    assert texts(log, step(1, 0, 1.0), step(2, 0, 3.0), step(3, 1, 5.0)) == [
        "epoch 0/2  iteration 2  objective 2",
        "epoch 1/2  iteration 3  objective 5",
    ]


def test_twenty_lines_where_there_are_no_epochs() -> None:
    log = RunLog(program("iterations: 1000", SECOND))
    records = [step(number, 0, float(index), f"step_{index + 1}") for number in range(1, 1001) for index in (0, 1)]
    lines = texts(log, *records)
    assert len(lines) == 20
    assert lines[0] == "iteration 50  a 0  a+b 1"
    assert lines[-1] == "iteration 1,000  a 0  a+b 1"
    assert log.total == 1000


def test_the_length_of_a_run_is_told_from_its_first_epoch() -> None:
    log = RunLog(program("epochs: 5"))
    assert log.total is None
    for number in range(1, 11):
        log.read(step(number, number // 10, 1.0))
    assert log.total == 50


def test_the_length_of_a_resumed_run() -> None:
    log = RunLog(program("epochs: 5"))
    for number in range(26, 42):
        log.read(step(number, number // 10, 1.0))
    assert log.total == 50
