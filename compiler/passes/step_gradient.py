"""A training step as one flat graph: its objective, the gradients of what it updates, the new values of buffers.

Contract: the step's inputs stay; outputs are `objective`, `gradient/<key>` and `buffer/<key>`, where `<key>` is `network/parameter`.
Gradients are those of what is to become smaller, so of minus the objective where a step maximizes. A parameter that the objective does
not depend on has none. Every op left has a NumPy form.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, final

from compiler.ir.graph import Graph, Value
from compiler.ir.prune import prune
from compiler.ir.training import Step
from compiler.passes.autodiff import differentiate, lacks_derivatives
from compiler.passes.clean_up import clean_up
from compiler.passes.cse import merge_equal_nodes
from compiler.passes.expand import expand, lacks_numpy
from compiler.passes.gradients import derive_gradients
from compiler.passes.inline import inline
from compiler.passes.scan_keep import drop_kept, keep_scans
from compiler.passes.template import append
from compiler.passes.training_mode import apply_training, mark_training

OBJECTIVE: Final = "objective"
GRADIENT: Final = "gradient/"
BUFFER: Final = "buffer/"


@final
@dataclass(frozen=True, slots=True, eq=False)
class StepGradient:
    """What `step_gradient` makes; `gradients` and `buffers` are values of `graph` by parameter key."""

    graph: Graph
    objective: Value
    gradients: dict[str, Value]
    buffers: dict[str, Value]


def step_gradient(step: Step, training: Collection[str], *, draws: bool = True, inputs: Collection[str] = ()) -> StepGradient:
    """The flat graph of a step while the networks `training` are in training mode.

    Without `draws`, what would draw in training mode behaves as in evaluation mode. With `inputs` the gradients are those with respect
    to these inputs, by their names, and no others. Raises DerivativeError.
    """
    flat = inline(mark_training(step.graph, training, draws=draws))
    named = dataclasses.replace(flat, entries=name_entries(flat))
    ready, buffers = apply_training(named)
    (objective,) = ready.outputs.values()
    outputs = {OBJECTIVE: objective} | {f"{BUFFER}{key}": value for key, value in buffers.items()}
    ready = expand(dataclasses.replace(ready, outputs=outputs), lacks_derivatives)
    ready = merge_equal_nodes(derive_gradients(keep_scans(ready)))
    ready = dataclasses.replace(ready, nodes=list(ready.nodes), entries=dict(ready.entries), outputs=dict(ready.outputs))
    if inputs:
        add_input_gradients(ready, inputs)
    else:
        add_gradients(ready, step.update, maximize=step.sense == "maximize")
    made = merge_equal_nodes(clean_up(expand(ready, lacks_numpy)))
    return read_step(drop_kept(prune(made, tuple(made.outputs))))


def read_step(graph: Graph) -> StepGradient:
    """What the outputs of a flat step are."""
    return StepGradient(graph, graph.outputs[OBJECTIVE], by_key(graph, GRADIENT), by_key(graph, BUFFER))


def flat_values(graph: Graph, training: Collection[str]) -> Graph:
    """The flat graph of what a program computes beside its objectives: its outputs, and new values of buffers as `buffer/<key>`."""
    flat = inline(mark_training(graph, training))
    ready, buffers = apply_training(dataclasses.replace(flat, entries=name_entries(flat)))
    outputs = dict(ready.outputs) | {f"{BUFFER}{key}": value for key, value in buffers.items()}
    ready = derive_gradients(keep_scans(expand(dataclasses.replace(ready, outputs=outputs), lacks_derivatives)))
    made = merge_equal_nodes(clean_up(expand(ready, lacks_numpy)))
    return drop_kept(prune(made, tuple(made.outputs)))


def by_key(graph: Graph, kind: str) -> dict[str, Value]:
    """The outputs of a kind by what follows its name."""
    return {name.removeprefix(kind): value for name, value in graph.outputs.items() if name.startswith(kind)}


def name_entries(flat: Graph) -> dict[str, Value]:
    """The value of each entry that an inlined graph's nodes stand in, by the entry's name; a further use of a layer is numbered."""
    found: dict[str, Value] = {}
    last = ""
    for node in flat.nodes:
        if node.entry and node.entry != last:
            name, count = node.entry, 2
            while name in found:
                name, count = f"{node.entry}_{count}", count + 1
            current = name
        if node.entry:
            found[current] = node.results[0]
        last = node.entry
    return found


def add_gradients(graph: Graph, update: Iterable[str], *, maximize: bool) -> None:
    """Add the gradients by what these networks own to a flat graph, as outputs, and those of entries on the way, as entries."""
    owners = tuple(f"{name}/" for name in update)
    wanted = [item for item in graph.parameters if item.trainable and item.key.startswith(owners)]
    passed = _passed(graph, [item.value for item in wanted])
    objective = graph.outputs[OBJECTIVE]
    if maximize:
        objective = append(graph.nodes, "neg", objective, hint="negative")
    found = differentiate(graph, objective, [*(item.value for item in wanted), *passed.values()])
    for item, gradient in zip(wanted, found, strict=False):
        if gradient is not None:
            graph.outputs[f"{GRADIENT}{item.key}"] = gradient
    for name, gradient in zip(passed, found[len(wanted) :], strict=True):
        if gradient is not None:
            graph.entries[f"{GRADIENT}{name}"] = gradient


def add_input_gradients(graph: Graph, names: Collection[str]) -> None:
    """Add the gradients of a flat step's objective with respect to these inputs, as outputs; an input without one gets none."""
    wanted = [value for value in graph.inputs if value.name in names]
    for value, gradient in zip(wanted, differentiate(graph, graph.outputs[OBJECTIVE], wanted), strict=True):
        if gradient is not None:
            graph.outputs[f"{GRADIENT}{value.name}"] = gradient


def _passed(graph: Graph, wanted: Iterable[Value]) -> dict[str, Value]:
    """The entries that gradients pass on their way to `wanted`."""
    active = set(wanted)
    for node in graph.nodes:
        if any(value in active for value in (*node.operands, *node.parameters)):
            active.update(node.results)
    return {name: value for name, value in graph.entries.items() if value in active and value.type.dtype.is_float}


def step_entries(step: Step, training: Collection[str]) -> StepGradient:
    """The forward pass of a step alone: in place of buffers, the value of every entry it needs, in order.

    It draws as `step_gradient` does.
    """
    flat = inline(mark_training(step.graph, training))
    ready, _ = apply_training(dataclasses.replace(flat, entries=name_entries(flat)))
    ready = prune(ready, tuple(ready.outputs))
    (objective,) = ready.outputs.values()
    outputs = {OBJECTIVE: objective} | {f"{BUFFER}{name}": value for name, value in ready.entries.items()}
    ready = derive_gradients(keep_scans(expand(dataclasses.replace(ready, outputs=outputs), lacks_derivatives)))
    made = merge_equal_nodes(clean_up(expand(ready, lacks_numpy)))
    return StepGradient(made, made.outputs[OBJECTIVE], {}, by_key(made, BUFFER))
