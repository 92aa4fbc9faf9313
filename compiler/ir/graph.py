"""Graphs of typed values: what every network, block and training step becomes.

A graph's nodes stand in evaluation order. A value is made once: by being an input, a parameter, or the result of a node.
A call of another graph is a node too (`Call`), so blocks and networks keep their shape for the printers; parameter keys
inside a graph are relative to it, and a call adds its own prefix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

from compiler.ir.dims import Dim
from compiler.ir.initializers import Initializer
from compiler.ir.op import Op, Sample
from compiler.ir.types import TensorType
from compiler.source import Span

GraphKind = Literal["network", "block", "step"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A tensor of a graph. `name` is what the spec calls it, or a hint; printers make names unique."""

    type: TensorType
    name: str


@final
@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """A tensor that a graph owns; `key` is its state-dict key relative to the graph."""

    key: str
    value: Value
    init: Initializer
    trainable: bool

    @property
    def type(self) -> TensorType:
        return self.value.type


@final
@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One application of an op.

    `entry` is the entry of the spec that it stands in ("" in none); `label` tells it from others of the entry (`conv`,
    `conv_2`); `prefix` is where its parameters' keys start ("" when it owns none).
    """

    op: Op
    operands: tuple[Value, ...]
    parameters: tuple[Value, ...]
    results: tuple[Value, ...]
    entry: str = ""
    label: str = ""
    prefix: str = ""
    span: Span | None = None

    @property
    def operand_types(self) -> tuple[TensorType, ...]:
        return tuple(value.type for value in self.operands)

    @property
    def result_types(self) -> tuple[TensorType, ...]:
        return tuple(value.type for value in self.results)


@final
@dataclass(slots=True, eq=False)
class Graph:
    """A function from inputs to outputs, with the parameters it owns.

    `outputs` maps a name to a value; the single unnamed output has the name "". `entries` maps every entry to its value,
    so that any of them can be read from outside. `constants` are what a block was specialised to, for names and messages.
    """

    name: str
    kind: GraphKind
    inputs: list[Value] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    entries: dict[str, Value] = field(default_factory=dict)
    outputs: dict[str, Value] = field(default_factory=dict)
    constants: dict[str, object] = field(default_factory=dict)
    doc: str = ""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbolic sizes of the inputs, in order of appearance."""
        names: dict[str, None] = {}
        for value in self.inputs:
            for dim in value.type.shape:
                names.update(dict.fromkeys(sorted(dim.symbols)))
        return tuple(names)

    def read(self, name: str) -> Value | None:
        """The output or entry of that name."""
        return self.outputs.get(name) or self.entries.get(name)


@final
@dataclass(frozen=True)
class Call(Op):
    """The application of a graph: a block (its parameters belong to the caller) or a network (its parameters are its own).

    `reads` names the outputs or entries that are the results, "" for the unnamed output. `sizes` maps the graph's symbolic
    sizes to the caller's.
    """

    name: ClassVar[str] = "call"
    operands: ClassVar[tuple[str, ...]] = ("*inputs",)
    graph: Graph
    reads: tuple[str, ...]
    sizes: tuple[tuple[str, Dim], ...] = ()

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        sizes = dict(self.sizes)
        expected = tuple(value.type.substitute(sizes) for value in self.graph.inputs)
        if expected != operands:
            raise ValueError(f"{self.graph.name} is called with {operands}, takes {expected}")
        return tuple(value.type.substitute(sizes) for name in self.reads if (value := self.graph.read(name)) is not None)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        return iter(())


def owns_parameters(graph: Graph) -> bool:
    """Whether `graph` has a parameter of its own or in a block."""
    return bool(graph.parameters) or any(
        isinstance(node.op, Call) and node.op.graph.kind == "block" and bool(node.prefix) for node in graph.nodes
    )


def owned_parameters(graph: Graph, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
    """Every parameter that belongs to `graph`, blocks' included and called networks' not, with its full key, in order.

    Order is that of the spec: a graph's own list follows its entries, and blocks stand where they are called.
    """
    own = {id(item.value): item for item in graph.parameters}
    for node in graph.nodes:
        for value in node.parameters:
            if (item := own.pop(id(value), None)) is not None:
                yield prefix + item.key, item
        if isinstance(node.op, Call) and node.op.graph.kind == "block":
            inner = f"{prefix}{node.prefix}." if node.prefix else prefix
            yield from owned_parameters(node.op.graph, inner)
    for item in own.values():
        yield prefix + item.key, item


def called_networks(graph: Graph) -> dict[str, Graph]:
    """The networks that `graph` calls, directly or inside blocks or networks, by name, in order of first use."""
    found: dict[str, Graph] = {}
    pending = [graph]
    seen: set[int] = set()
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        for node in current.nodes:
            if isinstance(node.op, Call):
                if node.op.graph.kind == "network":
                    found.setdefault(node.op.graph.name, node.op.graph)
                pending.append(node.op.graph)
    return found
