"""The embed API: what the command line does, as functions. Importing this loads neither torch nor NumPy.

    import netlang

    checked = netlang.check("lenet5").require()
    model = netlang.load("lenet5", backend="numpy", seed=0)
    logits = model(image)
    for record in netlang.train("lenet5", folder="runs/first"):
        print(record)
    print(netlang.evaluate("lenet5", "runs/first"))
    (text,) = netlang.sample("shakespeare", "runs/play", prompt="ROMEO:").values()
    netlang.build("lenet5", "out", to="torch", weights="runs/first")

A spec is a path, the name of a bundled spec, a `Source` (text), or what `check` gave. What is wrong in a spec is data: `check`
returns it; everything else raises `SpecError` with all diagnostics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import netlang.training
from compiler.diagnostics import Diagnostic, SpecError
from compiler.front.checked import Checked
from compiler.front.readers import Reader, ReaderError
from compiler.ir.op import Op
from compiler.ops import register as register_op
from compiler.source import Source
from netlang.artefact import build
from netlang.catalog import list_specs
from netlang.checking import Spec, check
from netlang.data import register_reader
from netlang.model import Backend, Model, load
from netlang.report.gradients import write_gradients_of
from netlang.runs import replace_epochs
from netlang.training import (
    CheckpointRecord,
    EvaluationRecord,
    Finished,
    GradientRecord,
    Notice,
    Record,
    Sampled,
    SampleRecord,
    StepRecord,
    Stopped,
    Wanted,
)

__all__ = [
    "Checked",
    "CheckpointRecord",
    "Diagnostic",
    "EvaluationRecord",
    "Finished",
    "GradientRecord",
    "Model",
    "Notice",
    "Op",
    "Reader",
    "ReaderError",
    "Record",
    "SampleRecord",
    "Sampled",
    "Source",
    "Spec",
    "SpecError",
    "StepRecord",
    "Stopped",
    "build",
    "check",
    "evaluate",
    "list_specs",
    "load",
    "register_op",
    "register_reader",
    "sample",
    "train",
]


def train(
    spec: Spec,
    *,
    set: Mapping[str, object] | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    epochs: int | None = None,
    seed: int | None = None,
    backend: Backend | None = None,
    dtype: Literal["f32", "f64"] | None = None,
    device: str = "cpu",
    threads: int | None = None,
    max_bytes: int | None = None,
    watch: Literal["gradients"] | None = None,
    watch_every: int | None = None,
    weights: str | Path | None = None,
) -> Iterator[Record]:
    """Run a spec's training program; iterating over the records drives it, and the last is Finished or Stopped.

    `folder` is made for the run (`runs/<name>/<time>` unless given), or with `resume` is that of the run to go on with. `epochs`
    replaces the length that the spec says. `backend` is torch unless given, `dtype` f32; a resumed run keeps its own. More than
    `max_bytes` of memory (80 % of what is free unless given) is refused. With `watch` the norms of the gradients of a scan's states are
    records too, every `watch_every` iterations (twenty times a run unless given), and files in the run's folder. A new run begins with
    the weights that the spec names, or with those given: a file for one network, or a folder. Raises SpecError.
    """
    records = netlang.training.train(
        replace_epochs(check(spec, set=set).require(), epochs),
        folder=None if folder is None else Path(folder),
        resume=resume,
        seed=seed,
        backend=backend,
        dtype=dtype,
        device=device,
        threads=threads,
        max_bytes=max_bytes,
        watch=watch is not None,
        watch_every=watch_every,
        weights=None if weights is None else Path(weights),
    )
    return records if watch is None else write_gradients_of(records)


def evaluate(
    spec: Spec,
    weights: str | Path | None = None,
    *,
    set: Mapping[str, object] | None = None,
    seed: int | None = None,
    backend: Backend | None = None,
    dtype: Literal["f32", "f64"] | None = None,
    device: str = "cpu",
    threads: int | None = None,
    max_bytes: int | None = None,
) -> dict[str, float]:
    """A spec's metrics on its evaluation data, with weights from a file, a built folder or a run, or that it names; raises SpecError."""
    checked = check(spec, set=set).require()
    return netlang.training.evaluate(
        checked,
        None if weights is None else Path(weights),
        seed=seed,
        backend=backend,
        dtype=dtype,
        device=device,
        threads=threads,
        max_bytes=max_bytes,
    )


def sample(
    spec: Spec,
    weights: str | Path | None = None,
    *names: str,
    set: Mapping[str, object] | None = None,
    count: int | None = None,
    prompt: str | None = None,
    length: int | None = None,
    temperature: float | None = None,
    seed: int | None = None,
    backend: Backend | None = None,
    dtype: Literal["f32", "f64"] | None = None,
    device: str = "cpu",
    threads: int | None = None,
    max_bytes: int | None = None,
) -> dict[str, Sampled]:
    """The samples of a spec with these names, or all, with weights as `evaluate` takes them; raises SpecError.

    Pictures are arrays [K, 1 or 3, H, W] from 0 to 1, points arrays [K, 2], texts strings. `count` is what N is; `prompt`,
    `length` (characters after the prompt) and `temperature` (0: always the likeliest) replace what the spec says of texts.
    """
    checked = check(spec, set=set).require()
    wanted = Wanted(count, prompt, length, temperature)
    return netlang.training.sample(
        checked, None if weights is None else Path(weights), names, wanted=wanted, seed=seed, backend=backend, dtype=dtype,
        device=device, threads=threads, max_bytes=max_bytes,
    )  # fmt: skip
