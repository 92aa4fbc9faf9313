"""Leaves out what changes nothing: reshapes to the same shape, casts to the same type, dropout in evaluation, x * 1, x + 0, --x.

Contract: every value that is left holds the same numbers as before in evaluation mode (-0 may stand where x + 0 made 0), names of outputs
and entries stay, and so do parameters. Sums and products of constants alone are computed here, in double precision as Python computes
the literals of printed files. Non-goal: anything that rounds otherwise, such as one product in place of two.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from compiler.ir.graph import Call, Graph, Node, Value
from compiler.ir.op import Op
from compiler.ops.arithmetic import Add, Div, Mul, Pow, Sub
from compiler.ops.elementwise import Cast, Neg, Scalar
from compiler.ops.shape import Permute, Reshaping, Transpose
from compiler.passes.training_mode import is_identity

NEUTRAL: Final[Mapping[type[Op], tuple[int, bool]]] = {Add: (0, True), Sub: (0, False), Mul: (1, True), Div: (1, False), Pow: (1, False)}
"""The number with which an op gives its other operand, and whether it may stand first."""
COMPUTED: Final[Mapping[type[Op], Callable[..., Any]]] = {
    Add: operator.add, Sub: operator.sub, Mul: operator.mul, Div: operator.truediv, Neg: operator.neg,
}  # fmt: skip
LARGEST: Final = 2**31
"""Integers from here on are left to the back ends."""

Makers = Mapping[Value, Node]


def clean_up(graph: Graph) -> Graph:
    """`graph` without the nodes that change nothing; itself where there are none. What it calls stays as it is."""
    replaced: dict[Value, Value] = {}
    makers: dict[Value, Node] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        if any(value in replaced for value in node.operands):
            node = dataclasses.replace(node, operands=tuple(replaced.get(value, value) for value in node.operands))
        same = _same_value(node, makers)
        if same is not None:
            replaced[node.results[0]] = same
            continue
        constant = _computed(node, makers)
        if constant is not None:
            node = dataclasses.replace(node, op=constant, operands=())
        makers.update(dict.fromkeys(node.results, node))
        nodes.append(node)
    if not replaced and all(new is old for new, old in zip(nodes, graph.nodes, strict=True)):
        return graph
    outputs = {name: replaced.get(value, value) for name, value in graph.outputs.items()}
    entries = {name: replaced.get(value, value) for name, value in graph.entries.items()}
    return drop_unused(dataclasses.replace(graph, nodes=nodes, outputs=outputs, entries=entries))


def drop_unused(graph: Graph) -> Graph:
    """`graph` without the nodes that no output, entry or other node needs; calls and what owns tensors stay."""
    needed = {*graph.outputs.values(), *graph.entries.values()}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if isinstance(node.op, Call) or node.parameters or not needed.isdisjoint(node.results):
            kept.append(node)
            needed.update(node.operands)
    return dataclasses.replace(graph, nodes=kept[::-1])


def _same_value(node: Node, makers: Makers) -> Value | None:
    """The value that a node's result equals; None where it is new."""
    if not node.operands or len(node.results) != 1 or node.parameters:
        return None
    x, op = node.operands[0], node.op
    if is_identity(node):
        return x
    if isinstance(op, Reshaping | Cast):
        return x if x.type == node.results[0].type else None
    if isinstance(op, Permute):
        return x if all(axis % x.type.rank == place for place, axis in enumerate(op.axes)) else None
    if isinstance(op, Transpose):
        return x if op.a % x.type.rank == op.b % x.type.rank else _undone(node, makers)
    return _undone(node, makers) if isinstance(op, Neg) else _without_neutral(node, makers)


def _undone(node: Node, makers: Makers) -> Value | None:
    """What an op was applied to that is applied twice and is its own inverse."""
    before = makers.get(node.operands[0])
    return before.operands[0] if before is not None and before.op == node.op else None


def _without_neutral(node: Node, makers: Makers) -> Value | None:
    """The operand that is met by a number which leaves it as it is."""
    number, either = NEUTRAL.get(type(node.op), (None, False))
    if number is None:
        return None
    x, y = node.operands
    for value, other in ((x, y), (y, x)) if either else ((x, y),):
        if value.type == node.results[0].type and _number(other, makers) == number:
            return value
    return None


def _number(value: Value, makers: Makers) -> int | float | None:
    """The number that a constant is; None for anything else."""
    maker = makers.get(value)
    if maker is None or not isinstance(maker.op, Scalar) or isinstance(maker.op.value, bool) or not isinstance(maker.op.value, int | float):
        return None
    return maker.op.value


def _computed(node: Node, makers: Makers) -> Scalar | None:
    """The constant that an op makes of constants."""
    compute = COMPUTED.get(type(node.op))
    given = [_number(value, makers) for value in node.operands]
    dtype = node.results[0].type.dtype
    if compute is None or None in given or any(value.type.dtype is not dtype for value in node.operands):
        return None
    if dtype.is_float:
        given = [None if number is None else float(number) for number in given]
    if isinstance(node.op, Div) and (not dtype.is_float or given[1] == 0):
        return None
    made = compute(*given)
    return Scalar(made, dtype) if math.isfinite(made) and (dtype.is_float or abs(made) < LARGEST) else None
