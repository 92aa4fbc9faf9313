"""Shows a run on standard error: a bar on a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from compiler.ir.training import Program
from netlang.cli.streams import has_color, is_live, show_diagnostics, tell
from netlang.report.runs import RunLog
from netlang.training import Finished, Notice, Record, Stopped


def follow(records: Iterable[Record], program: Program) -> Iterator[Record]:
    """The records as they come, shown on the way."""
    log = RunLog(program)
    if is_live(sys.stderr):
        yield from _draw(records, log, program)
        return
    for record in records:
        _show_notice(record)
        line = log.finish() if isinstance(record, Finished | Stopped) else log.read(record)
        if line is not None:
            tell(line)
        yield record


def _show_notice(record: Record) -> None:
    if isinstance(record, Notice):
        show_diagnostics([record.diagnostic])


def _draw(records: Iterable[Record], log: RunLog, program: Program) -> Iterator[Record]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    console = Console(stderr=True, no_color=not has_color(sys.stderr), highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[amount]}"), TimeRemainingColumn(compact=True))
    last: list[Record] = []
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=None, amount="")
        for record in records:
            ends = isinstance(record, Finished | Stopped)
            line = log.finish() if ends else log.read(record)
            if isinstance(record, Notice):
                progress.stop()
                show_diagnostics([record.diagnostic])
                progress.start()
            if line is not None:
                console.print(Text(line))
            name = f"epoch {min(log.epoch + 1, program.epochs)}/{program.epochs}" if program.epochs is not None else "training"
            amount = f"{log.iteration:,}{f'/{log.total:,}' if log.total else ''}  {log.describe_objectives()}"
            progress.update(task, completed=log.iteration, total=log.total, description=name, amount=amount)
            if ends:
                last.append(record)
                break
            yield record
    yield from last
