"""Gradients of one op on both sides: the compiler's graphs, run in NumPy, and torch.autograd; all in f64."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from compiler.ir.graph import Graph, Node, Parameter, Value
from compiler.ir.op import Code, Op, Sample
from compiler.ir.types import DType, TensorType
from compiler.ops import op_named
from compiler.ops.elementwise import Scalar
from compiler.passes.autodiff import differentiate, lacks_derivatives
from compiler.passes.expand import expand
from tests.compiler.ops import harness
from tests.compiler.ops.harness import Array

Arrays = Mapping[str, Array]


def evaluate_graph(graph: Graph, arrays: Arrays, generator: np.random.Generator | None = None) -> dict[str, Array]:
    """What NumPy computes of a flat graph's outputs, given inputs and parameters by name; constants stay literal, as printed."""
    names = harness.NUMPY | {"generator": generator}
    graph = expand(graph)
    named = {value: value.name for value in graph.inputs} | {item.value: item.key for item in graph.parameters}
    known: dict[Value, Array] = {value: arrays[name] for value, name in named.items()}
    literals: dict[Value, Code] = {}
    for node in graph.nodes:
        _evaluate_node(node, known, literals, names)
    return {name: known[value] if value in known else np.asarray(float(literals[value])) for name, value in graph.outputs.items()}


def _evaluate_node(node: Node, known: dict[Value, Array], literals: dict[Value, Code], names: dict[str, Any]) -> None:
    at = harness.PlainLowering(node.operand_types, node.result_types)
    inputs = (*node.operands, *node.parameters)
    namespace = names | {f"value_{index}": known[value] for index, value in enumerate(inputs) if value in known}
    text = node.op.numpy(at, *(literals.get(value, Code(f"value_{index}")) for index, value in enumerate(inputs)))
    if isinstance(node.op, Scalar):
        literals[node.results[0]] = Code(str(text), getattr(text, "level", Code("").level)) if isinstance(text, Code) else Code(text)
        return
    made = harness.as_arrays(harness.run(text, namespace))
    if inputs and all(value in literals for value in inputs):
        literals[node.results[0]] = literal(made[0].item())
        return
    for value, array in zip(node.results, made, strict=True):
        shape = tuple(size.constant for size in value.type.shape)
        assert (array.dtype, array.shape) == (value.type.dtype.numpy_name, shape), f"{text}: {array.dtype}{array.shape}, not {value.type}"
        known[value] = array


def literal(value: float | bool) -> Code:
    dtype = DType.bool if isinstance(value, bool) else DType.f64
    return Scalar(value, dtype)._text(harness.PlainLowering((), TensorType(dtype, ())))


@final
class Tape:
    """A graph to which ops are applied one by one."""

    def __init__(self) -> None:
        self.graph = Graph("sample", "network")

    def input(self, name: str, type: TensorType) -> Value:
        value = Value(type, name)
        self.graph.inputs.append(value)
        return value

    def apply(self, op: Op | str, *operands: Value, parameters: tuple[Value, ...] = ()) -> tuple[Value, ...]:
        made = op_named(op)() if isinstance(op, str) else op
        inferred = made.infer(*(value.type for value in operands))
        results = tuple(Value(item, made.name) for item in (inferred if isinstance(inferred, tuple) else (inferred,)))
        self.graph.nodes.append(Node(made, operands, parameters, results))
        return results

    def weighted_sum(self, pairs: list[tuple[Value, Value]]) -> Value:
        """The sum over pairs of the sum of their products."""
        total: Value | None = None
        for value, weight in pairs:
            (product,) = self.apply("mul", value, weight)
            (term,) = self.apply("sum", product)
            total = term if total is None else self.apply("add", total, term)[0]
        assert total is not None
        return total


