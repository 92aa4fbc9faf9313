"""What a scan of a cell does, forward and backward, as programs of steps.

The backward program is derived: the step graph is differentiated, values of the forward step that it needs are saved or, where
they are cheap sums and products of what is there anyway, made again. Rows that have ended keep their states by a choice in the step
graph, so that their gradients come out by themselves.

Shapes: a step's values are [N, …]; states are saved before and after each step, so the next state of a step is the state of the next.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, final

from compiler.ir.cell import BATCH, Cell
from compiler.ir.dims import Dim
from compiler.ir.graph import Graph, Value
from compiler.ir.types import DType, TensorType
from compiler.passes.autodiff import lacks_derivatives, pull_back
from compiler.passes.cse import merge_equal_nodes
from compiler.passes.expand import expand
from compiler.passes.inline import inline
from compiler.passes.scan_algebra import BEFORE, CARRIED, SETUP, Program, arrange
from compiler.passes.scan_steps import Cut, Operand, Step, Unsupported, cut_steps
from compiler.passes.template import append

CHEAP: Final = frozenset({"add", "subtract", "multiply", "negative", "greater", "less", "equal"})


@final
@dataclass(frozen=True, slots=True)
class Forward:
    """`states` are pairs of a state before and after a step; `saved` is what the backward program reads besides inputs and states."""

    program: Program
    inputs: tuple[Value, ...]
    masks: tuple[Value, ...]
    parameters: dict[str, Value]
    states: dict[str, tuple[Value, Value]]
    output: Value
    saved: tuple[Value, ...]


@final
@dataclass(frozen=True, slots=True)
class Backward:
    """`output` is the gradient of the step's output; `states` are pairs of gradients, of the state after a step and before it.

    `inputs` and `parameters` are the gradients that there are; those of parameters are summed over examples and time.
    """

    program: Program
    output: Value
    states: dict[str, tuple[Value, Value]]
    inputs: dict[Value, Value]
    parameters: dict[str, Value]


@final
@dataclass(frozen=True, slots=True)
class ScanPlan:
    """Both directions of a cell; `masked` says that rows may end early."""

    cell: Cell
    masked: bool
    forward: Forward
    backward: Backward


def plan_scan(cell: Cell, *, masked: bool = False) -> ScanPlan:
    """The plan of a cell; raises Unsupported where its step draws or calls, DerivativeError where an op has no derivative."""
    graph = merge_equal_nodes(expand(inline(cell.graph), lacks_derivatives))
    graph = dataclasses.replace(graph, inputs=list(graph.inputs), nodes=list(graph.nodes), outputs=dict(graph.outputs))
    masks = _mask(graph, cell) if masked else ()
    _separate(graph, cell)
    given = tuple(graph.inputs[: len(cell.inputs)])
    before = dict(zip(cell.states, graph.inputs[len(cell.inputs) : len(cell.inputs) + len(cell.states)], strict=True))
    states = {name: (value, graph.outputs[name]) for name, value in before.items()}
    parameters = {item.key: item.value for item in graph.parameters}
    whole = dataclasses.replace(graph, nodes=list(graph.nodes), outputs=dict(graph.outputs))
    seeds, gradients = _differentiate(whole, cell, [*given, *before.values(), *parameters.values()])
    whole.outputs |= {f"gradient {index}": value for index, value in enumerate(gradients) if value is not None}
    whole = merge_equal_nodes(whole)
    gradients = [whole.outputs.get(f"gradient {index}") for index in range(len(gradients))]
    known = {*given, *masks, *before.values(), *(graph.outputs[name] for name in cell.states)}
    cut, whole_cut = cut_steps(graph), cut_steps(whole)
    saved = _choose_saved(cut, whole_cut, known, set(parameters.values()), [value for value in gradients if value is not None])
    levels = dict.fromkeys([*given, *masks], BEFORE) | dict.fromkeys(parameters.values(), SETUP)
    after = {name: _value(cut, graph.outputs[name]) for name in cell.states}
    output = _value(cut, graph.outputs[""])
    program = arrange(cut.steps, levels | dict.fromkeys(before.values(), CARRIED), after.values(), [output, *saved])
    forward = Forward(program, given, masks, parameters, states, output, saved)
    levels |= dict.fromkeys([*known, *saved, seeds[""]], BEFORE) | {seeds[name]: CARRIED for name in cell.states}
    found: list[Any] = [value if value is None else _value(whole_cut, value) for value in gradients]
    count = len(given)
    carried = dict(zip(cell.states, found[count : count + len(before)], strict=True))
    outward = {value: item for value, item in zip(given, found, strict=False) if item is not None}
    weights = {key: item for key, item in zip(parameters, found[count + len(before) :], strict=True) if item is not None}
    wanted = [item for item in carried.values() if item is not None]
    backward_program = arrange(whole_cut.steps, levels, wanted, [*outward.values(), *weights.values()], linear=True)
    pairs = {name: (seeds[name], item) for name, item in carried.items()}
    return ScanPlan(cell, masked, forward, Backward(backward_program, seeds[""], pairs, outward, weights))


def _value(cut: Cut, value: Value) -> Value:
    """The value as steps make it; a number stays the tensor it fills."""
    made = cut.resolve(value)
    return made if isinstance(made, Value) else value


def _mask(graph: Graph, cell: Cell) -> tuple[Value, ...]:
    """Let a row that has ended keep its states and give zeros; the masks are new inputs, true while a row goes on, one for each rank."""
    masks: dict[int, Value] = {}

    def mask(rank: int) -> Value:
        if rank not in masks:
            shape = (Dim.symbol(BATCH), *(Dim.of(1) for _ in range(rank - 1)))
            masks[rank] = Value(TensorType(DType.bool, shape), "going" if rank == 2 else f"going_{rank}")
            graph.inputs.append(masks[rank])
        return masks[rank]

    for name, value in zip(cell.states, graph.inputs[len(cell.inputs) :], strict=False):
        graph.outputs[name] = append(graph.nodes, "where", mask(value.type.rank), graph.outputs[name], value)
    output = graph.outputs[""]
    zero = append(graph.nodes, "scalar", value=0, dtype=output.type.dtype)
    graph.outputs[""] = append(graph.nodes, "where", mask(output.type.rank), output, zero)
    return tuple(masks.values())


def _separate(graph: Graph, cell: Cell) -> None:
    """Give every next state a value of its own that a node makes: a state that is another's, or an input, is copied."""
    made = {value for node in graph.nodes for value in node.results}
    seen: set[Value] = set()
    for name in cell.states:
        value = graph.outputs[name]
        if value in seen or value not in made:
            one = append(graph.nodes, "scalar", value=1, dtype=value.type.dtype)
            graph.outputs[name] = value = append(graph.nodes, "mul", value, one)
        seen.add(value)


