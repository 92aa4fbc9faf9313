"""Runs one op on both libraries as the printed files do: text in, numbers out. What the generated op tests are made of.

Formulas are expanded by the compiler's own pass; constants in them are written out, as printers write them.
"""

from __future__ import annotations

import inspect
import math
import textwrap
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from typing import Any, TypeAlias, final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from compiler.ir.dims import Dim
from compiler.ir.graph import Graph, Value
from compiler.ir.op import ATOM, EMITTED, Code, Lowering, Op, RuleError, Sample, SampleTensor
from compiler.ir.signature import signature_of
from compiler.ir.types import DType, TensorType
from compiler.ops import OPS
from compiler.ops.elementwise import Scalar
from compiler.ops.loss import PairLoss
from compiler.passes.expand import expand, formula_graph, lacks_torch

Array = Any
Lower: TypeAlias = Callable[[Op, Lowering, list[Code]], str]


@final
class PlainLowering(Lowering):
    """Prints every size as a number and every emitted function under its own name."""

    def __init__(self, operand_types: tuple[TensorType, ...], result: TensorType | tuple[TensorType, ...]) -> None:
        self.operand_types = operand_types
        self.result_types = result if isinstance(result, tuple) else (result,)

    def dim(self, dim: Dim) -> str:
        assert dim.constant is not None
        return str(dim.constant)

    def use(self, function: Callable[..., Any]) -> str:
        assert EMITTED[function.__name__] is function
        return function.__name__


def emitted_functions() -> dict[str, Any]:
    """A namespace in which the source of every emitted function was run, as in a printed file: with np and math alone."""
    OPS.load_all()
    namespace: dict[str, Any] = {"np": np, "math": math}
    for function in EMITTED.values():
        source = textwrap.dedent(inspect.getsource(function))
        exec("from __future__ import annotations\n" + source.removeprefix("@emitted\n"), namespace)
    return namespace


NUMPY = emitted_functions()


def run(text: str, namespace: dict[str, Any]) -> Any:
    """The value of a printed expression."""
    result: dict[str, Any] = {}
    exec(f"value = {text}", namespace, result)
    return result["value"]


def sample_id(sample: Sample) -> str:
    """A short name for a test: `leaky_relu(slope=0.2) [5]`."""
    defaults = {item.name: item.default for item in signature_of(type(sample.op)).attributes}
    shown = [f"{field.name}={value}" for field in fields(sample.op) if (value := getattr(sample.op, field.name)) != defaults[field.name]]
    return f"{sample.op.name}({', '.join(shown)}) {' '.join(str(item.type) for item in sample.operands)}"


def all_samples() -> Iterator[Sample]:
    """Every sample of every op."""
    for name in sorted(OPS):
        yield from OPS[name].samples()


def with_floats(sample: Sample, dtype: DType) -> Sample:
    """The sample with its f32 and f64 operands of one type."""
    operands = (replace(item, dtype=dtype) if item.dtype in (DType.f32, DType.f64) else item for item in sample.operands)
    return Sample(sample.op, tuple(operands))


def types_of(sample: Sample) -> tuple[TensorType, ...]:
    return tuple(item.type for item in sample.operands)


def draw_operand(generator: np.random.Generator, item: SampleTensor) -> Array:
    """Numbers as the sample asks for them."""
    if item.dtype is DType.bool:
        return np.asarray(generator.random(item.shape) < 0.5)
    if item.dtype.is_integer:
        return np.asarray(generator.integers(int(item.low), int(item.high), item.shape), dtype=item.dtype.numpy_name)
    return np.asarray(generator.uniform(item.low, item.high, item.shape), dtype=item.dtype.numpy_name)


def draw_arrays(sample: Sample) -> tuple[list[Array], dict[str, Array]]:
    """Operands and parameters; equal for equal samples."""
    generator = np.random.default_rng(zlib.crc32(sample_id(sample).encode()))
    operands = [draw_operand(generator, item) for item in sample.operands]
    parameters = {}
    for item in sample.op.parameters(*types_of(sample)):
        shape = tuple(size.constant or 0 for size in item.type.shape)
        parameters[item.name] = np.asarray(item.init.draw(generator, shape), dtype=item.type.dtype.numpy_name)
    return operands, parameters


def as_arrays(result: object) -> tuple[Array, ...]:
    """One result or several, as NumPy arrays."""
    results = result if isinstance(result, tuple | list) else (result,)
    return tuple(item.detach().numpy() if isinstance(item, torch.Tensor) else np.asarray(item) for item in results)


def operand_texts(sample: Sample, operands: list[Array], literal: bool) -> list[Code]:
    """Names of operands, or the numbers themselves for later operands of rank 0 where constants are written out."""
    texts = []
    for index, (item, array) in enumerate(zip(sample.operands, operands, strict=True)):
        constant = literal and index > 0 and not item.shape and item.dtype.is_float
        texts.append(Scalar(float(array), item.dtype)._text(lowering_of(sample)) if constant else Code(f"operand_{index}"))
    return texts


def lowering_of(sample: Sample) -> PlainLowering:
    types = types_of(sample)
    return PlainLowering(types, sample.op.infer(*types))


def takes_constants(sample: Sample) -> bool:
    """Whether the sample has a later operand that a spec could have written as a number."""
    constant = any(not item.shape and item.dtype.is_float for item in sample.operands[1:])
    return constant and (sample.op.family == "elementwise" or isinstance(sample.op, PairLoss))


