"""Puts a batch axis in front of everything in a step graph that depends on an example.

Contract: the given values get `N` as their first size; so does all that depends on them, at the same meaning for every
example. What depends on none of them (weights and what is made of weights alone) stays as it is, and is computed once for all.
Ops say themselves how they bear another axis: by broadcasting, by `Op.shifted`, or by `Op.batched`.
"""

from __future__ import annotations

import dataclasses
from typing import Any, final

from compiler.ir.cell import BATCH
from compiler.ir.dims import Dim
from compiler.ir.graph import Graph, Node, Parameter, Value
from compiler.ir.op import Batching, Op
from compiler.ir.types import TensorType
from compiler.ops import make_op


@final
class NoBatch(Exception):
    """An op cannot bear a batch axis; `node` is where it stands."""

    def __init__(self, node: Node) -> None:
        super().__init__(f"`{node.op.name}` has no form for a batch of examples")
        self.node = node


def batch(graph: Graph) -> Graph:
    """`graph`, written for one example, for N: inputs and outputs have N as their first size. Raises NoBatch."""
    return _Batch(graph).run()


def with_batch(type: TensorType) -> TensorType:
    return TensorType(type.dtype, (Dim.symbol(BATCH), *type.shape))


@final
class _Batch(Batching):
    """One run: `values` maps the example's values to those made here; `moved` are those that have the axis."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._made = dataclasses.replace(graph, inputs=[], parameters=[], nodes=[], entries={}, outputs={})
        self._values: dict[Value, Value] = {}
        self._moved: set[Value] = set()
        self._expanded: dict[Value, Value] = {}
        self._node: Node | None = None

    def run(self) -> Graph:
        made = self._made
        for value in self._graph.inputs:
            self._values[value] = Value(with_batch(value.type), value.name)
            self._moved.add(value)
            made.inputs.append(self._values[value])
        for item in self._graph.parameters:
            self._values[item.value] = Value(item.type, item.value.name)
            made.parameters.append(Parameter(item.key, self._values[item.value], item.init, item.trainable))
        for node in self._graph.nodes:
            self._visit(node)
        made.entries = {name: self._values[value] for name, value in self._graph.entries.items()}
        made.outputs = {name: self._give_axis(value) for name, value in self._graph.outputs.items()}
        return made

    def _visit(self, node: Node) -> None:
        self._node = node
        moved = tuple(value in self._moved for value in node.operands)
        operands = tuple(self._values[value] for value in node.operands)
        if not any(moved):
            results = self._results(self.apply(node.op, *operands))
        else:
            self._moved.update(node.results)
            results = self._results(self._apply_moved(node, moved, operands))
        for value, result in zip(node.results, results, strict=True):
            self._values[value] = result

    @staticmethod
    def _results(made: Any) -> tuple[Value, ...]:
        return made if isinstance(made, tuple) else (made,)

    def _apply_moved(self, node: Node, moved: tuple[bool, ...], operands: tuple[Value, ...]) -> Any:
        if node.op.broadcasts:
            rank = max(value.type.rank for value in node.operands)
            pairs = zip(operands, moved, strict=True)
            return self.apply(node.op, *(self._align(value, rank) if first else value for value, first in pairs))
        own = node.op.batched(self, moved, *operands)
        if own is not None:
            return own
        op = node.op.shifted(*node.operand_types)
        if op is None:
            raise NoBatch(node)
        return self.apply(op, *(self._give_axis(value) for value in node.operands))

    def _align(self, value: Value, rank: int) -> Value:
        """Axes of size 1 behind the batch's until an example has `rank` of them."""
        while value.type.rank < rank + 1:
            (value,) = self._results(self.apply(make_op("unsqueeze", axis=1), value))
        return value

    def _give_axis(self, value: Value) -> Value:
        """The value with a batch axis, repeated along it where it does not depend on the example."""
        made = self._values[value]
        if value in self._moved:
            return made
        if made not in self._expanded:
            sizes = with_batch(made.type).shape
            (self._expanded[made],) = self._results(self.apply(make_op("expand", sizes=sizes), made))
        return self._expanded[made]

    def apply(self, op: Op, *operands: Any) -> Any:
        node = self._node
        inferred = op.infer(*(value.type for value in operands))
        types = inferred if isinstance(inferred, tuple) else (inferred,)
        hints = [value.name for value in node.results] if node is not None and len(node.results) == len(types) else [op.name] * len(types)
        results = tuple(Value(type, hint) for type, hint in zip(types, hints, strict=True))
        entry, label, span = ("", op.name, None) if node is None else (node.entry, node.label, node.span)
        self._made.nodes.append(Node(op, operands, (), results, entry, label, "", span))
        return results if isinstance(inferred, tuple) else results[0]
