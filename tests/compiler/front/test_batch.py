"""A step for one example becomes a step for N: each row of the result is what the example alone gives, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.backends.execution import execute
from compiler.backends.numpy_source import print_numpy
from compiler.front.batch import NoBatch, batch
from compiler.front.builder import GraphBuilder
from compiler.ir.graph import Graph, Parameter, Value
from compiler.ir.initializers import Zeros
from compiler.ir.types import DType, TensorType
from compiler.ir.verify import verify
from compiler.passes.template import elaborate_text

SHAPES: dict[str, tuple[int, ...]] = {"x": (3,), "y": (3,), "m": (2, 3), "k": (1, 2, 3), "s": ()}
WEIGHTS: dict[str, tuple[int, ...]] = {"W": (4, 3), "V": (2, 3), "b": (3,), "T": (2, 4, 3), "a": ()}

EXPRESSIONS = [
    "W @ x", "x @ transpose(W)", "b @ x", "x @ b", "x @ y", "V @ transpose(m)", "m @ x", "x @ transpose(m)", "m @ b", "m @ transpose(W)",
    "T @ x", "x @ transpose(T)", "T @ transpose(m)", "m @ transpose(T)",
    "k @ x", "x @ transpose(k)", "k @ transpose(m)", "b @ transpose(m)",
    "x + b", "x * V", "V / (1 + exp(x))", "m + x", "m * s", "s + T", "k - m", "b * s", "where(x > 0, b, y)", "where(b > 0, x, 0)",
    "max(x, b)", "clip(m, -0.5, 0.5)", "cast(x > 0, f32) * y", "-abs(x) + relu(m)", "logical_and(x > 0, m > 0) -> cast(f32)",
    "softmax(m)", "softmax(m, axis=0)", "log_softmax(k, axis=-2)", "glu(concat(x, y, axis=0), axis=0)", "maxout(W @ x, 2, axis=0)",
    "sum(m)", "mean(m, axis=0)", "amax(k, axis=(0, 2), keepdims=true)", "logsumexp(x)", "norm(m, axis=-1)", "std(m, axis=1)", "prod(x)",
    "norm(m)", "cumsum(m, axis=0)", "concat(x, b, axis=0)", "concat(m, V, axis=-1)", "stack(x, b, y, axis=1)", "split(m, 3, axis=1)[1]",
    "m[0]", "m[:, 1:]", "x[-1]", "k[..., ::2]",
    "reshape(m, 3, 2)", "reshape(k, -1)", "permute(k, 2, 0, 1)", "transpose(m)", "transpose(k, 0, 2)",
    "flatten(k, 0, 1)", "squeeze(k, 0)", "unsqueeze(x, 0) * unsqueeze(x, 1)",
    "unsqueeze(m, -1)", "expand(x, 4, 3)", "expand(unsqueeze(x, 1), 3, 2)",
    "flip(m, 0)", "roll(m, 1, axis=1)", "tile(m, 2, 1)", "take(m, argmax(b), axis=1)", "take(V, argmax(m, axis=0))",
    "gather(m, argmax(m, axis=1, keepdims=true), axis=1)", "one_hot(argmax(x), 5)", "l2_normalize(m, axis=1)", "sigmoid(W @ x + s) ** 2",
]  # fmt: skip


def step_of(text: str) -> Graph:
    """The graph of an expression of one example's `x`, `y`, `m`, `k`, `s` and the weights."""
    builder = GraphBuilder(Graph("step", "network"))
    names: dict[str, Any] = {name: builder.add_input(name, TensorType.of(DType.f32, *shape)) for name, shape in SHAPES.items()}
    for name, shape in WEIGHTS.items():
        names[name] = Value(TensorType.of(DType.f32, *shape), name)
        builder.graph.parameters.append(Parameter(name, names[name], Zeros(), True))
    owned, builder.graph.parameters = builder.graph.parameters, []
    graph = elaborate_text("step", text, builder, names)
    graph.parameters = owned
    return graph


def as_network(graph: Graph) -> Graph:
    """The graph with weights as inputs behind the others, so that any back end can call it."""
    weights = [item.value for item in graph.parameters]
    return Graph("step", "step", [*graph.inputs, *weights], [], graph.nodes, dict(graph.entries), dict(graph.outputs))


def run(graph: Graph, *inputs: np.ndarray) -> np.ndarray:
    printed = print_numpy([as_network(graph)])
    return np.asarray(execute(printed.text, "step")[printed.steps["step"]](*inputs))


def check(text: str, rows: int = 4, seed: int = 0) -> None:
    generator = np.random.default_rng(seed)
    alone = step_of(text)
    together = batch(alone)
    verify(together)
    examples = [generator.normal(0, 1, (rows, *shape)) for shape in SHAPES.values()]
    weights = [generator.normal(0, 1, shape) for shape in WEIGHTS.values()]
    wanted = np.stack([run(alone, *(item[row] for item in examples), *weights) for row in range(rows)])
    found = run(together, *examples, *weights)
    assert found.shape == wanted.shape, text
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12, err_msg=text)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_a_batch_is_each_example_alone(text: str) -> None:
    check(text)
    check(text, rows=1, seed=1)


TERMS = st.sampled_from(["x", "y", "b", "s", "a", "V @ transpose(m) -> sum(axis=0) -> sum", "m[0]", "V[1]", "W[0]", "k[0, 1]"])


def join(parts: tuple[str, str, str]) -> str:
    left, sign, right = parts
    return f"({left}) {sign} ({right})"


FORMULAS = st.recursive(
    TERMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(join),
        st.tuples(st.sampled_from(["tanh", "sigmoid", "softmax_like", "outer"]), inner).map(lambda pair: wrap(*pair)),
    ),
    max_leaves=8,
)


def wrap(name: str, inner: str) -> str:
    """A function of a formula whose value is a scalar or three numbers."""
    if name == "softmax_like":
        return f"softmax(({inner}) + 0 * x)"
    return f"(({inner}) + 0 * y) @ transpose(V) @ m" if name == "outer" else f"{name}({inner})"


@settings(max_examples=60, deadline=None)
@given(FORMULAS, st.integers(1, 5))
def test_any_formula_is_batched(text: str, rows: int) -> None:
    check(f"({text}) * x", rows, seed=2)


def test_what_depends_on_weights_alone_is_computed_once() -> None:
    graph = batch(step_of("x * exp(b)"))
    types = {node.op.name: str(node.result_types[0]) for node in graph.nodes}
    assert types == {"exp": "[3]", "mul": "[N, 3]"}


def test_a_product_with_a_weight_is_one_product_for_all() -> None:
    graph = batch(step_of("W @ x"))
    assert [(node.op.name, str(node.result_types[0])) for node in graph.nodes] == [("transpose", "[3, 4]"), ("matmul", "[N, 4]")]


def test_an_output_of_weights_alone_is_repeated() -> None:
    graph = batch(step_of("b * 2"))
    assert str(graph.outputs[""].type) == "[N, 3]"


@pytest.mark.parametrize("text", ["take(V, argmax(m, axis=0), axis=1)", "take(m, argmax(x), axis=1)", "argmax(m)"])
def test_an_op_without_a_form_is_refused(text: str) -> None:
    with pytest.raises(NoBatch):
        batch(step_of(text))
