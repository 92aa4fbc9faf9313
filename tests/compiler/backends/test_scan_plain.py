"""Scans as loops: equal to torch's and ONNX Runtime's recurrences, to each other, and to the reductions between cells.

Against torch in float64, tolerance 1e-10 of the largest number: sums of at most some hundred products in another order. In
float32 1e-6, and ONNX Runtime's sigmoid and tanh are rational approximations, exact to some 1e-7.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from compiler.backends.torch_source import torch_source
from tests.compiler.backends.recurrences import (
    Arrays,
    draw_weights,
    gates,
    gru_state,
    lstm_state,
    rnn_state,
    run_numpy,
    run_onnx,
    run_torch,
    scan_graph,
    torch_network,
    vendor,
)

SHAPES = [(3, 7, 4, 5), (1, 4, 2, 3), (2, 1, 3, 1), (5, 11, 1, 7)]
"""Batch, time, width of a step, size of the state: batch 1, T = 1, state 1, odd sizes."""

VENDORS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "rnn({H})": (torch.nn.RNN, rnn_state, {}),
    "rnn({H}, activation=relu)": (torch.nn.RNN, rnn_state, {"nonlinearity": "relu"}),
    "lstm({H})": (torch.nn.LSTM, lstm_state, {}),
    "np({H})": (torch.nn.LSTM, lstm_state, {}),
    "gru({H})": (torch.nn.GRU, gru_state, {}),
}


def close(given: np.ndarray, wanted: np.ndarray, tolerance: float, *, may_vanish: bool = False) -> None:
    assert given.shape == wanted.shape
    assert may_vanish or np.abs(wanted).max() > 1e-3
    np.testing.assert_allclose(given, wanted, rtol=0, atol=tolerance * max(1.0, float(np.abs(wanted).max())))


def draw(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cell", VENDORS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_cell_equals_torchs(cell: str, shape: tuple[int, int, int, int], dtype: type) -> None:
    kind, state, more = VENDORS[cell]
    batch, time, width, size = shape
    graph = scan_graph(f"scan({cell.format(H=size)})", f"x: [N, T, {width}]", "{s: s, h: s.h}")
    weights, x = draw_weights(graph), draw(batch, time, width)
    module = vendor(kind, width, size, state(weights), **more).to(torch.float64 if dtype is np.float64 else torch.float32)
    with torch.no_grad():
        wanted, last = module(torch.from_numpy(x.astype(dtype)))
    last = last[0] if isinstance(last, tuple) else last
    tolerance, vanishes = 1e-10 if dtype is np.float64 else 1e-6, "relu" in cell
    for run in (run_torch, run_numpy):
        found, final = run(graph, weights, x.astype(dtype), dtype=dtype)
        assert found.dtype == dtype
        close(found, wanted.numpy(), tolerance, may_vanish=vanishes)
        close(final, last[0].numpy(), tolerance, may_vanish=vanishes)


@pytest.mark.parametrize("reverse", [False, True])
def test_lengths_are_those_of_packed_sequences(reverse: bool) -> None:
    """A finished row keeps its state and gives zeros; a reverse scan begins at each row's own end."""
    lengths = np.array([6, 1, 4, 3])
    graph = scan_graph(
        f"x -> scan(lstm(5), lengths=n, reverse={str(reverse).lower()})", 'x: [N, T, 3], n: "i64[N]"', "{s: s, h: s.h, c: s.c}"
    )
    weights, x = draw_weights(graph), draw(4, 6, 3)
    state = lstm_state(weights) | lstm_state(weights, "_reverse")
    module = vendor(torch.nn.LSTM, 3, 5, state, bidirectional=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.from_numpy(x), torch.from_numpy(lengths), batch_first=True, enforce_sorted=False)
    with torch.no_grad():
        sequence, (h, c) = module(packed)
        wanted, _ = torch.nn.utils.rnn.pad_packed_sequence(sequence, batch_first=True)
    part = slice(5, 10) if reverse else slice(0, 5)
    for run in (run_torch, run_numpy):
        found = run(graph, weights, x, lengths)
        for given, expected in zip(found, (wanted[..., part], h[int(reverse)], c[int(reverse)]), strict=True):
            close(given, expected.numpy(), 1e-10)


