"""Prepares networks for evaluation alone: what is nothing there goes, normalization moves into weights, equal values are computed once.

Contract: the networks give the same numbers up to rounding, with the weights that the foldings say; they cannot be trained as the
spec says.
"""

from __future__ import annotations

from collections.abc import Mapping

from compiler.ir.graph import Graph
from compiler.passes.clean_up import clean_up
from compiler.passes.cse import merge_equal_nodes
from compiler.passes.fold_batch_norm import Folded, fold_batch_norm
from compiler.passes.rewriting import rewrite_all


def prepare_inference(networks: Mapping[str, Graph]) -> Folded:
    """The networks by name, and what becomes of each one's weights."""
    cleaned = rewrite_all(networks.values(), lambda graph: merge_equal_nodes(clean_up(graph)))
    return fold_batch_norm(dict(zip(networks, cleaned, strict=True)))
