"""What `netlang show` says of scans, the weights of cells, and that neither loads a tensor library."""

from __future__ import annotations

import subprocess
import sys

import pytest

import netlang
from compiler.front.checked import check
from compiler.ir.measure import parameter_count
from compiler.source import Source
from netlang.report.cells import count_cells, fit
from netlang.report.networks import network_json, summarize
from netlang.report.scans import list_scans
from netlang.report.tables import draw_network

TEXT = """
netlang: 1
use: [rnn/cells]
blocks:
  encoder(H):
    inputs: {x: [N, T, D]}
    layers:
      rows: scan(peephole_lstm(H))
networks:
  net:
    inputs: {x: [N, T, 3], n: "i64[N]"}
    layers:
      a: x -> scan(lstm(4))
      b: encoder(5)
      c: b -> scan(gru(4), lengths=n)
"""


def test_each_scan_has_its_way_and_why() -> None:
    graph = check(Source("test.yaml", TEXT)).require().networks["net"]
    rows = {row.entry: row for row in list_scans(graph)}
    assert rows["a"].torch == "PyTorch's own kernel: its equations are those of torch.nn.LSTM"
    assert rows["b.rows"].cell == "peephole_lstm"
    assert rows["b.rows"].torch.startswith("compiled loop: not an LSTM, GRU or RNN of PyTorch: ")
    assert rows["c"].torch == "compiled loop: rows have lengths of their own; not native: NETLANG_NATIVE is 0"
    assert {row.numpy for row in rows.values()} == {"compiled loop: NumPy has no kernel of its own; not native: NETLANG_NATIVE is 0"}
    text = draw_network(summarize(graph), width=None, color=False)
    assert "a runs lstm\n  on PyTorch  PyTorch's own kernel: " in text
    ways = "\n  on PyTorch  compiled loop: rows have lengths of their own; not native: NETLANG_NATIVE is 0\n  on NumPy    compiled loop: "
    assert f"c runs gru{ways}" in text
    scans = network_json(summarize(graph))["scans"]
    assert isinstance(scans, list | tuple)
    assert len(scans) == 3


def test_a_network_without_scans_says_nothing_of_them() -> None:
    graph = netlang.check("lenet5").require().networks["lenet5"]
    assert list_scans(graph) == ()
    assert "runs" not in draw_network(summarize(graph), width=None, color=False)


def test_cells_are_counted() -> None:
    found = {row.call: row for row in count_cells(netlang.check("rnn/cells"))}
    assert found["lstm(H)"].formula == "4*D*H + 4*H*H + 4*H"
    assert found["gru(H)"].formula == "3*D*H + 3*H*H + 6*H"
    assert found["fgr(H)"].formula == "4*D*H + 13*H*H + 7*H"
    assert len(found) == 16
    net = check(Source("a.yaml", "netlang: 1\nuse: [rnn/cells]\nnetworks:\n  n: {inputs: {x: [N, T, 28]}, layers: {s: scan(gru(128))}}\n"))
    assert found["gru(H)"].example == parameter_count(net.networks["n"])


def test_counts_that_are_no_polynomial_have_no_formula() -> None:
    assert str(fit([12, 18, 24, 16, 20, 24, 70], "H")) == "2*D*H"
    assert fit([12, 18, 24, 16, 20, 24, 71], "H") is None
    assert fit([12, 18, 25, 16, 20, 24, 70], "H") is None


@pytest.mark.parametrize("spec", ["rnn/cells", "rnn/digits_rows"])
def test_show_loads_no_tensor_library(spec: str) -> None:
    code = f"import sys; from netlang.cli import main; sys.argv = ['netlang', 'show', {spec!r}]\ntry: main()\nexcept SystemExit: pass\n"
    code += "assert not {'torch', 'numpy'} & sys.modules.keys()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("compiled loop" in done.stdout) == (spec != "rnn/cells")
