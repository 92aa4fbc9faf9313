"""Puts training forms in place of the ops that behave differently while training: statistics of the batch, masks of dropout.

Contract: `mark_training` goes first, while calls still tell the networks apart; `apply_training` follows on the flat graph. Other
networks stay as they are, but without dropout, which is nothing there. New values of buffers are returned, not written: a second use
of a layer starts from the first's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, final

from compiler.front.builder import GraphBuilder
from compiler.ir.dims import Dim
from compiler.ir.graph import Call, Graph, Node, Value
from compiler.ir.op import Code, Op, ParameterSpec, Sample
from compiler.ir.types import TensorType
from compiler.passes.expand import Probe, calling_order, has_form, operand_values
from compiler.passes.template import TemplateError, elaborate_text, instantiate


@final
class TrainingFormError(Exception):
    """The training form of an op does not elaborate, or gives other types than its result and its buffers have."""

    def __init__(self, op: Op, message: str) -> None:
        super().__init__(f"training form of `{op.name}`: {message}")
        self.op = op


@final
@dataclass(frozen=True)
class InTraining(Op):
    """An op in training mode: its result, then the new value of each of its buffers."""

    name: ClassVar[str] = "in_training"
    operands: ClassVar[tuple[str, ...]] = ("*operands",)
    internal: ClassVar[bool] = True
    op: Op

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        inferred = self.op.infer(*operands)
        results = inferred if isinstance(inferred, tuple) else (inferred,)
        return (*results, *(spec.type for spec in self.parameters(*operands) if not spec.trainable))

    def parameters(self, *operands: TensorType) -> tuple[ParameterSpec, ...]:
        return self.op.parameters(*operands)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        return iter(())


def mark_training(graph: Graph, networks: Collection[str], *, draws: bool = True) -> Graph:
    """`graph` with calls of copies of these networks, in which ops that have a training form are marked.

    Without `draws`, ops that would draw in training mode stay as they are in evaluation mode.
    """
    memo: dict[tuple[int, bool], Graph] = {}
    for current in calling_order(graph):
        modes = (current.name in networks,) if current.kind == "network" else (False, True) if current.kind == "block" else (False,)
        for mode in modes:
            memo[id(current), mode] = _mark_one(current, mode, networks, memo, draws)
    return memo[id(graph), graph.kind == "network" and graph.name in networks]


def _mark_one(graph: Graph, mode: bool, networks: Collection[str], memo: Mapping[tuple[int, bool], Graph], draws: bool) -> Graph:
    nodes = []
    for node in graph.nodes:
        if isinstance(node.op, Call):
            inner = node.op.graph
            called = memo[id(inner), inner.name in networks if inner.kind == "network" else mode]
            if called is not inner:
                node = dataclasses.replace(node, op=Call(called, node.op.reads, node.op.sizes))
        elif mode and (draws or not node.op.random) and node.op.training(*node.operand_types) is not None:
            op = InTraining(node.op)
            extra = op.infer(*node.operand_types)[len(node.results) :]
            made = tuple(Value(type, f"new_{name}") for type, name in zip(extra, buffer_names(node), strict=True))
            node = dataclasses.replace(node, op=op, results=(*node.results, *made))
        nodes.append(node)
    if all(new is old for new, old in zip(nodes, graph.nodes, strict=True)):
        return graph
    return dataclasses.replace(graph, nodes=nodes)


def buffer_names(node: Node) -> list[str]:
    """The buffers of a node, which follow its result in training mode."""
    return [spec.name for spec in node.op.parameters(*node.operand_types) if not spec.trainable]


def apply_training(graph: Graph) -> tuple[Graph, dict[str, Value]]:
    """A flat graph with training forms in place of what is marked, and the last new value of each buffer by its parameter's key."""
    keys = {item.value: item.key for item in graph.parameters}
    latest: dict[Value, Value] = {}
    replaced: dict[Value, Value] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        operands = tuple(replaced.get(value, value) for value in node.operands)
        if is_identity(node):
            replaced[node.results[0]] = operands[0]
            continue
        if not isinstance(node.op, InTraining):
            nodes.append(dataclasses.replace(node, operands=operands) if operands != node.operands else node)
            continue
        held = tuple(latest.get(value, value) for value in node.parameters)
        template = training_graph(node.op.op, node.operand_types)
        copies, made = instantiate(template, (*operands, *held), node.entry, node.results)
        nodes += copies
        replaced.update((result, value) for result, value in zip(node.results, made, strict=True) if result is not value)
        specs = node.op.parameters(*node.operand_types)
        buffers = [value for value, spec in zip(node.parameters, specs, strict=True) if not spec.trainable]
        latest.update(zip(buffers, made[len(made) - len(buffers) :], strict=True))
    outputs = {name: replaced.get(value, value) for name, value in graph.outputs.items()}
    entries = {name: replaced.get(value, value) for name, value in graph.entries.items()}
    made_graph = dataclasses.replace(graph, nodes=nodes, outputs=outputs, entries=entries)
    return made_graph, {keys[value]: new for value, new in latest.items()}


def is_identity(node: Node) -> bool:
    """Whether a node draws in training mode alone, and is not in training mode: its NumPy form is its operand."""
    if not node.op.random or len(node.operands) != 1 or not has_form(node, node.op.numpy):
        return False
    return node.op.numpy(Probe(node), Code("operand")) == "operand"


@lru_cache(maxsize=1024)
def training_graph(op: Op, types: tuple[TensorType, ...]) -> Graph:
    """What an op's training form elaborates to: inputs are the operands, then the parameters. Raises TrainingFormError."""
    text = op.training(*types)
    if text is None:
        raise TrainingFormError(op, "there is none")
    builder = GraphBuilder(Graph(op.name, "block"))
    names: dict[str, Any] = {field.name: getattr(op, field.name) for field in dataclasses.fields(op)}
    names |= {symbol: Dim.symbol(symbol) for item in types for dim in item.shape for symbol in dim.symbols}
    names |= operand_values(builder, op, types)
    try:
        graph = elaborate_text(f"training form of {op.name}", text, builder, names)
    except TemplateError as error:
        raise TrainingFormError(op, str(error)) from error
    made, expected = tuple(value.type for value in graph.outputs.values()), InTraining(op).infer(*types)
    if made != expected:
        raise TrainingFormError(op, f"gives {', '.join(map(str, made))} where {', '.join(map(str, expected))} are wanted")
    return graph
