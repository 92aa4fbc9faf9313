"""Holds what is printed against each other: the networks entry by entry, and every step's gradients, on drawn inputs.

PyTorch modules are the reference; beside them stand the NumPy functions and both stand-alone files, run from their text. An error is the
largest difference, relative to the largest number of the reference. Random numbers inside networks are left out (dropout is the
identity); those a step draws itself are drawn once for all. N is `batch`; other sizes that a spec leaves open are 32, or what layers need.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from compiler.backends.execution import execute
from compiler.backends.names import network_parameter
from compiler.backends.numpy_backend import load_numpy
from compiler.backends.numpy_source import print_numpy
from compiler.backends.numpy_steps import load_steps
from compiler.backends.torch_backend import load_torch, set_parameters
from compiler.backends.torch_source import print_torch
from compiler.emit.numpy_file import numpy_file
from compiler.emit.torch_file import torch_file
from compiler.front.checked import Checked
from compiler.ir.graph import Call, Graph, called_networks, owned_parameters
from compiler.ir.training import Step
from compiler.ir.types import TensorType
from compiler.passes.autodiff import DerivativeError
from compiler.passes.expand import calling_order
from compiler.passes.inline import inline
from compiler.passes.lift_draws import lift_draws
from compiler.passes.program_plan import cut_replays, plan_apart, training_networks
from compiler.passes.step_gradient import step_gradient
from compiler.source import Span
from netlang.report.comparison import Comparison, Row
from netlang.training.engines import in_numbers_of, require_torch
from netlang.training.functions import describe_lacking, with_rows
from netlang.training.torch_functions import TorchFunctions, compile_torch
from netlang.weights import start_weights

if TYPE_CHECKING:
    import numpy as np

OPEN_SIZES: Final = (32, 64, 128, 224)
"""What sizes that a spec leaves open are: the first that lets every layer have a result."""
TOLERANCES: Final = {"f32": 1e-4, "f64": 1e-10}
SMALL: Final = 1e-3
"""The share of a step's largest number by which its gradients, or statistics, are measured at least: of a bias before `batch_norm` or
the mean of what has no mean there is nothing but rounding."""
PATH: Final = "/netlang/model.py"
"""What stand-alone files are told to be, since they look for weights beside them; none is read."""


def compare(checked: Checked, *, batch: int = 4, dtype: str = "f64", tolerance: float | None = None, seed: int = 0) -> Comparison:
    """Compare a correct spec's networks and steps; SpecError where weights do not fit into memory."""
    require_torch()
    checked = in_numbers_of(checked.require(), dtype)
    weights = start_weights(checked, seed, needed=False)
    rows: list[Row] = []
    left_out: list[str] = []
    for name in checked.networks:
        if draws_inside(checked.networks[name]):
            left_out.append(f"network `{name}` draws random numbers")
        else:
            rows += _compare_network(checked, name, weights, batch, seed)
    if checked.program is not None:
        rows += _compare_steps(checked, batch, seed, left_out)
    return Comparison(tuple(rows), TOLERANCES[dtype] if tolerance is None else tolerance, tuple(left_out))


def _compare_network(checked: Checked, name: str, weights: Mapping[str, Any], batch: int, seed: int) -> Iterator[Row]:
    """Every entry by both back ends, outputs by the stand-alone files too."""
    graph = checked.networks[name]
    names = {entry: value for entry, value in graph.entries.items() if value.type.dtype.is_float}
    outputs = {key or "output": value for key, value in graph.outputs.items() if value not in names.values()}
    opened = dataclasses.replace(graph, outputs=names | outputs)
    needed = [*called_networks(graph).values(), opened]
    inputs = draw_inputs(graph, batch, seed)
    reference = list(_run_torch(needed, weights, inputs))
    found = {"numpy": list(_run_numpy(needed, weights, inputs))}
    alone = {label: dict(run) for label, run in _run_files(checked, graph, weights, inputs).items()}
    spans = {value: node.span for node in graph.nodes for value in node.results}
    for index, (key, value) in enumerate(opened.outputs.items()):
        errors = {label: relative_error(arrays[index], reference[index]) for label, arrays in found.items()}
        for item, output in graph.outputs.items():
            if output is value:
                errors |= {label: relative_error(arrays[item], reference[index]) for label, arrays in alone.items()}
        yield Row("forward", name, key, errors, spans.get(value))


