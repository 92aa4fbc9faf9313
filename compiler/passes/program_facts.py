"""What a plan means for each step: which networks it updates, which it runs frozen or without a tape, in which mode, what it shares.

Facts follow from the plan's graphs with calls. A tape is what automatic differentiation keeps of a forward pass. Non-goals: how a back
end brings the facts about; time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import final

from compiler.ir.graph import Call, Graph, Value, called_networks
from compiler.ir.training import Program, Step
from compiler.ops.program import Gradient, Replay
from compiler.passes.program_plan import ProgramPlan, network_modes
from compiler.passes.share import CHANGING, Shared


@final
class Tape(Enum):
    """How far gradients go into a network: to its weights, through it to its inputs, or nowhere."""

    WEIGHTS = "weights"
    INPUTS = "inputs"
    NONE = "none"


@final
@dataclass(frozen=True, slots=True)
class NetworkUse:
    """What a step does with a network that it calls."""

    name: str
    tape: Tape
    training: bool


@final
@dataclass(frozen=True, slots=True)
class StepFacts:
    """A step as compiled: its networks in the order of their calls, the shared graphs it reads itself, the step that owns its optimizer."""

    networks: tuple[NetworkUse, ...]
    shared: tuple[int, ...]
    optimizer_of: int


@final
@dataclass(frozen=True, slots=True)
class SharedFacts:
    """A shared graph as compiled: steps that read it, by number, and the networks to whose weights its tape leads (none: no tape)."""

    steps: tuple[int, ...]
    taped: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class ProgramFacts:
    """The facts of a plan, step by step and shared graph by shared graph."""

    steps: tuple[StepFacts, ...]
    shared: tuple[SharedFacts, ...]


def find_facts(program: Program, plan: ProgramPlan) -> ProgramFacts:
    """The facts of a plan with calls."""
    steps = [
        StepFacts(
            network_uses(graph, step, plan, network_modes(program, step)),
            tuple(direct_shared(plan, graph)),
            owner_of(program.steps, index),
        )
        for index, (step, graph) in enumerate(zip(program.steps, plan.steps, strict=True))
    ]
    shared = [
        SharedFacts(tuple(number for number, item in enumerate(steps) if index in item.shared), taped_networks(program, plan, index))
        for index in range(len(plan.shared))
    ]
    return ProgramFacts(tuple(steps), tuple(shared))


def owner_of(steps: tuple[Step, ...], index: int) -> int:
    """The first step with this step's optimizer: one `update` and equal settings."""
    step = steps[index]
    return next(number for number, item in enumerate(steps) if item.update == step.update and item.optimizer == step.optimizer)


def direct_shared(plan: ProgramPlan, graph: Graph) -> list[int]:
    """The shared graphs whose values a graph of the plan reads itself."""
    read = {value.name for value in graph.inputs}
    return [index for index, item in enumerate(plan.shared) if not read.isdisjoint(item.names)]


def taped_networks(program: Program, plan: ProgramPlan, shared: int) -> tuple[str, ...]:
    """The networks with respect to whose weights some step takes gradients through a shared graph."""
    networks = plan.shared[shared].networks
    readers = [step for step, graph in zip(program.steps, plan.steps, strict=True) if shared in plan.shared_of(graph)]
    return tuple(dict.fromkeys(name for step in readers for name in step.update if name in networks))


def gradient_sources(step: Step, plan: ProgramPlan, graph: Graph) -> set[str]:
    """The inputs of a step's graph through which gradients go to what the step updates."""
    read = {value.name for value in graph.inputs}
    return {name for item in plan.shared if leads_to(item, step.update) for name in item.names if name in read}


def leads_to(shared: Shared, update: Iterable[str]) -> bool:
    return not shared.constant and not shared.networks.isdisjoint(update)


def differentiated(graph: Graph, update: Iterable[str], sources: Iterable[str]) -> set[Value]:
    """The values of a graph that depend on the weights of `update`, on the inputs `sources`, or on the `x` of a gradient."""
    own, given = set(update), set(sources)
    found = {value for value in graph.inputs if value.name in given}
    found |= {node.operands[1] for node in graph.nodes if isinstance(node.op, Gradient)}
    for node in graph.nodes:
        if isinstance(node.op, Replay):
            continue
        if not own.isdisjoint(networks_of(node.op)) or any(value in found for value in node.operands):
            found.update(value for value in node.results if value.type.dtype.is_float)
    return found


def networks_of(op: object) -> tuple[str, ...]:
    """The networks that a call runs: the called one first, then those that it calls."""
    if not isinstance(op, Call):
        return ()
    inner = tuple(called_networks(op.graph))
    return (op.graph.name, *(name for name in inner if name != op.graph.name)) if op.graph.kind == "network" else inner


def network_uses(graph: Graph, step: Step, plan: ProgramPlan, modes: dict[str, bool]) -> tuple[NetworkUse, ...]:
    """What a step does with each network that it runs itself, in the order of their first calls."""
    reached = differentiated(graph, step.update, gradient_sources(step, plan, graph))
    tapes: dict[str, Tape] = {}
    for node in graph.nodes:
        called = networks_of(node.op)
        through = any(value in reached for value in node.operands) or not set(called).isdisjoint(step.update)
        for name in called:
            if name in step.update:
                tapes[name] = Tape.WEIGHTS
            elif through:
                tapes[name] = Tape.INPUTS
            else:
                tapes.setdefault(name, Tape.NONE)
    return tuple(NetworkUse(name, tape, modes.get(name, False)) for name, tape in tapes.items())


def shared_networks(item: Shared) -> tuple[str, ...]:
    """The networks that a shared graph runs itself."""
    return tuple(dict.fromkeys(name for node in item.graph.nodes for name in networks_of(node.op)))


def shared_types(item: Shared) -> dict[str, str]:
    """The types of a shared graph's values."""
    return {name: str(value.type) for name, value in item.graph.outputs.items() if not name.startswith(CHANGING)}
