"""Formulas give what type rules say, expansion leaves names and keys alone, pruning keeps what is read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compiler.ir.graph import Graph, Node, Value
from compiler.ir.op import Sample
from compiler.ir.prune import prune
from compiler.ir.types import DType, TensorType
from compiler.ir.verify import VerifyError, verify
from compiler.ops import OPS, op_named
from compiler.passes.expand import expand, formula_graph, lacks_numpy
from tests.compiler.backends.support import graphs_of


def formula_samples() -> Iterator[Sample]:
    for name in sorted(OPS):
        if OPS[name].formula is not None:
            yield from OPS[name].samples()


@pytest.mark.parametrize("sample", list(formula_samples()), ids=lambda sample: f"{sample.op}"[:60])
def test_a_formula_has_the_type_of_its_op(sample: Sample) -> None:
    types = tuple(item.type for item in sample.operands)
    graph = formula_graph(sample.op, types)
    verify(graph)
    inferred = sample.op.infer(*types)
    assert tuple(value.type for value in graph.outputs.values()) == (inferred if isinstance(inferred, tuple) else (inferred,))
    whole = expand(graph)
    verify(whole)
    assert not any(lacks_numpy(node) for node in whole.nodes)


def test_expansion_keeps_entries_keys_and_what_it_does_not_touch() -> None:
    graph = graphs_of("\n  net:\n    inputs: {x: [N, 4]}\n    layers:\n      a: linear(4) -> selu\n      b: mish\n")["net"]
    expanded = expand(graph)
    verify(expanded)
    assert expanded.entries == graph.entries
    assert expanded.outputs == graph.outputs
    assert [item.key for item in expanded.parameters] == ["a.weight", "a.bias"]
    assert {node.entry for node in expanded.nodes} == {"a", "b"}
    assert expand(expanded) is expanded


def test_pruning_keeps_what_is_read() -> None:
    graph = graphs_of("\n  net:\n    inputs: {x: [N, 4]}\n    layers:\n      a: linear(4)\n      b: linear(3)\n")["net"]
    pruned = prune(graph, ("a",))
    verify(pruned)
    assert [node.entry for node in pruned.nodes] == ["a"]
    assert list(pruned.outputs.values()) == [graph.entries["a"]]
    assert [item.key for item in pruned.parameters] == ["a.weight", "a.bias"]
    with pytest.raises(KeyError):
        prune(graph, ("c",))


def relu_node(operand: Value, result: Value) -> Node:
    return Node(op_named("relu")(), (operand,), (), (result,), "y")


def test_verify_names_the_faulty_node() -> None:
    x, y = Value(TensorType.of(DType.f32, "N", 3), "x"), Value(TensorType.of(DType.f32, "N", 3), "y")
    good = Graph("g", "network", inputs=[x], nodes=[relu_node(x, y)], outputs={"": y})
    verify(good)
    with pytest.raises(VerifyError, match="before it is made"):
        verify(Graph("g", "network", nodes=[relu_node(x, y)], outputs={"": y}))
    with pytest.raises(VerifyError, match="made twice"):
        verify(Graph("g", "network", inputs=[x], nodes=[relu_node(x, y), relu_node(x, y)], outputs={"": y}))
    wrong = Value(TensorType.of(DType.f32, "N", 4), "y")
    with pytest.raises(VerifyError, match="infers"):
        verify(Graph("g", "network", inputs=[x], nodes=[relu_node(x, wrong)], outputs={"": wrong}))
    with pytest.raises(VerifyError, match="nothing makes the output"):
        verify(Graph("g", "network", inputs=[x], outputs={"": y}))
