"""Decides where each value of a scan's loop stands in memory, so that alike steps work on neighbouring lanes with one call.

A slab is an array of lanes; a lane holds one value [N, …] for this step (`step`), for the steps of a chunk (`chunk`) or for all steps
(`whole`). A run is a part of a group whose operands and results are neighbours: one call. Results take the place of an operand that
nothing needs any more. States are slabs with one slot more than steps: slot t is the state before step t, slot t + 1 the one after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import final

from compiler.ir.graph import Value
from compiler.ir.types import TensorType
from compiler.passes.scan_algebra import BEFORE, CARRIED, SETUP, Program
from compiler.passes.scan_groups import Group, group_steps, later_groups
from compiler.passes.scan_steps import Operand, Step

STEP, CHUNK, WHOLE = range(3)
"""How long a slab holds its values."""


@final
@dataclass(slots=True, eq=False)
class Slab:
    """Lanes of one type, as long as `scope`; `slots` is 1 more for states. `given` ones are made elsewhere."""

    type: TensorType
    lanes: int
    scope: int
    name: str = "part"
    slots: int = 0
    given: bool = False


@final
@dataclass(frozen=True, slots=True)
class Place:
    """A lane of a slab; `shift` 1 is the slot after this step's."""

    slab: Slab
    lane: int
    shift: int = 0


