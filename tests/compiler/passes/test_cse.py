"""Equal sub-expressions are computed once; draws and different attributes never become one."""

from __future__ import annotations

import numpy as np

from compiler.backends.numpy_backend import load_numpy
from compiler.front.checked import check
from compiler.ir.graph import Graph
from compiler.ir.verify import verify
from compiler.passes.cse import merge_equal_nodes
from compiler.passes.inline import inline
from compiler.source import Source


def network(layers: str) -> Graph:
    text = f"netlang: 1\nnetworks:\n  f:\n    inputs: {{x: [N, 4], y: [N, 4]}}\n    layers:\n{layers}"
    return check(Source("f.yaml", text)).require().networks["f"]


def merged(layers: str) -> tuple[list[str], list[str]]:
    """Op names before and after."""
    graph = network(layers)
    made = merge_equal_nodes(graph)
    verify(made)
    return [node.op.name for node in graph.nodes], [node.op.name for node in made.nodes]


def test_chains_of_equal_nodes_are_one() -> None:
    before, after = merged("      a: exp(x) * y + tanh(exp(x) * y)\n")
    assert before.count("exp") == 2
    assert after == ["exp", "mul", "tanh", "add"]


def test_graph_without_equal_nodes_is_itself() -> None:
    graph = network("      a: exp(x) * y + tanh(exp(y) * x)\n")
    assert merge_equal_nodes(graph) is graph


def test_draws_stay_apart() -> None:
    before, after = merged("      a: normal(N, 4) + normal(N, 4) + x + y\n")
    assert before.count("normal") == after.count("normal") == 2


def test_layers_with_weights_of_their_own_stay_apart() -> None:
    graph = network("      a: x -> linear(4)\n      b: x -> linear(4)\n      c: a + b + y\n")
    assert [node.op.name for node in merge_equal_nodes(inline(graph)).nodes].count("linear") == 2


def test_attributes_tell_nodes_apart() -> None:
    _, after = merged("      a: sum(x, axis=0) + sum(x, axis=1, keepdims=true) + sum(x, axis=0) + y\n")
    assert after.count("sum") == 2


def test_entries_and_outputs_keep_names_and_numbers() -> None:
    graph = network("      a: exp(x) + y\n      b: exp(x) + y\n      c: a * b\n")
    made = merge_equal_nodes(graph)
    assert made.entries["a"] is made.entries["b"]
    x, y = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    results = [load_numpy([item]).networks["f"]({})(x, y) for item in (graph, made)]
    np.testing.assert_array_equal(*results)
