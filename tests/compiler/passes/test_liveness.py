"""Memory of values: no two that are alive share a slot, results are what they are without slots."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netlang
from compiler.backends.numpy_steps import load_steps
from compiler.ir.graph import Graph, Node, Value
from compiler.ir.op import Op
from compiler.ir.types import DType, TensorType
from compiler.ops.arithmetic import Add, Mul
from compiler.ops.functions import Exp
from compiler.ops.linear import Matmul
from compiler.ops.shape import Transpose
from compiler.passes.liveness import assign_memory
from compiler.passes.step_gradient import step_gradient
from netlang.training.feed import Feed
from netlang.training.workspace import Threads, Workspace

SQUARE = TensorType.of(DType.f32, "N", "N")
OPS: list[tuple[Op, int]] = [(Add(), 2), (Mul(), 2), (Exp(), 1), (Transpose(), 1), (Matmul(), 2)]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Values of one shape made from earlier ones; some of them are outputs."""
    graph = Graph("drawn", "step", [Value(SQUARE, "x")])
    made = list(graph.inputs)
    for _ in range(draw(st.integers(1, 12))):
        op, count = draw(st.sampled_from(OPS))
        operands = tuple(draw(st.sampled_from(made)) for _ in range(count))
        value = Value(SQUARE, f"v{len(made)}")
        graph.nodes.append(Node(op, operands, (), (value,)))
        made.append(value)
    for index, value in enumerate(draw(st.lists(st.sampled_from(made[1:]), min_size=1, max_size=3, unique=True))):
        graph.outputs[f"o{index}"] = value
    return graph


def is_written(node: Node) -> bool:
    return not isinstance(node.op, Transpose)


@given(graphs())
@settings(max_examples=300, deadline=None)
def test_nothing_alive_is_overwritten(graph: Graph) -> None:
    """The plan is played: each slot tells whose numbers it holds, views look at it, and every read finds what was meant."""
    memory = assign_memory(graph, is_written)
    holds: dict[int, Value] = {}
    looks: dict[Value, frozenset[Value]] = {value: frozenset() for value in graph.inputs}

    def check(value: Value) -> None:
        assert all(holds[memory.slots[source]] is source for source in looks[value])

    for node in graph.nodes:
        for value in node.operands:
            check(value)
        (result,) = node.results
        if result in memory.slots:
            taken = memory.inside.get(result)
            other = [value for value in node.operands if value is not taken]
            assert not any(memory.slots[result] == memory.slots[source] for value in other for source in looks[value])
            holds[memory.slots[result]] = result
            looks[result] = frozenset({result})
        else:
            looks[result] = looks[node.operands[0]]
    for value in graph.outputs.values():
        check(value)


def test_chain_takes_one_slot() -> None:
    x = Value(SQUARE, "x")
    values = [x, *(Value(SQUARE, f"v{index}") for index in range(4))]
    graph = Graph("chain", "step", [x], [], [Node(Exp(), (a,), (), (b,)) for a, b in pairwise(values)])
    graph.outputs["o"] = values[-1]
    memory = assign_memory(graph, is_written)
    assert set(memory.slots.values()) == {0}
    assert memory.bytes({"N": 10}) == 400


def run_step(spec: str, work: Any) -> tuple[Any, ...]:
    checked = netlang.check(spec).require()
    assert checked.program is not None
    (step,) = checked.program.steps
    made = step_gradient(step, {spec}, draws=False)
    (run,) = load_steps([made]).functions
    generator = np.random.default_rng(0)
    flat = {}
    for item in made.graph.parameters:
        shape = [dim.constant or 0 for dim in item.type.shape]
        flat[item.key] = (generator.random(shape) / 8).astype(item.type.dtype.numpy_name)
    batch = Feed(checked, 0).take("train")
    given = [batch[value.name] for value in made.graph.inputs]
    run(flat, *given, work=work)
    result: tuple[Any, ...] = run(flat, *given, work=work)
    return result


@pytest.mark.parametrize("spec", ["mlp", "lenet5", "resnet20"])
def test_step_with_memory_gives_what_it_gives_without(spec: str) -> None:
    loss, gradients, buffers = run_step(spec, None)
    for threads in (1, 2):
        kept_loss, kept_gradients, kept_buffers = run_step(spec, Workspace(Threads(threads)))
        assert abs(kept_loss - loss) < 1e-6 * abs(loss)
        for found, expected in ((kept_gradients, gradients), (kept_buffers, buffers)):
            assert found.keys() == expected.keys()
            for key, array in expected.items():
                np.testing.assert_allclose(found[key], array, rtol=0, atol=1e-3 * float(np.abs(array).max()), err_msg=key)
