"""Cuts from a step what needs no tape: calls of trained networks through which no gradient of the step goes, with what they read.

Contract: the two graphs together compute the step's objective, draw the same numbers in the same order, and change the same buffers;
the second reads the first one's outputs as inputs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

from compiler.ir.graph import Call, Graph, Node, Value
from compiler.ir.prune import prune_inputs
from compiler.ir.training import Step
from compiler.passes.program_facts import differentiated, gradient_sources, networks_of
from compiler.passes.program_plan import ProgramPlan
from compiler.passes.share import draws_in


def split_untaped(
    graph: Graph, step: Step, plan: ProgramPlan, trained: Collection[str], modes: Mapping[str, bool]
) -> tuple[Graph | None, Graph]:
    """What needs no tape, None where there is nothing or it must stay in its place, and the rest."""
    apart = _untaped(graph, differentiated(graph, step.update, gradient_sources(step, plan, graph)), trained)
    rest = [node for node in graph.nodes if node not in apart]
    if not apart or _changes_order(graph, apart, modes) or _shares_networks(apart, rest, modes):
        return None, graph
    wanted = {value for node in rest for value in node.operands} | set(graph.outputs.values())
    names: dict[Value, str] = {}
    entries = {value: name for name, value in graph.entries.items()}
    for node in graph.nodes:
        if node in apart:
            for value in node.results:
                if value in wanted:
                    names[value] = _free(entries.get(value, value.name), names.values())
    first = dataclasses.replace(
        graph, nodes=[node for node in graph.nodes if node in apart], outputs={name: value for value, name in names.items()}
    )
    second = dataclasses.replace(graph, nodes=rest, inputs=[*graph.inputs, *names], entries={
        name: value for name, value in graph.entries.items() if value not in names
    })  # fmt: skip
    return prune_inputs(first), prune_inputs(second)


def _untaped(graph: Graph, reached: Collection[Value], trained: Collection[str]) -> set[Node]:
    """Calls of trained networks that no gradient reaches, and all that they depend on."""
    makers = {value: node for node in graph.nodes for value in node.results}
    found: set[Node] = set()
    for node in graph.nodes:
        if set(networks_of(node.op)).isdisjoint(trained) or any(value in reached for value in node.results):
            continue
        needed, pending = {node}, [node]
        while pending:
            before = [makers[value] for value in pending.pop().operands if value in makers]
            pending += [item for item in before if item not in needed]
            needed.update(before)
        if not any(value in reached for item in needed for value in (*item.operands, *item.results)):
            found |= needed
    return found


def _changes_order(graph: Graph, apart: Collection[Node], modes: Mapping[str, bool]) -> bool:
    """Whether something that stays draws before something that is cut."""
    drawing = [node in apart for node in graph.nodes if _draws(node, modes)]
    return drawing != sorted(drawing, reverse=True)


def _draws(node: Node, modes: Mapping[str, bool]) -> bool:
    return draws_in(node.op.graph, modes) if isinstance(node.op, Call) else node.op.random


def _shares_networks(apart: Collection[Node], rest: Collection[Node], modes: Mapping[str, bool]) -> bool:
    """Whether both parts run a network in training mode, whose buffers change in the order of the calls."""
    first, second = ({name for node in part for name in networks_of(node.op)} for part in (apart, rest))
    return any(modes.get(name, False) for name in first & second)


def _free(wanted: str, taken: Collection[str]) -> str:
    name, count = wanted, 2
    while name in taken:
        name, count = f"{wanted}_{count}", count + 1
    return name
