"""What changes nothing is left out, and what is left computes the same."""

from __future__ import annotations

import pytest

from compiler.front.checked import check
from compiler.ir.graph import Graph, Value
from compiler.ir.types import DType, TensorType
from compiler.ir.verify import verify
from compiler.ops.elementwise import Scalar
from compiler.passes.clean_up import clean_up
from compiler.passes.template import append
from compiler.source import Source


def network(layers: str) -> Graph:
    text = f"netlang: 1\nnetworks:\n  f:\n    inputs: {{x: [N, 4], i: 'i64[N]'}}\n    layers:\n{layers}"
    return check(Source("f.yaml", text)).networks["f"]


def cleaned(layers: str) -> Graph:
    made = clean_up(network(layers))
    verify(made)
    return made


@pytest.mark.parametrize(
    "text",
    [
        "x * 1", "1 * x", "x / 1", "x + 0", "0 + x", "x - 0", "x ** 1", "-(-x)", "x -> dropout(0.3)", "x -> reshape(N, 4)", "x -> flatten",
        "x -> permute(0, 1)", "x -> permute(0, -1)", "x -> transpose -> transpose", "x -> transpose(1, -1)", "cast(x, f32)",
        "x * (3 - 2)", "((x + 0) * 1 -> dropout) / 1",
    ],
)  # fmt: skip
def test_what_changes_nothing_is_left_out(text: str) -> None:
    assert [node.op.name for node in cleaned(f"      y: tanh({text}) * x\n").nodes] == ["tanh", "mul"]


@pytest.mark.parametrize(
    "text",
    [
        "x * 2", "2 / x", "1 / x", "0 - x", "1 ** x", "x -> transpose", "x -> reshape(2 * N, 2)", "cast(x, f64)", "x -> permute(1, 0)",
        "-x", "i * 1.0", "x * ones(3, N, 4)",
    ],
)  # fmt: skip
def test_what_changes_something_stays(text: str) -> None:
    graph = network(f"      y: ({text}) -> exp\n")
    assert clean_up(graph) is graph


def test_constants_are_computed() -> None:
    x = Value(TensorType.of(DType.f32, 3), "x")
    graph = Graph("f", "network", [x])
    two, three = (append(graph.nodes, "scalar", value=value) for value in (2, 3))
    six = append(graph.nodes, "mul", two, three)
    half = append(graph.nodes, "div", three, append(graph.nodes, "neg", six))
    graph.outputs[""] = append(graph.nodes, "add", x, half)
    made = clean_up(graph)
    verify(made)
    constant, _ = made.nodes
    assert constant.op == Scalar(-0.5)


def test_constants_without_a_finite_value_stay() -> None:
    graph = Graph("f", "network")
    one, zero = (append(graph.nodes, "scalar", value=value) for value in (1, 0))
    graph.outputs[""] = append(graph.nodes, "div", one, zero)
    assert clean_up(graph) is graph


def test_outputs_and_entries_keep_their_names() -> None:
    graph = cleaned("      a: tanh(x)\n      b: a * 1\n      c: b -> dropout\n")
    assert graph.entries["a"] is graph.entries["b"] is graph.entries["c"] is graph.outputs[""]


def test_an_input_may_be_the_output() -> None:
    graph = cleaned("      a: x * 1\n")
    assert graph.outputs[""] is graph.inputs[0]
    assert not graph.nodes
