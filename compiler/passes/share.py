"""Computes once what several steps of a program would compute each: a value two steps share, a value that never changes.

Contract: units run in order, again and again; each keeps its outputs' values. A value leaves the units for a shared graph and comes
back as their input where it is the same in several units of an iteration, none of which has updated what it depends on before the last
has read it, or where it reads nothing that changes in a run; and where it is worth it: a network is called for it, or a data source
that stays the same is read. Whoever runs the units computes a shared graph when its values are first needed, in each iteration anew
unless it is constant. Values that are drawn stay where they are, and so do those between `y` and `x` of a gradient, and what a unit
that evaluates several times computes with what it updates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from compiler.ir.graph import Call, Graph, Node, Parameter, Value, called_networks
from compiler.ir.op import Op
from compiler.ir.prune import prune_inputs
from compiler.ops.program import Gradient

CHANGING: Final = "buffer/"
"""Begins the names of outputs that are new values of a network's buffers: they move with what they are computed from."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """One evaluation in an iteration: its graph, and the networks it updates afterwards.

    `alone` says that it has batches and draws of its own, `again` that it evaluates its graph more than once while it updates.
    `modes` says of networks called in it whether they are in training mode.
    """

    graph: Graph
    updates: frozenset[str] = frozenset()
    alone: bool = False
    again: bool = False
    modes: Mapping[str, bool] = field(default_factory=dict)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """Values computed apart; the units `users` have them as inputs by the names of the outputs. They depend on `networks`."""

    graph: Graph
    networks: frozenset[str]
    constant: bool
    users: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in self.graph.outputs if not name.startswith(CHANGING))


@final
@dataclass(frozen=True, slots=True, eq=False)
class Sharing:
    """The shared graphs, each after those it reads, and the units' graphs as they are left."""

    shared: tuple[Shared, ...]
    graphs: tuple[Graph, ...]


def share(units: Sequence[Unit], fixed: Collection[str]) -> Sharing:
    """What the units share; `fixed` are the inputs that are the same in the whole run."""
    taken = {value.name for unit in units for value in unit.graph.inputs}
    taken |= {name for unit in units for name in called_networks(unit.graph)}
    constant = _Round(units, fixed, taken, constant=True).run()
    left = [dataclasses.replace(unit, graph=graph) for unit, graph in zip(units, constant.graphs, strict=True)]
    shared = _Round(left, {*fixed, *(name for item in constant.shared for name in item.names)}, taken, constant=False).run()
    return Sharing((*constant.shared, *shared.shared), shared.graphs)


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Maker:
    """The node that makes values, in the first unit that has it, the facts of what it reads, and the units that have it."""

    node: Node
    reads: tuple[_Fact, ...]
    units: set[int] = field(default_factory=set)


@final
@dataclass(slots=True, eq=False)
class _Fact:
    """What is known of the values with one key: what makes them, what they depend on, and the value of each unit."""

    key: int
    maker: _Maker | Parameter | None
    place: str | int
    constant: bool
    worth: bool
    drawn: bool
    networks: frozenset[str]
    holders: dict[int, Value] = field(default_factory=dict)

    @property
    def value(self) -> Value:
        """The value in the first unit that has it."""
        return next(iter(self.holders.values()))

    @property
    def units(self) -> tuple[int, ...]:
        """The units in which the value is made, though not all may read it: a call's results are made together."""
        return tuple(sorted(self.maker.units if isinstance(self.maker, _Maker) else self.holders))


@final
@dataclass(slots=True, eq=False)
class _Group:
    """Values that are computed together: those that units read, by key, and those that are new values of buffers, by output."""

    reads: dict[int, _Fact] = field(default_factory=dict)
    buffers: dict[str, _Fact] = field(default_factory=dict)

    @property
    def facts(self) -> list[_Fact]:
        return [*self.reads.values(), *self.buffers.values()]


