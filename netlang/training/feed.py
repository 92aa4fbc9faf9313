"""The tensors that graphs read by name: batches of the data sources, in an order that the seed and the position alone decide.

Inputs are called as compiler/passes/program_inputs.py says. Non-goals: draws, devices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, final

from compiler.diagnostics import SpecError
from compiler.front.checked import Checked
from compiler.front.readers import ReaderError
from compiler.ir.graph import Graph
from compiler.passes.lift_draws import is_lifted
from compiler.passes.program_inputs import TRAIN, Needed, evaluation_graphs, needed_fields, training_graphs
from netlang.data.fields import read_arrays
from netlang.training.failures import failure

if TYPE_CHECKING:
    from netlang.data.batches import Batches


def needed_arrays(checked: Checked, split: str, graphs: Sequence[Graph]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """What these graphs read: the arrays of sources with samples, by source and input, and the sources that are one tensor each."""
    sampled: dict[str, dict[str, Any]] = {}
    fixed: dict[str, Any] = {}
    for source in checked.readers:
        fields, arrays = read_source(checked, source, split, graphs)
        if source in fields.sampled:
            sampled[source] = {name: arrays[field] for field, name in fields.sampled[source].items()}
        fixed |= {name: arrays[field] for field, name in fields.fixed.get(source, {}).items()}
    return sampled, fixed


def read_source(checked: Checked, source: str, split: str, graphs: Sequence[Graph]) -> tuple[Needed, Mapping[str, Any]]:
    """The fields of a source that graphs read, and its arrays where there are any; raises SpecError (codes NL5xx)."""
    reader = checked.readers[source]
    try:
        fields = needed_fields({source: reader.fields(checked.folder)}, split, graphs)
        return fields, read_arrays(reader, checked.folder) if fields.sampled or fields.fixed else {}
    except ReaderError as error:
        raise _failed(checked, source, error) from error


def _failed(checked: Checked, source: str, error: ReaderError) -> SpecError:
    return failure(error.code, f"data source `{source}`: {error.message}", checked.places.get(source), help=error.help)


@final
class Feed:
    """The training data of a run.

    Where one size N serves several things (two sources, or data and draws), an epoch's incomplete last batch is left out.
    Where states are carried, each row of a batch follows on the same row of the batch before, as windows of a text do.
    """

    def __init__(self, checked: Checked, seed: int) -> None:
        from netlang.data.batches import Batches

        program = checked.require().program
        assert program is not None
        sampled, self.fixed = needed_arrays(checked, TRAIN, training_graphs(program))
        streams = program.carry is not None
        draws = program.draws is not None or any(is_lifted(node) for step in program.steps for node in step.graph.nodes)
        whole = len(sampled) > 1 or draws or streams
        order = list(checked.readers)
        self.sources: dict[str, Batches] = {}
        for source, arrays in sampled.items():
            try:
                self.sources[source] = Batches(arrays, program.batch, (seed, order.index(source)), drop_last=whole, streams=streams)
            except ReaderError as error:
                raise _failed(checked, source, error) from error
        self.source_of = {name: source for source, arrays in sampled.items() for name in arrays}
        self.batch = program.batch

    @property
    def epoch(self) -> int:
        """Whole passes over `train`."""
        return self.sources[TRAIN].position.epoch if TRAIN in self.sources else 0

    @property
    def positions(self) -> dict[str, tuple[int, int]]:
        return {name: (batches.position.epoch, batches.position.sample) for name, batches in self.sources.items()}

    def seek(self, positions: Mapping[str, tuple[int, int]]) -> None:
        """Go to saved positions; ValueError where a source has none or no batch starts there."""
        if positions.keys() != self.sources.keys():
            raise ValueError(f"positions of {sorted(positions)}, sources {sorted(self.sources)}")
        for name, batches in self.sources.items():
            batches.seek(positions[name])

    def take(self, source: str) -> dict[str, Any]:
        """The next batch of a source, by input."""
        return self.sources[source].next_batch()


@final
class Evaluation:
    """The evaluation data of a spec's metrics and samples, read once.

    Each example counts once in metrics. Metrics that read no data get one empty batch of the program's size. Sources of different
    lengths end with the shortest.
    """

    def __init__(self, checked: Checked) -> None:
        program = checked.require().program
        assert program is not None
        sampled, self.fixed = needed_arrays(checked, program.evaluation, evaluation_graphs(program))
        self._arrays = {name: array for arrays in sampled.values() for name, array in arrays.items()}
        self._measured = {value.name for graph in program.metrics.values() for value in graph.inputs}
        self._batch = program.batch

    def batches(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Batches for metrics, by input, with their numbers of examples."""
        from netlang.data.batches import in_order

        arrays = self._aligned(self._measured)
        if not arrays:
            yield self._batch, {}
            return
        first = next(iter(arrays))
        for batch in in_order(arrays, self._batch):
            yield len(batch[first]), batch

    def take(self, names: Set[str], count: int) -> tuple[int, dict[str, Any]]:
        """The first examples of these inputs: `count`, or as many as there are; how many, and the arrays."""
        arrays = self._aligned(names)
        rows = min((len(array) for array in arrays.values()), default=count)
        return min(rows, count), {name: array[:count] for name, array in arrays.items()}

    def _aligned(self, names: Set[str]) -> dict[str, Any]:
        """The arrays of these inputs, all as long as the shortest."""
        arrays = {name: array for name, array in self._arrays.items() if name in names}
        shortest = min(map(len, arrays.values()), default=0)
        return {name: array[:shortest] for name, array in arrays.items()}
