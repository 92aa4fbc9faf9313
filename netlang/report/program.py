"""What a training program does, in a few lines: the data and their fields, the steps, the metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

from compiler.front.checked import Checked
from compiler.front.readers import ReaderError
from compiler.ir.training import Pictures, Program, Sample, Step, Text
from netlang.report.calls import describe_record


@final
@dataclass(frozen=True, slots=True)
class DataSummary:
    """A source: the call of its reader and the types of its fields ("" is the field of a source that is one tensor)."""

    name: str
    reader: str
    fields: Mapping[str, str]


@final
@dataclass(frozen=True, slots=True)
class StepSummary:
    """A step in the spec's words; `options` are its other settings."""

    name: str
    update: tuple[str, ...]
    sense: str
    objective: str
    optimizer: str
    options: Mapping[str, object]


@final
@dataclass(frozen=True, slots=True)
class ProgramSummary:
    """A program: how long, how many examples at a time, which steps, metrics and samples.

    `variables` and `carried` are types by name, `samples` what is written by name, `cadence` when something is measured or saved.
    """

    length: str
    batch: int
    seed: int
    steps: tuple[StepSummary, ...]
    metrics: tuple[str, ...]
    evaluation: str
    variables: Mapping[str, str]
    carried: Mapping[str, str]
    samples: Mapping[str, str]
    cadence: tuple[str, ...]


def summarize_data(checked: Checked) -> tuple[DataSummary, ...]:
    """The data sources; a source that is not there has no fields to tell."""
    found = []
    for name, reader in checked.readers.items():
        try:
            fields = {field: str(type) for field, type in reader.fields(checked.folder).items()}
        except ReaderError:
            fields = {}
        found.append(DataSummary(name, describe_record(reader, named=True, full=True), fields))
    return tuple(found)


def summarize_program(program: Program) -> ProgramSummary:
    """The program as rows of text."""
    amount, unit = (program.epochs, "epoch") if program.epochs is not None else (program.iterations, "iteration")
    return ProgramSummary(
        f"{amount:,} {unit}{'' if amount == 1 else 's'}",
        program.batch,
        program.seed,
        tuple(_summarize_step(step) for step in program.steps),
        tuple(program.metrics),
        program.evaluation,
        {name: str(item.network.outputs[""].type) for name, item in program.variables.items()},
        {} if program.carry is None else {name: str(value.type) for name, value in program.carry.start.outputs.items()},
        {name: _describe_sample(item) for name, item in program.samples.items()},
        tuple(_describe_cadence(program)),
    )


def _describe_sample(sample: Sample) -> str:
    """What a sample writes, in a word and its type."""
    if isinstance(sample, Text):
        return f"text of {sample.length:,} characters"
    return f"{'pictures' if isinstance(sample, Pictures) else 'points'} {sample.graph.outputs[''].type}"


def _describe_cadence(program: Program) -> Iterator[str]:
    if program.evaluate_every is not None:
        yield f"evaluated every {program.evaluate_every:,} iterations"
    if program.checkpoint_every is not None:
        yield f"saved every {program.checkpoint_every:,} iterations"
    if program.checkpoints_kept is not None:
        yield f"{program.checkpoints_kept:,} checkpoint{'' if program.checkpoints_kept == 1 else 's'} kept"


def _summarize_step(step: Step) -> StepSummary:
    standard = {"repeat": 1, "every": 1, "after": 0}
    names = ("clip_norm", "clip_value", "clamp", "repeat", "every", "after", "until", "ema")
    options = {name: value for name in names if (value := getattr(step, name)) is not None and value != standard.get(name)}
    options |= {f"{name} in mode": "train" if trains else "eval" for name, trains in step.mode.items()}
    return StepSummary(
        step.name, step.update, step.sense, step.objective, describe_record(step.optimizer, named=True, always=("lr",)), options
    )
