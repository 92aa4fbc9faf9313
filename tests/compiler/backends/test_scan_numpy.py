"""Scans trained with NumPy alone: gradients of whole steps against PyTorch's, and scans of sequences that end early.

Float64, tolerance 1e-10 of the largest number of a step: sums of some hundred products in another order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from compiler.backends.numpy_source import numpy_source
from compiler.backends.numpy_steps import load_steps, print_steps
from compiler.backends.scan_torch import load_torch_scan
from compiler.front.checked import Checked, check
from compiler.passes.step_gradient import step_gradient
from compiler.source import Source
from netlang.comparison import compare
from tests.compiler.backends.recurrences import draw_weights, run_numpy, run_torch, scan_graph, torch_network
from tests.compiler.backends.stepping import assert_close, pull, run_scan, written

LOG = "\n  own:\n    inputs: {x: [3]}\n    state: {h: [3]}\n    params: {w: [3]}\n    step: {h': h + w * log(x)}\n    output: h'"
LOG_STEP = written("h: [3]", "w: [3]", ["h': h + w * log(x)"])


def trained(layers: str, inputs: str, objective: str, cells: str = "") -> Checked:
    """A network of these layers and one step that updates it."""
    use = f"cells:{cells}\n" if cells else "use: [rnn/cells]\n"
    names = [item.partition(":")[0].strip() for item in inputs.split(";")]
    declared = "".join(f"      {item.strip()}\n" for item in inputs.split(";"))
    draws = "".join(
        f"    {item.strip()}: normal{tuple_of(text)}\n" for item, _, text in (part.partition(":") for part in inputs.split(";"))
    )
    text = f"netlang: 1\n{use}networks:\n  net:\n    inputs:\n{declared}    layers:\n{layers}\n"
    text += f"train:\n  iterations: 1\n  batch: 3\n  draw:\n{draws}  steps:\n    - update: net\n"
    text += f"      minimize: {objective.format(call=f'net({chr(44).join(names)})')}\n      with: sgd(lr=0.1)\n"
    return check(Source("test.yaml", text)).require()


def tuple_of(shape: str) -> str:
    return shape.strip().replace("[", "(").replace("]", ")")


STEPS: dict[str, tuple[str, str, str]] = {
    "peephole": ("      s: scan(peephole_lstm(5))", "x: [N, 7, 3]", "mean(square({call}))"),
    "vendor cells": ("      a: scan(lstm(4))\n      b: scan(gru(3))\n      c: scan(rnn(2))", "x: [N, 5, 3]", "mean(square({call}))"),
    "stacked": ("      a: repeat(2, scan(gru_before(4)))\n      b: scan(gru_before(3))", "x: [N, 5, 4]", "mean(square({call}))"),
    "reverse": ("      s: scan(gru_before(5), reverse=true)", "x: [N, 4, 3]", "mean(square({call}))"),
    "both directions": ("      s: bidirectional(mgu(4))\n      o: last(s) -> linear(2)", "x: [N, 6, 3]", "mean(square({call}))"),
    "final states alone": ("      s: scan(fgr(3))\n      o: s.h * s.c", "x: [N, 5, 2]", "mean({call} ** 3)"),
    "first states": ("      s: x -> scan(peephole_lstm(4), c=c * 2)", "x: [N, 5, 3]; c: [N, 4]", "mean(square({call}))"),
    "lengths": (
        (
            "      n: cast(clip(3 + 2 * u, 1, 7), i64)\n      a: x -> scan(gru_before(4), lengths=n)\n"
            "      b: a -> scan(lstm(3), lengths=n, reverse=true)\n      o: concat(last(a), b.h)"
        ),
        "x: [N, 7, 3]; u: [N]",
        "mean(square({call}))",
    ),
    "one step": ("      s: scan(peephole_lstm(4))", "x: [N, 1, 3]", "mean(square({call}))"),
}


@pytest.mark.parametrize("name", STEPS)
def test_gradients_of_steps_are_torchs(name: str) -> None:
    found = compare(trained(*STEPS[name]), batch=1 if name == "one step" else 3)
    assert found.left_out == ()
    assert {row.kind for row in found.rows} == {"forward", "gradient"}
    assert max(row.worst for row in found.rows) < 1e-10


def test_what_no_gradient_reads_is_not_kept() -> None:
    checked = trained("      s: scan(gru_before(5))\n      o: last(s) -> linear(2)", "x: [N, 4, 3]", "mean(square({call}))")
    assert checked.program is not None
    (step,) = checked.program.steps
    text = print_steps([step_gradient(step, {"net"})]).text
    assert "keep=True" in text
    assert "gru_before_backward(" in text
    graph = scan_graph("scan(gru_before(5))", "x: [N, 4, 3]")
    assert "keep=True" not in numpy_source([graph])
    assert "gru_before_backward" not in numpy_source([graph])


@pytest.mark.parametrize("masked", [False, True])
def test_a_scan_without_steps_is_refused(masked: bool) -> None:
    more, lengths = (', n: "i64[N]"', ", lengths=n") if masked else ("", "")
    given = [np.zeros((2, 0, 3)), *([np.ones(2, np.int64)] if masked else [])]
    for cell in ("gru_before(4)", "lstm(4)"):
        graph = scan_graph(f"x -> scan({cell}{lengths})", f"x: [N, T, 3]{more}")
        for run in (run_torch, run_numpy):
            with pytest.raises(ValueError, match="a scan needs one step at least"):
                run(graph, draw_weights(graph), *given)


def padded() -> tuple[np.ndarray, np.ndarray]:
    """Positive numbers with zeros, and NaN, beyond the rows' ends."""
    x = np.random.default_rng(3).uniform(0.5, 2, (3, 6, 3))
    lengths = np.array([6, 2, 4])
    x[1, 2:], x[2, 4:] = 0, np.nan
    return x, lengths


