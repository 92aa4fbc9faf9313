"""Puts the steps of a loop in an order in which alike steps stand together, so that one array call can do several of them.

A group is one function on operands of the same kinds and shapes, none of which waits for another of the group: the products of one
left operand with several weights, the gates that go through one activation. Contract: groups in order compute what the steps do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from compiler.ir.graph import Value
from compiler.passes.scan_algebra import CARRIED
from compiler.passes.scan_steps import Operand, Step

COMMUTATIVE: Final = frozenset({"add", "multiply", "maximum", "minimum", "equal", "not_equal", "logical_and", "logical_or"})


@final
@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Steps that may be one call, in the order of the loop."""

    steps: tuple[Step, ...]

    @property
    def function(self) -> str:
        return self.steps[0].function


def group_steps(steps: list[Step], level: Mapping[Value, int]) -> list[Group]:
    """The steps in groups, each group after all that it needs; a step waits for alike ones that do not need it."""
    order = [_ordered(step, level) for step in steps]
    lefts = Counter(step.operands[0] for step in order if step.function == "matmul")
    keys = {step: _key(step, level, lefts) for step in order}
    producer = {step.result: step for step in order}
    needs = _transitive_needs(order, producer)
    groups: list[Group] = []
    waiting = dict.fromkeys(order)
    done: set[Step] = set()
    while waiting:
        ready = [step for step in waiting if all(producer[value] in done for value in step.values if value in producer)]
        buckets: dict[object, list[Step]] = {}
        for step in ready:
            buckets.setdefault(keys[step], []).append(step)
        chosen = next((found for found in buckets.values() if not _may_grow(found, waiting, keys, needs)), next(iter(buckets.values())))
        groups.append(Group(tuple(chosen)))
        done.update(chosen)
        for step in chosen:
            del waiting[step]
    return groups


def _may_grow(bucket: list[Step], waiting: Mapping[Step, None], keys: Mapping[Step, object], needs: Mapping[Step, set[Step]]) -> bool:
    """Whether an alike step that does not need any of the bucket is still to become ready."""
    members = set(bucket)
    return any(keys[step] == keys[bucket[0]] and step not in members and not (needs[step] & members) for step in waiting)


def _transitive_needs(order: list[Step], producer: Mapping[Value, Step]) -> dict[Step, set[Step]]:
    needs: dict[Step, set[Step]] = {}
    for step in order:
        direct = {producer[value] for value in step.values if value in producer}
        needs[step] = direct.union(*(needs[item] for item in direct))
    return needs


def _ordered(step: Step, level: Mapping[Value, int]) -> Step:
    """The step with operands in a fixed order of kinds where the order does not matter: carried ones first, numbers last."""
    if step.function not in COMMUTATIVE:
        return step
    operands = tuple(sorted(step.operands, key=lambda item: -level.get(item, 0) - 1 if isinstance(item, Value) else 0))
    return Step(step.function, operands, step.result, step.node)


def _key(step: Step, level: Mapping[Value, int], lefts: Mapping[Operand, int]) -> object:
    if step.function == "matmul" and lefts[step.operands[0]] > 1:
        return ("matmul", step.operands[0], step.values[1].type)
    rank = step.result.type.rank
    aligned = all(value.type.rank == rank or level[value] == 0 for value in step.values)
    if not step.is_elementwise or not aligned:
        return step
    kinds = tuple((level[item], item.type) if isinstance(item, Value) else item for item in step.operands)
    return (step.function, kinds, step.result.type)


def later_groups(groups: list[Group], value: Value, depth: int = 8) -> tuple[int, ...]:
    """The indices of the groups that a value goes through, following the first use of each result."""
    found: list[int] = []
    current: Value | None = value
    while current is not None and len(found) < depth:
        following: Value | None = None
        for index, group in enumerate(groups):
            step = next((item for item in group.steps if current in item.values), None)
            if step is not None:
                found.append(index)
                following = step.result
                break
        current = following
    return tuple(found)


__all__ = ["CARRIED", "Group", "group_steps", "later_groups"]
