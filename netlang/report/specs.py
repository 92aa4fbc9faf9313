"""A whole spec in numbers: its networks, its data, its training program."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from compiler.diagnostics import Diagnostic, SpecError
from compiler.front.checked import Checked
from netlang.report.cells import CellRow, count_cells
from netlang.report.networks import NetworkSummary, network_json, summarize
from netlang.report.program import DataSummary, ProgramSummary, summarize_data, summarize_program


@final
@dataclass(frozen=True, slots=True)
class SpecSummary:
    """What `netlang show` shows; variables, which are networks without inputs, belong to the program."""

    name: str
    doc: str
    networks: tuple[NetworkSummary, ...]
    cells: tuple[CellRow, ...]
    data: tuple[DataSummary, ...]
    program: ProgramSummary | None


def summarize_spec(checked: Checked, sizes: Mapping[str, int] | None = None, depth: int = 0) -> SpecSummary:
    """The summary of a correct spec; raises SpecError NL704 for a size that no network has."""
    known = {symbol: None for graph in checked.networks.values() for symbol in graph.symbols}
    for name in sizes or {}:
        if name not in known:
            help = f"symbolic sizes of its networks are {', '.join(known)}" if known else "all sizes of its networks are numbers"
            raise SpecError((Diagnostic("NL704", f"`--size {name}` names no size of this spec", None, help=help),))
    return SpecSummary(
        checked.name,
        checked.doc,
        tuple(summarize(graph, sizes, depth) for graph in checked.networks.values() if graph.inputs),
        count_cells(checked),
        summarize_data(checked),
        None if checked.program is None else summarize_program(checked.program),
    )


def describe_sizes(summary: SpecSummary) -> str:
    """What the amounts stand for and how to get others; empty where every size is a number."""
    batches = list(dict.fromkeys(network.batch for network in summary.networks if network.batch is not None))
    sizes = list(dict.fromkeys(name for network in summary.networks for name in network.open_sizes))
    lines = []
    if batches:
        ones = ", ".join(f"{name} = 1" for name in batches)
        lines.append(f"multiply-adds and activations are for one example ({ones}); `--size {batches[0]}=64` gives those of a batch\n")
    if sizes:
        given = ",".join(f"{name}=224" for name in sizes)
        lines.append(f"{', '.join(sizes)} {'is' if len(sizes) == 1 else 'are'} open; `--size {given}` gives numbers in place of formulas\n")
    return "".join(lines)


def spec_json(summary: SpecSummary) -> dict[str, object]:
    """The summary for tools."""
    return {
        "name": summary.name,
        "doc": summary.doc,
        "networks": [network_json(network) for network in summary.networks],
        "cells": [dataclasses.asdict(item) for item in summary.cells],
        "data": [dataclasses.asdict(item) for item in summary.data],
        "train": None if summary.program is None else dataclasses.asdict(summary.program),
    }
