"""The bundled cells on torch, forward and all gradients, against their papers' equations written out, and against torch.nn.

The largest error relative to the largest number: 1e-10 in float64, sums of some dozen products in another order; 1e-6 in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.compiler.backends.equations import EQUATIONS, run_equations
from tests.compiler.backends.recurrences import Arrays, draw_weights, gru_state, lstm_state, rnn_state, scan_graph, torch_network, vendor

CASES = [
    *(((3, 7, 4, 5), *way) for way in ((False, False), (True, False), (False, True), (True, True))),
    ((1, 4, 2, 3), True, False),
    ((2, 1, 3, 1), False, False),
    ((5, 11, 1, 7), False, True),
]
"""Batch, time, width of a step, size of the state: batch 1, T = 1, state 1, odd sizes; whether in reverse, whether rows end early."""

TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-6}

STATES = {"lstm": "hc", "peephole_lstm": "hc", "fgr": "hcifo", "gru": "h", "gru_before": "h", "mgu": "h", "rnn": "h"}

Tensors = dict[str, torch.Tensor]


def states_of(cell: str) -> str:
    return STATES.get(cell.partition("(")[0], "hc")


def draw(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1, shape))


def assert_equal(found: Tensors, wanted: Tensors, tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].shape == value.shape, name
        error = (found[name].double() - value.double()).abs().max().item() / max(1.0, value.abs().max().item())
        assert error <= tolerance, f"{name}: {error:.2e}"


def leaves_of(tensors: Tensors, dtype: torch.dtype) -> Tensors:
    return {name: value.detach().to(dtype).requires_grad_() for name, value in tensors.items()}


def gradients(results: Tensors, leaves: Tensors, seed: int = 5) -> Tensors:
    """By a weighted sum of all results; what does not matter has zeros."""
    pulls = {name: draw(*value.shape, seed=seed + place).to(value.dtype) for place, (name, value) in enumerate(results.items())}
    total = torch.stack([(value * pulls[name]).sum() for name, value in results.items()]).sum()
    made = torch.autograd.grad(total, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(leaves, made, strict=True))


def run_network(cell: str, weights: Arrays, x: torch.Tensor, first: Tensors, lengths: torch.Tensor | None, reverse: bool) -> Any:
    """The results by name, and the gradients with respect to the input, first states and weights, of a scan as it is printed."""
    states = states_of(cell)
    words = "".join(f", {name}={name}0" for name in states) + (", lengths=n" if lengths is not None else "")
    inputs = f"x: [N, T, {x.shape[2]}]" + "".join(f", {name}0: [N, {value.shape[1]}]" for name, value in first.items())
    inputs += ', n: "i64[N]"' if lengths is not None else ""
    outputs = "{s: s, " + ", ".join(f"{name}: s.{name}" for name in states) + "}"
    graph = scan_graph(f"x -> scan({cell}{words}, reverse={str(reverse).lower()})", inputs, outputs)
    dtype = x.dtype
    module = torch_network(graph, weights, np.float64 if dtype is torch.float64 else np.float32)
    leaves = leaves_of({"x": x, **{f"{name}0": value for name, value in first.items()}}, dtype)
    made = module(*leaves.values(), *([] if lengths is None else [lengths]))
    results = dict(zip(["s", *states], made, strict=True))
    every = leaves | {name.removeprefix("s."): value for name, value in module.named_parameters()}
    return {name: value.detach() for name, value in results.items()}, gradients(results, every)


@pytest.mark.parametrize(("shape", "reverse", "ends"), CASES)
@pytest.mark.parametrize("cell", EQUATIONS)
def test_a_cell_is_what_its_paper_says(cell: str, shape: tuple[int, int, int, int], reverse: bool, ends: bool) -> None:
    batch, time, width, size = shape
    name = cell.format(H=size)
    weights = draw_weights(scan_graph(f"scan({name})", f"x: [N, T, {width}]"))
    lengths = torch.arange(batch) * 2 % time + 1 if ends else None
    x, first = draw(batch, time, width), {state: draw(batch, size, seed=9 + place) for place, state in enumerate(states_of(cell))}
    exact = leaves_of({"x": x, **{f"{state}0": value for state, value in first.items()}}, torch.float64)
    exact |= {key.removeprefix("s."): torch.from_numpy(value).requires_grad_() for key, value in weights.items()}
    outputs, states = run_equations(
        EQUATIONS[cell], exact, exact["x"], {state: exact[f"{state}0"] for state in first}, lengths, reverse=reverse
    )  # fmt: skip
    wanted = {"s": outputs, **states}
    slopes = gradients(wanted, exact)
    for dtype, tolerance in TOLERANCES.items():
        given = {state: value.to(dtype) for state, value in first.items()}
        found, mine = run_network(name, weights, x.to(dtype), given, lengths, reverse)
        assert_equal(found, wanted, tolerance)
        assert_equal(mine, slopes, tolerance)


VENDORS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "rnn": (torch.nn.RNN, rnn_state, {}),
    "lstm": (torch.nn.LSTM, lstm_state, {}),
    "gru": (torch.nn.GRU, gru_state, {}),
}


@pytest.mark.parametrize(("shape", "reverse", "ends"), CASES)
@pytest.mark.parametrize("cell", VENDORS)
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_a_cell_is_torchs(cell: str, shape: tuple[int, int, int, int], reverse: bool, ends: bool, dtype: torch.dtype) -> None:
    """In float64, with both directions of torch's, of which one is looked at, and packed sequences."""
    batch, time, width, size = shape
    kind, state, more = VENDORS[cell]
    weights = draw_weights(scan_graph(f"scan({cell}({size}))", f"x: [N, T, {width}]"))
    lengths = torch.arange(batch) * 2 % time + 1 if ends else None
    x, names = draw(batch, time, width), states_of(cell)
    first = {name: draw(batch, size, seed=9 + place) for place, name in enumerate(names)}
    given = {name: value.to(dtype) for name, value in first.items()}
    found, mine = run_network(f"{cell}({size})", weights, x.to(dtype), given, lengths, reverse)
    held = state(weights)
    both = held | {f"{key}_reverse": value for key, value in held.items()}
    module = vendor(kind, width, size, both, bidirectional=True, **more)
    leaves = leaves_of({"x": x, **{f"{name}0": value for name, value in first.items()}}, torch.float64)
    hidden = tuple(leaves[f"{name}0"].expand(2, -1, -1) for name in names)
    sequence: Any = leaves["x"]
    if lengths is not None:
        sequence = torch.nn.utils.rnn.pack_padded_sequence(sequence, lengths, batch_first=True, enforce_sorted=False)
    outputs, last = module(sequence, hidden if len(names) > 1 else hidden[0])
    if lengths is not None:
        outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True, total_length=time)
    finals = last if isinstance(last, tuple) else (last,)
    wanted = {"s": outputs[..., size:] if reverse else outputs[..., :size]}
    wanted |= {name: value[int(reverse)] for name, value in zip(names, finals, strict=True)}
    assert_equal(found, wanted, TOLERANCES[dtype])
    suffix = "_reverse" if reverse else ""
    parameters = {name.removesuffix("_reverse"): value for name, value in module.named_parameters() if name.endswith("_l0" + suffix)}
    slopes = gradients(wanted, leaves | parameters)
    ours = state({f"s.{name}": value.numpy() for name, value in mine.items() if name not in leaves})
    two_biases = cell == "gru"
    compared = {name: torch.from_numpy(value) for name, value in ours.items() if two_biases or not name.startswith("bias_hh")}
    mine = {name: value for name, value in mine.items() if name in leaves} | compared
    assert_equal(mine, {name: slopes[name] for name in mine}, TOLERANCES[dtype])
