"""Commands that compute, and that draw what was computed: train, eval, sample, plot."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import click

from compiler.ir.training import Program, Text
from netlang import api
from netlang.checking import check
from netlang.cli.exits import Exit
from netlang.cli.options import json_option, set_option, spec_argument, split_assignments
from netlang.cli.progress import follow
from netlang.cli.streams import has_color, show_diagnostics, table_width, tell, write
from netlang.curves import write_curves
from netlang.report.gradients import draw_gradients
from netlang.runs import find_newest_run, replace_epochs, require_program
from netlang.samples import copy_samples, last_samples, require_place, require_samples, write_samples
from netlang.training import EvaluationRecord, Finished, GradientRecord, Record, Stopped

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


def weights_option(function: F) -> F:
    return click.option("--weights", type=click.Path(path_type=Path), metavar="PATH", help="A file of weights, a built folder or a run.")(
        function
    )


@click.command()
@spec_argument
@click.option("--run", "folder", type=click.Path(path_type=Path), metavar="DIR", help="The folder to make for the run.")
@click.option("--resume", is_flag=False, flag_value=NEWEST, metavar="[DIR]", help="Go on with a run, the newest of the spec unless given.")
@click.option("--weights", type=click.Path(path_type=Path), metavar="PATH", help="Begin with these: a file for one network, or a folder.")
@click.option("--epochs", type=click.IntRange(1), metavar="NUMBER", help="Replace the length that the spec says.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="PATH", help="Put the last samples here too: a .png, .jpg, .txt or a folder."
)
@click.option("--watch", type=click.Choice(["gradients"]), help="Measure how gradients reach back in time: a table, and files in the run.")
@click.option(
    "--watch-every", type=click.IntRange(1), metavar="NUMBER", help="Measure every so many iterations, 20 times a run unless given."
)
@machine_options
def train(
    spec: str,
    overrides: dict[str, str],
    folder: Path | None,
    resume: str | None,
    epochs: int | None,
    out: Path | None,
    **options: Any,
) -> int:
    """Run the training program of a spec.

    The run has a folder of its own (runs/NAME/TIME unless given) with checkpoints, metrics, samples, and at the end the
    weights and a picture of the curves.
    A run that was stopped or killed goes on with --resume as if nothing had happened.

    \b
    netlang train lenet5 --run runs/first --epochs 5
    netlang train style --set content=cat.jpg style=night.jpg --out picture.png
    """
    checked = replace_epochs(check(spec, set=overrides).require(), epochs)
    program = require_program(checked)
    show_diagnostics(checked.diagnostics)
    if resume is not None:
        if resume != NEWEST and folder is not None:
            raise click.UsageError("The folder of the run is given twice: --run and --resume.")
        if options["weights"] is not None:
            raise click.UsageError("A resumed run has its weights: --weights is for a new one.")
        folder = Path(resume) if resume != NEWEST else folder or find_newest_run(checked)
    if out is not None:
        require_place(require_samples(checked), out, arrays=False)
    records = api.train(checked, folder=folder, resume=resume is not None, **options)
    watched: list[GradientRecord] = []
    try:
        return _follow(spec, follow(records, program), program, out, watched)
    finally:
        if watched:
            tell(draw_gradients(watched, width=table_width(sys.stderr), color=has_color(sys.stderr)).rstrip("\n"))


def _follow(spec: str, records: Iterable[Record], program: Program, out: Path | None, watched: list[GradientRecord]) -> int:
    """Read the records to their end; what was watched goes into the list."""
    metrics: dict[str, float] = {}
    for record in records:
        if isinstance(record, EvaluationRecord):
            metrics = dict(record.metrics)
        elif isinstance(record, GradientRecord):
            watched.append(record)
        elif isinstance(record, Stopped):
            tell(f"stopped; to go on: netlang train {spec} --resume {record.folder}")
            return 128 + record.signal
        elif isinstance(record, Finished):
            write("".join(f"{name} {value:.4f}\n" for name, value in metrics.items()))
            samples = last_samples(program, record)
            copies = copy_samples(samples, out) if out is not None else []
            write("".join(f"{path}\n" for path in (*record.weights.values(), *samples.values(), *copies)))
            if find_spec("PIL") is not None:
                write_curves(record.folder)
    return Exit.GOOD


@click.command("eval")
@spec_argument
@weights_option
@machine_options
@json_option
def evaluate(spec: str, weights: Path | None, overrides: dict[str, str], as_json: bool, **options: Any) -> None:
    """Measure the metrics of a spec with given weights.

    Without --weights, they are those that the spec names.

    \b
    netlang eval lenet5 --weights runs/first
    """
    found = api.evaluate(spec, weights, set=overrides, **options)
    write(json.dumps(found, indent=2) + "\n" if as_json else "".join(f"{name} {value:.4f}\n" for name, value in found.items()))


@click.command()
@click.argument("spec")
@click.argument("words", nargs=-1, metavar="[NAME]... [NAME=VALUE]...")
@weights_option
@click.option("--count", type=click.IntRange(1, 100_000), metavar="NUMBER", help="What N is: how many pictures or points.")
@click.option("--prompt", metavar="TEXT", help="What text goes on from.")
@click.option("--length", type=click.IntRange(1, 1_000_000), metavar="NUMBER", help="How many characters follow the prompt.")
@click.option("--temperature", type=click.FloatRange(0), metavar="NUMBER", help="How bold text is; 0 takes the likeliest character.")
@click.option("--out", type=click.Path(path_type=Path), metavar="PATH", help="A file (.png, .jpg, .txt, .npz) or a folder to write.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@set_option
@machine_options
def sample(
    spec: str, words: tuple[str, ...], weights: Path | None, out: Path | None, force: bool, overrides: dict[str, str], **options: Any
) -> None:  # fmt: skip
    """Make the samples of a spec with given weights.

    NAME is one under `sample` in the spec; all are made where none is named. Pictures and points become NAME.png in the
    working folder, text is printed, unless --out says where to write.

    \b
    netlang sample dcgan_small pictures --weights runs/first --count 64 --out grid.png
    netlang sample shakespeare --weights runs/play --prompt "ROMEO:"
    """
    names, assigned = split_assignments(words)
    checked = check(spec, set=overrides | assigned).require()
    program = require_program(checked)
    wanted = {name: item for name, item in program.samples.items() if not names or name in names}
    if out is None:
        wanted = {name: item for name, item in wanted.items() if not isinstance(item, Text)}
    require_place(wanted, out or Path(), force=force)
    sampled = api.sample(checked, weights, *names, **options)
    printed = {} if out is not None else {name: value for name, value in sampled.items() if isinstance(value, str)}
    write("\n".join(f"{text}\n" for text in printed.values()))
    written = {name: value for name, value in sampled.items() if name not in printed}
    for path in write_samples(program, written, out or Path(), force=force) if written else ():
        write(f"{path}\n")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="PATH", help="The picture to write (.png, .jpg); RUN/curves.png unless given."
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def plot(run: Path, out: Path | None, force: bool) -> None:
    """Draw the curves of a run, finished or not.

    RUN is the folder of a run. Every step's objective and every metric is a curve over the iterations.

    \b
    netlang plot runs/first --out loss.png
    """
    write(f"{write_curves(run, out, force=force)}\n")
