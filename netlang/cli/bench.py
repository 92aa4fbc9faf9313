"""The command `bench`."""

from __future__ import annotations

import json
import sys

import click

from netlang.benchmark import benchmark
from netlang.checking import check
from netlang.cli.exits import Exit
from netlang.cli.options import json_option, spec_argument
from netlang.cli.streams import has_color, table_width, write
from netlang.report.benchmark import benchmark_json, draw_benchmark


@click.command()
@spec_argument
@click.option("--batch", type=click.IntRange(1, 2**20), metavar="NUMBER", help="What N is in forward passes: the program's batch, or 1.")
@click.option("--seconds", type=click.FloatRange(0, 600), default=2.0, show_default=True, metavar="NUMBER", help="For each row, about.")
@click.option("--compile", "compiled", is_flag=True, help="Time torch.compile too; it takes a minute to begin.")
@json_option
def bench(spec: str, overrides: dict[str, str], batch: int | None, seconds: float, compiled: bool, as_json: bool) -> int:
    """Time networks and training steps on PyTorch and NumPy.

    In turn in one process; ratios below 1 are faster than PyTorch, eager.

    \b
    netlang bench lenet5
    """
    found = benchmark(check(spec, set=overrides).require(), batch=batch, seconds=seconds, compiled=compiled)
    if as_json:
        write(json.dumps(benchmark_json(found), indent=2) + "\n")
    else:
        write(draw_benchmark(found, width=table_width(sys.stdout), color=has_color(sys.stdout)))
    return Exit.GOOD
