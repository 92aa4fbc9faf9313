"""How gradients reach back in time: a table for people, a table for tools, and a picture of the curves, from a run's log.

Time steps count from 1 in the order in which a scan runs. Norms are those of the records, means over the batch.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from netlang.report.pictures import encode_curves
from netlang.report.tables import draw_table
from netlang.training import CheckpointRecord, GradientRecord, Record
from netlang.training.durable import replace
from netlang.training.run_folder import METRICS

T = TypeVar("T")

TABLE: Final = "gradients.csv"
PICTURE: Final = "gradients.png"
ROWS: Final = 8
ITERATIONS: Final = 4
CURVES: Final = 6
LITTLE: Final = 1e-3
"""The share of the last state's gradient below which the first state's has vanished; above its inverse it has exploded."""


def write_gradients_of(records: Iterable[Record]) -> Iterator[Record]:
    """The records as they come; whenever they end, by an error too, the run's folder gets the files of its gradients."""
    folder: Path | None = None
    try:
        for record in records:
            if isinstance(record, CheckpointRecord):
                folder = record.path.parent
            yield record
    finally:
        if folder is not None:
            write_gradients(folder)


def write_gradients(folder: Path) -> tuple[Path, ...]:
    """Write what a run has measured as a table and, where Pillow is there, a picture; the files, none where nothing was measured."""
    records = read_gradients(folder / METRICS)
    if not records:
        return ()
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("iteration", "step", "state", "time", "norm"))
    for record in records:
        for state, norms in record.norms.items():
            writer.writerows((record.iteration, record.step, state, time, norm) for time, norm in enumerate(norms, 1))
    replace(folder / TABLE, [stream.getvalue().encode()])
    if importlib.util.find_spec("PIL") is None:
        return (folder / TABLE,)
    curves = {
        f"{state} {record.iteration:,}": (range(1, len(norms) + 1), norms)
        for (_, state), found in group_gradients(records).items()
        for record, norms in choose(found, max(CURVES // len(group_gradients(records)), 2))
    }
    replace(folder / PICTURE, [encode_curves(curves)])
    return folder / TABLE, folder / PICTURE


def read_gradients(log: Path) -> list[GradientRecord]:
    """The measurements in a run's log; a line that is none is passed over."""
    found = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            values = json.loads(line)
            if values.pop("kind") == GradientRecord.kind:
                found.append(GradientRecord(**values))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def group_gradients(records: Iterable[GradientRecord]) -> dict[tuple[str, str], list[tuple[GradientRecord, Sequence[float]]]]:
    """The measurements of each step and state, in order."""
    found: dict[tuple[str, str], list[tuple[GradientRecord, Sequence[float]]]] = {}
    for record in records:
        for state, norms in record.norms.items():
            found.setdefault((record.step, state), []).append((record, norms))
    return found


def choose(items: Sequence[T], most: int) -> list[T]:
    """At most so many, evenly far apart, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]


def draw_gradients(records: Iterable[GradientRecord], *, width: int | None, color: bool) -> str:
    """For each state, some time steps of some iterations, and what became of the gradient on its way; empty without records."""
    parts = []
    grouped = group_gradients(records)
    for (step, state), found in grouped.items():
        of = f" in {step}" if len({name for name, _ in grouped}) > 1 else ""
        chosen = choose(found, ITERATIONS)
        columns = [("time step", "right"), *((f"iteration {record.iteration:,}", "right") for record, _ in chosen)]
        times = choose(range(max(len(norms) for _, norms in chosen)), ROWS)
        rows = [(f"{time + 1:,}", *(f"{norms[time]:.2e}" if time < len(norms) else "" for _, norms in chosen)) for time in times]
        head = f"norm of the gradient with respect to {state}{of}, a mean over the batch\n\n"
        parts.append(head + draw_table(columns, rows, width=width, color=color) + "\n" + describe(*found[-1]))
    return "\n".join(parts)


def describe(record: GradientRecord, norms: Sequence[float]) -> str:
    """A sentence on the way from the last time step to the first."""
    if not norms[-1] > 0:
        return ""
    share = norms[0] / norms[-1]
    if math.isnan(share):
        return ""
    fate = "it vanishes" if share < LITTLE else "it explodes" if share > 1 / LITTLE else "it gets through"
    return f"iteration {record.iteration:,}: the first state's gradient is {share:.2g} of the last one's: {fate}\n"