@final
class _Round:
    """One look for values to share: the constant ones, or those of an iteration."""

    def __init__(self, units: Sequence[Unit], fixed: Collection[str], taken: set[str], *, constant: bool) -> None:
        self._units = units
        self._fixed = fixed
        self._taken = taken
        self._constant = constant
        self._updated = frozenset(name for unit in units for name in unit.updates)
        self._facts: dict[Hashable, _Fact] = {}
        self._makers: dict[Hashable, _Maker] = {}
        self._of: list[dict[Value, _Fact]] = []
        self._given: dict[int, str] = {}

    def run(self) -> Sharing:
        for index, unit in enumerate(self._units):
            self._of.append(self._read(index, unit))
        groups: dict[Hashable, _Group] = {}
        for index, unit in enumerate(self._units):
            buffers = self._buffers(index, unit.graph)
            for name, fact in buffers.items():
                groups.setdefault(self._group(fact), _Group()).buffers[name] = fact
            for fact in self._frontier(index, unit.graph, buffers):
                groups.setdefault(self._group(fact), _Group()).reads[fact.key] = fact
        graphs = [unit.graph for unit in self._units]
        shared = [self._take(group, graphs) for group in sorted(groups.values(), key=_after_what_it_reads)]
        return Sharing(tuple(shared), tuple(graphs))

    def _group(self, fact: _Fact) -> Hashable:
        return () if self._constant else (fact.units, fact.networks)

    def _read(self, index: int, unit: Unit) -> dict[Value, _Fact]:
        """The facts of a unit's values."""
        facts: dict[Value, _Fact] = {}
        for value in unit.graph.inputs:
            fixed = value.name in self._fixed
            own = None if fixed or not unit.alone else index
            facts[value] = self._fact(index, value, ("input", value.name, own), None, constant=fixed, worth=fixed)
        for item in unit.graph.parameters:
            owner = frozenset({item.key.partition("/")[0]})
            version = self._versions(index, owner)
            facts[item.value] = self._fact(
                index, item.value, ("parameter", item.key, version), item, constant=not owner & self._updated, worth=True, networks=owner
            )  # fmt: skip
        bound = _between_gradients(unit.graph)
        for node in unit.graph.nodes:
            self._read_node(index, unit, node, facts, bound=not bound.isdisjoint(node.results))
        return facts

    def _read_node(self, index: int, unit: Unit, node: Node, facts: dict[Value, _Fact], *, bound: bool) -> None:
        op, read = node.op, tuple(facts[value] for value in (*node.operands, *node.parameters))
        called, drawn = _called(op), op.random
        what: tuple[Hashable, ...] = (op,)
        if isinstance(op, Call):
            drawn = draws_in(op.graph, unit.modes)
            modes = tuple((name, unit.modes.get(name)) for name in sorted(called))
            what = (id(op.graph), op.sizes, modes, self._versions(index, called))
        drawn = drawn or bound
        networks = called.union(*(item.networks for item in read))
        key = (*what, tuple(item.key for item in read), (index, id(node)) if drawn else None)
        maker = self._makers.setdefault(key, _Maker(node, read))
        maker.units.add(index)
        drawn = drawn or any(item.drawn for item in read)
        worth = bool(called) or any(item.worth for item in read)
        constant = not drawn and not networks & self._updated and all(item.constant for item in read)
        for place, value in zip(_places(node), node.results, strict=True):
            facts[value] = self._fact(
                index, value, (key, place), maker, place, constant=constant, worth=worth, drawn=drawn, networks=networks
            )  # fmt: skip

    def _versions(self, index: int, networks: frozenset[str]) -> Hashable:
        """Tells networks from themselves in units that see them before or after an update, or in the middle of it."""
        unit = self._units[index]
        if unit.again and networks & unit.updates:
            return (index,)
        earlier = [(name, place) for place, other in enumerate(self._units[:index]) for name in networks & other.updates]
        return tuple(sorted(dict(earlier).items()))

    def _fact(
        self, index: int, value: Value, key: Hashable, maker: _Maker | Parameter | None, place: str | int = 0,
        *, constant: bool, worth: bool, drawn: bool = False, networks: frozenset[str] = frozenset(),
    ) -> _Fact:  # fmt: skip
        fact = self._facts.get(key)
        if fact is None:
            fact = self._facts[key] = _Fact(len(self._facts), maker, place, constant, worth, drawn, networks)
        fact.holders.setdefault(index, value)
        return fact

    def _is_shared(self, fact: _Fact) -> bool:
        if not isinstance(fact.maker, _Maker) or not fact.worth or fact.drawn:
            return False
        return fact.constant if self._constant else len(fact.units) > 1

    def _buffers(self, index: int, graph: Graph) -> dict[str, _Fact]:
        """The shared values that are new values of buffers, by output."""
        facts = self._of[index]
        return {
            name: facts[value]
            for name, value in graph.outputs.items()
            if name.startswith(CHANGING) and self._is_shared(facts[value])
        }  # fmt: skip

    def _frontier(self, index: int, graph: Graph, buffers: Collection[str]) -> list[_Fact]:
        """The shared values that a unit's outputs and what it does not share read, in order."""
        facts = self._of[index]
        wanted: dict[Value, None] = {}
        for node in graph.nodes:
            if not all(self._is_shared(facts[value]) for value in node.results):
                wanted.update(dict.fromkeys(node.operands))
        wanted.update(dict.fromkeys(value for name, value in graph.outputs.items() if name not in buffers))
        return [facts[value] for value in wanted if self._is_shared(facts[value])]

    def _take(self, group: _Group, graphs: list[Graph]) -> Shared:
        """Take a group's values out of the units' graphs, into a graph of their own."""
        users = tuple(sorted({index for fact in group.facts for index in fact.holders}))
        names = {key: self._name(fact) for key, fact in group.reads.items()}
        made, values = self._copy(group)
        made.outputs = {name: values[key] for key, name in names.items()}
        made.entries = dict(made.outputs)
        made.outputs |= {name: values[fact.key] for name, fact in group.buffers.items()}
        for index in users:
            outputs = {name: value for name, value in graphs[index].outputs.items() if name not in group.buffers}
            given = {fact.holders[index]: Value(fact.value.type, names[key]) for key, fact in group.reads.items() if index in fact.holders}
            graphs[index] = _replace(dataclasses.replace(graphs[index], outputs=outputs), given)
        self._given |= names
        networks = frozenset[str]().union(*(fact.networks for fact in group.facts))
        return Shared(made, networks, self._constant, users)

    def _name(self, fact: _Fact) -> str:
        """What the spec calls the value, made different from all inputs and networks."""
        assert isinstance(fact.maker, _Maker)
        index, value = next(iter(fact.holders.items()))
        inside = f"_{fact.place}" if isinstance(fact.place, str) and fact.place else ""
        written = f"{fact.maker.node.entry}{inside}" if fact.maker.node.entry else value.name
        known = next((name for name, item in self._units[index].graph.entries.items() if item is value), written)
        base = known.replace("/", "_").replace(".", "_")
        name, count = base, 2
        while name in self._taken:
            name, count = f"{base}_{count}", count + 1
        self._taken.add(name)
        return name

    def _copy(self, group: _Group) -> tuple[Graph, dict[int, Value]]:
        """A graph of what makes the values, up to those that are given by now, and its values by key."""
        made = Graph("constants" if self._constant else "shared", "step")
        values: dict[int, Value] = {}
        read_at: dict[_Maker, dict[str | int, _Fact]] = {}
        for fact in self._in_order(group):
            name = self._given.get(fact.key)
            if name is not None or fact.maker is None:
                values[fact.key] = Value(fact.value.type, name or fact.value.name)
                made.inputs.append(values[fact.key])
            elif isinstance(fact.maker, Parameter):
                values[fact.key] = fact.value
                made.parameters.append(fact.maker)
            else:
                read_at.setdefault(fact.maker, {})[fact.place] = fact
        for maker, facts in read_at.items():
            node, op = maker.node, maker.node.op
            if isinstance(op, Call):
                names = tuple(str(place) for place in facts)
                places: Sequence[str | int] = names
                op = Call(op.graph, names, op.sizes)
                results = [Value(fact.value.type, fact.value.name) for fact in facts.values()]
            else:
                places, results = range(len(node.results)), [Value(value.type, value.name) for value in node.results]
            values |= {facts[place].key: result for place, result in zip(places, results, strict=True) if place in facts}
            reads = [values[fact.key] for fact in maker.reads]
            count = len(node.operands)
            made.nodes.append(
                dataclasses.replace(
                    node, op=op, operands=tuple(reads[:count]), parameters=tuple(reads[count:]), results=tuple(results)
                )
            )  # fmt: skip
        return made, values

    def _in_order(self, group: _Group) -> list[_Fact]:
        """The facts that a group's values depend on and their own, each after what it depends on."""
        found: dict[int, _Fact] = {}
        pending = list(group.facts)
        while pending:
            fact = pending.pop()
            if fact.key not in found:
                found[fact.key] = fact
                if isinstance(fact.maker, _Maker) and fact.key not in self._given:
                    pending += fact.maker.reads
        return [found[key] for key in sorted(found)]


