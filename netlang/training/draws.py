"""The random tensors of a program and its steps. NumPy draws them for every back end, so that one seed gives one run everywhere.

Each evaluation has a generator of its own, PCG64 seeded with the run's seed, the purpose and a count, so the count is the whole state.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, final

from compiler.backends.numpy_backend import load_numpy
from compiler.front.checked import Checked
from compiler.ir.graph import Graph
from compiler.ir.training import Program
from compiler.passes.program_inputs import TRAIN
from compiler.passes.program_plan import ProgramPlan, plan_apart
from netlang.training.feed import needed_arrays
from netlang.training.functions import ROWS, Function, bind, name_results, with_own_names, with_rows
from netlang.training.seeds import Purpose, derive_seed

if TYPE_CHECKING:
    import numpy as np

    Arrays = dict[str, np.ndarray[Any, Any]]


COUNT: Final = "draws"
"""What checkpoints call the count."""


def read_count(saved: Any) -> int:
    """A count that was saved as a tensor; ValueError where there is none."""
    if saved is None:
        raise ValueError("the random states hold no count of draws")
    return int(saved)


@final
class Draws:
    """Draws of a run; `count` is how often it drew."""

    def __init__(self, program: Program, plan: ProgramPlan, seed: int) -> None:
        wanted = [program.draws, *plan.drawn, *(item.init for item in program.variables.values())]
        functions = iter(_load([graph for graph in wanted if graph is not None]))
        self._program = None if program.draws is None else next(functions)
        self._steps = [None if graph is None else next(functions) for graph in plan.drawn]
        self._variables = {name: next(functions) for name in program.variables}
        self._seed = seed
        self._purpose = Purpose.TRAINING
        self._kept = 0
        self.count = 0

    def begin(self, fixed: Arrays) -> Arrays:
        """The first values of variables, from the data that stays the same."""
        return {name: function(fixed, generator=self._generator())[""] for name, function in self._variables.items()}

    def draw(self, rows: int) -> Arrays:
        """What the program draws once an iteration, for a batch of `rows`."""
        return self._call(self._program, rows)

    def draw_step(self, step: int, rows: int) -> Arrays:
        """What a step draws for one evaluation."""
        return self._call(self._steps[step], rows)

    def begin_evaluation(self) -> None:
        """Draw as at the beginning of every evaluation; to be ended."""
        self._kept, self._purpose, self.count = self.count, Purpose.EVALUATION, 0

    def end_evaluation(self) -> None:
        """Draw on as if nothing had happened."""
        self._purpose, self.count = Purpose.TRAINING, self._kept

    def _call(self, function: Function | None, rows: int) -> Arrays:
        import numpy as np

        if function is None:
            return {}
        return dict(function({ROWS: np.empty(rows, np.uint8)}, generator=self._generator()))

    def _generator(self) -> np.random.Generator:
        import numpy as np

        self.count += 1
        return np.random.default_rng([derive_seed(self._seed, self._purpose), self.count])


def first_values(checked: Checked, seed: int) -> Arrays:
    """What the variables of a spec are at the start of a run from this seed; raises SpecError (codes NL5xx)."""
    program = checked.program
    if program is None or not program.variables:
        return {}
    alone = replace(program, draws=None, steps=())
    _, fixed = needed_arrays(checked, TRAIN, [item.init for item in program.variables.values()])
    return Draws(alone, plan_apart(alone), seed).begin(fixed)


def _load(graphs: list[Graph]) -> list[Function]:
    """Functions of the graphs, whose results come by name."""
    named = with_own_names([with_rows(graph) for graph in graphs], set())
    steps = load_numpy(named).steps
    return [name_results(bind(steps[graph.name], graph, {}), graph) for graph in named]
