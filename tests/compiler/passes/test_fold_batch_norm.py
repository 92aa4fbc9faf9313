"""Normalization goes into the layer before it, unless something keeps them apart; tests/netlang/test_inference.py compares values."""

from __future__ import annotations

from compiler.front.checked import check
from compiler.ir.graph import Graph, owned_parameters
from compiler.ir.verify import verify
from compiler.ops.norm import BatchNorm
from compiler.passes.fold_batch_norm import Folding, fold_batch_norm
from compiler.source import Source


def count_norms(graph: Graph) -> int:
    """Normalizations that are left in a graph and its blocks."""
    inner = sum(count_norms(node.op.graph) for node in graph.nodes if hasattr(node.op, "graph"))
    return inner + sum(isinstance(node.op, BatchNorm) for node in graph.nodes)


def test_a_block_that_is_called_twice_is_folded_for_both() -> None:
    text = """
netlang: 1
blocks:
  unit(C):
    inputs: {x: [N, D]}
    layers: {mix: "linear(C, bias=false)", norm: batch_norm(eps=0.5) -> relu}
networks:
  f:
    inputs: {x: [N, 3]}
    layers: {a: unit(3), b: unit(3)}
"""
    made = fold_batch_norm(check(Source("f.yaml", text)).require().networks)
    verify(made.networks["f"])
    assert [key for key, _ in owned_parameters(made.networks["f"])] == ["a.mix.weight", "a.mix.bias", "b.mix.weight", "b.mix.bias"]
    first, second = made.foldings["f"]
    keys = ("a.mix.weight", "a.mix.bias", "a.norm.running_mean", "a.norm.running_var")
    assert first == Folding(*keys, 0.5, False, "a.norm.weight", "a.norm.bias", 1, False)
    assert second.taken == ("b.norm.weight", "b.norm.bias", "b.norm.running_mean", "b.norm.running_var", "b.norm.num_batches_tracked")


def test_normalization_along_another_axis_than_the_filters_stays() -> None:
    text = "netlang: 1\nnetworks:\n  f:\n    inputs: {x: [N, 5, 3]}\n    layers: {a: linear(4) -> batch_norm}\n"
    networks = check(Source("f.yaml", text)).require().networks
    assert fold_batch_norm(networks).networks["f"] is networks["f"]


def test_what_something_else_reads_stays_apart() -> None:
    text = """
netlang: 1
networks:
  f:
    inputs: {x: [N, 3, H, W]}
    layers:
      read: conv(4, 1)
      twice: read -> batch_norm
      out: twice + read
  g:
    inputs: {x: [N, 3, H, W]}
    layers:
      inner: conv(4, 1)
      outer: batch_norm
  h:
    inputs: {x: [N, 3, H, W]}
    layers:
      a: g(x).inner
      b: g(x)
      c: a + b
"""
    networks = check(Source("f.yaml", text)).require().networks
    made = fold_batch_norm(networks)
    assert not any(made.foldings.values())
    assert [count_norms(made.networks[name]) for name in "fg"] == [1, 1]
    assert count_norms(fold_batch_norm({"g": networks["g"]}).networks["g"]) == 0
