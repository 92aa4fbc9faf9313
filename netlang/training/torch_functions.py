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
from compiler.passes.gradients import mark_differentiable
from compiler.passes.program_plan import ProgramPlan
from netlang.training.functions import (
    NO_LIMIT,
    OtherFunctions,
    PlanFunctions,
    bind,
    list_others,
    list_plan,
    name_others,
    name_plan,
    program_networks,
    with_own_names,
    with_rows,
)  # fmt: skip

if TYPE_CHECKING:
    import torch


@final
@dataclass(frozen=True, slots=True)
class TorchFunctions:
    """A program's networks with their first weights, and its functions."""

    modules: Mapping[str, torch.nn.Module]
    plan: PlanFunctions
    others: OtherFunctions


def compile_torch(checked: Checked, seed: int, plan: ProgramPlan) -> TorchFunctions:
    """The program's functions; weights are drawn from `seed`."""
    program = checked.require().program
    assert program is not None
    networks = program_networks(checked)
    wanted = [*list_plan(plan), *list_others(program)]
    graphs = with_own_names([with_rows(mark_differentiable(graph)) for graph in wanted], set(networks))
    loaded = load_quietly([*networks.values(), *graphs])
    modules = {name: loaded.networks[name] for name in networks}
    for name, graph in networks.items():
        if any(item.type.dtype is DType.f64 for _, item in owned_parameters(graph)):
            modules[name].double()
        set_parameters(modules[name], initial_parameters(graph, seed, NO_LIMIT))
    functions = [bind(loaded.steps[graph.name], graph, modules) for graph in graphs]
    count = len(list_plan(plan))
    return TorchFunctions(modules, name_plan(plan, functions[:count]), name_others(program, functions[count:]))


def load_quietly(graphs: list[Graph]) -> TorchModules:
    """The printed file, running; torch draws first weights of its own, which must not disturb the caller's generator."""
    import torch

    with torch.random.fork_rng(devices=[]):
        return load_torch(graphs)