@pytest.mark.parametrize("reverse", [False, True])
def test_numbers_beyond_a_rows_end_poison_no_gradient(reverse: bool) -> None:
    """Neither by the printed functions nor by the plain loop, which is what is differentiated twice."""
    x, lengths = padded()
    scan = load_torch_scan(LOG_STEP)
    w = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    given = torch.from_numpy(x).requires_grad_()
    clean = torch.from_numpy(np.where(np.arange(6)[:, None] < lengths[:, None, None], x, 1.0)).requires_grad_()
    results = scan(given, w=w, lengths=torch.from_numpy(lengths), reverse=reverse)
    wanted = run_scan(LOG_STEP, [clean], [None], [w], torch.from_numpy(lengths), reverse)
    assert_close(results, wanted, 1e-12)
    first = torch.autograd.grad(pull(results), [given, w], create_graph=True)
    plain = torch.autograd.grad(pull(wanted), [clean, w], create_graph=True)
    assert_close(first, plain, 1e-12)
    assert_close(torch.autograd.grad(pull(first), [given, w]), torch.autograd.grad(pull(plain), [clean, w]), 1e-12)
    fast = torch.autograd.grad(pull(scan(given, w=w, lengths=torch.from_numpy(lengths), reverse=reverse)), [given, w])
    assert_close(fast, plain, 1e-12)


def test_padded_steps_are_those_of_clean_sequences_in_networks() -> None:
    x, lengths = padded()
    graph = scan_graph("x -> scan(own, lengths=n)", 'x: [N, T, 3], n: "i64[N]"', cells=LOG)
    weights = draw_weights(graph)
    for run in (run_torch, run_numpy):
        assert np.isfinite(run(graph, weights, x, lengths)[0]).all()
    module = torch_network(graph, weights)
    given = torch.from_numpy(x).requires_grad_()
    module(given, torch.from_numpy(lengths)).sum().backward()
    assert given.grad is not None
    assert given.grad.isfinite().all()
    assert (given.grad[1, 2:] == 0).all()


def test_kept_values_are_as_many_as_is_said() -> None:
    """The size of the kept value in the graph is that of what the functions save."""
    checked = trained("      s: scan(peephole_lstm(5))", "x: [N, 4, 3]", "mean(square({call}))")
    assert checked.program is not None
    (step,) = checked.program.steps
    made = step_gradient(step, {"net"})
    (kept,) = [node.results[-1] for node in made.graph.nodes if node.results[-1].name == "kept"]
    (run,) = load_steps([made]).functions
    sizes: list[int] = []
    names: dict[str, Any] = run.__globals__
    forward = names["peephole_lstm_forward"]

    def counting(*given: Any) -> Any:
        results = forward(*given)
        sizes.append(sum(item.size for item in results[-1]))
        return results

    names["peephole_lstm_forward"] = counting
    generator = np.random.default_rng(0)
    parameters = {item.key: generator.normal(size=[dim.constant or 0 for dim in item.type.shape]) for item in made.graph.parameters}
    run(parameters, generator.normal(size=(3, 4, 3)))
    assert sizes == [kept.type.shape[0].evaluate({"N": 3})]
