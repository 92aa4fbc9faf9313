"""The command check: diagnostics of specs. Loads as little as it can."""

from __future__ import annotations

from itertools import chain

import click

import netlang.checking
from compiler.diagnostics import SpecError
from compiler.diagnostics.render import render_github, render_json
from compiler.front.checked import Checked
from compiler.ir.measure import parameter_count
from netlang.cli.exits import exit_of
from netlang.cli.options import set_option, split_assignments
from netlang.cli.streams import show_diagnostics, write


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="SPEC... [NAME=VALUE]...")
@set_option
@click.option("--format", "form", type=click.Choice(["text", "json", "github"]), default="text", help="How to print what is wrong.")
@click.option("--json", "form", flag_value="json", help="Short for --format json.")
def check(words: tuple[str, ...], overrides: dict[str, str], form: str) -> int:
    """Check specs without running them.

    Every error of every file is told, with its place and, where one is likely, its cure.

    \b
    netlang check lenet5 nets/mine.yaml
    """
    specs, assigned = split_assignments(words)
    if not specs:
        raise click.UsageError(f"No spec is given, only the value of {next(iter(assigned))!r}.")
    found = []
    for spec in specs:
        try:
            checked = netlang.checking.check(spec, set=overrides | assigned)
        except SpecError as error:
            found.append(error.diagnostics)
            continue
        found.append(checked.diagnostics)
        if form == "text" and not checked.failed:
            write(f"{describe_checked(checked, spec)}\n")
    diagnostics = list(chain.from_iterable(found))
    if form == "text":
        show_diagnostics(diagnostics)
    else:
        write(render_json(diagnostics) if form == "json" else render_github(diagnostics))
    return exit_of(diagnostics)


def describe_checked(checked: Checked, spec: str) -> str:
    """One line about a correct spec."""
    networks = [f"{name} ({parameter_count(graph):,} parameters)" for name, graph in checked.networks.items()]
    return ", ".join([f"{spec}: ok", *networks])
