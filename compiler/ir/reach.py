"""What a value's gradient reaches: the inputs and the trained weights of a graph, through the graphs that it calls.

A gradient goes from a floating-point result to a floating-point operand or parameter, unless the op says that its derivative
there is zero: a comparison, an index, a sign, a buffer of earlier values. Non-goals: how large a gradient is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias, final

from compiler.ir.graph import Call, Graph, Node, Value
from compiler.ir.op import Op
from compiler.ir.types import TensorType

Origin: TypeAlias = Value | Graph
"""Where a gradient ends: a value from outside, or the graph that owns a trained parameter."""
Origins: TypeAlias = frozenset[Origin]
NONE: Origins = frozenset()


def input_names(op: Op, types: tuple[TensorType, ...]) -> list[str]:
    """Operands and parameters by the names of their derivatives: a variadic operand's are numbered."""
    fixed = [name for name in op.operands if not name.startswith("*")]
    if len(fixed) < len(op.operands):
        stem = op.operands[-1].removeprefix("*")
        fixed += [f"{stem}{index}" for index in range(len(types) - len(fixed))]
    return fixed + [spec.name for spec in op.parameters(*types)]


def needed_nodes(nodes: Iterable[Node], output: Value) -> list[Node]:
    """Those of `nodes`, in their order, that `output` is made of."""
    needed, kept = {output}, []
    for node in reversed(list(nodes)):
        if not needed.isdisjoint(node.results):
            needed.update(node.operands)
            kept.append(node)
    return kept[::-1]


@final
class Reach:
    """Answers for graphs that stay as they are; each is looked at once."""

    def __init__(self) -> None:
        self._graphs: dict[Graph, dict[Value, Origins]] = {}

    def of(self, graph: Graph) -> Mapping[Value, Origins]:
        """What the gradient of each value of a graph reaches: the graph's inputs, itself for its own weights, called networks."""
        if graph not in self._graphs:
            known: dict[Value, Origins] = {value: frozenset((value,)) for value in graph.inputs if value.type.dtype.is_float}
            known |= {item.value: frozenset((graph,)) for item in graph.parameters if item.trainable}
            self._graphs[graph] = self.trace(graph.nodes, known, graph)
        return self._graphs[graph]

    def trace(self, nodes: Iterable[Node], known: Mapping[Value, Origins], owner: Graph | None = None) -> dict[Value, Origins]:
        """What the gradient of each result reaches, where `known` says it of values from outside; `owner` owns the weights of blocks."""
        found: dict[Value, Origins] = dict(known)
        for node in nodes:
            made = self._call(node.op, node, found, owner) if isinstance(node.op, Call) else self._apply(node, found)
            for value, origins in zip(node.results, made, strict=True):
                if value.type.dtype.is_float:
                    found.setdefault(value, origins)
        return found

    def _apply(self, node: Node, found: Mapping[Value, Origins]) -> list[Origins]:
        inputs = (*node.operands, *node.parameters)
        reached = [found.get(value, NONE) for value in inputs]
        if any(reached):
            texts = node.op.derivatives(*node.operand_types)
            if texts is not None:
                names = input_names(node.op, node.operand_types)
                reached = [item for item, name in zip(reached, names, strict=False) if texts.get(name, "") is not None]
        return [NONE.union(*reached)] * len(node.results)

    def _call(self, call: Call, node: Node, found: Mapping[Value, Origins], owner: Graph | None) -> list[Origins]:
        inside = self.of(call.graph)
        outside: dict[Origin, Origins] = {
            value: found.get(operand, NONE) for value, operand in zip(call.graph.inputs, node.operands, strict=True)
        }
        if call.graph.kind == "block":
            outside[call.graph] = frozenset((owner,)) if owner is not None else NONE
        results = []
        for name in call.reads:
            value = call.graph.read(name)
            origins = NONE if value is None else inside.get(value, NONE)
            results.append(NONE.union(*(outside.get(item, frozenset((item,))) for item in origins)))
        return results

    def cuts(self, nodes: Iterable[Node], output: Value, known: Mapping[Value, Origins], origin: Origin) -> list[Node]:
        """The nodes on the way from `origin` to `output` that let no gradient through, where `output` depends on it at all."""
        way = needed_nodes(nodes, output)
        found = self.trace(way, known)

        def reaches(values: Iterable[Value]) -> bool:
            return any(origin in found.get(value, NONE) for value in values)

        return [node for node in way if reaches(node.operands) and not reaches(node.results)]
