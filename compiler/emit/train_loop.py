"""The iterations of a training file: what is taken, drawn and shared when a step first needs it, then the steps that are due."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import final

from compiler.backends.names import Names
from compiler.emit.train_bodies import BATCH, INDENT, Function, TrainText, call
from compiler.emit.train_draws import call_drawing
from compiler.emit.train_steps import Update, mode_lines
from compiler.ir.graph import Graph, called_networks
from compiler.ir.training import Program, Step
from compiler.passes.program_facts import owner_of, shared_types, taped_networks
from compiler.passes.program_plan import ProgramPlan, network_modes
from compiler.passes.share import draws_in


@final
@dataclass(frozen=True, slots=True)
class Functions:
    """The printed functions of a program; `first` are those of the variables' first values."""

    updates: tuple[Update, ...]
    shared: tuple[Function, ...]
    replayed: tuple[Function | None, ...]
    carry: Function | None
    start: Function | None
    draw: Function | None
    drawn: tuple[Function | None, ...]
    first: Mapping[str, Function]


@final
@dataclass(frozen=True, slots=True)
class Supply:
    """Values that steps wait for: a batch of a source, the draws, a shared graph. `lines(mode)` makes the `variables`."""

    key: str
    variables: tuple[str, ...]
    lines: tuple[str, ...]


