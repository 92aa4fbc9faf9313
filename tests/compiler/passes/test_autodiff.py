"""Differentiated graphs: random ones against torch.autograd, what is built and what is not, symbolic sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.front.builder import GraphBuilder
from compiler.ir.dims import Dim
from compiler.ir.graph import Graph, Node, Parameter, Value
from compiler.ir.initializers import Constant
from compiler.ir.op import Sample
from compiler.ir.types import DType, TensorType
from compiler.ir.verify import verify
from compiler.ops import OPS
from compiler.passes.autodiff import differentiate, lacks_derivatives
from compiler.passes.expand import expand
from compiler.passes.inline import substitute_op, substitute_type
from compiler.passes.template import elaborate_text
from tests.compiler.ops import gradients, harness

F64 = DType.f64
SIZE = 3
# Each keeps [3, 3] and stays within a range in which all of them are smooth.
UNARY: dict[str, Callable[..., torch.Tensor]] = {
    "tanh(a)": torch.tanh,
    "sigmoid(a)": torch.sigmoid,
    "sin(a)": torch.sin,
    "exp(0.3 * tanh(a))": lambda a: torch.exp(0.3 * torch.tanh(a)),
    "softplus(a)": torch.nn.functional.softplus,
    "log(1 + a * a)": lambda a: torch.log(1 + a * a),
    "sqrt(1 + square(a))": lambda a: torch.sqrt(1 + a * a),
    "softmax(a)": lambda a: torch.softmax(a, -1),
    "a - mean(a, axis=0)": lambda a: a - a.mean(0),
    "a * sum(a, axis=1, keepdims=true) / 3": lambda a: a * a.sum(1, keepdim=True) / 3,
    "a / (1 + norm(a, axis=1, keepdims=true))": lambda a: a / (1 + torch.linalg.vector_norm(a, dim=1, keepdim=True)),
    "transpose(a)": lambda a: a.T,
    "a + var(a)": lambda a: a + a.var(),
    "logsumexp(a, axis=1) + a": lambda a: torch.logsumexp(a, 1) + a,
    "a ** 2 / 4": lambda a: a**2 / 4,
    "gelu(a)": torch.nn.functional.gelu,
}
BINARY: dict[str, Callable[..., torch.Tensor]] = {
    "a + b": torch.add,
    "a - b": torch.sub,
    "tanh(a) * b": lambda a, b: torch.tanh(a) * b,
    "a / (2 + sin(b))": lambda a, b: a / (2 + torch.sin(b)),
    "tanh(a @ b)": lambda a, b: torch.tanh(a @ b),
    "where(a > b, a, 2 * b)": lambda a, b: torch.where(a > b, a, 2 * b),
    "max(a, b)": torch.maximum,
    "a * amax(b, axis=0)": lambda a, b: a * b.amax(0),
}
STEPS = st.lists(st.tuples(st.sampled_from([*UNARY, *BINARY]), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=7)


def apply_text(graph: Graph, text: str, **names: Any) -> Value:
    """Add what `text` means on values of the graph; returns its value."""
    builder = GraphBuilder(graph)
    return next(iter(elaborate_text("test", text, builder, names).outputs.values()))


def new_graph(**types: TensorType) -> tuple[Graph, dict[str, Value]]:
    values = {name: Value(type, name) for name, type in types.items()}
    return Graph("test", "network", list(values.values())), values


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, seed=st.integers(0, 2**31))
def test_random_graphs_as_torch(steps: list[tuple[str, int, int]], seed: int) -> None:
    """Sums of every node's numbers, weighted, to the second order; nodes that nothing uses included."""
    generator = np.random.default_rng(seed)
    square = TensorType.of(F64, SIZE, SIZE)
    graph, inputs = new_graph(p=square, q=square)
    arrays = {name: generator.uniform(-1.5, 1.5, (SIZE, SIZE)) for name in ("p", "q", "c", "d")}
    tensors = {name: torch.from_numpy(array).requires_grad_() for name, array in arrays.items()}
    values, mirrored = list(inputs.values()), [tensors["p"], tensors["q"]]
    for text, first, second in steps:
        a, b = first % len(values), second % len(values)
        values.append(apply_text(graph, text, a=values[a], b=values[b]))
        mirrored.append(UNARY[text](mirrored[a]) if text in UNARY else BINARY[text](mirrored[a], mirrored[b]))
    weights = {name: Value(square, name) for name in ("c", "d")}
    graph.inputs += weights.values()
    loss = apply_text(graph, "sum(a * c)", a=values[-1], c=weights["c"])
    graph = expand(graph, lacks_derivatives)
    first_order = differentiate(graph, graph.outputs[""], values[:2])
    expected = torch.autograd.grad((mirrored[-1] * tensors["c"]).sum(), mirrored[:2], create_graph=True, allow_unused=True)
    assert [item is None for item in first_order] == [item is None for item in expected]
    built = [(name, made, item) for name, made, item in zip("pq", first_order, expected, strict=True) if made is not None]
    graph.outputs = {name: made for name, made, _ in built}
    check_outputs(graph, arrays, {name: item for name, _, item in built if item is not None})
    total = apply_text(graph, " + ".join(f"sum(g{name} * d)" for name, *_ in built), d=weights["d"], **{f"g{n}": v for n, v, _ in built})
    graph = expand(graph, lacks_derivatives)
    assert total is not loss
    second_order = differentiate(graph, next(iter(graph.outputs.values())), values[:2])
    again = torch.stack([(item * tensors["d"]).sum() for _, _, item in built if item is not None]).sum()
    wanted = torch.autograd.grad(again, mirrored[:2], allow_unused=True, materialize_grads=True) if again.requires_grad else ()
    graph.outputs = {name: made for name, made in zip("pq", second_order, strict=True) if made is not None}
    zero = torch.zeros(SIZE, SIZE)
    found = gradients.evaluate_graph(graph, arrays)
    for name, item in zip("pq", wanted or (zero, zero), strict=True):
        compare(found.get(name, np.zeros((SIZE, SIZE))), item)