def test_last_of_a_scan_with_lengths_is_each_rows_own() -> None:
    graph = scan_graph("x -> scan(gru(5), lengths=n) -> last", 'x: [N, T, 3], n: "i64[N]"')
    whole = scan_graph("scan(gru(5))", "x: [N, T, 3]")
    lengths, x = np.array([2, 6, 1]), draw(3, 6, 3)
    weights = draw_weights(graph)
    (sequence,) = run_numpy(whole, {key.replace("s.scan.", "s."): item for key, item in weights.items()}, x)
    for run in (run_torch, run_numpy):
        (found,) = run(graph, weights, x, lengths)
        close(found, sequence[np.arange(3), lengths - 1], 1e-12)


def test_both_directions_equal_torchs() -> None:
    graph = scan_graph("bidirectional(lstm(5))", "x: [N, T, 3]", "{s: s, h: s.h}")
    weights, x = draw_weights(graph), draw(4, 6, 3)
    state = lstm_state(weights, prefix="s.forwards.") | lstm_state(weights, "_reverse", "s.reverse.")
    with torch.no_grad():
        wanted, (h, _) = vendor(torch.nn.LSTM, 3, 5, state, bidirectional=True)(torch.from_numpy(x))
    for run in (run_torch, run_numpy):
        found, final = run(graph, weights, x)
        close(found, wanted.numpy(), 1e-10)
        close(final, torch.cat([h[0], h[1]], 1).numpy(), 1e-10)


def test_first_states_are_taken_by_name() -> None:
    graph = scan_graph("x -> scan(lstm(4), c=c0)", "x: [N, T, 3], c0: [N, 4]")
    weights, x, first = draw_weights(graph), draw(2, 5, 3), draw(2, 4, seed=4)
    with torch.no_grad():
        start = torch.zeros(1, 2, 4, dtype=torch.float64)
        wanted, _ = vendor(torch.nn.LSTM, 3, 4, lstm_state(weights))(torch.from_numpy(x), (start, torch.from_numpy(first)[None]))
    for run in (run_torch, run_numpy):
        close(run(graph, weights, x, first)[0], wanted.numpy(), 1e-10)


def test_a_scan_in_two_pieces_is_one() -> None:
    """The final states of the first half are the first of the second."""
    cell = "fgr(3)"
    whole = scan_graph(f"scan({cell})", "x: [N, T, 2]", "{s: s, h: s.h}")
    names = ["h", "c", "i", "f", "o"]
    first = scan_graph(f"scan({cell})", "x: [N, T, 2]", "{s: s, " + ", ".join(f"{name}_: s.{name}" for name in names) + "}")
    given = ", ".join(f"{name}_: [N, 3]" for name in names)
    second = scan_graph(f"x -> scan({cell}, {', '.join(f'{name}={name}_' for name in names)})", f"x: [N, T, 2], {given}", "{s: s, h: s.h}")
    weights, x = draw_weights(whole), draw(2, 7, 2)
    for run in (run_torch, run_numpy):
        wanted = run(whole, weights, x)
        before, *states = run(first, weights, x[:, :3])
        after, final = run(second, weights, x[:, 3:], *states)
        close(np.concatenate([before, after], 1), wanted[0], 1e-13)
        close(final, wanted[1], 1e-13)


