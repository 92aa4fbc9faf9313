"""Starts a run, or goes on with one: everything that is judged before the first update, and then the loop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from compiler.front.checked import Checked
from compiler.ir.training import Program
from compiler.passes.program_inputs import TRAIN
from netlang.training.checkpoint import clean, load_newest, set_aside
from netlang.training.engines import in_numbers_of, make_engine, make_watch
from netlang.training.failures import failure
from netlang.training.feed import Evaluation, Feed
from netlang.training.frozen_weights import find_origins
from netlang.training.given_weights import first_weights
from netlang.training.loop import Loop
from netlang.training.memory import require_memory
from netlang.training.records import Notice, Record
from netlang.training.run_folder import create_run, describe_environment, own
from netlang.training.sampling import Sampler, require_samples
from netlang.training.schedule import count_iterations
from netlang.training.signals import StopRequest
from netlang.training.state import SPEC, compare_run, read_progress, require_same_run, restore, show_constants, spec_text

WATCHED: Final = 20
"""How often a run measures gradients where nothing else is said."""


@final
@dataclass(frozen=True, slots=True)
class _Settings:
    """What the caller wants of a run."""

    seed: int | None
    backend: str | None
    dtype: str | None
    device: str
    threads: int | None
    save_every: int | None
    watch: bool
    watch_every: int | None
    weights: Path | None


def train(
    checked: Checked,
    *,
    folder: Path | None = None,
    resume: bool = False,
    seed: int | None = None,
    backend: str | None = None,
    dtype: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    max_bytes: int | None = None,
    save_every: int | None = None,
    watch: bool = False,
    watch_every: int | None = None,
    weights: Path | None = None,
) -> Iterator[Record]:
    """Run the spec's training program; the last record is Finished or Stopped. Nothing happens before the first record is asked for.

    `folder` is the run's folder: a new one, or with `resume` the one to go on with. `backend` is torch or numpy, `dtype` f32 or f64 in
    place of the spec's f32; the run's own where it is resumed, else torch and f32. A checkpoint is taken every `save_every` iterations
    (unless given, as the spec says or every 60 s), at the end, and on SIGTERM or SIGINT. With `watch` the gradients of a scan's states
    are measured every `watch_every` iterations (twenty times a run unless given). A new run begins with the `weights` that the spec
    names, or that are given here: a file for one network, or a folder. Raises SpecError (codes NL5xx, NL6xx, NL7xx).
    """
    program = checked.require().program
    if program is None:
        raise failure("NL710", f"`{checked.name[:100]}` has no training program", help="add a section `train`")
    require_samples(checked)
    require_memory(checked, program.batch, max_bytes)
    settings = _Settings(seed, backend, dtype, device, threads, save_every, watch, watch_every, weights)
    yield from _continue(checked, program, folder, settings) if resume else _start(checked, program, folder, settings)


def _start(checked: Checked, program: Program, folder: Path | None, settings: _Settings) -> Iterator[Record]:
    seed, device = program.seed if settings.seed is None else settings.seed, settings.device
    backend, dtype = settings.backend or "torch", settings.dtype or "f32"
    checked = in_numbers_of(checked, dtype)
    watch = make_watch(checked, backend, device) if settings.watch else None
    feed, evaluation = Feed(checked, seed), Evaluation(checked)
    total = count_total(program, feed)
    first = first_weights(checked, settings.weights)
    frozen = find_origins(checked) if settings.weights is None else {}
    engine = make_engine(checked, seed, total, backend, device, settings.threads)
    engine.load_weights(first)
    with closing(engine), create_run(folder, checked.name) as run, StopRequest() as stop:
        run.write(SPEC, spec_text(checked).encode())
        environment = describe_environment(
            seed=seed, backend=backend, dtype=dtype, device=device, threads=engine.threads, constants=show_constants(checked)
        )
        run.write("environment.json", (json.dumps(environment, indent=1) + "\n").encode())
        sampler = Sampler(checked, engine, evaluation, seed)
        loop = Loop(checked, program, engine, feed, evaluation, sampler, run, stop, seed, dtype, device, total, settings.save_every, frozen)
        loop.watch, loop.watch_every = watch, _watch_every(total, settings)
        yield from loop.run()


def _continue(checked: Checked, program: Program, folder: Path | None, settings: _Settings) -> Iterator[Record]:
    if folder is None or not folder.is_dir():
        raise failure("NL714", f"there is no run to go on with in `{folder}`", help="give the folder of the run")
    with own(folder) as run, StopRequest() as stop:
        clean(folder)
        checkpoint, warnings = load_newest(folder)
        progress = read_progress(checkpoint)
        require_same_run(checked, checkpoint, progress, seed=settings.seed, backend=settings.backend, dtype=settings.dtype)
        checked = in_numbers_of(checked, progress.dtype)
        seed, device = progress.seed, settings.device
        watch = make_watch(checked, progress.backend, device) if settings.watch else None
        feed, evaluation = Feed(checked, seed), Evaluation(checked)
        total = count_total(program, feed)
        threads = progress.threads if settings.threads is None else settings.threads
        engine = make_engine(checked, seed, total, progress.backend, device, threads)
        with closing(engine):
            restore(checked, checkpoint, progress, engine, feed)
            yield from (Notice(item) for item in (*warnings, *compare_run(progress, engine, total, device)))
            set_aside(folder, checkpoint.iteration)
            run.cut_log(progress.log_bytes)
            loop = Loop(
                checked,
                program,
                engine,
                feed,
                evaluation,
                Sampler(checked, engine, evaluation, seed),
                run,
                stop,
                seed,
                progress.dtype,
                device,
                total,
                settings.save_every,
                progress.frozen,
                checkpoint.iteration,
            )
            loop.watch, loop.watch_every = watch, _watch_every(total, settings)
            yield from loop.run(progress.pending)


def _watch_every(total: int, settings: _Settings) -> int:
    return max(total // WATCHED, 1) if settings.watch_every is None else settings.watch_every


def count_total(program: Program, feed: Feed) -> int:
    """The iterations of a whole run on this data."""
    reads = tuple(any(feed.source_of.get(value.name) == TRAIN for value in step.graph.inputs) for step in program.steps)
    return count_iterations(program, reads, feed.sources[TRAIN].steps_per_epoch if TRAIN in feed.sources else None)
