"""Which fields of the data sources a program's graphs read, and what the graphs call them.

A graph's input is called after the field of the split (`image`), `source_field` of any other source, or the source that is one tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, final

from compiler.front.checked import Checked
from compiler.front.program_names import SPLITS
from compiler.ir.dims import Dim
from compiler.ir.graph import Graph
from compiler.ir.training import Program, Text
from compiler.ir.types import TensorType
from compiler.passes.program_plan import name_input

TRAIN: Final = "train"
COUNT: Final = Dim.symbol("N")


@final
@dataclass(slots=True)
class Needed:
    """Fields by source, each with the input that it is read as: of sources with samples, and of those that are one tensor each."""

    sampled: dict[str, dict[str, str]] = field(default_factory=dict)
    fixed: dict[str, dict[str, str]] = field(default_factory=dict)


def source_types(checked: Checked) -> dict[str, Mapping[str, TensorType]]:
    """The types of the fields of a spec's sources; raises ReaderError."""
    return {source: reader.fields(checked.folder) for source, reader in checked.readers.items()}


def needed_fields(types: Mapping[str, Mapping[str, TensorType]], split: str, graphs: Iterable[Graph]) -> Needed:
    """What graphs read of `split` and of the sources that are no split, of those whose types are given."""
    wanted = {value.name for graph in graphs for value in graph.inputs}
    found = Needed()
    for source, fields in types.items():
        if source in SPLITS and source != split:
            continue
        for name, type in fields.items():
            called = name_input(source, name)
            if called in wanted:
                kind = found.sampled if type.shape[:1] == (COUNT,) else found.fixed
                kind.setdefault(source, {})[name] = called
    return found


def training_graphs(program: Program) -> list[Graph]:
    """The graphs whose inputs an iteration takes, and those of first values."""
    carry = [] if program.carry is None else [program.carry.following]
    return [*(step.graph for step in program.steps), *carry, *(item.init for item in program.variables.values())]


def evaluation_graphs(program: Program, *, samples: bool = True) -> list[Graph]:
    """The graphs that read evaluation data."""
    sampled = [item.graph for item in program.samples.values() if not isinstance(item, Text)] if samples else []
    return [*program.metrics.values(), *sampled]


def data_key(source: str, field: str) -> str:
    """What a file with the data of all sources calls a field."""
    return f"{source}_{field}" if field else source
