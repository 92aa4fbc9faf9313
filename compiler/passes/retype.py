"""Graphs in another floating-point type: every f32 becomes f64, in values, parameters and attributes.

Contract: names, keys, nodes and what graphs share stay as they are; results have the types that their ops infer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from compiler.ir.graph import Call, Graph, Node, Parameter, Value
from compiler.ir.op import Op
from compiler.ir.types import DType, TensorType
from compiler.ops import make_op
from compiler.ops.scan import Scan
from compiler.passes.expand import calling_order


def retype(graphs: Iterable[Graph], dtype: DType) -> dict[Graph, Graph]:
    """By graph, it and all that it calls with `dtype` where it has f32."""
    made: dict[Graph, Graph] = {}
    for graph in calling_order(*graphs):
        made[graph] = _retype_one(graph, dtype, made)
    return made


def _retype_one(graph: Graph, dtype: DType, made: dict[Graph, Graph]) -> Graph:
    values: dict[Value, Value] = {}

    def change(value: Value) -> Value:
        if value not in values:
            values[value] = Value(retype_tensor(value.type, dtype), value.name)
        return values[value]

    def change_all(several: Iterable[Value]) -> tuple[Value, ...]:
        return tuple(map(change, several))

    return Graph(
        graph.name,
        graph.kind,
        list(change_all(graph.inputs)),
        [Parameter(item.key, change(item.value), item.init, item.trainable) for item in graph.parameters],
        [
            item
            for node in graph.nodes
            for item in _cast(
                Node(
                    _retype_op(node.op, dtype, made),
                    change_all(node.operands),
                    change_all(node.parameters),
                    change_all(node.results),
                    node.entry,
                    node.label,
                    node.prefix,
                    node.span,
                )
            )
        ],
        {name: change(value) for name, value in graph.entries.items()},
        {name: change(value) for name, value in graph.outputs.items()},
        dict(graph.constants),
        graph.doc,
    )


def _cast(node: Node) -> list[Node]:
    """The node, and a cast where its op makes f32 whatever it is given: `one_hot` of whole numbers."""
    if isinstance(node.op, Call) or node.parameters or len(node.results) != 1:
        return [node]
    (result,) = node.results
    made = node.op.infer(*node.operand_types)
    if made == result.type or not isinstance(made, TensorType) or made.shape != result.type.shape:
        return [node]
    raw = Value(made, result.name)
    cast = Node(make_op("cast", dtype=result.type.dtype), (raw,), (), node.results, node.entry)
    return [dataclasses.replace(node, results=(raw,)), cast]


def retype_tensor(type: TensorType, dtype: DType) -> TensorType:
    """The type with `dtype` in place of f32."""
    return dataclasses.replace(type, dtype=dtype) if type.dtype is DType.f32 else type


def _retype_op(op: Op, dtype: DType, made: dict[Graph, Graph]) -> Op:
    if isinstance(op, Call):
        return Call(made[op.graph], op.reads, op.sizes)
    if isinstance(op, Scan):
        graph = op.cell.graph
        if graph not in made:
            made[graph] = _retype_one(graph, dtype, made)
        return dataclasses.replace(op, cell=dataclasses.replace(op.cell, graph=made[graph]))
    changed: dict[str, Any] = {field.name: dtype for field in dataclasses.fields(op) if getattr(op, field.name) is DType.f32}
    return dataclasses.replace(op, **changed) if changed else op
