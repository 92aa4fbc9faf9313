"""Specs as text, graphs of them, and both back ends run on the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from compiler.backends.numpy_backend import load_numpy
from compiler.backends.parameters import initial_parameters
from compiler.backends.torch_backend import load_torch, network_arguments, set_parameters
from compiler.diagnostics import Severity
from compiler.front.checked import check
from compiler.ir.graph import Graph, called_networks
from compiler.ir.types import TensorType
from compiler.ir.verify import verify
from compiler.source import Source

SPECS = Path(__file__).parents[3] / "specs"

RESIDUAL = """
  residual(C, stride=1):
    inputs: {x: [N, D, H, W]}
    layers:
      main: x -> conv(C, 3, stride=stride, pad=1, bias=false) -> batch_norm -> relu -> conv(C, 3, pad=1, bias=false) -> batch_norm
      skip: x if stride == 1 and D == C else x -> conv(C, 1, stride=stride, bias=false) -> batch_norm
      out: main + skip -> relu
"""


def graphs_of(text: str, blocks: str = "") -> dict[str, Graph]:
    """The networks under `networks:` of a spec, verified."""
    head = f"netlang: 1\nname: test\n{f'blocks:{blocks}' if blocks else ''}networks:\n"
    return checked_graphs(Source("test.yaml", head + text))


def checked_graphs(spec: Source | Path) -> dict[str, Graph]:
    """The networks of a spec; what needs data readers is left aside."""
    found = check(spec)
    messages = [f"{item.span}: {item.message}" for item in found.diagnostics if item.severity is Severity.ERROR]
    assert found.networks, messages
    assert isinstance(spec, Path) or not messages, messages
    for graph in found.networks.values():
        verify(graph)
    return dict(found.networks)


def sizes_of(type: TensorType, size: int) -> tuple[int, ...]:
    return tuple(dim.evaluate({name: 2 if name == "N" else size for name in dim.symbols}) for dim in type.shape)


def draw_inputs(graph: Graph, size: int = 5) -> list[np.ndarray]:
    generator = np.random.default_rng(3)
    return [generator.normal(0, 1, sizes_of(value.type, size)).astype(np.float32) for value in graph.inputs]


def draw_parameters(graph: Graph) -> dict[str, np.ndarray]:
    """Initial parameters, with running statistics as if trained."""
    generator, arrays = np.random.default_rng(5), initial_parameters(graph, 0)
    for key, array in arrays.items():
        if key.endswith("running_mean"):
            arrays[key] = generator.normal(0, 0.1, array.shape).astype(np.float32)
        if key.endswith("running_var"):
            arrays[key] = generator.uniform(0.5, 1.5, array.shape).astype(np.float32)
    return arrays


def as_list(result: Any) -> list[np.ndarray]:
    results = result if isinstance(result, tuple) else (result,)
    return [item.detach().numpy() if isinstance(item, torch.Tensor) else np.asarray(item) for item in results]


def run_both(graphs: dict[str, Graph], name: str, size: int = 5) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Results of a network in evaluation mode, by torch and by NumPy, with the same parameters and inputs."""
    graph = graphs[name]
    every = {**called_networks(graph), name: graph}
    modules, arrays = load_torch([graph]), load_numpy([graph])
    parameters = {key: draw_parameters(item) for key, item in every.items()}
    for key, module in modules.networks.items():
        set_parameters(module.eval(), parameters[key])
    inputs = draw_inputs(graph, size)
    with torch.no_grad():
        others = network_arguments(graph, modules.networks)
        by_torch = modules.networks[name](*map(torch.from_numpy, inputs), **others)
    made = {key: arrays.networks[key](parameters[key]) for key in every}
    by_numpy = made[name](*inputs, **{key: made[key] for key in called_networks(graph)})
    return as_list(by_torch), as_list(by_numpy)


def assert_agree(graphs: dict[str, Graph], name: str, size: int = 5) -> list[np.ndarray]:
    """Both back ends give the same numbers within 2e-5 of the largest; returns torch's."""
    by_torch, by_numpy = run_both(graphs, name, size)
    assert len(by_torch) == len(by_numpy)
    for a, b in zip(by_torch, by_numpy, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * max(1.0, float(np.abs(a).max())))
    return by_torch
