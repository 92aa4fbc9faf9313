"""Which cells are PyTorch's own, however their equations are written, and which are not, though they are close."""

from __future__ import annotations

import pytest

from compiler.passes.scan_recognize import NotVendor, Weight, recognize
from tests.compiler.backends.stepping import cell, written


def plain(*keys: str) -> Weight:
    return Weight(tuple((key, 1.0) for key in keys))


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("lstm(5)", "lstm"),
        ("np(5)", "lstm"),
        ("coupled_lstm(5)", "lstm"),
        ("gru(5)", "gru"),
        ("rnn(5)", "rnn_tanh"),
        ("rnn(5, activation=relu)", "rnn_relu"),
        ("lstm(1)", "lstm"),
        ("gru(1)", "gru"),
    ],
)
def test_bundled_cells_of_pytorch_are_recognised(call: str, kind: str) -> None:
    assert recognize(cell(call)).kind == kind


@pytest.mark.parametrize(
    ("call", "part"),
    [
        ("peephole_lstm(5)", "a gate of it has a part that is neither"),
        ("cifg(5)", "a gate of it has a part that is neither"),
        ("gru_before(5)", "reset gate"),
        ("mgu(5)", "reset gate"),
        ("nig(5)", "`c'` is not f * c + i * g"),
        ("nfg(5)", "`c'` is not f * c + i * g"),
        ("niaf(5)", "`c'` is not f * c + i * g"),
        ("lstm_1997(5)", "`c'` is not f * c + i * g"),
        ("nog(5)", "`h'` is not o * tanh(c')"),
        ("noaf(5)", "`h'` is not o * tanh(c')"),
        ("fgr(5)", "5 states"),
        ("rnn(5, activation=sigmoid)", "`h'`"),
    ],
)
def test_other_cells_are_not_and_the_reason_says_where(call: str, part: str) -> None:
    with pytest.raises(NotVendor) as caught:
        recognize(cell(call))
    assert part in caught.value.reason


def test_an_lstms_weights_are_in_pytorchs_order() -> None:
    found = recognize(cell("lstm(5)"))
    assert found.states == ("h", "c")
    assert found.input_weights == tuple(plain(f"W_{gate}") for gate in "ifgo")
    assert found.recurrent_weights == tuple(plain(f"U_{gate}") for gate in "ifgo")
    assert found.input_biases == tuple(plain(f"b_{gate}") for gate in "ifgo")
    assert found.recurrent_biases == (Weight(),) * 4


def test_a_grus_reset_gate_keeps_its_bias_inside() -> None:
    found = recognize(cell("gru(5)"))
    assert found.input_biases == (plain("b_xr", "b_hr"), plain("b_xz", "b_hz"), plain("b_xn"))
    assert found.recurrent_biases == (Weight(), Weight(), plain("b_hn"))


LSTM_STEP = [
    "keep: 1 - sigmoid(-(B @ y + A @ x + forget + 1))",
    "drop: sigmoid(-2 * (E @ x) - Q @ y)",
    "new: tanh(x @ G + J @ y)",
    "m': (1 - drop) * new + m * keep",
    "y': tanh(m') * sigmoid(K @ x - L @ y + 0.5 * (last + last2))",
]
LSTM_PARAMS = "A: [4, D], B: [4, 4], E: [4, D], Q: [4, 4], G: [D, 4], J: [4, 4], K: [4, D], L: [4, 4], forget: [4], last: [4], last2: [4]"


def test_an_lstm_is_known_by_its_equations_alone() -> None:
    """Other names and order, 1 - sigmoid, sigmoid of a negative, numbers beside weights and biases, a weight that stands turned."""
    found = recognize(written("m: [4], y: [4]", LSTM_PARAMS, LSTM_STEP, "y'"))
    assert found.kind == "lstm"
    assert found.states == ("y", "m")
    assert found.input_weights == (
        Weight((("E", 2.0),)),
        plain("A"),
        Weight((("G", 1.0),), turned=frozenset({"G"})),
        plain("K"),
    )
    assert found.recurrent_weights == (plain("Q"), plain("B"), plain("J"), Weight((("L", -1.0),)))
    assert found.input_biases == (Weight(), Weight((("forget", 1.0),), 1.0), Weight(), Weight((("last", 0.5), ("last2", 0.5))))


