"""Lets scans keep what their gradients read: the forward half of the pair of ops that a scan is differentiated by.

Contract: `keep_scans` goes before differentiation, on a flat graph; a scan that no backward program can be made of stays as it is, and
has no gradient. `drop_kept` goes after it: scans whose kept values nobody reads are as they were.
"""

from __future__ import annotations

import dataclasses
import math

from compiler.ir.cell import BATCH
from compiler.ir.dims import Dim
from compiler.ir.graph import Graph, Node, Value
from compiler.ir.types import TensorType
from compiler.ops.scan import Scan
from compiler.passes.autodiff import DerivativeError
from compiler.passes.scan_plan import Unsupported, plan_scan


def keep_scans(graph: Graph) -> Graph:
    """`graph` with scans that have a last result more."""
    return dataclasses.replace(graph, nodes=[_keep(node) if isinstance(node.op, Scan) else node for node in graph.nodes])


def _keep(node: Node) -> Node:
    assert isinstance(node.op, Scan)
    kept = count_kept(node.op, node.operand_types[0])
    if kept is None:
        return node
    op = dataclasses.replace(node.op, kept=kept)
    return dataclasses.replace(node, op=op, results=(*node.results, Value(op.infer(*node.operand_types)[-1], "kept")))


def count_kept(scan: Scan, sequence: TensorType) -> Dim | None:
    """How many numbers a scan of such a first sequence keeps; None where it has no gradient."""
    try:
        forward = plan_scan(scan.cell, masked=scan.lengths).forward
    except (Unsupported, DerivativeError):
        return None
    batch, time, *_ = sequence.shape
    outside = {**dict(scan.sizes), BATCH: batch}

    def elements(type: TensorType) -> Dim:
        return math.prod(type.substitute(outside).shape, start=Dim.of(1))

    states = sum((elements(before.type) for before, _ in forward.states.values()), start=Dim.of(0))
    return states * (time + 1) + sum((elements(value.type) for value in forward.saved), start=Dim.of(0)) * time


def drop_kept(graph: Graph) -> Graph:
    """`graph` with only those kept values that are read."""
    read = {value for node in graph.nodes for value in node.operands} | set(graph.outputs.values())
    nodes = []
    for node in graph.nodes:
        if isinstance(node.op, Scan) and node.op.kept is not None and node.results[-1] not in read:
            node = dataclasses.replace(node, op=dataclasses.replace(node.op, kept=None), results=node.results[:-1])
        nodes.append(node)
    return dataclasses.replace(graph, nodes=nodes)
