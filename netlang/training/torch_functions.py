"""A program as torch code: prints its graphs, runs the text, and binds the functions to their networks.

The one place that knows how the torch back end hands over what it printed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from compiler.backends.names import identifier
from compiler.backends.parameters import initial_parameters
from compiler.backends.torch_backend import TorchModules, load_torch, set_parameters
from compiler.front.checked import Checked
from compiler.ir.graph import Graph, Value, called_networks, owned_parameters
from compiler.ir.training import Program
from compiler.ir.types import DType, TensorType

if TYPE_CHECKING:
    import torch

Function: TypeAlias = Callable[[Mapping[str, Any]], Any]
"""Takes tensors by the names of its graph's inputs; knows its networks."""

ROWS: Final = "rows"
BATCH: Final = "N"
NO_LIMIT: Final = 2**62


@final
@dataclass(frozen=True, slots=True)
class TorchFunctions:
    """A program's networks with their first weights, and its functions; `draw` is None where the program draws nothing."""

    modules: Mapping[str, torch.nn.Module]
    steps: tuple[Function, ...]
    metrics: Mapping[str, Function]
    draw: Function | None


def program_graphs(program: Program) -> list[Graph]:
    """The graphs of steps, metrics and draws."""
    return [*(step.graph for step in program.steps), *program.metrics.values(), *([program.draws] if program.draws is not None else [])]


def program_networks(checked: Checked) -> dict[str, Graph]:
    """The networks that a spec's program calls, in the spec's order."""
    program = checked.program
    called = {name for graph in program_graphs(program) for name in called_networks(graph)} if program is not None else set()
    return {name: graph for name, graph in checked.networks.items() if name in called}


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
    functions = [_bind(loaded.steps[graph.name], graph, modules) for graph in graphs]
    count = len(program.steps)
    metrics = dict(zip(program.metrics, functions[count:], strict=False))
    return TorchFunctions(
        modules, tuple(functions[:count]), metrics, None if program.draws is None else _named(functions[-1], program.draws)
    )


def _load(graphs: list[Graph]) -> TorchModules:
    """The printed file, running; torch draws first weights of its own, which must not disturb the caller's generator."""
    import torch

    with torch.random.fork_rng(devices=[]):
        return load_torch(graphs)


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


def _bind(function: Callable[..., Any], graph: Graph, modules: Mapping[str, torch.nn.Module]) -> Function:
    """The function with its networks, which are its first parameters."""
    names = [value.name for value in graph.inputs]
    parameters = list(inspect.signature(function).parameters)
    by_parameter = {identifier(name): module for name, module in modules.items()}
    networks = [by_parameter[name] for name in parameters[: len(parameters) - len(names)]]

    def call(inputs: Mapping[str, Any]) -> Any:
        return function(*networks, *[inputs[name] for name in names])

    return call


def _named(function: Function, graph: Graph) -> Function:
    """The draws' function with its results by name; one result comes as it is, several as a tuple."""
    names = list(graph.outputs)

    def call(inputs: Mapping[str, Any]) -> dict[str, Any]:
        drawn = function(inputs)
        return dict(zip(names, [drawn] if len(names) == 1 and not isinstance(drawn, tuple) else drawn, strict=True))

    return call
