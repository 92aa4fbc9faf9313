"""A program as NumPy code: prints its graphs, runs the text, and binds the functions to their networks and parameters.

The one place that knows how the NumPy back end hands over what it printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

from compiler.backends.numpy_backend import load_numpy
from compiler.backends.numpy_steps import StepFunction, load_steps
from compiler.backends.parameters import initial_parameters
from compiler.front.checked import Checked
from compiler.ir.training import Step
from compiler.passes.autodiff import DerivativeError
from compiler.passes.step_gradient import StepGradient, step_entries, step_gradient
from netlang.training.failures import failure
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
    samples: Mapping[str, Function]
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
    functions = [bind(loaded.steps[graph.name], graph, callables) for graph in graphs[count:]]
    metrics = dict(zip(program.metrics, functions, strict=False))
    samples = name_samples(program, functions[len(metrics) :])
    draw = None if program.draws is None else name_results(functions[-1], program.draws)
    renamed = [replace(step, graph=graph) for step, graph in zip(program.steps, graphs, strict=False)]
    return NumpyFunctions(parameters, compile_steps(renamed, trained_networks(program.steps), module), metrics, samples, draw, module)


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
