"""What scans are in a graph: types and keys, first values, and what passes make of them."""

from __future__ import annotations

import numpy as np
import pytest

from compiler.backends.parameters import initial_parameters
from compiler.front.checked import check
from compiler.ir.graph import Graph, owned_parameters
from compiler.ir.types import DType
from compiler.ir.verify import verify
from compiler.ops.scan import Scan
from compiler.passes.inline import inline
from compiler.passes.retype import retype
from compiler.source import Source
from netlang.report.calls import describe_record

MEAN = """
cells:
  running_mean:
    inputs: {x: [D]}
    state: {total: [D], count: []}
    step:
      total': total + x
      count': count + 1
    output: total' / count'
networks:
  mean:
    inputs: {rows: [N, T, F]}
    layers: {s: scan(running_mean)}
  twice:
    inputs: {batch: [B, 7, 2*K]}
    layers: {y: mean(batch) -> mean}
"""


def networks(text: str) -> dict[str, Graph]:
    checked = check(Source("test.yaml", f"netlang: 1\n{text}"))
    assert not checked.diagnostics, [item.message for item in checked.diagnostics]
    for graph in checked.networks.values():
        verify(graph)
    return dict(checked.networks)


def head(width: int) -> str:
    return f"use: [rnn/cells]\nnetworks:\n  net:\n    inputs: {{x: [N, T, {width}]}}\n"


def scan_of(graph: Graph) -> Scan:
    return next(node.op for node in graph.nodes if isinstance(node.op, Scan))


def test_a_cell_without_weights_takes_sizes_that_stay_open() -> None:
    graph = networks(MEAN)["twice"]
    assert str(graph.outputs[""].type) == "[B, 7, 2*K]"
    flat = inline(graph)
    verify(flat)
    assert [str(node.result_types[1]) for node in flat.nodes if isinstance(node.op, Scan)] == ["[B, 2*K]"] * 2


def test_a_scan_keeps_its_meaning_in_another_type() -> None:
    graph = networks(head(3) + "    layers: {s: scan(gru(4))}\n")["net"]
    made = retype([graph], DType.f64)[graph]
    verify(made)
    verify(scan_of(made).cell.graph)
    assert str(made.outputs[""].type) == "f64[N, T, 4]"
    assert {str(item.type.dtype) for item in scan_of(made).cell.graph.parameters} == {"f64"}


def test_every_use_of_a_cell_shares_its_graph_and_owns_its_weights() -> None:
    graph = networks(head(4) + "    layers: [scan(gru(4)), scan(gru(4)), linear(2) -> scan(gru(4))]\n")["net"]
    first, second, third = (node.op.cell for node in graph.nodes if isinstance(node.op, Scan))
    assert first is second
    assert first is not third
    keys = [key for key, _ in owned_parameters(graph)]
    assert [key for key in keys if "W_r" in key] == ["0.W_r", "1.W_r", "2.scan.W_r"]


def test_a_call_is_shown_with_its_cell() -> None:
    graph = networks(head(3) + "    layers:\n      s: scan(rnn(4, activation=relu), reverse=true)\n")["net"]
    assert describe_record(scan_of(graph)) == "scan(rnn(H=4, activation=relu, D=3), reverse=true)"


CELL = """
cells:
  rnn(H):
    inputs: {x: [D]}
    state: {h: [H]}
    params:
      W: [H, D]
      U: [H, H]
      b: [H]
    init: {U: orthogonal, b: ones}
    step:
      h': tanh(W @ x + U @ h + b)
    output: h'
networks:
  net:
    inputs: {rows: [N, T, 3]}
    layers: {s: scan(rnn(16))}
    init: {}
"""


def test_first_values_are_the_cells() -> None:
    arrays = initial_parameters(networks(CELL.replace("    init: {}\n", ""))["net"], 0)
    assert np.abs(arrays["s.W"]).max() <= 1 / 4
    assert np.abs(arrays["s.W"]).max() > 0.2
    assert (arrays["s.b"] == 1).all()
    np.testing.assert_allclose(arrays["s.U"] @ arrays["s.U"].T, np.eye(16), atol=1e-6)


def test_first_values_are_the_networks_where_it_says_so() -> None:
    arrays = initial_parameters(networks(CELL.replace("init: {}", "init: {scan.U: zeros, s.W: ones}"))["net"], 0)
    assert not arrays["s.U"].any()
    assert (arrays["s.W"] == 1).all()


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 2, 3)])
def test_orthogonal_values_have_orthonormal_rows_or_columns(shape: tuple[int, ...]) -> None:
    text = CELL.replace("    init: {}\n", "").replace("U: [H, H]", f"U: {list(shape)}").replace("U @ h", "sum(U)")
    flat = initial_parameters(networks(text)["net"], 0)["s.U"].reshape(shape[0], -1)
    product = flat.T @ flat if flat.shape[0] >= flat.shape[1] else flat @ flat.T
    np.testing.assert_allclose(product, np.eye(min(flat.shape)), atol=1e-6)