def torch_forms(sample: Sample, literal: bool = False) -> Iterator[tuple[Array, ...]]:
    """What torch computes: by the module where there is one, by the function where there is one."""
    op, types, at = sample.op, types_of(sample), lowering_of(sample)
    operands, parameters = draw_arrays(sample)
    texts = operand_texts(sample, operands, literal)
    namespace: dict[str, Any] = {"torch": torch, "nn": nn, "F": functional}
    namespace |= {f"operand_{index}": torch.from_numpy(np.array(array)) for index, array in enumerate(operands)}
    text = op.torch_module(*types)
    if text is not None:
        module = run(text, {"torch": torch, "nn": nn})
        module.eval()
        if parameters:
            module.to(getattr(torch, next(iter(parameters.values())).dtype.name))
            module.load_state_dict({name: torch.from_numpy(array) for name, array in parameters.items()}, strict=False)
            missing = set(module.state_dict()) - set(parameters)
            assert missing <= {"num_batches_tracked"}, missing
        yield as_arrays(run(op.torch_apply(at, "module", *texts), namespace | {"module": module}))
    if not parameters and type(op).torch is not Op.torch:
        yield as_arrays(run(op.torch(at, *texts), namespace))
    elif text is None and op.formula is not None:
        yield as_arrays(evaluate_torch_formula(op, types, [torch.from_numpy(np.array(array)) for array in operands]))


def numpy_form(sample: Sample, literal: bool = False) -> tuple[Array, ...] | None:
    """What the NumPy text computes, None where the op has only a formula."""
    operands, parameters = draw_arrays(sample)
    texts = [*operand_texts(sample, operands, literal), *map(Code, parameters)]
    try:
        text = sample.op.numpy(lowering_of(sample), *texts)
    except NotImplementedError:
        return None
    return as_arrays(run(text, NUMPY | parameters | {f"operand_{index}": array for index, array in enumerate(operands)}))


def evaluate_formula(sample: Sample) -> tuple[Array, ...]:
    """What NumPy computes of an op's formula, expanded down to ops with a NumPy form."""
    operands, parameters = draw_arrays(sample)
    graph = expand(formula_graph(sample.op, types_of(sample)))
    return as_arrays(_run_nodes(graph, (*operands, *parameters.values()), NUMPY, lambda op, at, names: op.numpy(at, *names)))


def evaluate_torch_formula(op: Op, types: tuple[TensorType, ...], operands: list[Any]) -> tuple[Any, ...]:
    """What torch computes of an op's formula, expanded down to ops with a torch form, from tensors."""
    namespace = {"torch": torch, "nn": nn, "F": functional}
    return _run_nodes(expand(formula_graph(op, types), lacks_torch), operands, namespace, lambda op, at, names: op.torch(at, *names))


def _run_nodes(graph: Graph, given: Iterable[Any], library: dict[str, Any], lower: Lower) -> tuple[Any, ...]:
    arrays = dict(zip(graph.inputs, given, strict=True))
    texts: dict[Value, Code] = {}
    for node in graph.nodes:
        at = PlainLowering(node.operand_types, node.result_types)
        namespace = library | {f"value_{index}": arrays[value] for index, value in enumerate(node.operands) if value in arrays}
        names = [texts.get(value, Code(f"value_{index}")) for index, value in enumerate(node.operands)]
        text = lower(node.op, at, names)
        if isinstance(node.op, Scalar):
            texts[node.results[0]] = Code(text, text.level if isinstance(text, Code) else ATOM)
            continue
        made = run(text, namespace)
        for value, array in zip(node.results, made if isinstance(made, tuple | list) else (made,), strict=True):
            found = str(array.dtype).removeprefix("torch.")
            assert found == value.type.dtype.numpy_name, f"{text}: {found} is not {value.type}"
            arrays[value] = array
    return tuple(arrays[value] for value in graph.outputs.values())


def assert_close(found: tuple[Array, ...], expected: tuple[Array, ...], tolerance: float) -> None:
    """Equal shapes and dtypes; numbers within `tolerance` of the largest (or of 1), the same places not finite."""
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if a.dtype.kind != "f":
            np.testing.assert_array_equal(a, b)
            continue
        finite = np.isfinite(b)
        np.testing.assert_array_equal(np.isfinite(a), finite)
        np.testing.assert_array_equal(a[~finite], b[~finite])
        largest = max(1.0, float(np.max(np.abs(b[finite]), initial=0)))
        assert float(np.max(np.abs(a[finite] - b[finite]), initial=0)) <= tolerance * largest


def symbolic_types(sample: Sample, chosen: tuple[int, ...], factor: int = 1) -> tuple[tuple[TensorType, ...], dict[str, Dim | int]]:
    """The operand types with every size in `chosen` replaced by `factor` times a symbol, and the sizes of those symbols."""
    replaced = {size: factor * Dim.symbol(f"S{size}") for size in chosen}
    types = tuple(TensorType(item.dtype, tuple(replaced.get(size, Dim.of(size)) for size in item.shape)) for item in sample.operands)
    return types, {f"S{size}": size // factor for size in chosen}


def refusal(op: Op, types: tuple[TensorType, ...]) -> str | None:
    """The code with which the type rule refuses these operands, None where it takes them."""
    try:
        op.infer(*types)
        op.parameters(*types)
    except RuleError as error:
        return error.code
    return None
