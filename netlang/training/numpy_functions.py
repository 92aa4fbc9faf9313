"""A program as NumPy code: prints its graphs, runs the text, and binds the functions to their networks and parameters.

The one place that knows how the NumPy back end hands over what it printed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, final

from compiler.backends.names import identifier
from compiler.backends.numpy_backend import NumpyNetworks, load_numpy
from compiler.backends.numpy_steps import StepFunction, load_steps
from compiler.backends.parameters import initial_parameters
from compiler.front.checked import Checked
from compiler.ir.graph import Graph
from compiler.ir.training import Step
from compiler.passes.autodiff import DerivativeError
from compiler.passes.step_gradient import StepGradient, step_entries, step_gradient
from netlang.training.failures import failure
from netlang.training.torch_functions import NO_LIMIT, program_graphs, program_networks, with_own_names, with_rows

Function: TypeAlias = Callable[..., Any]
"""Takes arrays by the names of its graph's inputs, and `generator` where it draws; knows its networks."""


@final
@dataclass(frozen=True, slots=True)
class CompiledStep:
    """A step's function with the names of what it reads."""

    function: StepFunction
    inputs: tuple[str, ...]
    draws: bool

    def __call__(self, parameters: Mapping[str, Any], inputs: Mapping[str, Any], generator: Any) -> Any:
        given = [inputs[name] for name in self.inputs]
        return self.function(parameters, *given, generator=generator) if self.draws else self.function(parameters, *given)


@final
@dataclass(frozen=True, slots=True)
class NumpyFunctions:
    """A program's parameters by network and key, and its functions; `draw` is None where the program draws nothing."""

    parameters: Mapping[str, Mapping[str, Any]]
    steps: tuple[CompiledStep, ...]
    metrics: Mapping[str, Function]
    draw: Function | None
    module: Any


def compile_numpy(checked: Checked, seed: int, module: Any) -> NumpyFunctions:
    """The program's functions on arrays of `module`; weights are drawn from `seed`."""
    program = checked.require().program
    assert program is not None
    networks = program_networks(checked)
    parameters = {
        name: {key: module.asarray(array) for key, array in initial_parameters(graph, seed, NO_LIMIT).items()}
        for name, graph in networks.items()
    }  # fmt: skip
    graphs = with_own_names([with_rows(graph) for graph in program_graphs(program)], set(networks))
    count = len(program.steps)
    loaded = load_numpy([*networks.values(), *graphs[count:]], module)
    callables = {name: loaded.networks[name](parameters[name]) for name in networks}
    functions = [_bind(loaded, graph, callables) for graph in graphs[count:]]
    metrics = dict(zip(program.metrics, functions, strict=False))
    draw = None if program.draws is None else _named(functions[-1], program.draws)
    renamed = [replace(step, graph=graph) for step, graph in zip(program.steps, graphs, strict=False)]
    return NumpyFunctions(parameters, compile_steps(renamed, trained_networks(program.steps), module), metrics, draw, module)


def trained_networks(steps: tuple[Step, ...]) -> frozenset[str]:
    """The networks that some step trains: all steps run these in training mode."""
    return frozenset(name for step in steps for name in step.update)


def compile_steps(steps: list[Step], trained: frozenset[str], module: Any, *, entries: bool = False) -> tuple[CompiledStep, ...]:
    """The steps with their gradients; with `entries`, their forward passes with the value of every entry."""
    made = [step_entries(step, trained) if entries else _with_gradient(step, trained) for step in steps]
    loaded = load_steps(made, module)
    inputs = [tuple(value.name for value in item.graph.inputs) for item in made]
    return tuple(map(CompiledStep, loaded.functions, inputs, loaded.draws))


def _with_gradient(step: Step, trained: frozenset[str]) -> StepGradient:
    try:
        return step_gradient(step, trained)
    except DerivativeError as error:
        message = f"NumPy has no gradient of `{error.op.name}`, which the step `{step.name}` goes through"
        raise failure("NL727", message, step.span, help="train with PyTorch: `--backend torch`") from error


def _bind(loaded: NumpyNetworks, graph: Graph, networks: Mapping[str, Any]) -> Function:
    """The function with its networks, which are its first parameters."""
    function = loaded.steps[graph.name]
    names = [value.name for value in graph.inputs]
    found = inspect.signature(function).parameters
    draws = "generator" in found
    by_parameter = {identifier(name): network for name, network in networks.items()}
    given = [by_parameter[name] for name in list(found)[: len(found) - len(names) - draws]]

    def call(inputs: Mapping[str, Any], generator: Any) -> Any:
        keywords = {"generator": generator} if draws else {}
        return function(*given, *[inputs[name] for name in names], **keywords)

    return call


def _named(function: Function, graph: Graph) -> Function:
    """The draws' function with its results by name; one result comes as it is, several as a tuple."""
    names = list(graph.outputs)

    def call(inputs: Mapping[str, Any], generator: Any) -> dict[str, Any]:
        drawn = function(inputs, generator)
        return dict(zip(names, [drawn] if len(names) == 1 and not isinstance(drawn, tuple) else drawn, strict=True))

    return call
