"""What the loop yields: frozen records, each with a `kind` that is also its name in `metrics.jsonl`.

Iterations and epochs count what is finished: the first record of a run has iteration 1. Times are in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias, final

from compiler.diagnostics import Diagnostic


@final
@dataclass(frozen=True, slots=True)
class StepRecord:
    """One update. `gradient_norm` is the L2 norm over all of the step's weights before clipping; `epoch` counts passes over `train`."""

    kind: ClassVar[str] = "step"
    iteration: int
    epoch: int
    step: str
    objective: float
    learning_rate: float
    gradient_norm: float
    seconds: float


@final
@dataclass(frozen=True, slots=True)
class GradientRecord:
    """How the gradient of a step's objective reaches back in time, just before the step's update.

    `norms` has for each state of a scan (`reader.states.h`) the L2 norm of the gradient with respect to it after each time step, in
    the order in which the scan runs, a mean over the batch.
    """

    kind: ClassVar[str] = "gradients"
    iteration: int
    epoch: int
    step: str
    norms: Mapping[str, Sequence[float]]


@final
@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """The metrics on the evaluation data, averages over its samples."""

    kind: ClassVar[str] = "evaluation"
    iteration: int
    epoch: int
    metrics: Mapping[str, float]
    seconds: float


@final
@dataclass(frozen=True, slots=True)
class SampleRecord:
    """A sample that has been written; points of several samples are one file, named by `a+b`."""

    kind: ClassVar[str] = "sample"
    iteration: int
    name: str
    path: Path


@final
@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """A checkpoint that is safely on the disk."""

    kind: ClassVar[str] = "checkpoint"
    iteration: int
    path: Path
    seconds: float


@final
@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell that stops nothing: an older checkpoint was used, the number of threads is another one."""

    kind: ClassVar[str] = "notice"
    diagnostic: Diagnostic


@final
@dataclass(frozen=True, slots=True)
class Stopped:
    """The last record of a run that a signal ended; its state is saved. The exit code is 128 + `signal`."""

    kind: ClassVar[str] = "stopped"
    iteration: int
    signal: int
    folder: Path


@final
@dataclass(frozen=True, slots=True)
class Finished:
    """The last record of a run that came to its end; `weights` are the files of the trained networks by name."""

    kind: ClassVar[str] = "finished"
    iteration: int
    epoch: int
    folder: Path
    weights: Mapping[str, Path]


Record: TypeAlias = StepRecord | GradientRecord | EvaluationRecord | SampleRecord | CheckpointRecord | Notice | Stopped | Finished