@final
@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Steps done by one call: lanes of their results follow each other, and those of each operand do or are all one.

    `packs` are the operands, by position, that are weights to be stacked in the order of the steps.
    """

    steps: tuple[Step, ...]
    packs: tuple[int, ...] = ()


@final
@dataclass(slots=True)
class Memory:
    """The places of a program's values and the calls of its loop, in order. `copies` are states to be moved at a step's end."""

    places: dict[Value, Place] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    slabs: list[Slab] = field(default_factory=list)

    def new(self, values: Iterable[Value], scope: int, name: str = "") -> Slab:
        """A slab with a lane for each value, in order."""
        listed = list(values)
        slab = Slab(listed[0].type, len(listed), scope, name or listed[0].name)
        self.slabs.append(slab)
        self.places.update((value, Place(slab, lane)) for lane, value in enumerate(listed))
        return slab


def place_loop(program: Program, memory: Memory, kept: Mapping[Value, int], last: Mapping[Value, Value]) -> None:
    """Place the values of the loop and, where it needs them as neighbours, of the steps before it; `memory` has the given ones.

    `kept` are the values needed outside the loop with the scope they need; `last` maps a carried value to the next one, which may
    take its place once nothing reads it.
    """
    groups = group_steps(program.loop, program.level)
    _Placer(program, memory, dict(kept), dict(last), groups).run()


@final
class _Placer:
    def __init__(self, program: Program, memory: Memory, kept: dict[Value, int], last: dict[Value, Value], groups: list[Group]) -> None:
        self._level = program.level
        self._memory = memory
        self._kept = kept
        self._groups = groups
        self._last_use: dict[Value, int] = {}
        for index, group in enumerate(groups):
            for step in group.steps:
                self._last_use.update(dict.fromkeys(step.values, index))
        self._reserved: dict[Value, Value] = {following: value for value, following in last.items()}

    def run(self) -> None:
        self._reserve_contracted()
        for index, group in enumerate(self._groups):
            self._place_results(index, group)
            self._cut_runs(group)
        for value, scope in self._kept.items():
            place = self._memory.places.get(value)
            if place is not None and not place.slab.given:
                place.slab.scope = max(place.slab.scope, scope)

    def _reserve_contracted(self) -> None:
        """Left operands of a sum of products stand side by side, so that one call does all of them."""
        producer = {step.result: index for index, group in enumerate(self._groups) for step in group.steps}
        for group in self._groups:
            step = group.steps[0]
            lefts = [value for value in step.values[::2] if value in producer]
            free = not any(value in self._memory.places for value in lefts)
            if group.function == "contract" and len(lefts) == len(set(step.values[::2])) == len(step.values[::2]) and free:
                self._memory.new(sorted(lefts, key=lambda value: producer[value]), STEP)

    def _place_results(self, index: int, group: Group) -> None:
        fresh: list[Value] = []
        places = self._memory.places
        for step in group.steps:
            value = step.result
            if value in places:
                continue
            found = self._carried_place(index, step) or self._operand_place(index, step)
            if found is None:
                fresh.append(value)
            else:
                places[value] = found
                if value in self._kept:
                    found.slab.scope = max(found.slab.scope, self._kept[value])
        if fresh:
            order = {value: later_groups(self._groups[index + 1 :], value) for value in fresh}
            fresh.sort(key=lambda value: order[value] or (len(self._groups),))
            self._memory.new(fresh, max(self._kept.get(value, STEP) for value in fresh))

    def _carried_place(self, index: int, step: Step) -> Place | None:
        """The place of the carried value that this one replaces."""
        before = self._reserved.get(step.result)
        if before is None or step.result in self._kept:
            return None
        ends = self._last_use.get(before, -1)
        alone = all(item is step for item in self._groups[index].steps if before in item.values)
        if ends < index or (ends == index and alone and step.function != "where" and step.is_elementwise):
            return self._memory.places[before]
        return None

    def _operand_place(self, index: int, step: Step) -> Place | None:
        """The place of an operand that ends here."""
        if not step.is_elementwise or step.function == "where":
            return None
        for item in step.operands:
            if not isinstance(item, Value) or self._level[item] != CARRIED or item.type != step.result.type:
                continue
            place = self._memory.places[item]
            ends = self._last_use[item] == index and item not in self._kept
            own = not place.slab.given and not place.slab.slots and not self._is_shared(index, item)
            if ends and own and step.values.count(item) == 1:
                return place
        return None

    def _is_shared(self, index: int, value: Value) -> bool:
        return sum(value in step.values for step in self._groups[index].steps) > 1

    # runs ---------------------------------------------------------------------------------------------------------------

    def _cut_runs(self, group: Group) -> None:
        places = self._memory.places
        slabs: dict[Slab, int] = {}
        for step in group.steps:
            slabs.setdefault(places[step.result].slab, len(slabs))
        ordered = sorted(group.steps, key=lambda step: (slabs[places[step.result].slab], places[step.result].lane))
        run: list[Step] = []
        for step in ordered:
            if run and not self._extends(run, step):
                self._close(run)
                run = []
            run.append(step)
        self._close(run)

    def _extends(self, run: list[Step], step: Step) -> bool:
        """Whether a step may join a run."""
        if not _follows(self._memory.places[run[-1].result], self._memory.places[step.result]):
            return False
        return all(self._joins(run, position, item) for position, item in enumerate(step.operands))

    def _joins(self, run: list[Step], position: int, item: Operand) -> bool:
        known = [step.operands[position] for step in run]
        if not isinstance(item, Value):
            return known[-1] == item
        if len(set(known)) == 1 and known[0] == item:
            return True
        if len(set(known)) < len(known) or item in known:
            return False
        if self._level[item] == SETUP:
            return True
        place, before = self._memory.places.get(item), known[-1]
        assert isinstance(before, Value)
        other = self._memory.places.get(before)
        if place is None or other is None:
            return place is None and other is None
        return _follows(other, place)

    def _close(self, run: list[Step]) -> None:
        """Note a run; operands made before the loop get neighbouring places in its order."""
        packs = []
        for position in range(len(run[0].operands)):
            items = [step.operands[position] for step in run]
            if not isinstance(items[0], Value) or (len(set(items)) == 1 and len(run) > 1):
                items = items[:1]
            values = [item for item in items if isinstance(item, Value)]
            if not values:
                continue
            if self._level[values[0]] == SETUP:
                packs += [position] * (len(values) > 1)
            elif values[0] not in self._memory.places and self._level[values[0]] == BEFORE:
                self._memory.new(values, CHUNK)
        self._memory.runs.append(Run(tuple(run), tuple(packs)))


def _follows(first: Place, second: Place) -> bool:
    return first.slab is second.slab and first.shift == second.shift and second.lane == first.lane + 1
