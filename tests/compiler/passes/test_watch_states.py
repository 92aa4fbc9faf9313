"""Inputs that are added to states: nothing changes at zero, and their gradients are those of the states.

The oracle is the recurrence written out with torch; float64, tolerance 1e-12 of numbers of order 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from compiler.backends.torch_backend import load_torch
from compiler.front.checked import check
from compiler.ir.graph import Graph, owned_parameters
from compiler.ir.verify import verify
from compiler.passes.watch_states import watch_states
from compiler.source import Source
from tests.compiler.backends.recurrences import draw_weights, scan_graph, torch_network

STEPS = 5


def peephole(
    weights: dict[str, torch.Tensor], x: torch.Tensor, lengths: torch.Tensor | None, reverse: bool
) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
    """The outputs and both states after every step, in the order in which the scan runs."""
    p = {key.removeprefix("s."): value for key, value in weights.items()}
    h = c = torch.zeros(len(x), 4, dtype=torch.float64)
    outputs, hs, cs = [torch.empty(0)] * STEPS, [], []
    for t in reversed(range(STEPS)) if reverse else range(STEPS):
        a = {gate: x[:, t] @ p[f"W_{gate}"].T + h @ p[f"U_{gate}"].T + p[f"b_{gate}"] for gate in "ifgo"}
        new = torch.sigmoid(a["f"] + p["p_f"] * c) * c + torch.sigmoid(a["i"] + p["p_i"] * c) * torch.tanh(a["g"])
        new.retain_grad()
        cs.append(new)
        made = torch.sigmoid(a["o"] + p["p_o"] * new) * torch.tanh(new)
        made.retain_grad()
        hs.append(made)
        going = torch.ones(len(x), 1, dtype=torch.bool) if lengths is None else (t < lengths)[:, None]
        outputs[t] = torch.where(going, made, torch.zeros_like(made))
        h, c = torch.where(going, made, h), torch.where(going, new, c)
    return torch.stack(outputs, 1), hs, cs


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, [5, 1, 3]])
def test_gradients_are_those_of_the_states(lengths: list[int] | None, reverse: bool) -> None:
    words = f"{', lengths=n' if lengths else ''}, reverse={str(reverse).lower()}"
    graph = scan_graph(f"x -> scan(peephole_lstm(4){words})", "x: [N, T, 3]" + (', n: "i64[N]"' if lengths else ""))
    (watched,) = watch_states([graph])
    verify(watched.graph)
    assert [(state.name, str(state.input.type), state.reverse) for state in watched.states] == [
        ("s.h", "[N, T, 4]", reverse),
        ("s.c", "[N, T, 4]", reverse),
    ]
    weights = draw_weights(graph)
    x, pull = torch.from_numpy(np.random.default_rng(1).normal(size=(3, STEPS, 3))), torch.arange(4.0, dtype=torch.float64) + 1
    given = [] if lengths is None else [torch.tensor(lengths)]
    shifts = [torch.zeros(3, STEPS, 4, dtype=torch.float64, requires_grad=True) for _ in watched.states]
    outputs = torch_network(watched.graph, weights)(x, *given, *shifts)
    own = {key: torch.from_numpy(value).requires_grad_() for key, value in weights.items()}
    wanted, hs, cs = peephole(own, x, given[0] if given else None, reverse)
    torch.testing.assert_close(outputs, wanted, rtol=0, atol=1e-12)
    (wanted * pull).square().sum().backward()  # type: ignore[no-untyped-call]
    found = torch.autograd.grad((outputs * pull).square().sum(), shifts)
    for gradient, states in zip(found, (hs, cs), strict=True):
        expected = torch.stack([torch.zeros(3, 4) if item.grad is None else item.grad for item in (states[::-1] if reverse else states)], 1)
        torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12)


NESTED = """\
netlang: 1
use: [rnn/cells]
blocks:
  reader(H):
    inputs: {x: [N, T, D]}
    layers:
      a: bidirectional(lstm(H))
      b: repeat(2, scan(rnn(H)))
networks:
  inner:
    inputs: {x: [N, T, 3]}
    layers:
      r: reader(4)
      s: scan(gru(4))
  outer:
    inputs: {x: [N, T, 3], y: [N, U, 3]}
    layers:
      first: inner(x)
      second: inner(y)
      sum: last(first) + last(second)
  plain:
    inputs: {x: [N, 3]}
    layers: {a: linear(2)}
"""


def nested() -> dict[str, Graph]:
    return dict(check(Source("nested.yaml", NESTED)).require().networks)


def test_states_are_found_in_blocks_and_called_networks() -> None:
    networks = nested()
    (watched,) = watch_states([networks["outer"]])
    verify(watched.graph)
    names = ["r.a.forwards.h", "r.a.forwards.c", "r.a.reverse.h", "r.a.reverse.c", "r.b.0.h", "r.b.1.h", "s.h"]
    expected = [f"inner.{name}" for name in names] + [f"inner.{name}_2" for name in names]
    assert [state.name for state in watched.states] == expected
    assert [str(state.input.type) for state in watched.states] == ["[N, T, 4]"] * 7 + ["[N, U, 4]"] * 7
    assert [state.reverse for state in watched.states] == ([False] * 2 + [True] * 2 + [False] * 3) * 2


def test_nothing_changes_at_zero() -> None:
    networks = nested()
    (watched,) = watch_states([networks["outer"]])
    inner = next(node.op.graph for node in watched.graph.nodes if node.entry == "first")  # type: ignore[attr-defined]
    assert [key for key, _ in owned_parameters(inner)] == [key for key, _ in owned_parameters(networks["inner"])]
    x, y = torch.randn(2, 4, 3), torch.randn(2, 6, 3)
    results: list[Any] = []
    for graph, called, shapes in ((networks["outer"], networks["inner"], []), (watched.graph, inner, [4] * 7 + [6] * 7)):
        loaded = load_torch([called, graph]).networks
        torch.manual_seed(0)
        for parameter in loaded["inner"].parameters():
            torch.nn.init.normal_(parameter)
        with torch.no_grad():
            results.append(loaded["outer"](x, y, *(torch.zeros(2, steps, 4) for steps in shapes), inner=loaded["inner"]))
    torch.testing.assert_close(*results)


def test_graphs_without_scans_stay() -> None:
    plain = nested()["plain"]
    (watched,) = watch_states([plain])
    assert watched.graph is plain
    assert watched.states == ()


OWN = """
  counter:
    inputs: {x: [3]}
    state: {h: [3], before: [3], seen: []}
    step:
      h': tanh(x + h)
      before': h
      seen': seen + 1
    output: h' + before
"""


def test_a_state_that_is_another_one_before() -> None:
    (watched,) = watch_states([scan_graph("scan(counter)", "x: [N, T, 3]", cells=OWN)])
    verify(watched.graph)
    x = torch.randn(2, 4, 3, dtype=torch.float64)
    shifts = [torch.zeros(2, 4, *size, dtype=torch.float64, requires_grad=True) for size in ([3], [3], [])]
    outputs = torch_network(watched.graph, {})(x, *shifts)
    h, before, seen = torch.autograd.grad(outputs.sum(), shifts, materialize_grads=True)
    slopes = torch.ones(2, 3, dtype=torch.float64), torch.zeros(2, 3, dtype=torch.float64)
    torch.testing.assert_close(before, torch.stack([slopes[0]] * 3 + [slopes[1]], 1))
    torch.testing.assert_close(h[:, -1], slopes[0])
    assert bool((h[:, :-1] > 1).all())
    assert bool((seen == 0).all())
