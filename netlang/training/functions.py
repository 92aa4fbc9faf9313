"""A program's graphs as both back ends run them: which there are, under which names, and their printed functions bound to networks.

Nothing here knows torch or NumPy.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from compiler.backends.names import identifier
from compiler.front.checked import Checked
from compiler.ir.graph import Graph, Value, called_networks
from compiler.ir.training import Program
from compiler.ir.types import DType, TensorType
from netlang.training.engine import START

Function: TypeAlias = Callable[..., Any]
"""Takes tensors by the names of its graph's inputs, and by keyword what it draws with; knows its networks."""

ROWS: Final = "rows"
BATCH: Final = "N"
NO_LIMIT: Final = 2**62
"""A budget for `initial_parameters` where memory has been asked for already."""


def program_graphs(program: Program) -> list[Graph]:
    """The graphs of steps, metrics, samples and draws."""
    draws = [program.draws] if program.draws is not None else []
    return [*(step.graph for step in program.steps), *program.metrics.values(), *sample_graphs(program).values(), *draws]


def sample_graphs(program: Program) -> dict[str, Graph]:
    """The graphs of what a run can write, with that of the first carried states, by the names that engines compute them under."""
    start = {} if program.carry is None else {START: program.carry.start}
    return {name: sample.graph for name, sample in program.samples.items()} | start


def program_networks(checked: Checked) -> dict[str, Graph]:
    """The networks that a spec's program calls, in the spec's order."""
    program = checked.program
    called = {name for graph in program_graphs(program) for name in called_networks(graph)} if program is not None else set()
    return {name: graph for name, graph in checked.networks.items() if name in called}


def with_rows(graph: Graph) -> Graph:
    """The graph with one more input, of N bytes, where it draws N numbers and no input tells how many N is."""
    told = any(BATCH in dim.symbols for value in graph.inputs for dim in value.type.shape)
    wanted = any(BATCH in dim.symbols for node in graph.nodes for type in node.result_types for dim in type.shape)
    if told or not wanted:
        return graph
    return replace(graph, inputs=[*graph.inputs, Value(TensorType.of(DType.u8, BATCH), ROWS)])


def with_own_names(graphs: list[Graph], taken: set[str]) -> list[Graph]:
    """The graphs, renamed where two have one name (a step and a metric may)."""
    named: list[Graph] = []
    for graph in graphs:
        name, number = graph.name, 2
        while name in taken:
            name, number = f"{graph.name}_{number}", number + 1
        taken.add(name)
        named.append(graph if name == graph.name else replace(graph, name=name))
    return named


def bind(function: Callable[..., Any], graph: Graph, networks: Mapping[str, Any]) -> Function:
    """A printed function with its networks, which are its first parameters; keywords that it does not take are dropped."""
    names = [value.name for value in graph.inputs]
    by_parameter = {identifier(name): network for name, network in networks.items()}
    found = list(inspect.signature(function).parameters)
    given = [by_parameter[name] for name in found if name in by_parameter and name not in names]
    taken = set(found[len(given) + len(names) :])

    def call(inputs: Mapping[str, Any], **keywords: Any) -> Any:
        return function(*given, *[inputs[name] for name in names], **{key: item for key, item in keywords.items() if key in taken})

    return call


def name_results(function: Function, graph: Graph) -> Function:
    """A function with its results by name; one result comes as it is, several as a tuple."""
    names = list(graph.outputs)

    def call(inputs: Mapping[str, Any], **keywords: Any) -> dict[str, Any]:
        drawn = function(inputs, **keywords)
        return dict(zip(names, [drawn] if len(names) == 1 and not isinstance(drawn, tuple) else drawn, strict=True))

    return call


def name_samples(program: Program, functions: Sequence[Function]) -> dict[str, Function]:
    """The functions of `sample_graphs`, which are the first of these, with their results by name."""
    graphs = sample_graphs(program)
    return {name: name_results(function, graph) for (name, graph), function in zip(graphs.items(), functions, strict=False)}
