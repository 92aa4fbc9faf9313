"""A program as torch code: prints its graphs, runs the text, and binds the functions to their networks.

The one place that knows how the torch back end hands over what it printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from compiler.backends.parameters import initial_parameters
from compiler.backends.torch_backend import TorchModules, load_torch, set_parameters
from compiler.front.checked import Checked
from compiler.ir.graph import Graph, owned_parameters
from compiler.ir.types import DType
from netlang.training.functions import (
    NO_LIMIT,
    Function,
    bind,
    name_results,
    name_samples,
    program_graphs,
    program_networks,
    with_own_names,
    with_rows,
)

if TYPE_CHECKING:
    import torch


@final
@dataclass(frozen=True, slots=True)
class TorchFunctions:
    """A program's networks with their first weights, and its functions; `draw` is None where the program draws nothing."""

    modules: Mapping[str, torch.nn.Module]
    steps: tuple[Function, ...]
    metrics: Mapping[str, Function]
    samples: Mapping[str, Function]
    draw: Function | None


def compile_torch(checked: Checked, seed: int) -> TorchFunctions:
    """The program's functions; weights are drawn from `seed`."""
    program = checked.require().program
    assert program is not None
    networks = program_networks(checked)
    graphs = with_own_names([with_rows(graph) for graph in program_graphs(program)], set(networks))
    loaded = _load([*networks.values(), *graphs])
    modules = {name: loaded.networks[name] for name in networks}
    for name, graph in networks.items():
        if any(item.type.dtype is DType.f64 for _, item in owned_parameters(graph)):
            modules[name].double()
        set_parameters(modules[name], initial_parameters(graph, seed, NO_LIMIT))
    functions = [bind(loaded.steps[graph.name], graph, modules) for graph in graphs]
    count = len(program.steps)
    metrics = dict(zip(program.metrics, functions[count:], strict=False))
    samples = name_samples(program, functions[count + len(metrics) :])
    draw = None if program.draws is None else name_results(functions[-1], program.draws)
    return TorchFunctions(modules, tuple(functions[:count]), metrics, samples, draw)


def _load(graphs: list[Graph]) -> TorchModules:
    """The printed file, running; torch draws first weights of its own, which must not disturb the caller's generator."""
    import torch

    with torch.random.fork_rng(devices=[]):
        return load_torch(graphs)
