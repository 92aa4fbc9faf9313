"""Derivatives of every sample of every op against torch.autograd and against finite differences, in f64, to the second order."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pytest

from compiler.ir.graph import Graph
from compiler.ir.op import Op, Sample, SampleTensor
from compiler.ir.prune import prune
from compiler.ir.types import DType
from compiler.ops import OPS
from tests.compiler.ops import gradients, harness

TOLERANCE = 1e-10
SINGLE = 2e-6
# torch's own backward computes with a constant in single precision: 1 / alpha, 1 / 6.
COARSE = {"celu": 1e-7, "hardsigmoid": 1e-7}
# No op of torch's backward: `derivative for … is not implemented`.
LACKS_FIRST = {"floordiv": "aten::floor_divide"}
LACKS_SECOND = {"hardsigmoid": "aten::hardsigmoid_backward"}
# Running statistics carry no gradient by definition, in torch as here, which differences cannot know.
DETACHED = {"batch_norm_training"}
# torch clamps the norms to `eps` unseen by autograd, and so differentiates norms that are not in the result.
DIFFERS = {"cosine_similarity(axis=-1, eps=0.5) f64[2, 1, 4] f64[2, 3, 4]"}
# Their results are floating-point numbers that stay the same, or jump, as operands change.
PIECEWISE_CONSTANT = {"accuracy", "ceil", "floor", "floordiv", "mode_count", "mode_share", "round", "sign"}


def has_gradients(sample: Sample) -> bool:
    inferred = sample.op.infer(*harness.types_of(sample))
    results = inferred if isinstance(inferred, tuple) else (inferred,)
    floats = any(item.dtype.is_float for item in sample.operands) or sample.op.parameters(*harness.types_of(sample))
    return bool(floats) and any(item.dtype.is_float for item in results)


SAMPLES = [harness.with_floats(item, DType.f64) for item in harness.all_samples()]
SMOOTH = [item for item in SAMPLES if has_gradients(item)]


def assert_equal(found: dict[str, harness.Array], expected: dict[str, harness.Array], prefix: str, tolerance: float = TOLERANCE) -> None:
    """Equal within the tolerance, relative to the largest of all; what was not built is zero."""
    wanted = {name: array for name, array in expected.items() if name.startswith(prefix)}
    assert wanted or prefix == "second."
    largest = max([1.0, *(float(np.max(np.abs(array), initial=0)) for array in wanted.values())])
    for name, array in wanted.items():
        made = found.get(name, np.zeros_like(array))
        assert (made.shape, made.dtype) == (array.shape, array.dtype)
        assert np.all(np.isfinite(made)), name
        error = float(np.max(np.abs(made - array), initial=0))
        assert error <= tolerance * largest, f"{name} is off by {error}"


def tolerance_of(sample: Sample, derived: gradients.Derived) -> float:
    """Looser where torch is coarse, and where a parameter is f32 whatever the operands are (a table looked up by integers)."""
    single = any(derived.arrays[name].dtype == np.float32 for name in derived.wanted)
    return SINGLE if single else COARSE.get(sample.op.name, TOLERANCE)


def differing(sample: Sample) -> AbstractContextManager[object]:
    """Expects a difference for the samples in DIFFERS, and none for all others."""
    return pytest.raises(AssertionError, match="is off by") if harness.sample_id(sample) in DIFFERS else nullcontext()


@pytest.mark.parametrize("sample", SMOOTH, ids=harness.sample_id)
def test_first_derivatives(sample: Sample) -> None:
    derived = gradients.derive(sample, 1)
    found = derived.evaluate()
    if sample.op.name in LACKS_FIRST:
        with pytest.raises(RuntimeError, match=LACKS_FIRST[sample.op.name]):
            gradients.torch_derivatives(sample, derived, 1)
    else:
        expected = gradients.torch_derivatives(sample, derived, 1)
        with differing(sample):
            assert_equal(found, expected, "first.", tolerance_of(sample, derived))
    if sample.op.name in DETACHED:
        return
    loss = prune(derived.graph, ("loss",))
    for name in derived.wanted:
        gradient = found.get(f"first.{name}", np.zeros_like(derived.arrays[name]))
        if gradient.dtype == np.float32:
            continue
        direction = np.random.default_rng(4).uniform(-1, 1, gradient.shape)
        slope = finite_difference(derived, loss, name, direction)
        exact = float(np.sum(gradient * direction))
        scale = max(1.0, float(np.sum(np.abs(gradient))))
        assert abs(slope - exact) <= 1e-6 * scale, f"{name}: {exact}, by differences {slope}"


def finite_difference(derived: gradients.Derived, loss: Graph, name: str, direction: harness.Array) -> float:
    """The slope along `direction` by four central points, whose error falls with the fourth power of the step."""
    step = 2e-4
    values = {}
    for offset in (-2, -1, 1, 2):
        moved = derived.arrays | {name: np.asarray(derived.arrays[name] + offset * step * direction)}
        values[offset] = float(gradients.evaluate_graph(loss, moved)["loss"])
    return (values[-2] - 8 * values[-1] + 8 * values[1] - values[2]) / (12 * step)


@pytest.mark.parametrize("sample", SMOOTH, ids=harness.sample_id)
def test_second_derivatives(sample: Sample) -> None:
    derived = gradients.derive(sample, 2)
    if "again" not in derived.graph.outputs:
        assert all(f"first.{name}" not in derived.graph.outputs for name in derived.wanted)
        return
    found = derived.evaluate()
    if sample.op.name in LACKS_SECOND:
        assert all(np.all(np.isfinite(array)) for array in found.values())
        with pytest.raises(RuntimeError, match=LACKS_SECOND[sample.op.name]):
            gradients.torch_derivatives(sample, derived, 2)
        return
    expected = gradients.torch_derivatives(sample, derived, 2)
    with differing(sample):
        assert_equal(found, expected, "second.", tolerance_of(sample, derived))


def test_only_steps_have_no_gradients() -> None:
    flat = {item.op.name for item in SMOOTH if set(gradients.derive(item, 1).graph.outputs) == {"loss"}}
    assert flat == PIECEWISE_CONSTANT


@pytest.mark.parametrize("name", sorted(COARSE))
def test_torch_is_coarse(name: str) -> None:
    errors = []
    for sample in (item for item in SMOOTH if item.op.name == name):
        derived = gradients.derive(sample, 1)
        expected = gradients.torch_derivatives(sample, derived, 1)["first.x0"]
        errors.append(float(np.max(np.abs(derived.evaluate()["first.x0"] - expected))))
    assert max(errors) > TOLERANCE


def op(name: str, *attributes: object, **keywords: object) -> Op:
    return OPS[name](*attributes, **keywords)


AROUND = [-6.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0]
KINKS: list[tuple[Op, Sequence[object]]] = [
    *((op(name), [AROUND]) for name in ("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "hardtanh", "softshrink", "hardshrink")),
    *((op(name), [AROUND]) for name in ("hardswish", "hardsigmoid", "abs", "softsign", "square", "floor", "round", "sign")),
    (op("clip", -1.0, 0.5), [AROUND]),
    (op("clip", 0.5, 0.5), [AROUND]),
    (op("threshold", 0.5, -2.0), [AROUND]),
    (op("prelu"), [AROUND]),
    *((op(name), [[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]]) for name in ("max", "min")),
    *((op(name), [[1.0, 2.0, 3.0], 2.0]) for name in ("max", "min")),
    *((op(name), [2.0, [1.0, 2.0, 3.0]]) for name in ("max", "min")),
    *((op(name, axis=1), [[[1.0, 3.0, 3.0, 1.0], [2.0, 2.0, 2.0, 2.0]]]) for name in ("amax", "amin")),
    *((op(name), [[[1.0, 3.0, 3.0], [1.0, 1.0, 2.0]]]) for name in ("amax", "amin")),
    (op("maxout", 2), [[[1.0, 1.0, 2.0, 3.0]]]),
    (op("std", axis=1), [[[2.0, 2.0, 2.0], [1.0, 2.0, 4.0]]]),
    (op("var", axis=1), [[[2.0, 2.0, 2.0], [1.0, 2.0, 4.0]]]),
    *((op("norm", p), [[[0.0, 0.0, 0.0], [0.0, 3.0, -4.0]]]) for p in (1.0, 1.5, 2.0, 3.0, 3.5)),
    (op("prod", axis=1), [[[2.0, 3.0, -4.0], [2.0, 0.0, 4.0], [0.0, 0.0, 4.0], [0.0, 0.0, 0.0]]]),
    (op("pow"), [[2.0, 0.0, 0.0, 0.0, 4.0, 1.5], 2.0]),
    (op("pow"), [[2.0, 0.0, 0.0, 0.0, 3.0, 1.5], [0.0, 0.0, 1.0, 2.0, -1.0, 0.5]]),
    (op("l1", "sum"), [[1.0, 2.0], [1.0, 1.0]]),
    (op("smooth_l1", "sum"), [[1.0, 2.0, 0.0, 3.0], [1.0, 1.0, 1.0, 1.0]]),
    (op("huber", "sum"), [[1.0, 2.0, 0.0, 3.0], [1.0, 1.0, 1.0, 1.0]]),
    (op("hinge", "none"), [[1.0, -1.0, 0.5], [1.0, 1.0, 1.0]]),
    (op("where"), [[True, False], [1.0, 2.0], [3.0, 4.0]]),
    (op("log_sigmoid"), [[-800.0, 0.0, 800.0]]),
    (op("silu"), [[-800.0, 0.0, 800.0]]),
    (op("mish"), [[-800.0, 0.0, 800.0]]),
    (op("gelu"), [[-800.0, 0.0, 800.0]]),
    (op("gelu", "tanh"), [[-80.0, 0.0, 80.0]]),
    (op("softplus"), [[-800.0, 0.0, 800.0]]),
    (op("logsumexp"), [[-800.0, 0.0, 800.0]]),
    (op("softmax"), [[-800.0, 0.0, 800.0]]),
]
# Where torch has finite second derivatives too (that of std is NaN where all numbers are equal).
SECOND_AT_KINKS = ("prod", "relu", "abs", "max", "min", "amax", "amin", "var", "maxout", "where", "silu", "softmax")


def at_point(made: Op, points: Sequence[object]) -> tuple[Sample, list[harness.Array]]:
    arrays = [np.asarray(point) for point in points]
    return Sample(made, tuple(SampleTensor(array.shape, DType.bool if array.dtype == bool else DType.f64) for array in arrays)), arrays


@pytest.mark.parametrize(("made", "points"), KINKS, ids=str)
def test_kinks_as_in_torch(made: Op, points: Sequence[object]) -> None:
    sample, arrays = at_point(made, points)
    derived = gradients.derive(sample, 1, arrays)
    assert_equal(derived.evaluate(), gradients.torch_derivatives(sample, derived, 1), "first.", tolerance_of(sample, derived))
    again = gradients.derive(sample, 2, arrays)
    if "again" in again.graph.outputs:
        found = again.evaluate()
        assert all(np.all(np.isfinite(array)) for name, array in found.items()), found
        if made.name in SECOND_AT_KINKS:
            assert_equal(found, gradients.torch_derivatives(sample, again, 2), "second.")
