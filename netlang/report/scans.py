"""By which way each scan of a network runs, and why; nothing is loaded to find out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from compiler.backends.scan_ways import ScanWay, WayKind, choose_way
from compiler.ir.graph import Graph
from compiler.ops.scan import Scan
from compiler.passes.inline import inline

WAYS: Final[Mapping[WayKind, str]] = {
    "vendor": "PyTorch's own kernel",
    "native": "native loop",
    "arrays": "compiled loop",
    "loop": "plain loop",
}
"""What the ways are called."""


@final
@dataclass(frozen=True, slots=True)
class ScanRow:
    """A scan by its entry: the cell, and how it runs on each back end, with the reason."""

    entry: str
    cell: str
    torch: str
    numpy: str


def list_scans(graph: Graph) -> tuple[ScanRow, ...]:
    """The scans of a network in their order, those of blocks after the entry they stand in."""
    rows: dict[ScanRow, None] = {}
    for node in inline(graph).nodes:
        if isinstance(node.op, Scan):
            cell, lengths = node.op.cell, node.op.lengths
            ways = (choose_way(cell, lengths=lengths, torch=torch) for torch in (True, False))
            rows[ScanRow(node.entry, cell.name, *map(describe_way, ways))] = None
    return tuple(rows)


def describe_way(way: ScanWay) -> str:
    """The way and why."""
    return f"{WAYS[way.kind]}: {way.reason}"
