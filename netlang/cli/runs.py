"""Commands that compute: train, eval."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from netlang import api
from netlang.checking import check
from netlang.cli.exits import Exit
from netlang.cli.options import json_option, set_option, spec_argument
from netlang.cli.progress import follow
from netlang.cli.streams import show_diagnostics, tell, write
from netlang.runs import find_newest_run, replace_epochs, require_program
from netlang.training import EvaluationRecord, Finished, Stopped

F = TypeVar("F", bound=Callable[..., Any])
NEWEST = ""


def machine_options(function: F) -> F:
    """The options on how to compute."""
    for option in (
        click.option("--max-bytes", type=click.IntRange(1), metavar="NUMBER", help="Refuse what needs more memory than this."),
        click.option("--threads", type=click.IntRange(1, 4096), metavar="NUMBER", help="How many threads compute."),
        click.option("--dtype", type=click.Choice(["f32", "f64"]), help="What stands for the spec's f32."),
        click.option("--device", default="cpu", metavar="NAME", show_default=True, help="Where it computes: cpu, cuda, cuda:1."),
        click.option("--backend", type=click.Choice(["torch", "numpy"]), help="What computes: torch unless given; a resumed run's own."),
        click.option("--seed", type=click.IntRange(0, 2**63 - 1), metavar="NUMBER", help="Replace the seed of the spec."),
    ):
        function = option(function)
    return function


@click.command()
@spec_argument
@set_option
@click.option("--run", "folder", type=click.Path(path_type=Path), metavar="DIR", help="The folder to make for the run.")
@click.option("--resume", is_flag=False, flag_value=NEWEST, metavar="[DIR]", help="Go on with a run, the newest of the spec unless given.")
@click.option("--epochs", type=click.IntRange(1), metavar="NUMBER", help="Replace the length that the spec says.")
@machine_options
def train(
    spec: str,
    overrides: dict[str, str],
    folder: Path | None,
    resume: str | None,
    epochs: int | None,
    **options: Any,
) -> int:
    """Run the training program of a spec.

    The run has a folder of its own (runs/NAME/TIME unless given) with checkpoints, metrics and at the end the weights.
    A run that was stopped or killed goes on with --resume as if nothing had happened.

    \b
    netlang train lenet5 --run runs/first --epochs 5
    """
    checked = replace_epochs(check(spec, set=overrides).require(), epochs)
    program = require_program(checked)
    show_diagnostics(checked.diagnostics)
    if resume is not None:
        if resume != NEWEST and folder is not None:
            raise click.UsageError("The folder of the run is given twice: --run and --resume.")
        folder = Path(resume) if resume != NEWEST else folder or find_newest_run(checked)
    records = api.train(checked, folder=folder, resume=resume is not None, **options)
    metrics: dict[str, float] = {}
    for record in follow(records, program):
        if isinstance(record, EvaluationRecord):
            metrics = dict(record.metrics)
        elif isinstance(record, Stopped):
            tell(f"stopped; to go on: netlang train {spec} --resume {record.folder}")
            return 128 + record.signal
        elif isinstance(record, Finished):
            write("".join(f"{name} {value:.4f}\n" for name, value in metrics.items()))
            write("".join(f"{path}\n" for path in record.weights.values()))
    return Exit.GOOD


@click.command("eval")
@spec_argument
@click.option(
    "--weights", type=click.Path(path_type=Path), required=True, metavar="PATH", help="A safetensors file, a built folder or a run."
)
@set_option
@machine_options
@json_option
def evaluate(spec: str, weights: Path, overrides: dict[str, str], as_json: bool, **options: Any) -> None:
    """Measure the metrics of a spec with given weights.

    \b
    netlang eval lenet5 --weights runs/first
    """
    found = api.evaluate(spec, weights, set=overrides, **options)
    write(json.dumps(found, indent=2) + "\n" if as_json else "".join(f"{name} {value:.4f}\n" for name, value in found.items()))
