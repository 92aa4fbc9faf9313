"""Commands that write files: new, build."""

from __future__ import annotations

import re
from pathlib import Path

import click

from netlang.artefact import build as build_artefact
from netlang.cli.options import spec_argument
from netlang.cli.streams import tell, write
from netlang.model import Backend
from netlang.output import write_files
from netlang.report.amounts import format_bytes
from netlang.starters import DEFAULT, fill_template, list_templates

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@click.command()
@click.argument("name", required=False)
@click.option("--template", type=click.Choice(list_templates()), default=DEFAULT, show_default=True, help="What to begin with.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def new(name: str | None, template: str, force: bool) -> None:
    """Write a small commented spec to begin with.

    NAME is the name of the spec; the file is NAME.yaml, in a folder if NAME has one.

    \b
    netlang new digits --template cnn
    """
    place = Path(name or template)
    stem = place.name.removesuffix(".yaml").removesuffix(".yml")
    if not NAME.fullmatch(stem):
        raise click.UsageError(f"{stem!r} is no name for a spec: letters, digits, _ and -, a letter first.")
    (path,) = write_files(place.parent, {f"{stem}.yaml": [fill_template(template, stem).encode()]}, force=force)
    write(f"{path}\n")
    tell(f"next: netlang show {path}, netlang train {path}")


@click.command()
@spec_argument
@click.option("--to", type=click.Choice(["torch", "numpy"]), default="torch", show_default=True, help="What it shall run on.")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="The folder to write into; made if needed.")
@click.option("--weights", type=click.Path(path_type=Path), metavar="PATH", help="A file of weights, a built folder or a run.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), metavar="NUMBER", help="Draw the weights from this seed.")
@click.option("--inference", is_flag=True, help="Faster, not for training: batch norm goes into the weights, dropout out.")
@click.option("--no-data", is_flag=True, help="Write no data.npz beside train.py.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
def build(
    spec: str,
    to: Backend,
    out: Path,
    weights: Path | None,
    seed: int | None,
    inference: bool,
    no_data: bool,
    force: bool,
    overrides: dict[str, str],
) -> None:
    """Write stand-alone files: a model, its weights, its training.

    model.py runs without netlang: with torch and safetensors, or with NumPy alone. For torch, a spec with a training program gives
    train.py and its data.npz too: without netlang it trains to the same numbers as netlang train.

    \b
    netlang build lenet5 --to numpy --out lenet5 --weights runs/first
    """
    if weights is not None and seed is not None:
        raise click.UsageError("Weights are read (--weights) or drawn (--seed), not both.")
    paths = build_artefact(
        spec, out, to=to, set=overrides, weights=weights, seed=seed, force=force, data=not no_data, inference=inference
    )  # fmt: skip
    for path in paths:
        write(f"{path}  {format_bytes(path.stat().st_size)}\n")