def _run_torch(graphs: list[Graph], weights: Mapping[str, Any], inputs: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    modules = load_torch(graphs).networks
    _fill_modules(modules, weights)
    return _call_torch(modules, graphs[-1], inputs)


def _fill_modules(modules: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
    for name, module in modules.items():
        if any(array.dtype == "float64" for array in weights[name].values()):
            module.double()
        set_parameters(module.eval(), weights[name])


def _call_torch(modules: Mapping[str, Any], graph: Graph, inputs: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    import torch

    given = [torch.from_numpy(array) for array in inputs.values()]
    with torch.no_grad():
        made = modules[graph.name](*given, **{network_parameter(name): modules[name] for name in called_networks(graph)})
    return (item.detach().numpy() for item in (made if isinstance(made, tuple) else (made,)))


def _run_numpy(graphs: list[Graph], weights: Mapping[str, Any], inputs: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    classes = load_numpy(graphs).networks
    return _call_numpy({name: made(weights[name]) for name, made in classes.items()}, graphs[-1], inputs)


def _call_numpy(networks: Mapping[str, Any], graph: Graph, inputs: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    made = networks[graph.name](*inputs.values(), **{network_parameter(name): networks[name] for name in called_networks(graph)})
    return iter(made if isinstance(made, tuple) else (made,))


def _run_files(
    checked: Checked, graph: Graph, weights: Mapping[str, Any], inputs: Mapping[str, np.ndarray]
) -> dict[str, Iterator[tuple[str, np.ndarray]]]:
    """The outputs by the two files that `build` writes, by name."""
    graphs = list(checked.networks.values())
    name, doc, made_by = checked.name, checked.doc, "netlang"
    torch_names = execute(torch_file(checked.networks, name=name, doc=doc, made_by=made_by), "torch_file", {"__file__": PATH})
    modules = {name: torch_names[found]() for name, found in print_torch(graphs).networks.items()}
    _fill_modules(modules, weights)
    numpy_names = execute(numpy_file(checked.networks, name=name, doc=doc, made_by=made_by), "numpy_file", {"__file__": PATH})
    networks = {name: numpy_names[found](weights[name]) for name, found in print_numpy(graphs).networks.items()}
    return {
        "torch file": zip(graph.outputs, _call_torch(modules, graph, inputs), strict=True),
        "numpy file": zip(graph.outputs, _call_numpy(networks, graph, inputs), strict=True),
    }


def _compare_steps(checked: Checked, batch: int, seed: int, left_out: list[str]) -> Iterator[Row]:
    """The gradients of every step, the last layer's first, as they are computed, then the statistics that it updates."""
    program = checked.program
    assert program is not None
    lifted = [dataclasses.replace(step, graph=with_rows(cut_replays(lift_draws(step.graph, set())[0])[0])) for step in program.steps]
    lifted_program = dataclasses.replace(program, steps=tuple(lifted), draws=None, metrics={}, samples={}, carry=None)
    functions = compile_torch(dataclasses.replace(checked, program=lifted_program), seed, plan_apart(lifted_program))
    start = start_weights(checked, seed, needed=False)
    flat = {f"{name}/{key}": array for name, arrays in start.items() for key, array in arrays.items()}
    for index, step in enumerate(lifted):
        if draws_inside(step.graph):
            left_out.append(f"step `{step.name}` calls a network that draws random numbers")
            continue
        inputs = draw_inputs(step.graph, batch, seed)
        trained = training_networks(program, step)
        try:
            derived = step_gradient(step, trained, draws=False)
        except DerivativeError as error:
            left_out.append(f"step `{step.name}` goes through {describe_lacking(error.op)}, of which NumPy has no gradient")
            continue
        gradients, statistics = _step_torch(functions, step, index, inputs, trained, start)
        (run,) = load_steps([derived]).functions
        _, found, buffers = run(flat, *inputs.values())
        spans = dict(parameter_spans(checked.networks))
        least = smallest_scale(gradients)
        for key in reversed(gradients):
            if gradients[key] is not None and key in found:
                yield Row("gradient", step.name, key, {"numpy": relative_error(found[key], gradients[key], least)}, spans.get(key))
            elif gradients[key] is not None or key in found:
                yield Row("gradient", step.name, key, {"numpy": float("inf")}, spans.get(key))
        least = smallest_scale({key: statistics[key] for key in buffers})
        for key, value in buffers.items():
            yield Row("statistic", step.name, key, {"numpy": relative_error(value, statistics[key], least)}, spans.get(key))


def _step_torch(
    functions: TorchFunctions, step: Step, index: int, inputs: Mapping[str, Any], trained: frozenset[str], start: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Gradients (None where there is none) and statistics by key, by autograd, dropout in evaluation mode."""
    import torch

    for name, module in functions.modules.items():
        set_parameters(module, start[name])
        module.train(name in trained)
        for part in module.modules():
            if isinstance(part, torch.nn.modules.dropout._DropoutNd):
                part.eval()
    wanted = {f"{name}/{key}": item for name in step.update for key, item in functions.modules[name].named_parameters()}
    objective = functions.plan.steps[index]({name: torch.from_numpy(array) for name, array in inputs.items()})
    signed = objective if step.sense == "minimize" else -objective
    gradients = torch.autograd.grad(signed, list(wanted.values()), allow_unused=True)
    found = {key: None if item is None else item.numpy() for key, item in zip(wanted, gradients, strict=True)}
    statistics = {f"{name}/{key}": item.numpy() for name, module in functions.modules.items() for key, item in module.named_buffers()}
    return found, statistics


def draws_inside(graph: Graph) -> bool:
    """Whether a network or block that is in the graph's reach, itself included, makes random numbers."""
    return any(node.op.random and not node.operands for inner in calling_order(graph) if inner.kind != "step" for node in inner.nodes)


def choose_size(graph: Graph, batch: int) -> int:
    """What open sizes other than N are: the first of OPEN_SIZES with which no tensor of the graph is empty."""
    shapes = [value.type.shape for node in inline(graph).nodes for value in node.results]

    def fits(size: int) -> bool:
        dims = (dim for shape in shapes for dim in shape)
        return all(dim.evaluate({name: batch if name == "N" else size for name in dim.symbols}) > 0 for dim in dims)

    return next((size for size in OPEN_SIZES if fits(size)), OPEN_SIZES[-1])


def draw_inputs(graph: Graph, batch: int, seed: int) -> dict[str, np.ndarray]:
    """Gaussian numbers, or 0 and 1 for whole numbers, by the inputs' names."""
    import numpy as np

    generator = np.random.default_rng(seed)
    open_size = choose_size(graph, batch)

    def draw(type: TensorType) -> np.ndarray:
        shape = tuple(dim.evaluate({name: batch if name == "N" else open_size for name in dim.symbols}) for dim in type.shape)
        if type.dtype.is_float:
            return generator.standard_normal(shape).astype(type.dtype.numpy_name)
        return generator.integers(0, 2, shape).astype(type.dtype.numpy_name)

    return {value.name: draw(value.type) for value in graph.inputs}


def smallest_scale(arrays: Mapping[str, Any]) -> float:
    """What numbers are measured by at least: a share of the largest beside them."""
    return SMALL * max((float(abs(item).max(initial=0)) for item in arrays.values() if item is not None), default=0.0)


def relative_error(found: Any, reference: Any, least: float = 0.0) -> float:
    """The largest difference over the largest number of the reference, at least over `least`; infinite where shapes or NaN differ."""
    import numpy as np

    found, reference = np.asarray(found, np.float64), np.asarray(reference, np.float64)
    if found.shape != reference.shape or not np.array_equal(np.isnan(found), np.isnan(reference)):
        return float("inf")
    if not reference.size:
        return 0.0
    differs = (found != reference) & ~np.isnan(reference)
    if not np.isfinite(found[differs]).all() or not np.isfinite(reference[differs]).all():
        return float("inf")
    largest = float(np.max(np.abs(found[differs] - reference[differs]), initial=0.0))
    scale = float(np.max(np.abs(reference[np.isfinite(reference)]), initial=least))
    return largest / scale if scale > 0 else largest


def parameter_spans(networks: Mapping[str, Graph]) -> Iterator[tuple[str, Span]]:
    """Where each parameter's layer stands, by key."""
    for name, graph in networks.items():
        spans = dict(_spans_inside(graph, ""))
        yield from ((f"{name}/{key}", spans[key]) for key, _ in owned_parameters(graph) if key in spans)


def _spans_inside(graph: Graph, prefix: str) -> Iterator[tuple[str, Span]]:
    keys = {item.value: item.key for item in graph.parameters}
    for node in graph.nodes:
        if node.span is not None:
            yield from ((prefix + keys[value], node.span) for value in node.parameters if value in keys)
        if isinstance(node.op, Call) and node.op.graph.kind == "block":
            yield from _spans_inside(node.op.graph, f"{prefix}{node.prefix}." if node.prefix else prefix)
