"""Printed scans, forward and backward, against the step graph run node by node under torch's autograd.

Tolerance 1e-10 of the largest number in float64: sums of some hundred products in another order.
"""

from __future__ import annotations

import random
import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.backends.copying import copy_functions
from compiler.backends.execution import execute
from compiler.backends.scan_functions import print_scan
from compiler.backends.scan_torch import load_torch_scan
from compiler.ir.cell import Cell
from compiler.passes.scan_plan import plan_scan
from tests.compiler.backends.stepping import assert_close, cell, draw_tensors, pull, run_scan, written

BUNDLED = [
    *(f"{name}(5)" for name in ("rnn", "lstm", "lstm_1997", "peephole_lstm", "coupled_lstm", "gru", "gru_before", "mgu", "fgr")),
    *(f"{name}(5)" for name in ("nig", "nfg", "nog", "niaf", "noaf", "cifg", "np")),
    "rnn(5, activation=relu)",
    "coupled_lstm(5, peephole=true)",
    "peephole_lstm(1)",
]

OWN: dict[str, tuple[str, str, list[str], str]] = {
    "output beside the states": ("h: [4]", "A: [4, D], B: [4, 4], V: [2, 4]", ["h': tanh(A @ x + B @ h)"], "V @ h' * 0.5"),
    "output is the old state": ("h: [4]", "A: [4, D], B: [4, 4]", ["h': tanh(A @ x + B @ h)"], "h"),
    "output without the state": ("h: [4]", "A: [4, D], B: [4, 4]", ["h': tanh(A @ x + B @ h)"], "A @ x"),
    "a state that is another's before": ("h: [4], d: [4]", "A: [4, D], B: [4, 4]", ["h': tanh(A @ x + B @ d)", "d': h"], "h'"),
    "a state that is another's after": ("h: [4], d: [4]", "A: [4, D], B: [4, 4]", ["h': tanh(A @ x + B @ d)", "d': h'"], "h'"),
    "a state that is the input": ("h: [4], d: [3]", "A: [4, 3], B: [4, 4]", ["h': tanh(A @ d + B @ h)", "d': x"], "h'"),
    "a state that is linear": ("h: [4]", "A: [4, D], B: [4, 4]", ["h': A @ x + 0.5 * (B @ h)"], "h'"),
    "one weight twice": ("h: [4]", "A: [4, D], B: [4, 4]", ["g: sigmoid(B @ h)", "h': tanh(A @ x + B @ (g * h)) - g"], "h'"),
    "a state without units": ("h: [4], s: []", "A: [4, D], B: [4, 4], b: []", ["s': 0.9 * s + b", "h': tanh(A @ x + B @ h) * s'"], "h'"),
    "a fast weight": (
        "h: [4], M: [4, 4]",
        "A: [4, D]",
        ["k: tanh(A @ x)", "M': 0.9 * M + unsqueeze(k, 1) * unsqueeze(k, 0)", "h': tanh(k + M' @ k)"],
        "h'",
    ),
    "softmax in the loop": ("h: [4]", "A: [4, D], B: [4, 4]", ["h': softmax(A @ x + B @ h, axis=0)"], "h'"),
    "a product with a number": ("h: [4]", "A: [4, D], B: [4, 4]", ["h': tanh(A @ x + B @ (0 * h + 2) + h)"], "h'"),
    "a product with nothing": ("h: [4]", "A: [4, D], B: [4, 4], C: [4, 4]", ["v: B @ h - B @ h", "h': tanh(A @ x + C @ v + h)"], "h'"),
    "a product with a constant": ("h: [4]", "A: [4, D], B: [4, 4]", ["h': tanh(A @ x + h * (B @ full(0.5, 4)))"], "h'"),
    "states in a circle": ("h: [4], c: [4]", "A: [4, D], B: [4, 4]", ["h': tanh(A @ x + B @ c) + 0.3 * c", "c': h"], "h' * c'"),
    "other functions": ("h: [4]", "A: [4, D], B: [4, 4]", ["h': softplus(A @ x) - abs(B @ h) + exp(-square(h))"], "log(1 + square(h'))"),
    "a choice by the state": ("h: [4]", "A: [4, D], B: [4, 4]", ["a: A @ x + B @ h", "h': where(a > 0, a, 0.1 * a) / (1 + abs(h))"], "h'"),
    "a choice by the input": ("h: [4]", "A: [4, D]", ["a: A @ x", "h': where(a > 0, tanh(a + h), h)"], "h'"),
}


