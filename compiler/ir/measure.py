"""What a graph costs: parameters, multiply-adds, bytes of activations. Sizes stay symbolic until substituted.

Multiply-adds are products only, as papers count them; a called graph counts as often as it is called, its parameters once.
"""

from __future__ import annotations

from compiler.ir.dims import Dim
from compiler.ir.graph import Call, Graph, Node


def node_parameters(node: Node, *, trainable: bool = True) -> int:
    """Numbers a node owns (a block's included); without `trainable` also its buffers."""
    if isinstance(node.op, Call):
        return parameter_count(node.op.graph, trainable=trainable) if node.op.graph.kind == "block" else 0
    specs = node.op.parameters(*node.operand_types) if node.parameters else ()
    return sum(spec.type.elements.constant or 0 for spec in specs if spec.trainable or not trainable)


def parameter_count(graph: Graph, *, trainable: bool = True) -> int:
    """Numbers that a graph owns: its own and its blocks', not those of networks it calls."""
    memo: dict[int, int] = {}

    def count(current: Graph) -> int:
        if id(current) not in memo:
            own = sum(item.type.elements.constant or 0 for item in current.parameters if item.trainable or not trainable)
            calls = (node.op.graph for node in current.nodes if isinstance(node.op, Call) and node.op.graph.kind == "block")
            memo[id(current)] = own + sum(count(inner) for inner in calls)
        return memo[id(current)]

    return count(graph)


def node_multiply_adds(node: Node) -> Dim:
    if isinstance(node.op, Call):
        return multiply_adds(node.op.graph).substitute(dict(node.op.sizes))
    return node.op.cost(node.operand_types, node.result_types)


def multiply_adds(graph: Graph) -> Dim:
    """Multiply-adds of one evaluation of the whole graph."""
    memo: dict[int, Dim] = {}

    def count(current: Graph) -> Dim:
        if id(current) not in memo:
            total = Dim.of(0)
            for node in current.nodes:
                if isinstance(node.op, Call):
                    total += count(node.op.graph).substitute(dict(node.op.sizes))
                else:
                    total += node.op.cost(node.operand_types, node.result_types)
            memo[id(current)] = total
        return memo[id(current)]

    return count(graph)


def node_activation_bytes(node: Node) -> Dim:
    """Bytes of a node's results and, for a call, of everything inside it."""
    if isinstance(node.op, Call):
        return activation_bytes(node.op.graph).substitute(dict(node.op.sizes))
    return sum((item.elements * item.dtype.bytes for item in node.result_types), start=Dim.of(0))


def activation_bytes(graph: Graph) -> Dim:
    """Bytes of every value that a training step keeps: the results of all nodes."""
    memo: dict[int, Dim] = {}

    def count(current: Graph) -> Dim:
        if id(current) not in memo:
            total = Dim.of(0)
            for node in current.nodes:
                inner = count(node.op.graph).substitute(dict(node.op.sizes)) if isinstance(node.op, Call) else node_activation_bytes(node)
                total += inner
            memo[id(current)] = total
        return memo[id(current)]

    return count(graph)


def per_example(graph: Graph, amount: Dim) -> Dim:
    """An amount for a batch of one: the symbol of the first input's first dimension becomes 1."""
    if not graph.inputs or not graph.inputs[0].type.shape:
        return amount
    batch = graph.inputs[0].type.shape[0].symbols
    return amount.substitute(dict.fromkeys(batch, 1))