def _differentiate(graph: Graph, cell: Cell, wanted: list[Value]) -> tuple[dict[str, Value], list[Value | None]]:
    """Add the gradients of what is `wanted`; the gradients that come in, by output, are new inputs."""
    seeds = {name: Value(graph.outputs[name].type, f"grad_{name or 'output'}") for name in (*cell.states, "")}
    graph.inputs = [*graph.inputs, *seeds.values()]
    incoming: dict[Value, Value] = {}
    for name, seed in seeds.items():
        value = graph.outputs[name]
        incoming[value] = append(graph.nodes, "add", incoming[value], seed) if value in incoming else seed
    return seeds, pull_back(graph, incoming, wanted)


def _choose_saved(cut: Cut, whole: Cut, known: set[Value], parameters: set[Value], gradients: Iterable[Value]) -> tuple[Value, ...]:
    """The values of the forward step that the gradients read and that are not cheaply made of what is there."""
    own = {step.result: step for step in cut.steps}
    producer = {step.result: step for step in whole.steps}
    needed: dict[Value, None] = {}
    pending = [_value(whole, value) for value in gradients]
    seen = set(pending)
    while pending:
        value = pending.pop()
        if value in known or value in parameters:
            continue
        if value in own and not _of_parameters(own, value, parameters):
            needed[value] = None
            continue
        step = producer.get(value)
        for item in step.values if step is not None else ():
            if item not in seen:
                seen.add(item)
                pending.append(item)
    order = [step.result for step in cut.steps if step.result in needed]
    saved = set(order)
    for value in reversed(order):
        step = own[value]
        there = known | (saved - {value})
        if step.function in CHEAP and all(item in there or _of_parameters(own, item, parameters) for item in step.values):
            saved.remove(value)
    return tuple(value for value in order if value in saved)


def _of_parameters(own: dict[Value, Step], value: Value, parameters: set[Value]) -> bool:
    """Whether a value depends on parameters and numbers alone."""
    if value in parameters:
        return True
    step = own.get(value)
    if step is None or any(BATCH in dim.symbols for dim in value.type.shape):
        return False
    return all(_of_parameters(own, item, parameters) for item in step.values)


__all__ = ["Backward", "Forward", "Operand", "ScanPlan", "Unsupported", "plan_scan"]
