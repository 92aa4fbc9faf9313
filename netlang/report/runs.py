"""A run as lines of text: one an epoch, or one for each evaluation, with mean objectives since the last. Times in seconds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import final

from compiler.ir.training import Program
from netlang.training import EvaluationRecord, Record, StepRecord

LINES = 20
"""Lines about a run that has neither epochs nor metrics."""


@final
class RunLog:
    """Turns the records of a run into lines as they come; `total` is the number of iterations as far as one can tell."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._labels = label_steps(program)
        self._started = time.monotonic()
        self._sums: dict[str, list[float]] = {}
        self._began: int | None = None
        self._told = 0
        self.epoch = 0
        self.iteration = 0
        self.total = program.iterations

    def read(self, record: Record) -> str | None:
        """Take note of a record; the line to show after it, if there is one."""
        if isinstance(record, EvaluationRecord):
            self.epoch, self.iteration = record.epoch, record.iteration
            return self._line(record.metrics)
        if not isinstance(record, StepRecord):
            return None
        line = self._line({}) if self._is_due(record) else None
        self._note(record)
        return line

    def _is_due(self, record: StepRecord) -> bool:
        """Whether what came before this record deserves a line: a finished epoch, or a share of the iterations."""
        if self._program.metrics or not self._sums or record.iteration <= self.iteration:
            return False
        if self._program.epochs is not None:
            return record.epoch > self.epoch
        return self.iteration - self._told >= max((self.total or 0) // LINES, 1)

    def _note(self, record: StepRecord) -> None:
        if self._began is None:
            self._began = record.epoch
        if self.total is None and record.epoch > self._began:
            self.total = round(record.iteration / record.epoch * (self._program.epochs or 1))
        self._sums.setdefault(record.step, []).append(record.objective)
        self.epoch, self.iteration = record.epoch, record.iteration

    def finish(self) -> str | None:
        """The line about what came since the last one."""
        return self._line({}) if self._sums else None

    def describe_objectives(self) -> str:
        """The mean of every step's objective since the last line."""
        means = {name: sum(values) / len(values) for name, values in self._sums.items()}
        if len(self._labels) == 1:
            return "".join(f"objective {value:.4g}" for value in means.values())
        return "  ".join(f"{self._labels[name]} {value:.4g}" for name, value in means.items())

    def _line(self, metrics: Mapping[str, float]) -> str:
        parts = []
        if self._program.epochs is not None:
            parts.append(f"epoch {self.epoch:>{len(str(self._program.epochs))}}/{self._program.epochs}")
        parts += [f"iteration {self.iteration:,}", self.describe_objectives()]
        parts += [f"{name} {value:.4f}" for name, value in metrics.items()]
        parts.append(f"{time.monotonic() - self._started:.1f} s")
        self._sums.clear()
        self._told = self.iteration
        return "  ".join(part for part in parts if part)


def label_steps(program: Program) -> dict[str, str]:
    """What lines call each step: the name that the spec gives it, else what it updates where no other step updates the same."""
    updated = ["+".join(step.update) for step in program.steps]
    return {
        step.name: step.name if step.name != f"step_{number}" or updated.count(what) > 1 else what
        for number, (step, what) in enumerate(zip(program.steps, updated, strict=True), start=1)
    }
