"""The command `compare`."""

from __future__ import annotations

import json
import sys

import click

from netlang.checking import check
from netlang.cli.exits import Exit
from netlang.cli.options import json_option, spec_argument
from netlang.cli.streams import has_color, show_diagnostics, table_width, write
from netlang.comparison import compare as compare_back_ends
from netlang.report.comparison import comparison_json, disagreement, draw_comparison


@click.command()
@spec_argument
@click.option("--batch", type=click.IntRange(1, 4096), default=4, show_default=True, metavar="NUMBER", help="What N is.")
@click.option("--dtype", type=click.Choice(["f32", "f64"]), default="f64", show_default=True, help="What stands for the spec's f32.")
@click.option("--tolerance", type=click.FloatRange(0), metavar="NUMBER", help="The largest error allowed: 1e-10 (f64), 1e-4 (f32).")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, metavar="NUMBER", help="Draws weights and inputs.")
@json_option
def compare(
    spec: str, overrides: dict[str, str], batch: int, dtype: str, tolerance: float | None, seed: int, as_json: bool
) -> int:  # fmt: skip
    """Hold PyTorch, NumPy and the stand-alone files against each other.

    Every entry of every network and every gradient of every step, on drawn inputs. The exit code is 1 where one differs.

    \b
    netlang compare lenet5
    """
    checked = check(spec, set=overrides).require()
    found = compare_back_ends(checked, batch=batch, dtype=dtype, tolerance=tolerance, seed=seed)
    if as_json:
        write(json.dumps(comparison_json(found), indent=2) + "\n")
    else:
        write(draw_comparison(found, width=table_width(sys.stdout), color=has_color(sys.stdout)))
    if found.first is None:
        return Exit.GOOD
    show_diagnostics([disagreement(found.first, found.tolerance)])
    return Exit.WRONG