def check_outputs(graph: Graph, arrays: dict[str, Any], expected: dict[str, torch.Tensor]) -> None:
    verify(graph)
    found = gradients.evaluate_graph(graph, arrays)
    for name, item in expected.items():
        compare(found[name], item)


def compare(found: Any, expected: torch.Tensor) -> None:
    """Equal where torch's is a number; ours always is (torch's second derivative of a norm that is 0 is NaN)."""
    array = expected.detach().numpy(force=True)
    assert found.shape == array.shape
    assert np.all(np.isfinite(found))
    if not np.all(np.isfinite(array)):
        return
    assert np.max(np.abs(found - array)) <= 1e-9 * max(1.0, float(np.max(np.abs(array))))


def test_nothing_is_built_that_nobody_asked_for() -> None:
    graph, values = new_graph(x=TensorType.of(F64, 4, 3), w=TensorType.of(F64, 3, 2))
    loss = apply_text(graph, "sum(tanh(x @ w))", **values)
    forward = len(graph.nodes)
    differentiate(graph, loss, [values["w"]])
    one = [node.op.name for node in graph.nodes[forward:]]
    differentiate(graph, loss, [values["x"], values["w"]])
    both = [node.op.name for node in graph.nodes[forward + len(one) :]]
    assert one.count("matmul") == 1
    assert both.count("matmul") == 2
    verify(graph)


def test_no_nodes_where_nothing_depends() -> None:
    graph, values = new_graph(x=TensorType.of(F64, 4), y=TensorType.of(F64, 4))
    loss = apply_text(graph, "sum(exp(x))", **values)
    before = list(graph.nodes)
    assert differentiate(graph, loss, [values["y"]]) == [None]
    assert graph.nodes == before
    made = differentiate(graph, loss, [values["y"], values["x"]])
    assert made[0] is None
    assert made[1] is not None


def test_steps_have_no_gradients() -> None:
    graph, values = new_graph(x=TensorType.of(F64, 4))
    loss = apply_text(graph, "sum(floor(x)) + sum(cast(argmax(x), f64)) + sum(cast(x > 0, f64))", **values)
    assert differentiate(graph, loss, [values["x"]]) == [None]


def test_uses_of_one_value_add_up() -> None:
    graph, values = new_graph(x=TensorType.of(F64, 2, 3))
    weight = Value(TensorType.of(F64, 3), "w")
    loss = apply_text(graph, "sum(w * x) + sum(sin(w)) + sum(w * w)", w=weight, **values)
    graph.parameters.append(Parameter("w", weight, Constant(1.0), True))
    (made,) = differentiate(graph, loss, [weight])
    assert made is not None
    graph.outputs = {"": made}
    x, w = np.arange(6.0).reshape(2, 3), np.array([0.5, -1.0, 2.0])
    np.testing.assert_allclose(gradients.evaluate_graph(graph, {"x": x, "w": w})[""], x.sum(0) + np.cos(w) + 2 * w, rtol=1e-14)


def test_gradient_of_itself_is_one() -> None:
    graph, values = new_graph(x=TensorType.of(F64, 2))
    (made,) = differentiate(graph, values["x"], [values["x"]])
    assert made is not None
    graph.outputs = {"": made}
    np.testing.assert_array_equal(gradients.evaluate_graph(graph, {"x": np.zeros(2)})[""], np.ones(2))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("x + y", [20.0, 15.0]), ("y - x", [-20.0, 15.0])],
)
def test_broadcast_axes_are_summed(text: str, expected: list[float]) -> None:
    graph, values = new_graph(x=TensorType.of(F64, 3, 1), y=TensorType.of(F64, 4, 1, 5))
    loss = apply_text(graph, text, **values)
    made = differentiate(graph, loss, list(values.values()))
    graph.outputs = {str(index): item for index, item in enumerate(made) if item is not None}
    found = gradients.evaluate_graph(graph, {"x": np.ones((3, 1)), "y": np.ones((4, 1, 5))})
    assert [item.shape for item in found.values()] == [(3, 1), (4, 1, 5)]
    assert found["0"].flat[0] == expected[0]
    assert found["1"].flat[0] == (3.0 if expected else 0.0)