@final
class Loop:
    """Prints the body of an iteration, in lines without indentation."""

    def __init__(
        self,
        text: TrainText,
        program: Program,
        plan: ProgramPlan,
        functions: Functions,
        sources: Mapping[str, tuple[str, ...]],
        names: Names,
    ) -> None:
        self._text = text
        self._program = program
        self._plan = plan
        self._functions = functions
        self._source_of = {item: source for source, inputs in sources.items() for item in inputs}
        self._sources = sources
        self._types = {value.name: value.type for graph in program.graphs for value in graph.inputs}
        self._names = names
        self.variables: dict[str, str] = {}
        self._have: dict[str, bool] = {}
        self._asked: dict[str, Supply] = {}
        """Supplies that may or may not be there when a step asks: their variables begin as None."""
        self._kept_apart: frozenset[str] = frozenset()
        """Supplies whose variables repeated steps must leave alone, because of what another step asks."""

    def name(self, value: str) -> str:
        """The variable of a graph's input or a shared value."""
        if value not in self.variables:
            self.variables[value] = self._names.claim(value)
        return self.variables[value]

    @property
    def torch_draws(self) -> bool:
        """Whether anything of the training draws from torch's generator, as dropout does."""
        program = self._program
        steps = [draws_in(graph, network_modes(program, step)) for step, graph in zip(program.steps, self._plan.steps, strict=True)]
        return any(steps) or any(draws_in(graph, network_modes(program, None)) for graph in self._plan.evaluated)

    @property
    def numpy_draws(self) -> bool:
        """Whether NumPy draws random tensors in training."""
        first = any(draws_in(item.init, {}) for item in self._program.variables.values())
        return first or self._functions.draw is not None or any(item is not None for item in self._functions.drawn)

    def inputs_of(self, source: str) -> tuple[str, ...]:
        """The inputs that a batch of a source gives."""
        return self._sources[source]

    def note(self, source: str) -> str:
        """The types of a source's batches, as a comment."""
        return f"  # {', '.join(str(self._types[item]) for item in self._sources[source])}"

    def take_before(self, source: str) -> None:
        """Every iteration begins with a batch of this source, taken by whoever prints the loop."""
        self._have[f"source {source}"] = True

    def first_values(self, arrays: Mapping[str, str]) -> dict[str, str]:
        """The first values of variables, from the arrays of the data file by input."""
        made = {}
        for name, function in self._functions.first.items():
            given = [arrays[item] for item in function.inputs]
            if self.numpy_draws:
                made[name] = call_drawing(self._text, function, self._generators, given, BATCH)
            else:
                self._text.called[function.name] = function
                made[name] = f"{function.name}({', '.join(given)})"
        return made

    @property
    def _generators(self) -> str:
        return self.name("random")

    def start_states(self) -> list[str]:
        """The carried states at the start of an epoch."""
        start, carry = self._functions.start, self._program.carry
        if start is None or carry is None:
            return []
        return [f"{', '.join(self.name(name) for name in carry.start.outputs)} = {self._call(start)}"]

    def constants(self) -> list[str]:
        """What is computed before the first iteration."""
        found = [index for index, item in enumerate(self._plan.shared) if item.constant]
        lines = [line for index in found for line in self._shared(index).lines]
        self._have |= {f"shared {index}": True for index in found}
        return lines

    def iteration(self) -> list[str]:
        """Everything that an iteration does, in order."""
        probe, called = copy.copy(self), dict(self._text.called)
        probe._names, probe.variables, probe._have, probe._asked = copy.deepcopy(self._names), dict(self.variables), dict(self._have), {}
        probe._all_steps()
        self._text.called = called
        self._kept_apart = frozenset(probe._asked)
        return self._all_steps()

    def _all_steps(self) -> list[str]:
        kept = dict(self._have)
        lines: list[str] = []
        if self._program.carry is not None and self._plan.carry is not None and self._functions.carry is not None:
            lines += self._supply_inputs(self._program.carry.following, sure=True)
            lines += self._supply_shared(self._plan.carry, sure=True)
            if not is_given(self._plan.carry):
                following = [f"next_{self.name(name)}" for name in self._plan.carry.outputs]
                lines.append("with torch.no_grad():")
                lines.append(f"{INDENT}{', '.join(following)} = {self._call(self._functions.carry)}")
        for index, step in enumerate(self._program.steps):
            lines += self._step(index, step)
        if self._plan.carry is not None:
            states = {self.name(name): value for name, value in self._plan.carry.outputs.items()}
            given = is_given(self._plan.carry)
            following = [self.name(value.name) if given else f"next_{name}" for name, value in states.items()]
            taped = [value in self._plan.carry.inputs for value in states.values()]
            sources = [f"{item}.detach()" if cut else item for item, cut in zip(following, taped, strict=True)]
            lines.append(f"{', '.join(states)} = {', '.join(sources)}")
        self._have = kept
        first = [f"{' = '.join(item.variables)} = None" for item in self._asked.values()]
        return [*first, *lines]

    def _step(self, index: int, step: Step) -> list[str]:
        condition = due_condition(step)
        if step.repeat > 1:
            kept, self._have = self._have, {key: True for key in self._have if self._is_lasting(key)}
            others = {name for key in self._kept_apart | kept.keys() - self._have.keys() for name in self._values(key)}
            apart = {name: self.name(name) for name in sorted(others)}
            self.variables = {name: item for name, item in self.variables.items() if name not in others}
            inner = self._run(index, step, sure=True)
            self.variables |= apart
            self._have = kept
            lines = [f"for _ in range({step.repeat}):", *(INDENT + line for line in inner)]
        else:
            lines = self._run(index, step, sure=not condition)
        return [f"if {condition}:", *(INDENT + line for line in lines)] if condition else lines

    def _values(self, key: str) -> tuple[str, ...]:
        """What a supply gives, by the names that graphs have for it."""
        kind, _, which = key.partition(" ")
        if kind == "source":
            return self._sources[which]
        if kind == "shared":
            return self._plan.shared[int(which)].names
        return tuple(self._program.draws.outputs) if self._program.draws is not None else ()

    def _is_lasting(self, key: str) -> bool:
        kind, _, number = key.partition(" ")
        return kind == "shared" and self._plan.shared[int(number)].constant

    def _run(self, index: int, step: Step, *, sure: bool) -> list[str]:
        """Supplies, buffers, and the update of a step."""
        lines = self._supply_inputs(step.graph, sure=sure)
        drawn, graph = self._functions.drawn[index], self._plan.drawn[index]
        if drawn is not None and graph is not None:
            types = ", ".join(str(value.type) for value in graph.outputs.values())
            names = ", ".join(self.name(name) for name in graph.outputs)
            lines.append(f"{names} = {call_drawing(self._text, drawn, self._generators, [], BATCH)}  # {types}")
        replayed, function = self._plan.replayed[index], self._functions.replayed[index]
        if replayed is not None and function is not None:
            lines += self._supply_shared(replayed.graph, sure=sure)
            lines += self._exchange(replayed.graph, function)
        lines += self._supply_shared(self._plan.steps[index], sure=sure, step=step)
        update = self._functions.updates[index]
        given = [*self._text.variables(update.networks), self.optimizer(index), *(self._given(name, step) for name in update.inputs)]
        given += ["iteration"] * update.iteration + ["averages"] * update.averages
        return [*lines, f'losses["{step.name}"] = {update.name}({", ".join(given)})']

    def optimizer(self, index: int) -> str:
        """The variable of a step's optimizer."""
        owners = {owner_of(self._program.steps, number) for number in range(len(self._program.steps))}
        owner = self._program.steps[owner_of(self._program.steps, index)]
        return self.name("optimizer" if len(owners) == 1 else f"{owner.name}_optimizer")

    def _exchange(self, graph: Graph, function: Function) -> Iterator[str]:
        names = [self.name(name) for name in graph.outputs]
        values = self._call(function)
        if len(names) > 1:
            yield f"{', '.join(names)} = {values}"
            yield from (f"{name} = {self.buffer(item)}.exchange({name})" for name, item in zip(names, graph.outputs, strict=True))
        else:
            yield f"{names[0]} = {self.buffer(next(iter(graph.outputs)))}.exchange({values})"

    def buffer(self, name: str) -> str:
        """The variable of a buffer of earlier examples."""
        return self.name(f"{name}_buffer")

    def _given(self, name: str, step: Step) -> str:
        """A step's argument: cut off where its tape is for other steps."""
        for index, item in enumerate(self._plan.shared):
            if name in item.names:
                taped = taped_networks(self._program, self._plan, index)
                if taped and item.networks.isdisjoint(step.update):
                    return f"{self.name(name)}.detach()"
        return self.name(name)

    def _supply_inputs(self, graph: Graph, *, sure: bool) -> list[str]:
        """What takes the batches and draws that a graph of the program reads."""
        needed: dict[str, Callable[[], Supply]] = {}
        for value in graph.inputs:
            source = self._source_of.get(value.name)
            if source is not None:
                needed.setdefault(f"source {source}", partial(self._take, source))
            elif self._program.draws is not None and value.name in self._program.draws.outputs:
                needed.setdefault("draws", self._draw)
        return self._supply(needed, sure=sure)

    def _supply_shared(self, graph: Graph, *, sure: bool, step: Step | None = None) -> list[str]:
        """What computes the shared values that a graph of the plan reads."""
        return self._supply({f"shared {index}": partial(self._shared, index, step) for index in self._plan.shared_of(graph)}, sure=sure)

    def _supply(self, needed: Mapping[str, Callable[[], Supply]], *, sure: bool) -> list[str]:
        lines: list[str] = []
        for key, make in needed.items():
            known = self._have.get(key)
            if known is True:
                continue
            supply = make()
            if known is None:
                lines += supply.lines
            else:
                self._asked[key] = supply
                lines += [f"if {supply.variables[0]} is None:", *(INDENT + line for line in supply.lines)]
            self._have[key] = sure
        return lines

    def _take(self, source: str) -> Supply:
        names = tuple(self.name(item) for item in self._sources[source])
        targets = ", ".join(names) if len(names) > 1 else f"({names[0]},)"
        return Supply(f"source {source}", names, (f"{targets} = next({self.name(f'{source}_batches')}){self.note(source)}",))

    def _draw(self) -> Supply:
        assert self._program.draws is not None
        assert self._functions.draw is not None
        names = tuple(self.name(item) for item in self._program.draws.outputs)
        types = ", ".join(str(value.type) for value in self._program.draws.outputs.values())
        made = call_drawing(self._text, self._functions.draw, self._generators, [], BATCH)
        return Supply("draws", names, (f"{', '.join(names)} = {made}  # {types}",))

    def _shared(self, index: int, step: Step | None = None) -> Supply:
        item = self._plan.shared[index]
        names = tuple(self.name(name) for name in item.names)
        made = f"{', '.join(names)} = {self._call(self._functions.shared[index])}  # {', '.join(shared_types(item).values())}"
        taped = taped_networks(self._program, self._plan, index)
        lines = [made] if taped or item.networks.isdisjoint(self._text.trained) else ["with torch.no_grad():", INDENT + made]
        modes, usual = network_modes(self._program, step), network_modes(self._program, None)
        before, after = mode_lines(self._text, modes, usual, list(called_networks(item.graph)))
        return Supply(f"shared {index}", names, (*before, *lines, *after))

    def _call(self, function: Function) -> str:
        return call(self._text, function, {name: self.name(name) for name in function.inputs}, BATCH)


def is_given(graph: Graph) -> bool:
    """Whether a graph computes nothing: its outputs are inputs."""
    return all(value in graph.inputs for value in graph.outputs.values())


def due_condition(step: Step) -> str:
    """When a step runs, as a condition on `iteration`; empty where it always does."""
    parts = []
    if step.after and step.until is not None:
        parts.append(f"{step.after} <= iteration < {step.until}")
    elif step.after:
        parts.append(f"iteration >= {step.after}")
    elif step.until is not None:
        parts.append(f"iteration < {step.until}")
    if step.every > 1:
        start = step.after % step.every
        parts.append(f"(iteration - {start}) % {step.every} == 0" if start else f"iteration % {step.every} == 0")
    return " and ".join(parts)
