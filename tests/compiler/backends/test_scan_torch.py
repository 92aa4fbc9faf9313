"""Printed scans among torch's own machinery: graphs kept or gone, memory used again, compilers, transformations, large products."""

from __future__ import annotations

import cProfile
from collections.abc import Callable
from typing import Any

import pytest
import torch

from compiler.backends.scan_torch import load_torch_scan
from compiler.backends.torch_backend import load_torch
from compiler.backends.torch_source import torch_source
from compiler.front.checked import check
from compiler.ir.cell import Cell
from compiler.ir.graph import owned_parameters
from compiler.source import Source
from tests.compiler.backends.stepping import assert_close, cell, draw_tensors, pull, run_scan

Scan = Callable[..., tuple[torch.Tensor, ...]]


def prepared(
    call: str, rows: int = 3, steps: int = 6, dtype: torch.dtype = torch.float64
) -> tuple[Cell, Scan, torch.Tensor, dict[str, Any]]:
    made = cell(call)
    sequences, _, weights = draw_tensors(made, rows, steps, dtype)
    return made, load_torch_scan(made), sequences[0], dict(zip((item.key for item in made.graph.parameters), weights, strict=True))


def test_graphs_of_several_calls_do_not_share_memory() -> None:
    _, scan, x, weights = prepared("peephole_lstm(5)")
    first, second = scan(x, **weights), scan(2 * x, **weights)
    with torch.no_grad():
        scan(3 * x, **weights)
    leaves = [x, *weights.values()]
    late = torch.autograd.grad(pull(first), leaves)
    again = torch.autograd.grad(pull(scan(x, **weights)), leaves)
    assert_close(late, again, 0)
    assert_close(torch.autograd.grad(pull(second), leaves), torch.autograd.grad(pull(scan(2 * x, **weights)), leaves), 0)


def test_a_graph_that_is_kept_gives_the_same_gradients_twice() -> None:
    _, scan, x, weights = prepared("gru_before(5)")
    results = scan(x, **weights)
    first = torch.autograd.grad(pull(results), [x], retain_graph=True)
    torch.autograd.grad(pull(scan(-x, **weights)), [x])
    assert_close(torch.autograd.grad(pull(results), [x]), first, 0)


def test_memory_of_calls_that_are_over_is_used_again() -> None:
    _, scan, x, weights = prepared("peephole_lstm(5)")
    pool = scan.__wrapped__.__globals__["ScanBuffers"].ready  # type: ignore[attr-defined]
    counts = []
    for _ in range(4):
        torch.autograd.backward(pull(scan(x, **weights)))
        counts.append(sum(map(len, pool.values())))
    assert counts[0] > 5
    assert len(set(counts)) == 1


def test_outputs_changed_in_place_are_noticed() -> None:
    _, scan, x, weights = prepared("peephole_lstm(5)")
    outputs, *_ = scan(x, **weights)
    total = (outputs * outputs.detach()).sum()
    with torch.no_grad():
        outputs.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.backward(total)


def test_no_graph_no_gradients() -> None:
    _, scan, x, weights = prepared("peephole_lstm(5)")
    with torch.no_grad():
        assert not any(item.requires_grad for item in scan(x, **weights))
    with torch.inference_mode():
        scan(x, **weights)
    frozen = {key: item.detach() for key, item in weights.items()}
    assert not any(item.requires_grad for item in scan(x.detach(), **frozen))


@pytest.mark.parametrize("call", ["peephole_lstm(128)", "gru_before(128)", "fgr(96)"])
def test_large_products_are_torchs_on_the_same_memory(call: str) -> None:
    made, scan, x, weights = prepared(call, 64, 3)
    found, wanted = scan(x, **weights), run_scan(made, [x], [None] * len(made.states), list(weights.values()))
    assert_close(found, wanted, 1e-10)
    leaves = [x, *weights.values()]
    assert_close(torch.autograd.grad(pull(found), leaves), torch.autograd.grad(pull(wanted), leaves), 1e-10)


