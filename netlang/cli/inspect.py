"""Commands that look at specs and at the language: show, explain, ops, specs, schema. None loads torch or NumPy."""

from __future__ import annotations

import dataclasses
import json
import sys
from itertools import chain
from textwrap import shorten
from typing import Final

import click

from compiler.diagnostics.codes import CODES
from compiler.front.checked import Checked
from compiler.front.schema import SCHEMA
from compiler.ops import OPS, near_names
from netlang.catalog import list_specs
from netlang.checking import check
from netlang.cli.options import json_option, size_option, spec_argument, unknown_name
from netlang.cli.streams import has_color, show_diagnostics, table_width, write
from netlang.report.cells import cell_table
from netlang.report.codes import draw_code, draw_codes, find_code, near_codes
from netlang.report.ops import document, document_all
from netlang.report.plan import draw_plan, summarize_plan
from netlang.report.specs import describe_sizes, spec_json, summarize_spec
from netlang.report.tables import draw_network, draw_op, draw_ops, draw_program, draw_table

LONGEST: Final = 120
"""The most characters of what a spec says of itself in the list of all."""


@click.command()
@spec_argument
@size_option
@click.option("--depth", type=click.IntRange(0, 64), metavar="LEVELS", default=0, help="Open blocks and pipelines this deep.")
@click.option("--program", is_flag=True, help="Show the training program as compiled: what is updated, frozen, shared.")
@json_option
def show(spec: str, overrides: dict[str, str], sizes: dict[str, int], depth: int, program: bool, as_json: bool) -> None:
    """Show shapes, parameters, multiply-adds and memory.

    One row for every entry of every network, totals, and the training program in words.

    \b
    netlang show vgg19 --size N=8
    netlang show dcgan --program
    """
    checked = check(spec, set=overrides).require()
    if program:
        _show_plan(checked, as_json)
        return
    summary = summarize_spec(checked, sizes, depth)
    if as_json:
        write(json.dumps(spec_json(summary), indent=2) + "\n")
        return
    show_diagnostics(checked.diagnostics)
    width, color = table_width(sys.stdout), has_color(sys.stdout)
    parts = [draw_network(network, width=width, color=color) for network in summary.networks]
    if summary.cells:
        columns, rows = cell_table(summary.cells)
        parts.append(draw_table(columns, rows, width=width, color=color))
    parts.append(describe_sizes(summary))
    parts.append(draw_program(summary.data, summary.program))
    write("\n".join(part for part in parts if part))


def _show_plan(checked: Checked, as_json: bool) -> None:
    plan = summarize_plan(checked)
    if as_json:
        write(json.dumps(dataclasses.asdict(plan), indent=2) + "\n")
        return
    show_diagnostics(checked.diagnostics)
    write(draw_plan(plan, width=table_width(sys.stdout), color=has_color(sys.stdout)))


@click.command()
@click.argument("code", required=False)
def explain(code: str | None) -> None:
    """Explain a diagnostic code, or list them all.

    \b
    netlang explain NL203
    """
    width, color = table_width(sys.stdout), has_color(sys.stdout)
    if code is None:
        write(draw_codes(CODES.values(), width=width, color=color))
        return
    found = find_code(code)
    if found is None:
        raise unknown_name("code", code, near_codes(code), "`netlang explain` lists them.")
    write(draw_code(found, color=color))


@click.command()
@click.argument("name", required=False)
@json_option
def ops(name: str | None, as_json: bool) -> None:
    """List the ops of the language, or document one.

    \b
    netlang ops conv
    """
    width, color = table_width(sys.stdout), has_color(sys.stdout)
    if name is None:
        families = document_all(op for op in OPS.values() if not op.internal)
        if as_json:
            write(json.dumps([dataclasses.asdict(op) for op in chain.from_iterable(families.values())], indent=2) + "\n")
        else:
            write(draw_ops(families, width=width, color=color))
        return
    if name not in OPS:
        raise unknown_name("op", name, near_names(name, [item for item, op in OPS.items() if not op.internal]), "`netlang ops` lists them.")
    op = document(OPS[name])
    write(json.dumps(dataclasses.asdict(op), indent=2) + "\n" if as_json else draw_op(op, width=width, color=color))


@click.command()
@json_option
def specs(as_json: bool) -> None:
    """List the specs that come with netlang.

    Every command takes their names in place of a path; where no other has the same last part, that is enough: `lenet5`.
    """
    found = list_specs()
    if as_json:
        write(json.dumps(found, indent=2) + "\n")
    else:
        rows = [(name, shorten(doc, LONGEST, placeholder=" …")) for name, doc in found.items()]
        write(draw_table([("spec", "left"), ("", "left")], rows, width=table_width(sys.stdout), color=has_color(sys.stdout)))


@click.command()
def schema() -> None:
    """Print the JSON Schema of specs, for editors.

    \b
    netlang schema > netlang.schema.json
    """
    write(json.dumps(SCHEMA, indent=2) + "\n")
