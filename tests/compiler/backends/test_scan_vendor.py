"""PyTorch's kernels on cells written as equations: equal to the steps one by one, forward, gradients and gradients of gradients.

Float64, tolerance 1e-10 of the largest number: sums of some dozen products in another order.
"""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.backends.scan_vendor import load_vendor
from compiler.backends.scan_ways import choose_way
from compiler.ir.cell import Cell
from compiler.passes.scan_recognize import recognize
from tests.compiler.backends.stepping import assert_close, cell, draw_tensors, pull, run_scan, written
from tests.compiler.passes.test_scan_recognize import GRU_PARAMS, LSTM_PARAMS, LSTM_STEP

CELLS: dict[str, Cell] = {
    "lstm": cell("lstm(5)"),
    "coupled": cell("coupled_lstm(5)"),
    "gru": cell("gru(5)"),
    "tanh": cell("rnn(5)"),
    "relu": cell("rnn(5, activation=relu)"),
    "one unit": cell("lstm(1)"),
    "own": written("m: [4], y: [4]", LSTM_PARAMS, LSTM_STEP, "y'"),
    "own gru": written(
        "h: [4]",
        GRU_PARAMS,
        ["k: sigmoid(A @ x + B @ h)", "u: sigmoid(E @ x + Q @ h)", "n: tanh(G @ x + (J @ h + b) * k)", "h': h + u * (n - h)"],
    ),
    "a weight twice": written("h: [4]", "A: [4, D], C: [4, D], B: [4, 4]", ["h': tanh(A @ x + B @ h + C @ x + 2 * (B @ h) + 1)"]),
    "turned": written("h: [4]", "A: [D, 4], B: [4, 4]", ["h': tanh(x @ A + h @ B)"]),
}


def compare(made: Cell, rows: int, steps: int, *, reverse: bool = False, zeros: bool = False) -> None:
    sequences, states, weights = draw_tensors(made, rows, steps)
    first = [None for _ in states] if zeros else states
    leaves = [*sequences, *([] if zeros else states), *weights]
    found = load_vendor(made, recognize(made))(reverse, *sequences, *first, *weights)
    wanted = run_scan(made, sequences, first, weights, reverse=reverse)
    assert_close(found, wanted, 1e-10)
    assert_close(torch.autograd.grad(pull(found), leaves), torch.autograd.grad(pull(wanted), leaves), 1e-10)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize(("rows", "steps"), [(3, 7), (1, 4), (2, 1)])
def test_kernels_equal_the_steps(name: str, rows: int, steps: int) -> None:
    compare(CELLS[name], rows, steps)


@pytest.mark.parametrize("name", ["lstm", "own gru", "tanh"])
def test_reversed_and_from_zero(name: str) -> None:
    compare(CELLS[name], 3, 5, reverse=True)
    compare(CELLS[name], 3, 5, zeros=True)


@pytest.mark.parametrize("name", ["lstm", "gru", "tanh"])
def test_gradients_of_gradients(name: str) -> None:
    made = CELLS[name]
    sequences, states, weights = draw_tensors(made, 2, 3)
    scan = load_vendor(made, recognize(made))
    second = []
    for results in (scan(False, *sequences, *states, *weights), run_scan(made, sequences, states, weights)):
        first = torch.autograd.grad(pull(results), [*sequences, *weights], create_graph=True)
        second.append(torch.autograd.grad(pull(first, 3), [*sequences, *states, *weights], allow_unused=True))
    assert_close(second[0], second[1], 1e-10)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_equations_in_any_form_are_what_they_say(seed: int) -> None:
    """LSTMs and GRUs in drawn forms are recognised, and the kernel does what the equations do."""
    draw = random.Random(seed)
    made = _drawn_lstm(draw) if draw.random() < 0.5 else _drawn_gru(draw)
    compare(made, 2, 3)


def _shuffled(draw: random.Random, *terms: str) -> str:
    listed = list(terms)
    draw.shuffle(listed)
    return " + ".join(listed)


def _gate(draw: random.Random, name: str, hidden: str) -> tuple[str, str]:
    """A sigmoid in some form, and how it is used: as it is, or as 1 minus."""
    inner = _shuffled(draw, f"W_{name} @ x", f"U_{name} @ {hidden}", f"b_{name}", *draw.choice([[], ["0.5"], [f"d_{name}"]]))
    form = draw.choice(["sigmoid({})", "1 - sigmoid(-({}))", "0.5 + 0.5 * tanh(({}) / 2)", "sigmoid(-(0 - 1) * ({}))"])
    if draw.random() < 0.3:
        return f"{name}: {form.format(f'-({inner})')}", f"(1 - {name})"
    return f"{name}: {form.format(inner)}", name


def _params(step: list[str], gates: str) -> str:
    text = "\n".join(step)
    found = [f"{kind}_{gate}: {shape}" for gate in gates for kind, shape in (("W", "[4, D]"), ("U", "[4, 4]"), ("b", "[4]"), ("d", "[4]"))]
    return ", ".join(item for item in found if item.partition(":")[0] in text)


def _times(draw: random.Random, *factors: str) -> str:
    listed = list(factors)
    draw.shuffle(listed)
    return " * ".join(listed)


def _drawn_lstm(draw: random.Random) -> Cell:
    (i, in_), (f, keep), (o, out) = (_gate(draw, name, "h") for name in "ifo")
    g = f"g: tanh({_shuffled(draw, 'W_g @ x', 'U_g @ h', 'b_g')})"
    step = [
        i,
        f,
        g,
        f"c': {_shuffled(draw, _times(draw, keep, 'c'), _times(draw, in_, 'g'))}",
        o,
        f"h': {_times(draw, out, chr(116) + 'anh(c' + chr(39) + ')')}",
    ]
    return written("h: [4], c: [4]", _params(step, "ifgo"), step)


def _drawn_gru(draw: random.Random) -> Cell:
    (r, reset), (z, keep) = (_gate(draw, name, "h") for name in "rz")
    inside = _shuffled(draw, "U_n @ h", *draw.choice([[], ["d_n"]]))
    n = f"n: tanh({_shuffled(draw, 'W_n @ x', 'b_n', _times(draw, reset, f'({inside})'))})"
    following = draw.choice(["(1 - {z}) * n + {z} * h", "n + {z} * (h - n)", "h * {z} + n - n * {z}"]).format(z=keep)
    step = [r, z, n, f"h': {following}"]
    return written("h: [4]", _params(step, "rzn"), step)


def test_ways_and_reasons() -> None:
    assert choose_way(CELLS["lstm"]).kind == "vendor"
    assert choose_way(CELLS["lstm"]).reason == "its equations are those of torch.nn.LSTM"
    assert choose_way(CELLS["lstm"], lengths=True).kind == "arrays"
    assert choose_way(CELLS["lstm"], torch=False).kind == "arrays"
    way = choose_way(cell("peephole_lstm(5)"))
    assert (way.kind, way.vendor) == ("arrays", None)
    assert way.reason.startswith("not an LSTM, GRU or RNN of PyTorch: a gate of it")