def own(name: str) -> Cell:
    states, params, step, output = OWN[name]
    return written(states, params, step, output)


def compare(made: Cell, rows: int, steps: int, *, lengths: torch.Tensor | None = None, reverse: bool = False) -> None:
    """The printed torch function against the steps, with first states given and without."""
    scan = load_torch_scan(made, lengths=lengths is not None)
    words: dict[str, Any] = {"reverse": reverse} | ({} if lengths is None else {"lengths": lengths})
    sequences, states, weights = draw_tensors(made, rows, steps)
    named = dict(zip((item.key for item in made.graph.parameters), weights, strict=True))
    for first in (states, [None] * len(states)):
        leaves = [*sequences, *(item for item in first if item is not None), *weights]
        found = scan(*sequences, **dict(zip(made.states, first, strict=True)), **words, **named)
        wanted = run_scan(made, sequences, first, weights, lengths, reverse)
        assert_close(found, wanted, 1e-10)
        with torch.no_grad():
            assert_close(scan(*sequences, **dict(zip(made.states, first, strict=True)), **words, **named), wanted, 1e-10)
        mine, theirs = (torch.autograd.grad(pull(results), leaves, allow_unused=True) for results in (found, wanted))
        assert_close(mine, theirs, 1e-10)


@pytest.mark.parametrize("call", BUNDLED)
def test_bundled_cells(call: str) -> None:
    compare(cell(call), 3, 7)


@pytest.mark.parametrize("name", OWN)
def test_cells_that_are_not_bundled(name: str) -> None:
    compare(own(name), 3, 6)
    compare(own(name), 4, 5, lengths=torch.tensor([5, 1, 3, 2]))


@pytest.mark.parametrize("call", ["peephole_lstm(5)", "gru_before(5)", "fgr(3)", "rnn(5)"])
@pytest.mark.parametrize(("rows", "steps"), [(1, 1), (1, 40), (2, 1), (5, 33), (300, 37)])
def test_shapes_of_one_and_of_several_chunks(call: str, rows: int, steps: int) -> None:
    compare(cell(call), rows, steps)


@pytest.mark.parametrize("call", ["peephole_lstm(5)", "gru_before(5)", "fgr(3)", "lstm(5)", "coupled_lstm(5)"])
@pytest.mark.parametrize("reverse", [False, True])
def test_lengths_and_reverse(call: str, reverse: bool) -> None:
    compare(cell(call), 3, 6, reverse=reverse)
    compare(cell(call), 4, 6, lengths=torch.tensor([6, 1, 4, 3]), reverse=reverse)
    compare(cell(call), 2, 40, lengths=torch.tensor([3, 35]), reverse=reverse)


@pytest.mark.parametrize("call", BUNDLED)
def test_float32_is_as_exact_as_torchs(call: str) -> None:
    """Against float64: within 1e-6, or twice what float32 costs the steps one by one where that is more."""
    made = cell(call)
    sequences, states, weights = draw_tensors(made, 3, 20, torch.float32)
    named = dict(zip((item.key for item in made.graph.parameters), weights, strict=True))
    leaves = [*sequences, *states, *weights]
    exact = [item.detach().double().requires_grad_() for item in leaves]
    ends = len(sequences), len(sequences) + len(states)
    wanted = run_scan(made, exact[: ends[0]], exact[ends[0] : ends[1]], exact[ends[1] :])
    found = load_torch_scan(made)(*sequences, **dict(zip(made.states, states, strict=True)), **named)
    usual = run_scan(made, sequences, states, weights)
    gradients = [torch.autograd.grad(pull(results), given) for results, given in ((wanted, exact), (found, leaves), (usual, leaves))]
    for right, mine, theirs in zip((*wanted, *gradients[0]), (*found, *gradients[1]), (*usual, *gradients[2]), strict=True):
        errors = [(item.double() - right).abs().max().item() / max(1.0, right.abs().max().item()) for item in (mine, theirs)]
        assert errors[0] <= max(1e-6, 2 * errors[1])


def test_two_inputs() -> None:
    lines = "\n  two:\n    inputs: {x: [3], y: [2]}\n    state: {h: [4]}\n    params: {A: [4, 3], B: [4, 2], C: [4, 4]}\n"
    lines += "    step:\n      h': tanh(A @ x + C @ h) * sigmoid(B @ y)\n    output: h'"
    compare(cell("two", lines, "x: [N, T, 3], y: [N, T, 2]"), 3, 5)


