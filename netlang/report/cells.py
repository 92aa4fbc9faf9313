"""How many weights the cells of a spec have, as formulas of the width of their input and of their size.

Counted, not read off declarations: a weight that a constant leaves out of the equations is not made. A cell is shown if it has one
input of rank 1 and one constant without a default, its size. Counts are polynomials of degree 2, fitted to six and held to a seventh.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, TypeVar, final

from compiler.front.checked import Checked, check
from compiler.front.spec import CellDefinition
from compiler.ir.dims import Dim
from compiler.ir.measure import parameter_count
from compiler.source import Source

POINTS: Final = ((2, 3), (3, 3), (4, 3), (2, 4), (2, 5), (3, 4), (5, 7))
"""Widths and sizes that are counted; the last is the proof."""
EXAMPLE: Final = (28, 128)
T = TypeVar("T", int, Dim)


@final
@dataclass(frozen=True, slots=True)
class CellRow:
    """A cell as it is called, its weights as a formula of D, the input's width, and its size; and their number in the example."""

    call: str
    formula: str
    example: int


def count_cells(checked: Checked) -> tuple[CellRow, ...]:
    """The cells of a spec without networks that can be counted."""
    source = checked.source
    if source is None or checked.networks:
        return ()
    sizes = {name: size for name, cell in checked.cells.items() if (size := size_of(cell)) is not None}
    lines = [
        f"  {name}_{index}: {{inputs: {{x: [N, T, {width}]}}, layers: {{s: scan({name}({size}))}}}}\n"
        for name in sizes
        for index, (width, size) in enumerate(POINTS)
    ]
    probe = check(Source(source.path, f"{source.text.rstrip()}\nnetworks:\n{''.join(lines)}"))
    rows = []
    for name, size in sizes.items():
        graphs = [probe.networks.get(f"{name}_{index}") for index in range(len(POINTS))]
        counts = [parameter_count(graph) for graph in graphs if graph is not None]
        formula = fit(counts, size) if len(counts) == len(POINTS) else None
        if formula is not None:
            rows.append(CellRow(f"{name}({size})", str(formula), formula.evaluate({"D": EXAMPLE[0], size: EXAMPLE[1]})))
    return tuple(rows)


def size_of(cell: CellDefinition) -> str | None:
    """The one constant that must be given; None where the cell is of another kind."""
    needed = [item.name for item in cell.header.parameters if item.default is None]
    return needed[0] if len(needed) == 1 and needed[0] != "D" and len(cell.body.inputs) == 1 else None


def terms(d: T, h: T) -> tuple[T, ...]:
    """The products that counts are made of."""
    return d * h, h * h, h, d * d, d, d - d + 1


def fit(counts: list[int], size: str) -> Dim | None:
    """The polynomial of degree 2 in D and `size` with whole coefficients that gives the counts; None where there is none."""
    rows = [[*map(Fraction, terms(*point)), Fraction(count)] for point, count in zip(POINTS[:-1], counts, strict=False)]
    for column in range(len(rows)):
        pivot = next(row for row in rows[column:] if row[column])
        rows.remove(pivot)
        pivot = [item / pivot[column] for item in pivot]
        rows = [[a - row[column] * b for a, b in zip(row, pivot, strict=True)] for row in rows]
        rows.insert(column, pivot)
    found = [row[-1] for row in rows]
    if any(item.denominator != 1 for item in found):
        return None
    products = terms(Dim.symbol("D"), Dim.symbol(size))
    made = sum((product * int(item) for product, item in zip(products, found, strict=True)), start=Dim.of(0))
    return made if made.evaluate({"D": POINTS[-1][0], size: POINTS[-1][1]}) == counts[-1] else None


def cell_table(rows: tuple[CellRow, ...]) -> tuple[list[tuple[str, str]], list[tuple[str, ...]]]:
    """Columns and rows of a table."""
    width, size = EXAMPLE
    columns = [("cell", "left"), ("weights, for inputs of D numbers", "left"), (f"D = {width}, size {size}", "right")]
    return columns, [(row.call, row.formula, f"{row.example:,}") for row in rows]