def weight_for(value: Value, name: str) -> Array:
    """Fixed random numbers of the value's shape."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    shape = tuple(size.constant or 0 for size in value.type.shape)
    return np.asarray(generator.uniform(0.5, 1.5, shape), value.type.dtype.numpy_name)


@final
@dataclass(frozen=True)
class Derived:
    """A graph whose outputs are `loss`, gradients `first.NAME` and second ones `second.NAME`, and arrays to run it with."""

    graph: Graph
    arrays: dict[str, Array]
    wanted: tuple[str, ...]
    results: tuple[str, ...]

    def evaluate(self) -> dict[str, Array]:
        return evaluate_graph(self.graph, self.arrays)


def sample_graph(
    sample: Sample, given: list[Array] | None, types: tuple[TensorType, ...]
) -> tuple[Tape, dict[str, Array], dict[str, Value], tuple[Value, ...]]:
    """One op on inputs `x0`, `x1` … and parameters under their names: the graph, arrays, what a gradient is asked for, results."""
    drawn, parameters = harness.draw_arrays(sample)
    operands = drawn if given is None else given
    tape = Tape()
    arrays: dict[str, Array] = {}
    wanted: dict[str, Value] = {}
    inputs = []
    for index, (type, array) in enumerate(zip(types, operands, strict=True)):
        value = tape.input(f"x{index}", type)
        arrays[value.name] = array
        inputs.append(value)
        if type.dtype.is_float:
            wanted[value.name] = value
    owned = []
    for spec in sample.op.parameters(*types):
        value = Value(spec.type, spec.name)
        tape.graph.parameters.append(Parameter(spec.name, value, spec.init, spec.trainable))
        arrays[spec.name] = parameters[spec.name]
        owned.append(value)
        if spec.trainable:
            wanted[spec.name] = value
    return tape, arrays, wanted, tape.apply(sample.op, *inputs, parameters=tuple(owned))


def derive(sample: Sample, order: int, given: list[Array] | None = None, types: tuple[TensorType, ...] | None = None) -> Derived:
    """The graph of an op with its gradients up to `order`, at operands drawn as the sample says or given.

    With `types`, which may hold symbols, the graph is made for those, and its arrays are not for it.
    """
    tape, arrays, wanted, results = sample_graph(sample, given, harness.types_of(sample) if types is None else types)
    pairs = []
    for index, value in enumerate(results):
        if value.type.dtype.is_float:
            weight = tape.input(f"c{index}", value.type)
            arrays[weight.name] = weight_for(value, weight.name)
            pairs.append((value, weight))
    graph = tape.graph
    graph.outputs = {"loss": tape.weighted_sum(pairs)}
    tape.graph = graph = expand(graph, lacks_derivatives)
    names = list(wanted)
    first = differentiate(graph, graph.outputs["loss"], list(wanted.values()))
    graph.outputs |= {f"first.{name}": value for name, value in zip(names, first, strict=True) if value is not None}
    if order == 2:
        tape.graph = graph = expand(graph, lacks_derivatives)
        again = [(graph.outputs[f"first.{name}"], name) for name in names if f"first.{name}" in graph.outputs]
        weights = []
        for value, name in again:
            weight = tape.input(f"d.{name}", value.type)
            arrays[weight.name] = weight_for(value, weight.name)
            weights.append((value, weight))
        if weights:
            graph.outputs["again"] = tape.weighted_sum(weights)
            wanted |= {f"c{index}": value for index, (_, value) in enumerate(pairs)}
            graph = expand(graph, lacks_derivatives)
            second = differentiate(graph, graph.outputs["again"], list(wanted.values()))
            graph.outputs |= {f"second.{name}": value for name, value in zip(wanted, second, strict=True) if value is not None}
    return Derived(graph, arrays, tuple(wanted), tuple(f"c{index}" for index, value in enumerate(results) if value.type.dtype.is_float))


def torch_derivatives(sample: Sample, derived: Derived, order: int) -> dict[str, Array]:
    """The same numbers by torch.autograd; zeros for what does not depend. Raises NotImplementedError where torch has none."""
    op, types, at = sample.op, harness.types_of(sample), harness.lowering_of(sample)
    parameters = {spec.name: derived.arrays[spec.name] for spec in op.parameters(*types)}
    tensors = {f"x{index}": torch.from_numpy(np.array(derived.arrays[f"x{index}"])) for index in range(len(types))}
    namespace: dict[str, Any] = {"torch": torch, "nn": nn, "F": functional} | tensors
    texts = [Code(name) for name in tensors]
    module_text = op.torch_module(*types)
    if module_text is not None:
        module = harness.run(module_text, {"torch": torch, "nn": nn})
        module.eval()
        if parameters:
            module.to(getattr(torch, next(iter(parameters.values())).dtype.name))
            module.load_state_dict({name: torch.from_numpy(array) for name, array in parameters.items()}, strict=False)
        namespace["module"] = module
        tensors |= dict(module.named_parameters())
    inputs = [tensors[name].requires_grad_() for name in derived.wanted if name in tensors]
    if module_text is None and type(op).torch is Op.torch and op.formula is not None:
        result: Any = harness.evaluate_torch_formula(op, types, list(tensors.values()))
    else:
        result = harness.run(op.torch_apply(at, "module", *texts) if module_text is not None else op.torch(at, *texts), namespace)
    results = [item for item in (result if isinstance(result, tuple | list) else (result,)) if item.is_floating_point()]
    weights = [torch.from_numpy(derived.arrays[name]).requires_grad_() for name in derived.results]
    loss = torch.stack([(item * weight).sum() for item, weight in zip(results, weights, strict=True)]).sum()
    names = [name for name in derived.wanted if name in tensors]
    first = torch_gradients(loss, inputs, order == 2)
    found = {f"first.{name}": item for name, item in zip(names, first, strict=True)}
    if order == 2:
        pairs = [(found[name], derived.arrays[f"d.{name.removeprefix('first.')}"]) for name in derived.graph.outputs if name in found]
        again = torch.stack([(item * torch.from_numpy(weight)).sum() for item, weight in pairs]).sum()
        second = torch_gradients(again, [*inputs, *weights], False)
        found |= {f"second.{name}": item for name, item in zip([*names, *derived.results], second, strict=True)}
    return {name: item.numpy(force=True) for name, item in found.items()}


def torch_gradients(loss: torch.Tensor, inputs: list[torch.Tensor], create: bool) -> list[torch.Tensor]:
    if not loss.requires_grad:
        return [torch.zeros_like(item) for item in inputs]
    made = torch.autograd.grad(loss, inputs, create_graph=create, allow_unused=True, materialize_grads=True)
    return list(made)