def test_gradients_by_finite_differences() -> None:
    _, scan, x, weights = prepared("peephole_lstm(2)", 2, 3)
    keys = list(weights)

    def function(x: torch.Tensor, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return scan(x, **dict(zip(keys, values, strict=True)))

    assert torch.autograd.gradcheck(function, (x, *weights.values()))
    assert torch.autograd.gradgradcheck(function, (x, *weights.values()))


def test_mixed_types_take_the_plain_loop() -> None:
    _, scan, x, weights = prepared("rnn(5)", dtype=torch.float32)
    half = {key: item.detach().bfloat16() for key, item in weights.items()}
    outputs, *_ = scan(x.detach().bfloat16(), **half)
    assert outputs.dtype == torch.bfloat16
    meta, *_ = scan(x.detach().to("meta"), **{key: item.detach().to("meta") for key, item in weights.items()})
    assert meta.shape == outputs.shape


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_transformations_take_the_plain_loop() -> None:
    _, scan, x, weights = prepared("peephole_lstm(3)", 2, 4)
    frozen = {key: item.detach() for key, item in weights.items()}
    given = x.detach()
    slope = torch.func.grad(lambda item: scan(item, **frozen)[0].square().sum())(given)
    wanted = torch.autograd.grad(scan(x, **frozen)[0].square().sum(), x)
    assert_close([slope], wanted, 1e-10)
    many = torch.func.vmap(lambda item: scan(item, **frozen)[0])(torch.stack([given, -given]))
    assert_close([many[1]], [scan(-given, **frozen)[0]], 1e-10)
    tangent = torch.func.jvp(lambda item: scan(item, **frozen)[0].square().sum(), (given,), (given,))[1]
    assert_close([tangent], [(slope * given).sum()], 1e-10)


def test_compiled_code_calls_the_scan_as_it_is() -> None:
    _, scan, x, weights = prepared("peephole_lstm(3)", 2, 4)
    compiled = torch.compile(scan, backend="eager")
    assert_close(compiled(x, **weights), scan(x, **weights), 0)
    wanted = torch.autograd.grad(pull(scan(x, **weights)), [x])
    assert_close(torch.autograd.grad(pull(compiled(x, **weights)), [x]), wanted, 0)


@pytest.mark.parametrize(("call", "printed"), [("lstm(3)", False), ("gru(3)", True), ("rnn(3)", True), ("peephole_lstm(3)", True)])
def test_gradients_are_by_whichever_is_faster_on_the_cpu(call: str, printed: bool) -> None:
    """torch's LSTM is fused; its GRU and RNN differentiate op by op, and printed functions are faster."""
    made, scan, x, weights = prepared(call, 2, 4)
    results = scan(x, **weights)
    pending, seen = [results[0].grad_fn], set()
    while pending:
        node = pending.pop()
        if node is not None and node not in seen:
            seen.add(node)
            pending += [item for item, _ in node.next_functions]
    assert any("ScanFunction" in node.name() for node in seen) == printed
    assert_close(results, run_scan(made, [x], [None] * len(made.states), list(weights.values())), 1e-10)


def test_numbers_that_overflow_are_no_warnings() -> None:
    """As with torch's own operations; warnings are errors here."""
    _, scan, x, weights = prepared("rnn(3, activation=relu)", 2, 400)
    large = {key: item.detach().abs().mul(1e6).requires_grad_() for key, item in weights.items()}
    outputs, *_ = scan(x.detach().abs(), **large)
    assert not bool(torch.isfinite(outputs).all())
    torch.autograd.grad(outputs.sum(), list(large.values()))


STACK = """
netlang: 1
use: [rnn/cells]
networks:
  net:
    inputs: {x: [N, T, 3], n: "i64[N]"}
    layers:
      a: x -> bidirectional(lstm(4), lengths=n)
      b: repeat(2, scan(gru_before(5)))
      c: scan(peephole_lstm(4), reverse=true)
      d: last(c) -> linear(2)
"""


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_a_network_of_scans_compiled_by_torch_is_the_same() -> None:
    graph = check(Source("stack.yaml", STACK)).require().networks["net"]
    network = load_torch([graph]).networks["net"]
    x, lengths = torch.randn(3, 6, 3, requires_grad=True), torch.tensor([6, 2, 4])
    compiled = torch.compile(network, backend="eager")
    mine, theirs = compiled(x, lengths), network(x, lengths)
    assert_close([mine], [theirs], 1e-6)
    assert_close(torch.autograd.grad(mine.square().sum(), [x]), torch.autograd.grad(theirs.square().sum(), [x]), 1e-6)


def test_text_and_work_to_compile_are_the_same_for_every_number_of_steps() -> None:
    """Work is counted in calls of Python functions, within 1 %; a first run fills what is kept between runs."""
    texts, calls = {}, {}
    for steps in (10, 10, 10_000):
        with cProfile.Profile() as profile:
            graph = check(Source("stack.yaml", STACK.replace("T, 3", f"{steps}, 3"))).require().networks["net"]
            text = torch_source([graph])
        texts[steps] = text.replace(f", {steps},", ", T,").replace(f"= {steps}", "= T")
        calls[steps] = sum(item.callcount for item in profile.getstats())
    assert texts[10] == texts[10_000]
    assert abs(calls[10_000] - calls[10]) <= 0.01 * calls[10]


def test_keys_of_state_dicts_are_those_of_the_cells() -> None:
    graph = check(Source("stack.yaml", STACK)).require().networks["net"]
    keys = set(load_torch([graph]).networks["net"].state_dict())
    assert keys == {key for key, _ in owned_parameters(graph)}
