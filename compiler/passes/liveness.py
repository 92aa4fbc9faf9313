"""Assigns memory to the values of a flat graph: which of a few numbered slots each result is written into.

Contract: two values that are alive at once share no slot, and a slot is overwritten by nothing but the next value assigned to it. The
graph is not changed. A node that `writes` says no of may return views, so it keeps its operands alive as long as its results; the
others write their first result into its slot. A result lives until its last use, an output for good. A slot takes the largest of its
values; sizes that are symbols are compared as if each were 64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, final

from compiler.ir.graph import Graph, Node, Value
from compiler.ir.types import TensorType

USUAL: Final = 64


@final
@dataclass(frozen=True, slots=True)
class Memory:
    """The slot of each value that has one; `inside` names the operand whose memory a result takes over, with its shape and dtype."""

    slots: Mapping[Value, int]
    inside: Mapping[Value, Value]

    def bytes(self, sizes: Mapping[str, int]) -> int:
        """What the slots take where symbols have these sizes."""
        largest: dict[int, int] = {}
        for value, slot in self.slots.items():
            largest[slot] = max(largest.get(slot, 0), count_bytes(value.type, sizes))
        return sum(largest.values())


def assign_memory(graph: Graph, writes: Callable[[Node], bool]) -> Memory:
    """The plan for `graph`; `writes` tells the nodes that write their first result where they are told."""
    written = {node.results[0]: node for node in graph.nodes if node.results[0].type.rank and writes(node)}
    last = _last_uses(graph, written)
    seen = _seen_memory(graph, written)
    ending: dict[int, list[Value]] = {}
    for value in written:
        ending.setdefault(last.get(value, -1), []).append(value)
    shapes = [value.type.shape for node in graph.nodes for value in node.results]
    usual = {symbol: USUAL for shape in shapes for dim in shape for symbol in dim.symbols}
    slots: dict[Value, int] = {}
    inside: dict[Value, Value] = {}
    capacity: list[int] = []
    free: list[int] = []
    for index, node in enumerate(graph.nodes):
        dying = list(ending.get(index, ()))
        result = node.results[0]
        if result in written:
            taken = next((value for value in node.operands if value in dying and _may_take(value, node, seen)), None)
            if taken is not None:
                inside[result] = taken
                slots[result] = slots[taken]
                dying.remove(taken)
            else:
                slots[result] = _choose(count_bytes(result.type, usual), capacity, free)
            if result not in last:
                dying.append(result)
        free += [slots[value] for value in dying]
    return Memory(slots, inside)


def _may_take(value: Value, node: Node, seen: Mapping[Value, frozenset[Value]]) -> bool:
    """Whether the result may be written over this operand: it is of one type with it, and no other operand is a view of it."""
    others = (item for item in node.operands if item is not value)
    return node.op.in_place and value.type == node.results[0].type and not any(value in seen[item] for item in others)


def _seen_memory(graph: Graph, written: Mapping[Value, Node]) -> dict[Value, frozenset[Value]]:
    """The written values whose memory each value may be a view of."""
    seen = {value: frozenset[Value]() for value in (*graph.inputs, *(item.value for item in graph.parameters))}
    for node in graph.nodes:
        through = frozenset[Value]().union(*(seen[value] for value in node.operands))
        for value in node.results:
            seen[value] = frozenset({value}) if value in written else frozenset() if node.results[0] in written else through
    return seen


def _last_uses(graph: Graph, written: Mapping[Value, Node]) -> dict[Value, int]:
    """The index of the last node that needs each value, itself or by a view of it; beyond all for outputs."""
    last = {value: len(graph.nodes) for value in graph.outputs.values()}
    for index in reversed(range(len(graph.nodes))):
        node = graph.nodes[index]
        until = index if node.results[0] in written else max([index, *(last.get(value, index) for value in node.results)])
        for value in node.operands:
            last[value] = max(last.get(value, until), until)
    return last


def _choose(size: int, capacity: list[int], free: list[int]) -> int:
    """The smallest free slot that is large enough, else the largest free one, made larger, else a new one."""
    if not free:
        capacity.append(size)
        return len(capacity) - 1
    fitting = [slot for slot in free if capacity[slot] >= size]
    slot = min(fitting, key=lambda slot: capacity[slot]) if fitting else max(free, key=lambda slot: capacity[slot])
    free.remove(slot)
    capacity[slot] = max(capacity[slot], size)
    return slot


def count_bytes(type: TensorType, sizes: Mapping[str, int]) -> int:
    """What a tensor takes where symbols have these sizes."""
    return math.prod(dim.evaluate(sizes) for dim in type.shape) * type.dtype.bytes
