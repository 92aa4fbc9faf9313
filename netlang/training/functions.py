"""A program's graphs as both back ends run them: which there are, and their printed functions bound to networks.

Nothing here knows torch or NumPy.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, final

from compiler.backends.names import network_parameter
from compiler.backends.scan_ways import choose_way
from compiler.front.checked import Checked
from compiler.ir.graph import Graph, Value, called_networks
from compiler.ir.op import Op
from compiler.ir.training import Program
from compiler.ir.types import DType, TensorType
from compiler.ops.scan import Scan, ScanGradient
from compiler.passes.program_plan import ProgramPlan
from netlang.training.engine import START

Function: TypeAlias = Callable[..., Any]
"""Takes tensors by the names of its graph's inputs, and by keyword what it draws with; knows its networks."""

ROWS: Final = "rows"
BATCH: Final = "N"
NO_LIMIT: Final = 2**62
"""A budget for `initial_parameters` where memory has been asked for already."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class PlanFunctions:
    """The functions of an iteration: shared values, carried states and what goes into buffers come by name, objectives as they are."""

    steps: tuple[Function, ...]
    shared: tuple[Function, ...]
    replayed: tuple[Function | None, ...]
    carry: Function | None


@final
@dataclass(frozen=True, slots=True, eq=False)
class OtherFunctions:
    """What a run computes besides: samples and first carried states, both by name, and metrics as they are.

    The first carried states are among the samples too, as `START`.
    """

    metrics: Mapping[str, Function]
    samples: Mapping[str, Function]
    start: Function | None


def list_plan(plan: ProgramPlan) -> list[Graph]:
    """The graphs of a plan, in the order in which `name_plan` takes their functions."""
    replayed = [item.graph for item in plan.replayed if item is not None]
    return [*plan.steps, *(item.graph for item in plan.shared), *replayed, *([] if plan.carry is None else [plan.carry])]


def name_plan(plan: ProgramPlan, functions: list[Function]) -> PlanFunctions:
    """The functions of `list_plan(plan)` by what they are for."""
    steps = tuple(functions[: len(plan.steps)])
    named = iter([name_results(function, graph) for function, graph in zip(functions, list_plan(plan), strict=True)][len(steps) :])
    shared = tuple(next(named) for _ in plan.shared)
    replayed = tuple(None if item is None else next(named) for item in plan.replayed)
    return PlanFunctions(steps, shared, replayed, None if plan.carry is None else next(named))


def list_others(program: Program) -> list[Graph]:
    """The graphs that belong to no plan, in the order in which `name_others` takes their functions."""
    start = [] if program.carry is None else [program.carry.start]
    return [*program.metrics.values(), *(item.graph for item in program.samples.values()), *start]


def name_others(program: Program, functions: list[Function]) -> OtherFunctions:
    """The functions of `list_others(program)` by what they are for."""
    metrics = dict(zip(program.metrics, functions, strict=False))
    rest = zip(functions, list_others(program), strict=True)
    named = iter([name_results(function, graph) for function, graph in rest][len(metrics) :])
    samples = {name: next(named) for name in program.samples}
    start = None if program.carry is None else next(named)
    return OtherFunctions(metrics, samples | ({} if start is None else {START: start}), start)


def program_networks(checked: Checked) -> dict[str, Graph]:
    """The networks that a spec's program calls, its variables included, in the spec's order."""
    program = checked.program
    called = {name for graph in program.graphs for name in called_networks(graph)} if program is not None else set()
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
    by_parameter = {network_parameter(name): network for name, network in networks.items()}
    found = list(inspect.signature(function).parameters)
    given = [by_parameter[name] for name in found if name in by_parameter and name not in names]
    taken = set(found[len(given) + len(names) :])

    def call(inputs: Mapping[str, Any], **keywords: Any) -> Any:
        return function(*given, *[inputs[name] for name in names], **{key: item for key, item in keywords.items() if key in taken})

    return call


def name_results(function: Function, graph: Graph) -> Function:
    """A graph's function with its results by name; one result comes as it is, several as a tuple."""
    names = list(graph.outputs)

    def call(inputs: Mapping[str, Any], **keywords: Any) -> dict[str, Any]:
        drawn = function(inputs, **keywords)
        return dict(zip(names, [drawn] if len(names) == 1 and not isinstance(drawn, tuple) else drawn, strict=True))

    return call


def describe_lacking(op: Op) -> str:
    """An op without a derivative, and of a scan why it has none."""
    if isinstance(op, ScanGradient):
        return f"a gradient of the scan of `{op.scan.cell.name}`"
    if isinstance(op, Scan):
        return f"the scan of `{op.cell.name}` ({choose_way(op.cell, lengths=op.lengths, torch=False).reason})"
    return f"`{op.name}`"
