"""A program as NumPy code: prints its graphs, runs the text, and binds the functions to their networks and parameters.

The one place that knows how the NumPy back end hands over what it printed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np

from compiler.backends.numpy_backend import load_numpy
from compiler.backends.numpy_steps import StepFunction, load_steps
from compiler.backends.parameters import initial_parameters
from compiler.diagnostics import SpecError
from compiler.front.checked import Checked
from compiler.ir.graph import Graph
from compiler.ir.training import Program, Step
from compiler.passes.autodiff import DerivativeError
from compiler.passes.program_plan import Flatten, ProgramPlan, training_networks
from compiler.passes.step_gradient import StepGradient, flat_values, read_step, step_entries, step_gradient
from netlang.training.blas import read_threads
from netlang.training.failures import failure
from netlang.training.functions import (
    NO_LIMIT,
    OtherFunctions,
    bind,
    describe_lacking,
    list_others,
    list_plan,
    name_others,
    program_networks,
    with_own_names,
    with_rows,
)
from netlang.training.workspace import Threads, Workspace


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
    """A program's parameters by network and key, and its functions: flat ones for its plan's graphs, others bound to their networks."""

    parameters: Mapping[str, Mapping[str, Any]]
    steps: tuple[CompiledStep, ...]
    plan: PlanFlat
    others: OtherFunctions


@final
@dataclass(frozen=True, slots=True)
class PlanFlat:
    """The compiled graphs of an iteration beside its steps; each gives values by name and new buffers by key."""

    shared: tuple[CompiledStep, ...]
    replayed: tuple[CompiledStep | None, ...]
    carry: CompiledStep | None


def compile_numpy(checked: Checked, plan: ProgramPlan, seed: int, module: Any) -> NumpyFunctions:
    """The program's functions on arrays of `module`; weights are drawn from `seed`. `plan` is one of flat graphs."""
    program = checked.require().program
    assert program is not None
    networks = program_networks(checked)
    parameters = {
        name: {key: module.asarray(array) for key, array in initial_parameters(graph, seed, NO_LIMIT).items()}
        for name, graph in networks.items()
    }  # fmt: skip
    graphs = with_own_names([with_rows(graph) for graph in list_others(program)], set(networks))
    loaded = load_numpy([*networks.values(), *graphs], module)
    callables = {name: loaded.networks[name](parameters[name]) for name in networks}
    others = name_others(program, [bind(loaded.steps[graph.name], graph, callables) for graph in graphs])
    steps = [read_step(with_rows(graph)) for graph in plan.steps]
    values = [with_rows(graph) for graph in list_plan(plan)[len(steps) :]]
    compiled = compile_steps(steps, values, module)
    rest = iter(compiled[len(steps) :])
    flat = PlanFlat(
        tuple(next(rest) for _ in plan.shared), tuple(None if item is None else next(rest) for item in plan.replayed),
        None if plan.carry is None else next(rest),
    )  # fmt: skip
    return NumpyFunctions(parameters, compiled[: len(steps)], flat, others)


def flatten(program: Program) -> Flatten:
    """Makes flat graphs of a program's: of steps with their gradients. Raises SpecError NL727 where NumPy has no gradient."""

    def make(graph: Graph, step: Step | None) -> Graph:
        if step is None:
            return flat_values(graph, training_networks(program, None))
        try:
            return step_gradient(step, training_networks(program, step)).graph
        except DerivativeError as error:
            raise lacks_gradient(error, step) from error

    return make


def lacks_gradient(error: DerivativeError, step: Step) -> SpecError:
    """NL727: NumPy has no gradient of what a step goes through."""
    message = f"NumPy has no gradient of {describe_lacking(error.op)}, which the step `{step.name}` goes through"
    return failure("NL727", message, step.span, help="train with PyTorch: `--backend torch`")


def compile_entries(step: Step, training: Collection[str], module: Any) -> CompiledStep:
    """The forward pass of a step; in place of new buffers it gives the value of every entry."""
    return compile_steps([step_entries(step, training)], [], module)[0]


def compile_steps(steps: list[StepGradient], values: list[Graph], module: Any) -> tuple[CompiledStep, ...]:
    """The functions of flat steps, then of other flat graphs."""
    loaded = load_steps(steps, module, shared=values)
    functions = loaded.functions
    if module is np:
        threads = Threads(read_threads())
        functions = tuple(partial(function, work=Workspace(threads)) for function in functions)
    inputs = [tuple(value.name for value in graph.inputs) for graph in (*(step.graph for step in steps), *values)]
    return tuple(map(CompiledStep, functions, inputs, loaded.draws))