def drawn(draw: random.Random) -> Cell:
    """A cell with one to three states and equations of any kind."""
    states = ["h", "c", "m"][: draw.randint(1, 3)]
    params: dict[str, str] = {}

    def parameter(shape: str) -> str:
        same = [name for name, known in params.items() if known == shape]
        if same and draw.random() < 0.2:
            return draw.choice(same)
        name = f"k{len(params)}"
        params[name] = shape
        return name

    def term(names: list[str], depth: int) -> str:
        kind = draw.randrange(9 if depth else 6)
        vector = draw.choice(names)
        match kind:
            case 0:
                return f"{parameter('[4, D]')} @ x"
            case 1 | 2:
                return f"{parameter('[4, 4]')} @ {vector}"
            case 3:
                return f"{parameter('[4]')} * {vector}"
            case 4:
                return parameter("[4]")
            case 5:
                return vector
            case 6:
                return f"{draw.choice(['tanh', 'sigmoid', 'relu', 'sin'])}({total(names, depth - 1)})"
            case 7:
                return f"(1 - {vector}) * ({total(names, depth - 1)})"
            case _:
                return f"{parameter('[4, 4]')} @ ({vector} * tanh({total(names, depth - 1)}))"

    def total(names: list[str], depth: int) -> str:
        parts = [term(names, depth) for _ in range(draw.randint(1, 3))]
        return "".join(f"{draw.choice([' + ', ' - ']) if index else ''}{part}" for index, part in enumerate(parts))

    step, names = [], list(states)
    for index in range(draw.randint(0, 2)):
        step.append(f"v{index}: {draw.choice(['tanh', 'sigmoid'])}({total(names, 2)})")
        names.append(f"v{index}")
    for state in states:
        step.append(f"{state}': tanh({total(names, 2)}) + 0.3 * {draw.choice(states)}")
        names.append(f"{state}'")
    output = draw.choice([name for name in names if name.endswith("'")] + [f"sin({names[-1]}) * {names[0]}", f"x_only @ x + {names[-1]}"])
    if "x_only" in output:
        params["x_only"] = "[4, D]"
    text = " ".join([*step, output])
    step = [line for line in step if not line.startswith("v") or len(re.findall(rf"\b{line[:2]}\b", text)) > 1]
    if not re.search(r"@ x\b", " ".join([*step, output])):
        step[-1] += f" + {parameter('[4, D]')} @ x"
    text = " ".join([*step, output])
    if any(len(re.findall(rf"\b{line.partition(':')[0]}\b", text)) < 2 for line in step if line.startswith("v")):
        return drawn(draw)
    used = ", ".join(f"{name}: {shape}" for name, shape in params.items() if re.search(rf"\b{name}\b", text))
    return written(", ".join(f"{state}: [4]" for state in states), used or "unused: [4]", step, output)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_drawn_cells(seed: int) -> None:
    draw = random.Random(seed)
    made = drawn(draw)
    compare(made, draw.randint(1, 3), draw.choice([1, 4, 20]), reverse=draw.random() < 0.3)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_drawn_cells_with_lengths(seed: int) -> None:
    draw = random.Random(seed)
    compare(drawn(draw), 3, 6, lengths=torch.tensor([draw.randint(1, 6) for _ in range(3)]), reverse=draw.random() < 0.5)


@pytest.mark.parametrize("call", ["peephole_lstm(5)", "gru_before(5)"])
def test_gradients_of_gradients_are_those_of_the_loop(call: str) -> None:
    made = cell(call)
    sequences, states, weights = draw_tensors(made, 2, 4)
    named = dict(zip((item.key for item in made.graph.parameters), weights, strict=True))
    scan, second = load_torch_scan(made), []
    for results in (scan(*sequences, **dict(zip(made.states, states, strict=True)), **named), run_scan(made, sequences, states, weights)):
        first = torch.autograd.grad(pull(results), [*sequences, *weights], create_graph=True)
        second.append(torch.autograd.grad(pull(first, 3), [*sequences, *states, *weights], allow_unused=True))
    assert_close(second[0], second[1], 1e-10)


