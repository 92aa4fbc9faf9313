"""Results as text for people: tables laid out by rich, returned as strings. Nothing here prints.

A table is as wide as it needs to be up to `width`; without a width (a pipe, a file) nothing is wrapped or cut.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence

from compiler.diagnostics.snippet import escape
from netlang.report.amounts import format_bytes, format_count
from netlang.report.networks import NetworkSummary
from netlang.report.ops import OpDoc
from netlang.report.program import DataSummary, ProgramSummary

NO_LIMIT = 10_000
Column = tuple[str, str]
"""A heading and `left` or `right`."""


def draw_table(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], *, width: int | None, color: bool, last: Sequence[str] = ()
) -> str:
    """A table with a rule under its head, and above `last` (the totals) where there are any."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold", show_edge=False)
    for heading, side in columns:
        table.add_column(heading, justify="right" if side == "right" else "left", overflow="fold", no_wrap=side == "right")
    body = list(rows)
    for number, row in enumerate(body):
        table.add_row(*(Text(escape(cell)) for cell in row), end_section=bool(last) and number == len(body) - 1)
    if last:
        table.add_row(*(Text(escape(cell), style="bold") for cell in last))
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=width or NO_LIMIT,
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
        legacy_windows=False,
    )
    console.print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def draw_network(summary: NetworkSummary, *, width: int | None, color: bool) -> str:
    """The entries of a network with their totals, then what the totals stand for."""
    columns = [
        ("entry", "left"),
        ("op", "left"),
        ("output", "left"),
        ("parameters", "right"),
        ("multiply-adds", "right"),
        ("activations", "right"),
    ]
    rows = [
        (
            "  " * row.depth + row.name,
            row.op,
            row.shape,
            _or_blank(format_count(row.parameters)),
            _or_blank(format_count(row.multiply_adds)),
            format_bytes(row.activations),
        )
        for row in summary.rows
    ]
    totals = (
        "total",
        "",
        _outputs(summary),
        f"{summary.trainable:,}",
        format_count(summary.multiply_adds),
        format_bytes(summary.activations),
    )
    inputs = ", ".join(f"{name}: {type}" for name, type in summary.inputs.items())
    head = f"{summary.name}({inputs})\n"
    table = draw_table(columns, rows, width=width, color=color, last=totals)
    return "\n".join([escape(head, keep="\n"), table, _totals(summary), *_draw_scans(summary)])


def _draw_scans(summary: NetworkSummary) -> list[str]:
    """By which way each scan runs, a line for each back end."""
    lines = []
    for row in summary.scans:
        lines += [f"{row.entry} runs {row.cell}", f"  on PyTorch  {row.torch}", f"  on NumPy    {row.numpy}"]
    return [escape("".join(f"{line}\n" for line in lines), keep="\n")] if lines else []


def _or_blank(text: str) -> str:
    return "" if text == "0" else text


def _outputs(summary: NetworkSummary) -> str:
    if list(summary.outputs) == [""]:
        return summary.outputs[""]
    return ", ".join(f"{name}: {type}" for name, type in summary.outputs.items())


def _totals(summary: NetworkSummary) -> str:
    trained = f"{summary.trainable:,} trained numbers"
    buffers = f" and {summary.buffers:,} in buffers" if summary.buffers else ""
    lines = [f"{trained}{buffers}, {format_bytes(summary.parameter_bytes)}"]
    if summary.calls:
        lines.append(f"uses the weights of {', '.join(summary.calls)}")
    return "".join(f"{line}\n" for line in lines)


def draw_program(data: Sequence[DataSummary], program: ProgramSummary | None) -> str:
    """The data, the steps and the metrics as a few lines; empty without any."""
    lines = []
    if data:
        names, readers = (max(map(len, texts)) for texts in zip(*((item.name, item.reader) for item in data), strict=True))
        lines.append("data")
        for item in data:
            fields = ", ".join(f"{name}: {type}" if name else type for name, type in item.fields.items())
            lines.append(f"  {item.name:<{names}}  {item.reader:<{readers}}  {fields}".rstrip())
    if program is not None:
        if program.variables:
            lines += ["", "variables", *_list_types(program.variables)]
        cadence = "".join(f", {item}" for item in program.cadence)
        lines += ["", f"train for {program.length}, {program.batch:,} examples at a time, seed {program.seed}{cadence}"]
        for number, step in enumerate(program.steps, start=1):
            lines.append(f"  {number}. {step.sense} {step.objective}")
            options = "".join(f", {name.replace('_', ' ')} {value}" for name, value in step.options.items())
            lines.append(f"     by updating {', '.join(step.update)} with {step.optimizer}{options}")
        if program.metrics:
            lines.append(f"  metrics on {program.evaluation}: {', '.join(program.metrics)}")
        if program.samples:
            lines += ["  samples", *(f"  {line}" for line in _list_types(program.samples))]
        if program.carried:
            lines += ["  carried from iteration to iteration", *(f"  {line}" for line in _list_types(program.carried))]
    return escape("".join(f"{line}\n" for line in lines), keep="\n").lstrip("\n")


def _list_types(types: Mapping[str, str]) -> list[str]:
    width = max(map(len, types))
    return [f"  {name:<{width}}  {type}" for name, type in types.items()]


def draw_ops(families: dict[str, list[OpDoc]], *, width: int | None, color: bool) -> str:
    """Every op with its signature and one sentence, a table a family."""
    parts = []
    for family, ops in families.items():
        rows = [(op.short_signature, op.summary) for op in ops]
        parts.append(draw_table([(family, "left"), ("", "left")], rows, width=width, color=color))
    return "\n".join(parts)


def draw_op(op: OpDoc, *, width: int | None, color: bool) -> str:
    """One op: signature, documentation, attributes, formula."""
    parts = [f"{op.signature}\n", f"{op.doc}\n"]
    if op.attributes:
        rows = [(item.name, item.kind.replace("`", ""), "" if item.default is None else item.default) for item in op.attributes]
        parts.append(draw_table([("attribute", "left"), ("takes", "left"), ("default", "left")], rows, width=width, color=color))
    facts = []
    if op.formula is not None:
        facts.append(f"formula: {op.formula}")
    if op.parameters:
        facts.append(f"parameters: {', '.join(op.parameters)}")
    if op.random:
        facts.append("draws random numbers")
    if facts:
        parts.append("".join(f"{fact}\n" for fact in facts))
    return "\n".join(parts)
