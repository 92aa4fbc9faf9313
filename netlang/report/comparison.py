"""What a comparison of back ends found, as a table, as JSON, and its first disagreement as a diagnostic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, final

from compiler.diagnostics import Diagnostic, Label
from compiler.source import Span
from netlang.report.tables import draw_table

Kind: TypeAlias = Literal["forward", "gradient", "statistic"]
MEASURED: Final = {"numpy": "NumPy", "torch file": "the stand-alone PyTorch file", "numpy file": "the stand-alone NumPy file"}
"""What is held against PyTorch, with what a message calls it."""


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One tensor: where it stands (a network or a step), its entry or parameter, and its errors by what was compared."""

    kind: Kind
    place: str
    name: str
    errors: Mapping[str, float]
    span: Span | None

    @property
    def worst(self) -> float:
        return max(self.errors.values())

    @property
    def title(self) -> str:
        return self.name if self.kind == "forward" else f"{self.kind} of {self.name.replace('/', '.', 1)}"


@final
@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows in the order of computation; `left_out` says what could not be compared, and why."""

    rows: tuple[Row, ...]
    tolerance: float
    left_out: tuple[str, ...]

    @property
    def first(self) -> Row | None:
        """The first tensor past the tolerance; those after it may be wrong because it is."""
        return next((row for row in self.rows if not row.worst <= self.tolerance), None)


def draw_comparison(found: Comparison, *, width: int | None, color: bool) -> str:
    """A table a network or step with the error of every entry, gradient and statistic; then what was left out, and the worst."""
    parts = []
    for forward, place in dict.fromkeys((row.kind == "forward", row.place) for row in found.rows):
        mine = [row for row in found.rows if (row.kind == "forward", row.place) == (forward, place)]
        columns = [item for item in MEASURED if any(item in row.errors for row in mine)]
        table = [(row.title, *(f"{row.errors[item]:.1e}" if item in row.errors else "" for item in columns)) for row in mine]
        heading = [(place if forward else f"step {place}", "left"), *((item, "right") for item in columns)]
        parts.append(draw_table(heading, table, width=width, color=color))
    parts += ["".join(f"left out: {text}\n" for text in found.left_out)] if found.left_out else []
    worst = max((row.worst for row in found.rows), default=0.0)
    parts.append(f"worst error {worst:.1e} of PyTorch's largest number, allowed {found.tolerance:.1e}\n")
    return "\n".join(parts)


def comparison_json(found: Comparison) -> dict[str, Any]:
    """Everything for tools; `first` is the index of the first row past the tolerance. An infinite error is null."""
    return {
        "tolerance": found.tolerance,
        "agrees": found.first is None,
        "first": None if found.first is None else found.rows.index(found.first),
        "left_out": list(found.left_out),
        "rows": [
            {"kind": row.kind, "place": row.place, "name": row.name}
            | ({} if row.span is None else {"line": row.span.line, "column": row.span.column})
            | {"errors": {name: error if error < float("inf") else None for name, error in row.errors.items()}}
            for row in found.rows
        ],
    }


def disagreement(row: Row, tolerance: float) -> Diagnostic:
    """NL725 at the first entry or layer that differs."""
    name, error = max(row.errors.items(), key=lambda item: item[1])
    what, _, of = row.title.rpartition(" of ")
    tensor = f"{what} of `{of}`" if what else f"`{of}`"
    where = f"network `{row.place}`" if row.kind == "forward" else f"step `{row.place}`"
    return Diagnostic(
        "NL725",
        f"PyTorch and {MEASURED[name]} disagree first in {tensor} of {where}, by {error:.1e} of its largest number",
        None if row.span is None else Label(row.span),
        notes=(f"{tolerance:.1e} is allowed",),
        help="what follows may differ because this does; allow more with `--tolerance`, or report it with the spec",
    )