def test_memory_that_is_not_contiguous() -> None:
    made = cell("peephole_lstm(5)")
    sequences, states, weights = draw_tensors(made, 4, 6)
    strided = [item.detach().transpose(0, 1).contiguous().transpose(0, 1)[::2].requires_grad_() for item in sequences]
    turned = [item.detach().T.contiguous().T.requires_grad_() if item.dim() == 2 else item for item in weights]
    first = [item.detach()[::2] for item in states]
    named = dict(zip((item.key for item in made.graph.parameters), turned, strict=True))
    found = load_torch_scan(made)(*strided, **dict(zip(made.states, first, strict=True)), **named)
    wanted = run_scan(made, strided, first, turned)
    assert_close(found, wanted, 1e-10)
    leaves = [*strided, *turned]
    assert_close(torch.autograd.grad(pull(found), leaves), torch.autograd.grad(pull(wanted), leaves), 1e-10)


def test_only_the_gradients_that_are_asked_for() -> None:
    made = cell("peephole_lstm(5)")
    sequences, states, weights = draw_tensors(made, 2, 5)
    for item in (*sequences, *states, *weights[1:]):
        item.requires_grad_(False)
    named = dict(zip((item.key for item in made.graph.parameters), weights, strict=True))
    found = load_torch_scan(made)(*sequences, **named)
    wanted = run_scan(made, sequences, [None, None], weights)
    assert_close(torch.autograd.grad(found[1].sum(), weights[:1]), torch.autograd.grad(wanted[1].sum(), weights[:1]), 1e-10)


def kernels(made: Cell, *, masked: bool = False) -> tuple[str, Any, Any]:
    printed = print_scan(plan_scan(made, masked=masked), "cell")
    names = execute("\n\n\n".join([copy_functions(printed.used.values()), printed.text]), "scan", {"np": np})
    return printed.text, names["cell_forward"], names["cell_backward"]


@pytest.mark.parametrize("call", ["peephole_lstm(5)", "coupled_lstm(5)", "gru_before(5)", "fgr(5)", "lstm(5)", "gru(5)", "rnn(5)"])
def test_loops_write_into_memory_that_is_there(call: str) -> None:
    """Every statement of a loop over steps is one call of NumPy that says where its result goes."""
    text, _, _ = kernels(cell(call))
    found = re.findall(r"^ {12}(?=\S)(.+)$", text, re.MULTILINE)
    calls = [line for line in found if line.startswith("np.")]
    assert len(calls) > 5
    assert all(re.fullmatch(r"np\.(add\.reduce|\w+)\(.*, \w+(\[\d\])?\)", line) for line in calls)


def test_products_that_share_an_operand_are_one() -> None:
    text, _, _ = kernels(cell("fgr(5)"))
    loops = re.findall(r"strict=True,\n {8}\):\n((?: {12}.*\n)+)", text)
    assert len(loops) == 2
    assert [loop.count("np.matmul(") for loop in loops] == [4, 4] or max(loop.count("np.matmul(") for loop in loops) <= 5


def test_one_text_for_every_number_of_steps_and_rows() -> None:
    _, forward, _ = kernels(cell("peephole_lstm(5)"))
    generator = np.random.default_rng(0)
    weights = [generator.normal(size=[dim.constant or 0 for dim in item.type.shape]) for item in cell("peephole_lstm(5)").graph.parameters]
    for steps, rows in ((10, 2), (10_000, 1)):
        outputs, *_ = forward(generator.normal(size=(steps, rows, 3)), None, None, *weights, False)
        assert outputs.shape == (steps, rows, 5)


def test_training_memory_is_what_must_be_saved() -> None:
    """At most 1.3 of the states, gates and tanh of the cell that the backward pass reads, and the gradients of the input."""
    made = cell("peephole_lstm(64)")
    _, forward, backward = kernels(made)
    generator = np.random.default_rng(0)
    steps, rows = 400, 16
    x = generator.normal(size=(steps, rows, 3)).astype(np.float32)
    weights = [generator.normal(size=[dim.constant or 0 for dim in item.type.shape]).astype(np.float32) for item in made.graph.parameters]
    grad = np.ones((steps, rows, 64), np.float32)
    tracemalloc.start()
    *_, saved = forward(x, None, None, *weights, True)
    backward(grad, None, None, x, *weights, saved)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    needed = 7 * 4 * steps * rows * 64
    assert sum(item.nbytes for item in saved) <= 1.01 * needed
    assert peak <= 1.3 * needed
