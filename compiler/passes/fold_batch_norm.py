"""Makes a convolution or linear layer and the batch normalization behind it one layer with other weights, for evaluation.

Contract: networks keep their inputs, outputs and what other graphs read of them, and give the same numbers up to rounding in evaluation
mode, with the weights that the foldings say. The one layer keeps the key of its weight and has a bias; the keys of what it took in
are gone. Declined: a layer whose result something else reads, weights that are used twice, normalization along another axis than that
of the filters. Non-goal: folding across the border of a block.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

from compiler.ir.graph import Call, Graph, Node, Parameter, Value
from compiler.ir.initializers import Zeros
from compiler.ops.conv import Conv, ConvTranspose
from compiler.ops.linear import Linear
from compiler.ops.norm import BatchNorm
from compiler.passes.expand import calling_order
from compiler.passes.rewriting import rewrite_all


@final
@dataclass(frozen=True, slots=True)
class Folding:
    """Keys of a state dict: the weight and bias of one layer become those with a normalization taken in.

    With s = scale / sqrt(variance + eps) for each filter the weight is s times what it was, the bias s (bias - mean) + shift. `biased` says
    whether there was a bias; without scale and shift these are 1 and 0. In the weight `groups` parts of the filters lie along axis 0
    (`transposed`: each part's filters along axis 1).
    """

    weight: str
    bias: str
    mean: str
    variance: str
    eps: float
    biased: bool
    scale: str | None
    shift: str | None
    groups: int
    transposed: bool

    @property
    def taken(self) -> tuple[str, ...]:
        """The keys that are gone; the number of batches is called beside the mean."""
        counted = self.mean.removesuffix("running_mean") + "num_batches_tracked"
        return tuple(key for key in (self.scale, self.shift, self.mean, self.variance, counted) if key is not None)

    def within(self, prefix: str) -> Folding:
        """The folding where the layer's keys have this before them."""
        scale, shift = (key if key is None else prefix + key for key in (self.scale, self.shift))
        weight, bias, mean, variance = (prefix + key for key in (self.weight, self.bias, self.mean, self.variance))
        return dataclasses.replace(self, weight=weight, bias=bias, mean=mean, variance=variance, scale=scale, shift=shift)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """The networks by name, and what becomes of each one's weights."""

    networks: Mapping[str, Graph]
    foldings: Mapping[str, tuple[Folding, ...]]


def fold_batch_norm(networks: Mapping[str, Graph]) -> Folded:
    """The networks, in evaluation mode, with normalizations in the weights before them."""
    reads: dict[str, set[str]] = {}
    for graph in calling_order(*networks.values()):
        for node in graph.nodes:
            if isinstance(node.op, Call):
                reads.setdefault(node.op.graph.name, set()).update(node.op.reads)
    own: dict[int, list[Folding]] = {}
    keep: list[Graph] = []

    def change(graph: Graph) -> Graph:
        made, foldings = _fold_graph(graph, reads.get(graph.name, set()))
        own[id(made)] = foldings
        keep.append(made)
        return made

    made = rewrite_all(networks.values(), change)
    found = {graph.name: tuple({item.weight: item for item in _collect(graph, "", own)}.values()) for graph in made}
    return Folded(dict(zip(networks, made, strict=True)), found)


def _collect(graph: Graph, prefix: str, own: Mapping[int, list[Folding]]) -> Iterable[Folding]:
    """The foldings of a graph and of its blocks, with full keys."""
    yield from (item.within(prefix) for item in own[id(graph)])
    for node in graph.nodes:
        if isinstance(node.op, Call) and node.op.graph.kind == "block":
            yield from _collect(node.op.graph, f"{prefix}{node.prefix}." if node.prefix else prefix, own)


def _fold_graph(graph: Graph, reads: Iterable[str]) -> tuple[Graph, list[Folding]]:
    uses = Counter(value for node in graph.nodes for value in (*node.operands, *node.parameters))
    uses.update(graph.outputs.values())
    uses.update(value for name in reads if (value := graph.entries.get(name)) is not None)
    makers = {value: node for node in graph.nodes for value in node.results}
    items = {item.value: item for item in graph.parameters}
    replaced: dict[Value, Value] = {}
    layers: dict[Node, Node] = {}
    biases: dict[Value, Parameter] = {}
    gone: set[Value] = set()
    foldings: list[Folding] = []
    for norm in graph.nodes:
        layer = makers.get(norm.operands[0]) if isinstance(norm.op, BatchNorm) else None
        if layer is None or not _folds(layer, norm, uses):
            continue
        foldings.append(_folding(layer, norm, items))
        made, bias = _with_bias(layer, foldings[-1])
        layers[layer] = made
        if bias is not None:
            biases[layer.parameters[0]] = bias
        replaced[norm.results[0]] = layer.results[0]
        gone.update(norm.parameters)
    if not foldings:
        return graph, []
    merged = set(replaced.values())
    entries = {name: replaced.get(value, value) for name, value in graph.entries.items() if value not in merged}
    parameters: list[Parameter] = []
    for item in graph.parameters:
        if item.value not in gone:
            parameters.append(item)
            parameters += [biases[item.value]] if item.value in biases else []
    nodes = [
        dataclasses.replace(layers.get(node, node), operands=tuple(replaced.get(value, value) for value in node.operands))
        for node in graph.nodes
        if node.results[0] not in replaced
    ]
    outputs = {name: replaced.get(value, value) for name, value in graph.outputs.items()}
    return dataclasses.replace(graph, nodes=nodes, parameters=parameters, entries=entries, outputs=outputs), foldings


def _folds(layer: Node, norm: Node, uses: Counter[Value]) -> bool:
    op = layer.op
    if not isinstance(op, Conv | ConvTranspose | Linear) or (isinstance(op, Linear) and layer.results[0].type.rank != 2):
        return False
    return all(uses[value] == 1 for value in (*layer.results, *layer.parameters, *norm.parameters))


def _folding(layer: Node, norm: Node, items: Mapping[Value, Parameter]) -> Folding:
    op = layer.op
    assert isinstance(op, Conv | ConvTranspose | Linear)
    assert isinstance(norm.op, BatchNorm)
    *affine, mean, variance, _ = [items[value].key for value in norm.parameters]
    weight = items[layer.parameters[0]].key
    bias = items[layer.parameters[1]].key if op.bias else weight.removesuffix("weight") + "bias"
    scale, shift = affine or (None, None)
    transposed = isinstance(op, ConvTranspose)
    groups = op.groups if isinstance(op, ConvTranspose) else 1
    return Folding(weight, bias, mean, variance, norm.op.eps, op.bias, scale, shift, groups, transposed)


def _with_bias(layer: Node, folding: Folding) -> tuple[Node, Parameter | None]:
    """The layer with a bias, and the bias where it is new."""
    op = layer.op
    assert isinstance(op, Conv | ConvTranspose | Linear)
    if op.bias:
        return layer, None
    biased = dataclasses.replace(op, bias=True)
    spec = biased.parameters(*layer.operand_types)[1]
    item = Parameter(folding.bias, Value(spec.type, spec.name), Zeros(), trainable=True)
    return dataclasses.replace(layer, op=biased, parameters=(*layer.parameters, item.value)), item
