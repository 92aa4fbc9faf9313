"""What a printed training file reads and runs for: the arrays of a program's data, the iterations of a whole run."""

from __future__ import annotations

from typing import Any

from compiler.front.checked import Checked
from compiler.passes.program_inputs import TRAIN, data_key, evaluation_graphs, training_graphs
from netlang.training.feed import Feed, read_source
from netlang.training.start import count_total


def program_arrays(checked: Checked) -> dict[str, Any]:
    """The arrays that training and metrics read, by the keys of the data file; raises SpecError (codes NL5xx)."""
    program = checked.require().program
    assert program is not None
    found: dict[str, Any] = {}
    for split, graphs in ((TRAIN, training_graphs(program)), (program.evaluation, evaluation_graphs(program, samples=False))):
        for source in checked.readers:
            fields, arrays = read_source(checked, source, split, graphs)
            needed = {**fields.sampled.get(source, {}), **fields.fixed.get(source, {})}
            found |= {data_key(source, field): arrays[field] for field in needed}
    return found


def total_iterations(checked: Checked) -> int:
    """The iterations of a whole run; reads the data where the program counts epochs."""
    program = checked.require().program
    assert program is not None
    return count_total(program, Feed(checked, program.seed)) if program.iterations is None else program.iterations
