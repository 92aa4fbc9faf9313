"""What an iteration of a training program computes, and in which order: the plan that back ends run and print.

Contract: a step's graph in the plan reads, besides its own inputs, what it draws, shared values (see share.py) and replayed ones under
new names, and computes the same objective. Plans of flat graphs, in which a step computes its gradients, and of graphs with calls are
made alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, final

from compiler.front.checked import Checked
from compiler.front.program_names import SPLITS
from compiler.ir.graph import Graph, Node, Value
from compiler.ir.prune import prune_inputs
from compiler.ir.training import Lbfgs, Program, Step
from compiler.ops.program import Replay
from compiler.passes.expand import expand_own, lacks_torch
from compiler.passes.lift_draws import lift_draws
from compiler.passes.share import Shared, Unit, share

NOTHING: Final[frozenset[str]] = frozenset()


@final
@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """What goes into a step's buffers: outputs of `graph` by the input of the step that reads the buffer, with the buffers' sizes."""

    graph: Graph
    sizes: Mapping[str, int]


@final
@dataclass(frozen=True, slots=True, eq=False)
class ProgramPlan:
    """The graphs of an iteration: carried states first, then each step after what its buffers take; shared ones when first read.

    `drawn` are what each step draws for itself, by the input that reads it, in every evaluation anew.
    """

    shared: tuple[Shared, ...]
    carry: Graph | None
    drawn: tuple[Graph | None, ...]
    replayed: tuple[Replayed | None, ...]
    steps: tuple[Graph, ...]

    @property
    def evaluated(self) -> tuple[Graph, ...]:
        """The graphs that an iteration evaluates, apart from shared ones."""
        carry = () if self.carry is None else (self.carry,)
        return (*carry, *(item.graph for item in self.replayed if item is not None), *self.steps)

    def shared_of(self, graph: Graph) -> list[int]:
        """The shared graphs that a graph of the plan reads, directly or not, each after those it reads itself."""
        found: set[int] = set()
        pending = [graph]
        while pending:
            read = {value.name for value in pending.pop().inputs}
            for index, item in enumerate(self.shared):
                if index not in found and not read.isdisjoint(item.names):
                    found.add(index)
                    pending.append(item.graph)
        return sorted(found)


Flatten = Callable[[Graph, Step | None], Graph]
"""Makes of a graph of the program a flat one: of a step's with its gradients, of others (None) their values.

Without one, formulas stand in place of ops that torch has no form of, so that parts of them can be shared.
"""


def plan_program(program: Program, fixed: Collection[str], flatten: Flatten | None = None) -> ProgramPlan:
    """The plan of a program; `fixed` are the inputs that stay the same in the whole run."""
    units: list[Unit] = []

    def add(graph: Graph, step: Step | None, own: Step | None) -> None:
        modes = network_modes(program, own)
        flat = expand_own(graph, lacks_torch) if flatten is None else flatten(graph, step)
        again = step is not None and isinstance(step.optimizer, Lbfgs)
        units.append(Unit(flat, frozenset(step.update) if step else NOTHING, own is not None and own.repeat > 1, again, modes))

    if program.carry is not None:
        add(program.carry.following, None, None)
    held: list[Mapping[str, int]] = []
    drawn: list[Graph | None] = []
    taken = {value.name for step in program.steps for value in step.graph.inputs}
    for step in program.steps:
        lifted, draws = lift_draws(step.graph, taken)
        drawn.append(draws)
        graph, sources, buffers = cut_replays(lifted)
        held.append(buffers)
        if sources is not None:
            add(sources, None, step)
        add(graph, dataclasses.replace(step, graph=graph), step)
    sharing = share(units, fixed)
    graphs = iter(sharing.graphs)
    carry = next(graphs) if program.carry is not None else None
    replayed: list[Replayed | None] = []
    steps: list[Graph] = []
    for sizes in held:
        replayed.append(Replayed(next(graphs), sizes) if sizes else None)
        steps.append(next(graphs))
    return ProgramPlan(sharing.shared, carry, tuple(drawn), tuple(replayed), tuple(steps))


def plan_spec(checked: Checked, flatten: Flatten | None = None) -> ProgramPlan:
    """The plan of a spec's program; data sources that are one tensor each stay the same in the whole run."""
    program = checked.require().program
    assert program is not None
    fixed = {
        name_input(source, field)
        for source, reader in checked.readers.items()
        for field, type in reader.fields(checked.folder).items()
        if all(dim.constant is not None for dim in type.shape)
    }
    return plan_program(program, fixed, flatten)


def plan_apart(program: Program) -> ProgramPlan:
    """The plan in which every step computes for itself all that it needs; of programs without own draws, buffers and carried states."""
    none = (None,) * len(program.steps)
    return ProgramPlan((), None, none, none, tuple(step.graph for step in program.steps))


def name_input(source: str, field: str) -> str:
    """What a graph calls a field of a data source."""
    if source in SPLITS:
        return field or source
    return f"{source}_{field}" if field else source


def network_modes(program: Program, step: Step | None) -> dict[str, bool]:
    """Which networks are in training mode while a step runs: those that some step updates, unless the step says otherwise."""
    chosen = step.mode if step is not None else {}
    return {name: True for item in program.steps for name in item.update} | dict(chosen)


def training_networks(program: Program, step: Step | None) -> frozenset[str]:
    """The networks that are in training mode while a step runs."""
    return frozenset(name for name, training in network_modes(program, step).items() if training)


def cut_replays(graph: Graph) -> tuple[Graph, Graph | None, dict[str, int]]:
    """A step's graph with inputs in place of its buffers; the graph of what goes into them, by input, and their sizes."""
    given: dict[Value, Value] = {}
    sources: dict[str, Value] = {}
    sizes: dict[str, int] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node.op, Replay):
            name = f"{graph.name}_replayed_{len(sizes) + 1}"
            sources[name], sizes[name] = node.operands[0], node.op.size
            given[node.results[0]] = Value(node.results[0].type, name)
        else:
            nodes.append(dataclasses.replace(node, operands=tuple(given.get(value, value) for value in node.operands)))
    if not sizes:
        return graph, None, {}
    outputs = {name: given.get(value, value) for name, value in graph.outputs.items()}
    step = prune_inputs(dataclasses.replace(graph, nodes=nodes, outputs=outputs, inputs=[*graph.inputs, *given.values()]))
    name = f"{graph.name}_sources"
    return step, prune_inputs(dataclasses.replace(graph, name=name, nodes=nodes, outputs=sources, entries={})), sizes
