"""Puts called graphs in place of their calls, until no call is left.

Contract: inputs, outputs and entries keep their names and types. Parameters of blocks get the call's prefix before their key;
those of a called network are shared by all its calls and keyed `network/key`. Entries of what was called are dropped.
"""

from __future__ import annotations

import dataclasses
from typing import Any, final

from compiler.ir.dims import Dim
from compiler.ir.graph import Call, Graph, Node, Parameter, Value
from compiler.ir.op import Op
from compiler.ir.types import TensorType
from compiler.passes.expand import calling_order

Sizes = dict[str, Dim | int]


def inline(graph: Graph) -> Graph:
    """`graph` without calls; itself when it has none."""
    flat: dict[int, Graph] = {}
    for current in calling_order(graph):
        calls = any(isinstance(node.op, Call) for node in current.nodes)
        flat[id(current)] = _Inliner(current, flat).run() if calls else current
    return flat[id(graph)]


@final
class _Inliner:
    """Builds one flat graph from a graph whose callees are flat already."""

    def __init__(self, graph: Graph, flat: dict[int, Graph]) -> None:
        self._flat = flat
        self._graph = graph
        self._made = Graph(
            graph.name, graph.kind, list(graph.inputs), list(graph.parameters), constants=dict(graph.constants), doc=graph.doc
        )
        self._shared = {item.key: item.value for item in graph.parameters}

    def run(self) -> Graph:
        values: dict[Value, Value] = {}
        for node in self._graph.nodes:
            operands = tuple(values.get(value, value) for value in node.operands)
            if isinstance(node.op, Call):
                self._inline_call(node, node.op, operands, values)
            else:
                self._made.nodes.append(dataclasses.replace(node, operands=operands))
        self._made.entries = {name: values.get(value, value) for name, value in self._graph.entries.items()}
        self._made.outputs = {name: values.get(value, value) for name, value in self._graph.outputs.items()}
        return self._made

    def _inline_call(self, node: Node, call: Call, operands: tuple[Value, ...], values: dict[Value, Value]) -> None:
        callee = self._flat[id(call.graph)]
        sizes: Sizes = dict(call.sizes)
        inner = dict(zip(callee.inputs, operands, strict=True))
        for item in callee.parameters:
            inner[item.value] = self._parameter(item, node, call)
        where = node.entry or call.graph.name
        for step in callee.nodes:
            results = tuple(Value(substitute_type(value, sizes), value.name) for value in step.results)
            inner.update(zip(step.results, results, strict=True))
            self._made.nodes.append(
                dataclasses.replace(
                    step,
                    op=substitute_op(step.op, sizes) if sizes else step.op,
                    operands=tuple(inner[value] for value in step.operands),
                    parameters=tuple(inner[value] for value in step.parameters),
                    results=results,
                    entry=f"{where}.{step.entry}" if step.entry else where,
                    prefix="",
                )
            )
        for name, result in zip(call.reads, node.results, strict=True):
            source = callee.read(name)
            assert source is not None
            values[result] = inner[source]

    def _parameter(self, item: Parameter, node: Node, call: Call) -> Value:
        """The value of a callee's parameter here, made at its first use."""
        if "/" in item.key:
            key = item.key
        elif call.graph.kind == "network":
            key = f"{call.graph.name}/{item.key}"
        else:
            key = f"{node.prefix}.{item.key}" if node.prefix else item.key
        if key not in self._shared:
            value = self._shared[key] = Value(item.type, key)
            self._made.parameters.append(Parameter(key, value, item.init, item.trainable))
        return self._shared[key]


def substitute_type(value: Value, sizes: Sizes) -> TensorType:
    return value.type.substitute(sizes) if sizes else value.type


def substitute_op(op: Op, sizes: Sizes) -> Op:
    """The op with symbols of its attributes replaced."""
    changed = {}
    for field in dataclasses.fields(op):
        old = getattr(op, field.name)
        new = _substitute(old, sizes)
        if new is not old:
            changed[field.name] = new
    return dataclasses.replace(op, **changed) if changed else op


def _substitute(value: Any, sizes: Sizes) -> Any:
    if isinstance(value, Dim):
        return value.substitute(sizes) if value.symbols & sizes.keys() else value
    if isinstance(value, tuple):
        made = tuple(_substitute(item, sizes) for item in value)
        return made if any(new is not old for new, old in zip(made, value, strict=True)) else value
    return value