def test_gradients_return_to_the_operands_dtype() -> None:
    graph, values = new_graph(x=TensorType.of(DType.f32, 3), y=TensorType.of(F64, 3), n=TensorType.of(DType.i64, 3))
    loss = apply_text(graph, "sum(x * y * n)", **values)
    made = differentiate(graph, loss, list(values.values()))
    assert [None if item is None else item.type.dtype for item in made] == [DType.f32, F64, None]
    verify(graph)


# Ops made for derivatives hold sizes as attributes; they are met with symbols in the second derivatives of the others.
SYMBOLIC = [harness.with_floats(item, F64) for item in harness.all_samples() if item.operands and not item.op.internal]


def symbolic_cases() -> list[tuple[Sample, tuple[TensorType, ...], dict[str, Dim | int]]]:
    """Samples with every size above 1 a symbol, or as many of them as the type rule takes."""
    cases = []
    for sample in SYMBOLIC:
        sizes = tuple(sorted({size for item in sample.operands for size in item.shape if size > 1}))
        for chosen in (sizes, *((size,) for size in sizes)):
            types, values = harness.symbolic_types(sample, chosen)
            if chosen and harness.refusal(sample.op, types) is None:
                cases.append((sample, types, values))
                break
    return cases


@pytest.mark.parametrize("case", symbolic_cases(), ids=lambda case: harness.sample_id(case[0]))
def test_symbolic_gradients(case: tuple[Sample, tuple[TensorType, ...], dict[str, Dim | int]]) -> None:
    """The graph with symbols is well formed, and with numbers for them computes what the concrete graph does."""
    sample, types, values = case
    inferred = sample.op.infer(*types)
    if not (inferred if isinstance(inferred, TensorType) else inferred[0]).dtype.is_float:
        return
    concrete = gradients.derive(sample, 2)
    symbolic = gradients.derive(sample, 2, types=types)
    verify(symbolic.graph)
    replaced = substitute_graph(symbolic.graph, values)
    verify(replaced)
    expected = concrete.evaluate()
    found = gradients.evaluate_graph(replaced, concrete.arrays)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-12, atol=1e-12)


def substitute_graph(graph: Graph, sizes: dict[str, Dim | int]) -> Graph:
    """The graph with numbers for its symbols."""
    made: dict[Value, Value] = {}

    def copy(value: Value) -> Value:
        return made.setdefault(value, Value(substitute_type(value, sizes), value.name))

    inputs = [copy(value) for value in graph.inputs]
    parameters = [Parameter(item.key, copy(item.value), item.init, item.trainable) for item in graph.parameters]
    nodes = [
        Node(
            substitute_op(node.op, sizes),
            tuple(map(copy, node.operands)),
            tuple(map(copy, node.parameters)),
            tuple(map(copy, node.results)),
        )
        for node in graph.nodes
    ]
    return Graph("test", "network", inputs, parameters, nodes, {}, {name: copy(value) for name, value in graph.outputs.items()})


@pytest.mark.parametrize("name", ["dropout", "channel_dropout"])
@pytest.mark.parametrize("p", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("dtype", [DType.f32, F64])
def test_dropout_in_training(name: str, p: float, dtype: DType) -> None:
    """Each number (each channel) is 0 or divided by 1 - p, and its gradient with it."""
    op = OPS[name](p)  # type: ignore[call-arg]
    graph, values = new_graph(x=TensorType.of(dtype, 50, 40, 3))
    text = op.training(values["x"].type)
    assert text is not None
    result = apply_text(graph, text, **values)
    (gradient,) = differentiate(graph, result, [values["x"]])
    assert gradient is not None
    verify(graph)
    graph.outputs = {"result": result, "gradient": gradient}
    x = np.random.default_rng(1).uniform(1, 2, (50, 40, 3)).astype(dtype.numpy_name)
    found = gradients.evaluate_graph(graph, {"x": x}, generator=np.random.default_rng(2))
    assert found["result"].dtype == dtype.numpy_name
    np.testing.assert_allclose(found["result"], x * found["gradient"], rtol=1e-6)
    kept = 1 / (1 - p) if p < 1 else 0.0
    distance = np.minimum(np.abs(found["gradient"]), np.abs(found["gradient"] - kept))
    assert np.max(distance) <= 1e-6
    share = float(np.mean(found["gradient"] != 0))
    assert abs(share - (1 - p)) < 0.05
    same = np.all(found["gradient"] == found["gradient"][:, :, :1])
    assert same == (name == "channel_dropout" or p in (0.0, 1.0))
