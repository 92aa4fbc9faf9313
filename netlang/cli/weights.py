"""The command weights: where the weights that a spec names are, whether they fit, and their conversion."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from compiler.diagnostics import Diagnostic, SpecError
from compiler.diagnostics.quote import show
from compiler.front.checked import Checked
from compiler.front.weight_files import LAYOUTS
from netlang.checking import check as check_spec
from netlang.cli.exits import Exit, exit_of
from netlang.cli.options import spec_argument
from netlang.cli.streams import has_color, show_diagnostics, table_width, write
from netlang.output import exists_already
from netlang.report.tables import draw_table
from netlang.training.foreign_weights import convert_file, read_entry
from netlang.training.given_weights import read_given
from netlang.training.weight_search import find_weight_file, hash_file
from netlang.training.weights import expected_types
from netlang.weights import require_finite


@click.group()
def weights() -> None:
    """Find, check and convert files of weights.

    \b
    netlang weights list style
    """


@weights.command("list")
@spec_argument
def list_wanted(spec: str, overrides: dict[str, str]) -> None:
    """List the files that a spec's networks name, and where they are."""
    checked = require_named(spec, overrides)
    rows = [(name, entry.file, entry.layout or "", locate(checked, name)) for name, entry in checked.weights.items()]
    head = [("network", "left"), ("file", "left"), ("layout", "left"), ("found", "left")]
    write(draw_table(head, rows, width=table_width(sys.stdout), color=has_color(sys.stdout)))


@weights.command()
@spec_argument
@click.option("--weights", "given", type=click.Path(path_type=Path), metavar="FILE", help="Check this file instead.")
def check(spec: str, overrides: dict[str, str], given: Path | None) -> int:
    """Read the weights that a spec's networks name: digests, names and shapes must fit, and every number be finite."""
    checked = require_named(spec, overrides)
    found: list[Diagnostic] = []
    for name, entry in checked.weights.items():
        try:
            path = given or find_weight_file(entry, name)
            tensors = read_given(checked, name, path) if given else read_entry(entry, name, expected_types(checked.networks[name]))
            require_finite(name, tensors)
        except SpecError as error:
            found += error.diagnostics
            continue
        write(f"{name}: ok, {path}, {len(tensors)} tensors, SHA-256 {hash_file(path)}\n")
    show_diagnostics(found)
    return exit_of(found)


@weights.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="FILE")
@click.argument("target", type=click.Path(path_type=Path), metavar="OUT.safetensors")
@click.option("--layout", type=click.Choice(LAYOUTS), default=None, help="The layout of a file of another program: `hed` for its .h5.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def convert(source: Path, target: Path, layout: str | None, force: bool) -> int:
    """Write a .pth, .npz or .h5 file as safetensors, under its own names.

    \b
    netlang weights convert vgg19-dcbb9e9d.pth vgg19.safetensors
    """
    if target.suffix != ".safetensors":
        raise click.UsageError(f"{target.name!r} does not end in .safetensors.")
    if target.exists() and not force:
        raise exists_already([target])
    convert_file(source, target, layout or "")
    write(f"{target}\n")
    return Exit.GOOD


def require_named(spec: str, overrides: dict[str, str]) -> Checked:
    """The correct spec, some network of which names weights."""
    checked = check_spec(spec, set=overrides).require()
    if not checked.weights:
        message = f"no network of {show(checked.name)} names weights"
        raise SpecError((Diagnostic("NL705", message, None, help="say where they are: `weights: {file: net.safetensors}`"),))
    return checked


def locate(checked: Checked, network: str) -> str:
    """Where the file of a network is, in words."""
    try:
        return str(find_weight_file(checked.weights[network], network))
    except SpecError:
        return "not here: `netlang weights check` tells where to get it"
