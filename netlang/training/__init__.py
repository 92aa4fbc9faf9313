"""Runs training programs: the loop, its checkpoints, evaluation. Importing this loads neither NumPy nor torch."""

from netlang.training.evaluation import evaluate, sample
from netlang.training.failures import EXIT_CODES
from netlang.training.memory import require_memory
from netlang.training.records import (
    CheckpointRecord,
    EvaluationRecord,
    Finished,
    GradientRecord,
    Notice,
    Record,
    SampleRecord,
    StepRecord,
    Stopped,
)
from netlang.training.sampling import Sampled, Wanted
from netlang.training.start import train

__all__ = [
    "EXIT_CODES",
    "CheckpointRecord",
    "EvaluationRecord",
    "Finished",
    "GradientRecord",
    "Notice",
    "Record",
    "SampleRecord",
    "Sampled",
    "StepRecord",
    "Stopped",
    "Wanted",
    "evaluate",
    "require_memory",
    "sample",
    "train",
]
