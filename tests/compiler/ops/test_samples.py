"""Every sample of every op: its type rule, its torch form and its NumPy form say the same."""

from __future__ import annotations

import numpy as np
import pytest

from compiler.ir.dims import Dim
from compiler.ir.graph import Call
from compiler.ir.op import Op, Sample
from compiler.ir.signature import signature_of
from compiler.ir.types import DType, TensorType
from compiler.ops import OPS
from compiler.ops.table import MODULES
from tests.compiler.ops import harness

# f64: rounding of sums of a few hundred terms; f32: the bound of one op on one op's inputs (2e-5 of the largest number).
TOLERANCES = {DType.f64: 1e-10, DType.f32: 2e-5}
SAMPLES = list(harness.all_samples())
FIXED = [item for item in SAMPLES if not item.op.random or item.operands]
GIVEN_SIZES = {"expand", "index", "reshape", "split"}  # their attributes are sizes, which no symbol is proved to equal
WITHOUT_SAMPLES = {"scalar", Call.name}


def declared(sample: Sample) -> tuple[TensorType, ...]:
    result = sample.op.infer(*harness.types_of(sample))
    return result if isinstance(result, tuple) else (result,)


def assert_types(found: tuple[harness.Array, ...], sample: Sample) -> None:
    wanted = [(tuple(size.constant for size in item.shape), item.dtype.numpy_name) for item in declared(sample)]
    assert [(item.shape, item.dtype.name) for item in found] == wanted


@pytest.mark.parametrize("dtype", [DType.f64, DType.f32], ids=str)
@pytest.mark.parametrize("sample", FIXED, ids=harness.sample_id)
def test_forms_agree(sample: Sample, dtype: DType) -> None:
    typed = harness.with_floats(sample, dtype)
    found = harness.numpy_form(typed)
    if typed.op.formula is not None:
        by_formula = harness.evaluate_formula(typed)
        assert_types(by_formula, typed)
        if found is not None:
            harness.assert_close(by_formula, found, TOLERANCES[dtype])
        found = by_formula if found is None else found
    assert found is not None, "neither a NumPy form nor a formula"
    assert_types(found, typed)
    forms = list(harness.torch_forms(typed))
    assert forms, "no torch form"
    for form in forms:
        assert_types(form, typed)
        harness.assert_close(form, found, TOLERANCES[dtype])


@pytest.mark.parametrize("sample", [item for item in FIXED if harness.takes_constants(item)], ids=harness.sample_id)
def test_constants_may_be_written_out(sample: Sample) -> None:
    expected = next(harness.torch_forms(sample))
    assert_types(expected, sample)
    for form in harness.torch_forms(sample, literal=True):
        harness.assert_close(form, expected, TOLERANCES[DType.f32])
    found = harness.numpy_form(sample, literal=True)
    if found is not None:
        harness.assert_close(found, expected, TOLERANCES[DType.f32])


@pytest.mark.parametrize("sample", SAMPLES, ids=harness.sample_id)
def test_symbolic_sizes(sample: Sample) -> None:
    sizes = sorted({size for item in sample.operands for size in item.shape if size > 1})
    taken = []
    for size in sizes:
        factors = [factor for factor in range(1, size + 1) if size % factor == 0]
        for factor in factors:
            types, values = harness.symbolic_types(sample, (size,), factor)
            code = harness.refusal(sample.op, types)
            if code is None:
                assert substituted(sample.op, types, values) == declared(sample)
                taken += [size] if factor == 1 else []
                break
            assert code in ("NL204", "NL205"), f"{code} for {types}"
            if code == "NL205":
                break
        else:
            assert sample.op.name in GIVEN_SIZES, f"undecided for every multiple that is {size}"
    types, values = harness.symbolic_types(sample, tuple(taken))
    code = harness.refusal(sample.op, types)
    assert code in (None, "NL205") or sample.op.name in GIVEN_SIZES
    if code is None:
        assert substituted(sample.op, types, values) == declared(sample)


def substituted(op: Op, types: tuple[TensorType, ...], values: dict[str, Dim | int]) -> tuple[TensorType, ...]:
    result = op.infer(*types)
    return tuple(item.substitute(values) for item in (result if isinstance(result, tuple) else (result,)))


@pytest.mark.parametrize("name", sorted(OPS))
def test_op_is_complete(name: str) -> None:
    op = OPS[name]
    assert op.__module__ == f"compiler.ops.{MODULES[name]}"
    assert op.__doc__, "no documentation"
    assert op.family
    samples = list(op.samples())
    assert len(samples) >= (0 if name in WITHOUT_SAMPLES else 2)
    for attribute in signature_of(op).attributes:
        if not attribute.required and name != "scalar":
            assert attribute.convert(attribute.default) == attribute.default
    optional = [item for item in signature_of(op).attributes if not item.required]
    for item in optional if samples else []:
        assert any(getattr(sample.op, item.name) != item.default for sample in samples), f"no sample sets {item.name}"


@pytest.mark.parametrize("sample", [item for item in SAMPLES if item.op.random and not item.operands], ids=harness.sample_id)
def test_draws(sample: Sample) -> None:
    at = harness.lowering_of(sample)
    text = sample.op.numpy(at)
    first, again, other = (np.asarray(harness.run(text, {"np": np, "generator": np.random.default_rng(seed)})) for seed in (5, 5, 6))
    assert_types((first,), sample)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    for form in harness.torch_forms(sample):
        assert_types(form, sample)
