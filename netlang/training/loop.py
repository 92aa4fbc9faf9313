"""The training loop, as a generator of records: whoever iterates over it drives it, and nothing happens in between.

One iteration runs every step that is due. Batches and draws are shared by an iteration's steps; each repetition of a repeated step has
its own. Checkpoints are taken between iterations only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from compiler.front.checked import Checked
from compiler.ir.graph import Graph
from compiler.ir.training import Program, Step
from netlang.training.checkpoint import KEPT, list_checkpoints, write_checkpoint
from netlang.training.engine import Engine, NonFinite, Placed
from netlang.training.failures import failure
from netlang.training.feed import Evaluation, Feed
from netlang.training.frozen_weights import Origin
from netlang.training.records import (
    CheckpointRecord,
    EvaluationRecord,
    Finished,
    GradientRecord,
    Record,
    SampleRecord,
    StepRecord,
    Stopped,
)
from netlang.training.run_folder import RunFolder, read_versions
from netlang.training.sampling import Sampled, Sampler, name_files, sample_file
from netlang.training.schedule import is_due
from netlang.training.signals import StopRequest
from netlang.training.state import (
    Progress,
    collect,
    show_constants,
)
from netlang.training.watch import Watch
from netlang.training.weights import encode_weights

SAVE_SECONDS: Final = 60.0


@final
class Inputs:
    """What the steps of one iteration read: batches and draws, each taken when it is first wanted, and what is given before them.

    Carried states that are not given are the engine's.
    """

    def __init__(self, feed: Feed, engine: Engine, fixed: Placed) -> None:
        self._feed = feed
        self._engine = engine
        self._values: Placed = engine.carried() | fixed

    def read(self, graph: Graph) -> Placed:
        """At least what the graph reads, by input."""
        for value in graph.inputs:
            if value.name not in self._values:
                source = self._feed.source_of.get(value.name)
                if source is None:
                    self._values |= self._engine.draw(self._feed.batch)
                else:
                    self._values |= self._engine.place(self._feed.take(source))
        return self._values


@final
@dataclass(slots=True, eq=False)
class Loop:
    """One process's part of a run."""

    checked: Checked
    program: Program
    engine: Engine
    feed: Feed
    evaluation: Evaluation
    sampler: Sampler
    folder: RunFolder
    stop: StopRequest
    seed: int
    dtype: str
    device: str
    total: int
    save_every: int | None
    frozen: Mapping[str, Origin] = field(default_factory=dict)
    saved: int = -1
    saved_at: float = field(default_factory=time.monotonic)
    watch: Watch | None = None
    watch_every: int = 1

    def run(self, pending: bool = False) -> Iterator[Record]:
        """From the checkpoint last saved (or from nothing) to the end, or to the signal that stops it."""
        iteration = max(self.saved, 0)
        fixed = self.engine.place(self.feed.fixed)
        if self.saved < 0:
            self.engine.begin(fixed)
            yield self._save(0, pending=False)
        while True:
            if pending and self.stop.signal is None:
                found = self._evaluate(iteration)
                pending = found is None
                yield from found or ()
            if self.stop.signal is not None:
                if self.saved != iteration:
                    yield self._save(iteration, pending=pending)
                yield Stopped(iteration, self.stop.signal, self.folder.path)
                return
            if iteration >= self.total:
                break
            if self._is_time_to_save(iteration):
                yield self._save(iteration, pending=False)
            epoch = self.feed.epoch
            given = fixed | self.engine.carried()
            inputs = Inputs(self.feed, self.engine, given)
            if self.program.carry is not None:
                self.engine.advance(inputs.read(self.program.carry.following))
            for record in self._run_steps(iteration, inputs, given):
                self.folder.log(record)
                yield record
            iteration += 1
            if self.feed.epoch > epoch:
                self.engine.restart()
            pending = self._is_time_to_evaluate(iteration, self.feed.epoch > epoch)
        if self.saved != iteration:
            yield self._save(iteration, pending=False)
        yield Finished(iteration, self.feed.epoch, self.folder.path, self._write_weights())

    def _run_steps(self, iteration: int, shared: Inputs, given: Placed) -> Iterator[StepRecord | GradientRecord]:
        for index, step in enumerate(self.program.steps):
            if not is_due(step, iteration):
                continue
            for number in range(step.repeat):
                began = time.perf_counter()
                inputs = (shared if step.repeat == 1 else Inputs(self.feed, self.engine, given)).read(step.graph)
                if self.watch is not None and index in self.watch.steps and number == 0 and iteration % self.watch_every == 0:
                    norms = self.watch.measure(index, inputs, self.engine.weights())
                    yield GradientRecord(iteration + 1, self.feed.epoch, step.name, norms)
                    began = time.perf_counter()
                try:
                    update = self.engine.update(index, inputs, iteration, self.total)
                except NonFinite as error:
                    raise self._not_finite(error, step, iteration) from error
                seconds = time.perf_counter() - began
                yield StepRecord(
                    iteration + 1, self.feed.epoch, step.name, update.objective, update.learning_rate, update.gradient_norm, seconds
                )

    def _is_time_to_evaluate(self, iteration: int, epoch_ends: bool) -> bool:
        program = self.program
        due = epoch_ends if program.evaluate_every is None else iteration % program.evaluate_every == 0
        return bool(program.metrics or program.samples) and (due or iteration == self.total)

    def _evaluate(self, iteration: int) -> list[EvaluationRecord | SampleRecord] | None:
        """The metrics, logged, and the samples, written; None where a signal came in between."""
        began = time.perf_counter()
        metrics = measure_all(self.engine, self.evaluation, self.stop) if self.program.metrics else {}
        seconds = time.perf_counter() - began
        sampled: dict[str, Sampled] = {}
        for name in self.program.samples:
            if self.stop.signal is None:
                sampled[name] = self.sampler.compute(name)
        if metrics is None or self.stop.signal is not None:
            return None
        written = [
            SampleRecord(iteration, name, self.folder.write(sample_file(name, iteration, suffix), data))
            for name, (suffix, data) in name_files(self.program, sampled).items()
        ]
        if not metrics:
            return [*written]
        measured = EvaluationRecord(iteration, self.feed.epoch, metrics, seconds)
        self.folder.log(measured)
        return [measured, *written]

    def _is_time_to_save(self, iteration: int) -> bool:
        if iteration == self.saved:
            return False
        every = self.program.checkpoint_every if self.save_every is None else self.save_every
        if every is not None:
            return iteration % every == 0
        return time.monotonic() - self.saved_at >= SAVE_SECONDS

    def _save(self, iteration: int, *, pending: bool) -> CheckpointRecord:
        began = time.perf_counter()
        try:
            self.engine.require_finite()
        except NonFinite as error:
            raise self._not_finite(error, self.program.steps[-1], iteration - 1) from error
        progress = Progress(
            iteration, self.total, pending, self.feed.positions, self.folder.sync_log(), self.seed, self.engine.backend, self.dtype,
            self.engine.threads, self.device, show_constants(self.checked), read_versions(), self.frozen,
        )  # fmt: skip
        kept = KEPT if self.program.checkpoints_kept is None else self.program.checkpoints_kept
        path = write_checkpoint(self.folder.path, iteration, collect(self.checked, self.engine, progress), kept)
        self.saved, self.saved_at = iteration, time.monotonic()
        return CheckpointRecord(iteration, path, time.perf_counter() - began)

    def _not_finite(self, error: NonFinite, step: Step, iteration: int) -> Exception:
        kept = list_checkpoints(self.folder.path)
        notes = [f"first in `{name}`" for name in error.names]
        notes += [f"the run's last good state is `{kept[0].name}`"] if kept else []
        return failure(
            "NL720",
            f"the {error.what} of step `{step.name}` is not finite in iteration {iteration + 1}",
            step.span,
            notes=tuple(notes),
            help="lower the learning rate, clip the gradient with `clip_norm`, or look for a logarithm or quotient of 0",
        )

    def _write_weights(self) -> dict[str, Path]:
        """The weights as they are evaluated, averaged where a step says so; frozen ones are where they were."""
        found = {}
        self.engine.begin_evaluation()
        try:
            weights = self.engine.weights()
            for name in [name for name in weights if name not in self.frozen]:
                file = weights_file(name, len(weights))
                self.folder.write(file, b"".join(encode_weights(weights[name])))
                found[name] = self.folder.path / file
        finally:
            self.engine.end_evaluation()
        return found


def weights_file(network: str, count: int) -> str:
    """What the file with a network's final weights is called where there are `count` networks."""
    return "model.safetensors" if count == 1 else f"{network}.safetensors"


def measure_all(engine: Engine, evaluation: Evaluation, stop: StopRequest | None = None) -> dict[str, float] | None:
    """The metrics on all evaluation data, averaged over samples; None where a signal came in between."""
    fixed = engine.place(evaluation.fixed)
    sums: dict[str, float] = {}
    count = 0
    engine.begin_evaluation()
    try:
        for rows, batch in evaluation.batches():
            if stop is not None and stop.signal is not None:
                return None
            for name, value in engine.measure(fixed | engine.place(batch), rows).items():
                sums[name] = sums.get(name, 0.0) + value * rows
            count += rows
    finally:
        engine.end_evaluation()
    return {name: value / count for name, value in sums.items()}
