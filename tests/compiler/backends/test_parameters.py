"""First values: reproducible, independent of each other, refused when they would not fit."""

from __future__ import annotations

import numpy as np
import pytest

from compiler.backends.parameters import TooLarge, initial_parameters, parameter_bytes
from tests.compiler.backends.support import graphs_of

ONE = "\n  net:\n    inputs: {x: [N, 4]}\n    layers:\n      a: linear(4)\n      b: linear(4) -> batch_norm\n"
MORE = "\n  net:\n    inputs: {x: [N, 4]}\n    layers:\n      z: linear(4)\n      a: linear(4)\n      b: linear(4) -> batch_norm\n"


def test_a_parameter_keeps_its_numbers_when_another_entry_comes() -> None:
    before, after = (initial_parameters(graphs_of(text)["net"], 7) for text in (ONE, MORE))
    for key, array in before.items():
        np.testing.assert_array_equal(array, after[key])


def test_seeds_keys_and_networks_differ() -> None:
    graph = graphs_of(ONE)["net"]
    arrays = initial_parameters(graph, 7)
    other = graphs_of(ONE.replace("net:", "other:"))["other"]
    assert not np.array_equal(arrays["a.weight"], arrays["b.linear.weight"])
    assert not np.array_equal(arrays["a.weight"], initial_parameters(graph, 8)["a.weight"])
    assert not np.array_equal(arrays["a.weight"], initial_parameters(other, 7)["a.weight"])


def test_order_types_and_buffers_are_the_specs() -> None:
    arrays = initial_parameters(graphs_of(ONE)["net"], 0)
    assert list(arrays)[:3] == ["a.weight", "a.bias", "b.linear.weight"]
    assert arrays["a.weight"].dtype == np.float32
    assert arrays["b.batch_norm.num_batches_tracked"].dtype == np.int64
    assert np.all(arrays["b.batch_norm.running_var"] == 1)
    assert np.abs(arrays["a.weight"]).max() <= 0.5


def test_too_many_bytes_are_refused() -> None:
    graph = graphs_of(ONE)["net"]
    total = parameter_bytes(graph)
    assert total == sum(array.nbytes for array in initial_parameters(graph, 0, budget=total).values())
    with pytest.raises(TooLarge):
        initial_parameters(graph, 0, budget=total - 1)
