"""What a network is made of, row by row: shapes, parameters, multiply-adds, bytes of activations. Pure functions of a graph.

Amounts are for a batch of one unless sizes are given. Activations are the results of every op, which a training step keeps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import final

from compiler.ir.dims import Dim
from compiler.ir.graph import Call, Graph, Node, Value, called_networks, owned_parameters
from compiler.ir.measure import activation_bytes, multiply_adds, node_activation_bytes, node_multiply_adds, node_parameters, parameter_count
from compiler.ir.op import Op
from netlang.report.amounts import exact
from netlang.report.calls import describe_record, describe_value
from netlang.report.scans import ScanRow, list_scans

Sizes = Mapping[str, int]
Bindings = Mapping[str, Dim | int]


@final
@dataclass(frozen=True, slots=True)
class Row:
    """An entry, or at a greater `depth` a part of one. `shape` keeps the batch symbolic; the amounts do not."""

    name: str
    op: str
    shape: str
    parameters: int
    multiply_adds: Dim
    activations: Dim
    depth: int = 0


@final
@dataclass(frozen=True, slots=True)
class NetworkSummary:
    """A network's rows and totals. `calls` are networks whose weights it uses but does not own.

    The amounts are for one example where `batch` is the symbol of a batch size that was not given; they are formulas in
    the `open_sizes`.
    """

    name: str
    doc: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    rows: tuple[Row, ...]
    trainable: int
    buffers: int
    parameter_bytes: int
    multiply_adds: Dim
    activations: Dim
    calls: tuple[str, ...]
    scans: tuple[ScanRow, ...]
    batch: str | None
    open_sizes: tuple[str, ...]


def batch_symbols(graph: Graph) -> frozenset[str]:
    """The symbols that count examples: those of the first input's first size."""
    shape = graph.inputs[0].type.shape if graph.inputs else ()
    return shape[0].symbols if shape else frozenset()


def summarize(graph: Graph, sizes: Sizes | None = None, depth: int = 0) -> NetworkSummary:
    """The summary of a network; `sizes` fixes symbolic sizes by name, blocks open up to `depth` levels."""
    shown: dict[str, Dim | int] = dict(sizes or {})
    batch = sorted(batch_symbols(graph) - shown.keys())
    counted = shown | dict.fromkeys(batch, 1)
    owned = [item for _, item in owned_parameters(graph)]
    trainable = parameter_count(graph)
    return NetworkSummary(
        graph.name,
        graph.doc,
        {value.name: str(value.type.substitute(shown)) for value in graph.inputs},
        {name: str(value.type.substitute(shown)) for name, value in graph.outputs.items()},
        tuple(list_rows(graph, shown, counted, depth)),
        trainable,
        parameter_count(graph, trainable=False) - trainable,
        sum((item.type.elements.constant or 0) * item.type.dtype.bytes for item in owned),
        multiply_adds(graph).substitute(counted),
        activation_bytes(graph).substitute(counted),
        tuple(called_networks(graph)),
        list_scans(graph),
        batch[0] if batch else None,
        tuple(name for name in graph.symbols if name not in counted),
    )


def list_rows(graph: Graph, shown: Bindings, counted: Bindings, depth: int, level: int = 0) -> Iterator[Row]:
    """One row an entry, in order; where `depth` allows, the parts of an entry with blocks or several ops below it."""
    for entry, group in groupby(graph.nodes, key=lambda node: node.entry):
        nodes = list(group)
        value = graph.entries.get(entry)
        yield _row(entry, nodes, value or nodes[-1].results[0], shown, counted, level)
        if depth > 0:
            yield from _open(nodes, shown, counted, depth - 1, level + 1)


def _open(nodes: list[Node], shown: Bindings, counted: Bindings, depth: int, level: int) -> Iterator[Row]:
    """The parts of an entry: a block's entries, or the ops of a pipeline; nothing for a single op."""
    if len(nodes) == 1:
        if isinstance(call := nodes[0].op, Call):
            yield from list_rows(call.graph, _inside(call, shown), _inside(call, counted), depth, level)
        return
    for node in nodes:
        yield _row(_part_name(node), [node], node.results[0], shown, counted, level)
        if isinstance(node.op, Call) and depth > 0:
            yield from list_rows(node.op.graph, _inside(node.op, shown), _inside(node.op, counted), depth - 1, level + 1)


def _part_name(node: Node) -> str:
    """What a node is called inside its entry: the end of its parameters' prefix (`0` of a repeat), or its label."""
    _, inside, tail = node.prefix.partition(f"{node.entry}.")
    return tail if inside else node.label


def _inside(call: Call, bindings: Bindings) -> Bindings:
    """The sizes of a called graph in the caller's terms."""
    return dict(bindings) | {name: size.substitute(bindings) for name, size in call.sizes}


def _row(name: str, nodes: list[Node], value: Value, shown: Bindings, counted: Bindings, level: int) -> Row:
    return Row(
        name,
        describe_nodes(nodes),
        str(value.type.substitute(shown)),
        sum(node_parameters(node) for node in nodes),
        sum((node_multiply_adds(node) for node in nodes), start=Dim.of(0)).substitute(counted),
        sum((node_activation_bytes(node) for node in nodes), start=Dim.of(0)).substitute(counted),
        level,
    )


def describe_nodes(nodes: list[Node]) -> str:
    """The ops of an entry as a pipeline; constants are left out, equal neighbours counted: `16 x residual(C=64)`."""
    parts = []
    working = [node for node in nodes if node.operands or node.parameters] or nodes
    for text, group in groupby(describe_op(node.op) for node in working):
        count = len(list(group))
        parts.append(text if count == 1 else f"{count} x {text}")
    return " -> ".join(parts)


def describe_op(op: Op) -> str:
    """A call as a spec would write it; a block with what it was specialised to."""
    if not isinstance(op, Call):
        return describe_record(op)
    constants = ", ".join(f"{name}={describe_value(value)}" for name, value in op.graph.constants.items())
    return f"{op.graph.name}({constants})" if constants else op.graph.name


def network_json(summary: NetworkSummary) -> dict[str, object]:
    """The summary for tools; a symbolic amount is its formula as text, bytes and counts are exact."""
    made = dataclasses.asdict(summary)
    for item in (made, *made["rows"]):
        for key in ("multiply_adds", "activations"):
            item[f"{key}_bytes" if key == "activations" else key] = exact(item.pop(key))
    made["entries"] = list(made.pop("rows"))
    made["batch"] = 1 if made.pop("batch") is not None else None
    made["open_sizes"] = list(summary.open_sizes)
    return made