def onnx_lstm(x: np.ndarray, weights: Arrays, peephole: bool, **more: Any) -> np.ndarray:
    """A cell with the gates i, g, o and perhaps f, which ONNX leaves unread where gates are coupled."""
    size = weights["s.b_i"].shape[0]
    known = {**weights}
    for letter, shape in (("W", weights["s.W_i"].shape), ("U", (size, size)), ("b", (size,)), ("p", (size,))):
        known.setdefault(f"s.{letter}_f", np.zeros(shape))
    peepholes = gates(known, "p", "iof") if peephole else None
    return run_onnx("LSTM", x, gates(known, "W", "iofg"), gates(known, "U", "iofg"), gates(known, "b", "iofg"), peepholes, **more)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("cell", "peephole", "more"),
    [
        ("peephole_lstm({H})", True, {}),
        ("lstm({H})", False, {}),
        ("coupled_lstm({H})", False, {"input_forget": 1}),
        ("coupled_lstm({H}, peephole=true)", True, {"input_forget": 1}),
        ("cifg({H})", True, {"input_forget": 1}),
    ],
)
def test_lstms_equal_onnx_runtimes(cell: str, peephole: bool, more: dict[str, int], shape: tuple[int, int, int, int]) -> None:
    batch, time, width, size = shape
    graph = scan_graph(f"scan({cell.format(H=size)})", f"x: [N, T, {width}]")
    weights, x = draw_weights(graph), draw(batch, time, width)
    wanted = onnx_lstm(x, weights, peephole, **more)
    for run in (run_torch, run_numpy):
        close(run(graph, weights, x)[0], wanted.astype(np.float64), 1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reset", [0, 1])
def test_grus_equal_onnx_runtimes(reset: int, shape: tuple[int, int, int, int]) -> None:
    batch, time, width, size = shape
    graph = scan_graph(f"scan({'gru' if reset else 'gru_before'}({size}))", f"x: [N, T, {width}]")
    weights, x = draw_weights(graph), draw(batch, time, width)
    if reset:
        for gate in "rzn":
            weights[f"s.b_h{gate}"] *= 0
    bias = np.concatenate([weights[f"s.b_{'x' if reset else ''}{gate}"] for gate in "zrn"])
    wanted = run_onnx("GRU", x, gates(weights, "W", "zrn"), gates(weights, "U", "zrn"), bias, linear_before_reset=reset)
    for run in (run_torch, run_numpy):
        close(run(graph, weights, x)[0], wanted.astype(np.float64), 1e-6)


def outputs_of(cell: str, weights: Arrays, x: np.ndarray) -> np.ndarray:
    (made,) = run_numpy(scan_graph(f"scan({cell})", f"x: [N, T, {x.shape[-1]}]"), weights, x)
    return made


def test_full_gate_recurrence_without_it_is_the_base() -> None:
    weights, x = draw_weights(scan_graph("scan(fgr(4))", "x: [N, T, 3]")), draw(2, 6, 3)
    base = {key: item for key, item in weights.items() if "R_" not in key}
    close(outputs_of("fgr(4)", {**weights, **{key: 0 * item for key, item in weights.items() if "R_" in key}}, x),
          outputs_of("peephole_lstm(4)", base, x), 1e-14)  # fmt: skip
    assert np.abs(outputs_of("fgr(4)", weights, x) - outputs_of("peephole_lstm(4)", base, x)).max() > 1e-3


@pytest.mark.parametrize(("variant", "gate"), [("nig", "i"), ("nfg", "f"), ("nog", "o")])
def test_a_variant_without_a_gate_is_the_base_with_it_open(variant: str, gate: str) -> None:
    """A gate with no weights but a bias of 40 is 1 to the last bit of float64."""
    weights, x = draw_weights(scan_graph("scan(peephole_lstm(4))", "x: [N, T, 3]")), draw(2, 5, 3)
    opened = {key: 0 * item + 40.0 * key.endswith(f"b_{gate}") if key.endswith(f"_{gate}") else item for key, item in weights.items()}
    close(
        outputs_of(f"{variant}(4)", {key: item for key, item in weights.items() if not key.endswith(f"_{gate}")}, x),
        outputs_of("peephole_lstm(4)", opened, x),
        1e-12,
    )


@pytest.mark.parametrize("variant", ["niaf", "noaf"])
def test_a_variant_without_an_activation_is_the_base_for_small_numbers(variant: str) -> None:
    """tanh(a) = a - a^3/3: with weights of size e the two differ by order e^2 of the result, never by more."""
    weights, x = draw_weights(scan_graph("scan(peephole_lstm(4))", "x: [N, T, 3]")), draw(2, 5, 3)
    small = {key: item * 1e-4 if key.endswith("_g") else item for key, item in weights.items()}
    base, other = outputs_of("peephole_lstm(4)", small, x), outputs_of(f"{variant}(4)", small, x)
    np.testing.assert_allclose(other, base, rtol=0, atol=1e-6 * float(np.abs(base).max()))
    assert np.abs(outputs_of(f"{variant}(4)", weights, x) - outputs_of("peephole_lstm(4)", weights, x)).max() > 1e-2


def test_grus_agree_for_one_unit_and_differ_for_two() -> None:
    """The reset gate commutes with U only where it is one number."""
    for size, same in ((1, True), (2, False)):
        weights, x = draw_weights(scan_graph(f"scan(gru_before({size}))", "x: [N, T, 3]")), draw(2, 6, 3)
        after = {key: item for key, item in weights.items() if ".b_" not in key}
        for gate in "rzn":
            after |= {f"s.b_x{gate}": weights[f"s.b_{gate}"], f"s.b_h{gate}": 0 * weights[f"s.b_{gate}"]}
        distance = np.abs(outputs_of(f"gru({size})", after, x) - outputs_of(f"gru_before({size})", weights, x)).max()
        assert (distance < 1e-14) == same


def test_the_gradient_of_a_scan_is_differentiated_again() -> None:
    graph = scan_graph("scan(peephole_lstm(2))", "x: [N, T, 2]")
    module = torch_network(graph, draw_weights(graph))
    x = torch.from_numpy(draw(2, 3, 2)).requires_grad_()
    assert torch.autograd.gradgradcheck(module, (x,))


CELLS = """
  memory(S, R):
    inputs: {x: [D], picture: [2, D]}
    state: {m: [S, R], n: []}
    params: {A: [S, D], B: [R, D]}
    step:
      row: sum(softmax(picture, axis=0), axis=0)
      m': tanh(unsqueeze(A @ x, 1) * unsqueeze(B @ row, 0) + m / (1 + n))
      n': n + 1
    output: concat(sum(m', axis=-1), m[:, 0] * n', axis=0)
"""


def test_states_of_any_shape_and_inputs_of_any_rank() -> None:
    graph = scan_graph("x -> scan(memory(3, 2), picture=p)", "x: [N, T, 4], p: [N, T, 2, 4]", "{s: s, m: s.m, n: s.n}", CELLS)
    weights, x, p = draw_weights(graph), draw(2, 5, 4), draw(2, 5, 2, 4, seed=7)
    A, B = weights["s.A"], weights["s.B"]
    wanted = np.zeros((2, 5, 6))
    states = []
    for row in range(2):
        m = np.zeros((3, 2))
        for t in range(5):
            weight = np.exp(p[row, t]) / np.exp(p[row, t]).sum(0)
            before = m
            m = np.tanh(np.outer(A @ x[row, t], B @ weight.sum(0)) + m / (1 + t))
            wanted[row, t] = np.concatenate([m.sum(-1), before[:, 0] * (t + 1)])
        states.append(m)
    for run in (run_torch, run_numpy):
        found, m, n = run(graph, weights, x, p)
        close(found, wanted, 1e-12)
        close(m, np.stack(states), 1e-12)
        assert n.tolist() == [5.0, 5.0]


def test_cells_of_two_sizes_share_one_class() -> None:
    graph = scan_graph("repeat(2, bidirectional(lstm(3)))", "x: [N, T, 4]")
    module = torch_source([graph])
    assert module.count("class LSTM(nn.Module)") == 1
    assert "LSTM(D=6)" in module
    assert "\n    for t in reversed(range(T)) if reverse else range(T):\n" in module
