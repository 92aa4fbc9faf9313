"""Gradients as graphs: reverse-mode differentiation of a flat graph, closed under itself.

Contract: the graph has no calls, and every op between what is differentiated and what it is differentiated by has
derivatives (`expand(graph, lacks_derivatives)` leaves it so). Nodes are only added, none for a gradient nobody asked for;
what was added can be differentiated again. A value that does not depend on another has no gradient (None).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, final

from compiler.front.builder import GraphBuilder
from compiler.ir.dims import Dim
from compiler.ir.graph import Graph, Node, Value
from compiler.ir.op import Adjoint, Op
from compiler.ir.reach import input_names
from compiler.ir.types import TensorType
from compiler.passes.expand import operand_values
from compiler.passes.template import TemplateError, append, elaborate_text, instantiate


@final
class DerivativeError(Exception):
    """An op has no derivative where one is needed, or its text gives another type than the operand's."""

    def __init__(self, op: Op, message: str) -> None:
        super().__init__(f"derivative of `{op.name}`: {message}")
        self.op = op


def lacks_derivatives(node: Node) -> bool:
    """Whether an op is differentiated through its formula."""
    return node.op.formula is not None and node.op.derivatives(*node.operand_types) is None


def differentiate(graph: Graph, output: Value, wanted: Sequence[Value]) -> list[Value | None]:
    """Add nodes for the gradients of the sum of `output` with respect to each of `wanted`; returns them in order."""
    return pull_back(graph, {output: None}, wanted)


def pull_back(graph: Graph, seeds: Mapping[Value, Value | None], wanted: Sequence[Value]) -> list[Value | None]:
    """Add nodes for the gradients of the sum of `value * seed` over `seeds`, with respect to each of `wanted`; no seed is ones."""
    active = _depending(graph, wanted)
    work = _Work(graph, active)
    before = list(graph.nodes)
    for value, seed in seeds.items():
        if value in active:
            work.gradients[value] = seed if seed is not None else work.fill(value, 1)
    for node in reversed(before):
        if any(value in work.gradients for value in node.results):
            work.visit(node)
    return [work.gradients.get(value) for value in wanted]


def _depending(graph: Graph, wanted: Sequence[Value]) -> set[Value]:
    """The floating-point values that change with one of `wanted`."""
    active = {value for value in wanted if value.type.dtype.is_float}
    for node in graph.nodes:
        if any(value in active for value in (*node.operands, *node.parameters)):
            active.update(value for value in node.results if value.type.dtype.is_float)
    return active


@final
class _Work(Adjoint):
    """The gradients found so far, by value."""

    def __init__(self, graph: Graph, active: set[Value]) -> None:
        self._graph = graph
        self._active = active
        self.gradients: dict[Value, Value] = {}

    def visit(self, node: Node) -> None:
        """Add what a node's operands and parameters get from the gradients of its results."""
        inputs = (*node.operands, *node.parameters)
        wanted = tuple(index for index, value in enumerate(inputs) if value in self._active)
        if not wanted:
            return
        incoming = [self.gradients.get(value) for value in node.results]
        whole = node.op.pull_back(self, inputs, node.results, tuple(incoming))
        if whole is not None:
            for index in wanted:
                if (gradient := whole[index]) is not None:
                    self._add(inputs[index], gradient)
            return
        filled = [item if item is not None else self.fill(value, 0) for item, value in zip(incoming, node.results, strict=True)]
        arguments = (*inputs, *node.results, *filled)
        types = node.operand_types
        for index in wanted:
            template = derivative_graph(node.op, types, index)
            if template is None:
                continue
            copies, made = instantiate(template, arguments, node.entry)
            self._graph.nodes += copies
            self._add(inputs[index], self._fit(made[0], inputs[index].type))

    def _add(self, value: Value, gradient: Value) -> None:
        known = self.gradients.get(value)
        self.gradients[value] = gradient if known is None else self._apply("add", known, gradient)

    def apply(self, op: Op, *operands: Value) -> tuple[Value, ...]:
        inferred = op.infer(*(value.type for value in operands))
        types = inferred if isinstance(inferred, tuple) else (inferred,)
        results = tuple(Value(type, "gradient") for type in types)
        self._graph.nodes.append(Node(op, operands, (), results))
        return results

    def fill(self, like: Value, number: int) -> Value:
        return self._apply("full", value=float(number), sizes=like.type.shape, dtype=like.type.dtype)

    def _fit(self, value: Value, type: TensorType) -> Value:
        """Sum over what broadcasting repeated, and return to the operand's dtype."""
        extra = value.type.rank - type.rank
        if extra > 0:
            value = self._apply("sum", value, axis=tuple(range(extra)))
        sizes = zip(reversed(value.type.shape), reversed(type.shape), strict=False)
        repeated = tuple(-1 - axis for axis, (a, b) in enumerate(sizes) if b == 1 and a != 1)
        if repeated:
            value = self._apply("sum", value, axis=repeated, keepdims=True)
        if value.type.shape != type.shape:
            value = self._apply("expand", value, sizes=type.shape)
        return value if value.type.dtype is type.dtype else self._apply("cast", value, dtype=type.dtype)

    def _apply(self, name: str, *operands: Value, **attributes: Any) -> Value:
        return append(self._graph.nodes, name, *operands, hint="gradient", **attributes)


@lru_cache(maxsize=8192)
def derivative_graph(op: Op, types: tuple[TensorType, ...], index: int) -> Graph | None:
    """What an op's derivative by its operand or parameter `index` elaborates to; None where it is zero.

    Inputs are operands, parameters, results, gradients of the results. Raises DerivativeError.
    """
    texts = op.derivatives(*types)
    if texts is None:
        raise DerivativeError(op, "there is none, and no formula")
    builder = GraphBuilder(Graph(op.name, "block"))
    names: dict[str, Any] = {field.name: getattr(op, field.name) for field in dataclasses.fields(op)}
    names |= {symbol: Dim.symbol(symbol) for item in types for dim in item.shape for symbol in dim.symbols}
    names |= operand_values(builder, op, types)
    key = input_names(op, types)[index]
    if key not in texts:
        raise DerivativeError(op, f"there is none by `{key}`")
    text = texts[key]
    if text is None:
        return None
    inferred = op.infer(*types)
    results = inferred if isinstance(inferred, tuple) else (inferred,)
    made = tuple(builder.add_input("result", item) for item in results)
    gradients = tuple(builder.add_input("g", item) for item in results)
    names |= {"result": made if len(made) > 1 else made[0], "g": gradients if len(made) > 1 else gradients[0]}
    try:
        return elaborate_text(f"derivative of {op.name} by {key}", text, builder, names)
    except TemplateError as error:
        raise DerivativeError(op, str(error)) from error