def _between_gradients(graph: Graph) -> set[Value]:
    """What depends on the `x` of a gradient: it must stay where the gradient is taken."""
    found = {node.operands[1] for node in graph.nodes if isinstance(node.op, Gradient)}
    sources = set(found)
    for node in graph.nodes:
        if any(value in found for value in node.operands):
            found.update(node.results)
    return found - sources


def _after_what_it_reads(group: _Group) -> tuple[int, int]:
    """Sorts groups: what a value reads is made in at least the same units and depends on at most the same networks."""
    fact = group.facts[0]
    return -len(fact.units), len(fact.networks)


def _places(node: Node) -> Sequence[str | int]:
    return node.op.reads if isinstance(node.op, Call) else range(len(node.results))


def _replace(graph: Graph, given: Mapping[Value, Value]) -> Graph:
    """`graph` with inputs in place of values, without what is no longer needed."""
    nodes = [
        dataclasses.replace(node, operands=tuple(given.get(value, value) for value in node.operands))
        if any(value in given for value in node.operands)
        else node
        for node in graph.nodes
    ]
    outputs = {name: given.get(value, value) for name, value in graph.outputs.items()}
    entries = {name: value for name, value in graph.entries.items() if value not in given}
    whole = dataclasses.replace(graph, nodes=nodes, outputs=outputs, entries=entries, inputs=[*graph.inputs, *given.values()])
    return prune_inputs(whole)


def _called(op: Op) -> frozenset[str]:
    """The networks whose weights a call depends on."""
    if not isinstance(op, Call):
        return frozenset()
    own = {op.graph.name} if op.graph.kind == "network" else set()
    return frozenset(own | set(called_networks(op.graph)))


def draws_in(graph: Graph, training: Mapping[str, bool]) -> bool:
    """Whether a call of `graph` draws numbers, where `training` says which networks are in training mode."""
    pending: list[tuple[Graph, bool]] = [(graph, training.get(graph.name, False))]
    seen: set[tuple[int, bool]] = set()
    while pending:
        current, mode = pending.pop()
        if (id(current), mode) in seen:
            continue
        seen.add((id(current), mode))
        for node in current.nodes:
            if isinstance(node.op, Call):
                inner = node.op.graph
                pending.append((inner, training.get(inner.name, False) if inner.kind == "network" else mode))
            elif node.op.random and (mode or node.op.training(*node.operand_types) is None):
                return True
    return False