GRU_PARAMS = "A: [4, D], B: [4, 4], E: [4, D], Q: [4, 4], G: [4, D], J: [4, 4], b: [4]"


@pytest.mark.parametrize("following", ["(1 - u) * h + u * n", "h + u * (n - h)", "n * u - h * u + h"])
def test_a_gru_whose_update_gate_has_the_other_meaning(following: str) -> None:
    step = ["k: sigmoid(A @ x + B @ h)", "u: sigmoid(E @ x + Q @ h)", "n: tanh(G @ x + (J @ h + b) * k)", f"h': {following}"]
    found = recognize(written("h: [4]", GRU_PARAMS, step))
    assert found.kind == "gru"
    assert found.input_weights == (plain("A"), Weight((("E", -1.0),)), plain("G"))
    assert found.recurrent_weights == (plain("B"), Weight((("Q", -1.0),)), plain("J"))
    assert found.recurrent_biases == (Weight(), Weight(), plain("b"))


@pytest.mark.parametrize(
    ("step", "output"),
    [
        (["h': tanh(A @ x + B @ h) + 0.001 * h"], "h'"),
        (["h': tanh(A @ x + B @ h)"], "h"),
        (["h': tanh(A @ x + B @ h)"], "2 * h'"),
        (["h': tanh(A @ x + B @ h * h)"], "h'"),
        (["h': tanh(A @ x + B @ (h * h))"], "h'"),
        (["h': 0.5 * tanh(A @ x + B @ h)"], "h'"),
        (["h': -relu(A @ x + B @ h)"], "h'"),
        (["h': tanh(B @ h) + 0 * (A @ x)"], "h'"),
        (["h': max(A @ x + B @ h, 0.1)"], "h'"),
    ],
)
def test_a_small_difference_is_one(step: list[str], output: str) -> None:
    with pytest.raises(NotVendor):
        recognize(written("h: [4]", "A: [4, D], B: [4, 4]", step, output))


@pytest.mark.parametrize(
    "changed",
    [
        {"m'": "m': (1 - drop) * new + m * (1 - keep) * keep"},
        {"m'": "m': (1 - drop) * new + m * keep * 2"},
        {"m'": "m': (1 - drop) * new - m * keep"},
        {"m'": "m': drop * new + (1 - drop) * new + m * keep"},
        {"y'": "y': tanh(m) * sigmoid(K @ x - L @ y + last + last2)"},
        {"y'": "y': tanh(2 * m') * sigmoid(K @ x - L @ y + last + last2)"},
        {"y'": "y': -tanh(-m') * tanh(K @ x - L @ y + last + last2)"},
        {"new": "new: tanh(x @ G + J @ m)"},
        {"new": "new: sigmoid(x @ G + J @ y)"},
    ],
)
def test_a_small_difference_in_an_lstm_is_one(changed: dict[str, str]) -> None:
    step = [next((text for start, text in changed.items() if line.startswith(f"{start}:")), line) for line in LSTM_STEP]
    assert step != LSTM_STEP
    with pytest.raises(NotVendor):
        recognize(written("m: [4], y: [4]", LSTM_PARAMS, step, "y'"))


@pytest.mark.parametrize("shape", ["[]", "[1]"])
def test_a_bias_that_is_not_one_a_unit_is_no_bias_of_pytorchs(shape: str) -> None:
    with pytest.raises(NotVendor):
        recognize(written("h: [4]", f"A: [4, D], B: [4, 4], b: {shape}", ["h': tanh(A @ x + B @ h + b)"]))


def test_a_weight_for_all_units_is_none_of_pytorchs() -> None:
    with pytest.raises(NotVendor):
        recognize(written("h: [4]", "A: [1, D], B: [4, 4]", ["h': tanh(A @ x + B @ h)"]))
