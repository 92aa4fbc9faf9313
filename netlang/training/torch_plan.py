"""The steps of a program as the torch engine runs them again and again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from compiler.ir.graph import Graph
from compiler.ir.training import Program, Schedule, Step
from compiler.passes.program_plan import ProgramPlan, network_modes
from compiler.passes.share import draws_in
from netlang.training.functions import Function
from netlang.training.torch_functions import TorchFunctions
from netlang.training.torch_optimizers import build_optimizer, scheduled_settings

if TYPE_CHECKING:
    import torch


@final
@dataclass(frozen=True, slots=True, eq=False)
class StepPlan:
    """A step with what it updates by. `owner` is the first step with this optimizer.

    `cut` are shared inputs through which no gradient goes; `modes` are the modules whose mode is not the usual one.
    """

    step: Step
    graph: Graph
    function: Function
    names: tuple[str, ...]
    parameters: tuple[torch.nn.Parameter, ...]
    owner: int
    optimizer: torch.optim.Optimizer
    schedules: Mapping[str, Schedule]
    random: bool
    cut: tuple[str, ...]
    modes: Mapping[torch.nn.Module, bool]


def plan_steps(program: Program, plan: ProgramPlan, functions: TorchFunctions, total: int) -> list[StepPlan]:
    """The steps of a run of `total` iterations; those with one `update` and equal optimizers share the optimizer."""
    made: list[StepPlan] = []
    for index, (step, graph) in enumerate(zip(program.steps, plan.steps, strict=True)):
        found = [
            (f"{network}.{key}", parameter)
            for network in step.update
            for key, parameter in functions.modules[network].named_parameters()
        ]  # fmt: skip
        names, parameters = tuple(name for name, _ in found), tuple(parameter for _, parameter in found)
        same = [item for item in made if item.step.update == step.update and item.step.optimizer == step.optimizer]
        owner, optimizer = (same[0].owner, same[0].optimizer) if same else (index, build_optimizer(step.optimizer, parameters, total))
        parameters = same[0].parameters if same else parameters
        modes = {functions.modules[name]: training for name, training in step.mode.items() if name in functions.modules}
        made.append(
            StepPlan(
                step,
                graph,
                functions.plan.steps[index],
                names,
                parameters,
                owner,
                optimizer,
                scheduled_settings(step.optimizer),
                draws_in(graph, network_modes(program, step)),
                cut_inputs(plan, step, graph),
                modes,
            )
        )
    return made


def cut_inputs(plan: ProgramPlan, step: Step, graph: Graph) -> tuple[str, ...]:
    """The shared inputs of a step that depend on nothing that it updates, but have a tape for other steps."""
    read = {value.name for value in graph.inputs}
    apart = [item for item in plan.shared if not item.constant and item.networks.isdisjoint(step.update)]
    return tuple(name for item in apart for name in item.names if name in read)


def taped_parameters(plan: ProgramPlan, shared: int, steps: list[StepPlan]) -> tuple[torch.nn.Parameter, ...]:
    """The weights with respect to which steps that read a shared value take gradients through it."""
    networks = plan.shared[shared].networks
    found: dict[torch.nn.Parameter, None] = {}
    for item in steps:
        if shared in plan.shared_of(item.graph):
            pairs = zip(item.names, item.parameters, strict=True)
            found |= dict.fromkeys(parameter for name, parameter in pairs if name.partition(".")[0] in networks)
    return tuple(found)
