"""Losses of style transfer against the paper's closed forms, and the normalisations of other programs as multiples of the paper's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from compiler.ir.op import Op, Sample, SampleTensor
from compiler.ir.types import DType, TensorType
from compiler.ops.style import ContentLoss, Divisor, Gram, StyleLoss, TotalVariation
from tests.compiler.ops import harness
from tests.compiler.ops.apply import numbers, refuse
from tests.compiler.ops.gradients import derive, evaluate_graph

of = TensorType.of
F32 = DType.f32
FEATURES = (1, 6, 5, 7)
C, P = 6, 35


def sample_of(op: Op, *arrays: Any) -> Sample:
    return Sample(op, tuple(SampleTensor(array.shape, DType.f64) for array in arrays))


def value_and_gradient(op: Op, *arrays: Any) -> tuple[Any, Any, Any]:
    """A loss, its gradient by the compiler's graph, and by torch.autograd of its torch form."""
    derived = derive(sample_of(op, *arrays), 1, list(arrays))
    found = evaluate_graph(derived.graph, dict(derived.arrays) | {"c0": np.ones(())})
    tensors = [torch.from_numpy(array).requires_grad_(index == 0) for index, array in enumerate(arrays)]
    (loss,) = harness.evaluate_torch_formula(op, tuple(of(DType.f64, *array.shape) for array in arrays), tensors)
    (gradient,) = torch.autograd.grad(loss, tensors[:1])
    return found["loss"], found["first.x0"], gradient.numpy()


def gram(array: Any, divide: Divisor = "none") -> Any:
    tensor = torch.from_numpy(array)
    return harness.evaluate_torch_formula(Gram(divide), (of(DType.f64, *array.shape),), [tensor])[0].numpy()


def paper(features: Any, target: Any) -> Any:
    """E of equation 4, from its own words."""
    f, a = features.reshape(C, P), target.reshape(C, P)
    return np.sum((f @ f.T - a @ a.T) ** 2) / (4 * C**2 * P**2)


def test_the_style_loss_and_its_gradient_are_the_papers() -> None:
    features, target = numbers(*FEATURES, seed=1), numbers(*FEATURES, seed=2)
    loss, derived, by_torch = value_and_gradient(StyleLoss(), features, target)
    f, a = features.reshape(C, P), target.reshape(C, P)
    closed = ((f @ f.T - a @ a.T) @ f / (C**2 * P**2)).reshape(FEATURES)
    np.testing.assert_allclose(loss, paper(features, target), rtol=1e-12)
    np.testing.assert_allclose(derived, closed, rtol=0, atol=1e-12 * np.abs(closed).max())
    np.testing.assert_allclose(by_torch, closed, rtol=0, atol=1e-12 * np.abs(closed).max())


def test_the_content_loss_and_its_gradient_are_the_papers() -> None:
    features, target = numbers(*FEATURES, seed=1), numbers(*FEATURES, seed=2)
    loss, derived, by_torch = value_and_gradient(ContentLoss(), features, target)
    np.testing.assert_allclose(loss, 0.5 * np.sum((features - target) ** 2), rtol=1e-12)
    np.testing.assert_allclose(derived, features - target, rtol=0, atol=1e-12)
    np.testing.assert_allclose(by_torch, features - target, rtol=0, atol=1e-12)


def test_other_normalisations_are_multiples_of_the_papers() -> None:
    """Mean squared differences: of Gram matrices over elements 4/C² of the paper's loss, over positions 4 times it."""
    features, target = numbers(*FEATURES, seed=1), numbers(*FEATURES, seed=2)
    expected = paper(features, target)
    over_elements = np.mean((gram(features, "elements") - gram(target, "elements")) ** 2)
    over_positions = np.mean((gram(features, "positions") - gram(target, "positions")) ** 2)
    plain = np.sum((gram(features) - gram(target)) ** 2)
    np.testing.assert_allclose(C**2 / 4 * over_elements, expected, rtol=1e-12)
    np.testing.assert_allclose(1e3 / C**2 * over_positions, 4e3 / C**2 * expected, rtol=1e-12)
    np.testing.assert_allclose(plain / (4 * C**2 * P**2), expected, rtol=1e-12)


def test_losses_are_means_over_pictures_and_targets_may_have_another_size() -> None:
    features, target = numbers(2, *FEATURES[1:], seed=1), numbers(1, C, 3, 4, seed=2)
    both, _, _ = value_and_gradient(StyleLoss(), features, target)
    each = [value_and_gradient(StyleLoss(), item[None], target)[0] for item in features]
    np.testing.assert_allclose(both, np.mean(each), rtol=1e-12)


def test_total_variation_leaves_out_the_last_row_and_column() -> None:
    x = numbers(1, 2, 4, 5, seed=3)
    loss, derived, by_torch = value_and_gradient(TotalVariation(), x)
    inner = x[:, :, :-1, :-1]
    np.testing.assert_allclose(loss, 0.5 * np.sum((inner - x[:, :, :-1, 1:]) ** 2 + (inner - x[:, :, 1:, :-1]) ** 2), rtol=1e-12)
    np.testing.assert_allclose(derived, by_torch, rtol=0, atol=1e-12)
    assert derived[0, 0, -1, -1] == 0


def test_refusals() -> None:
    assert refuse(StyleLoss(), of(F32, 1, 4, 8, 8), of(F32, 1, 5, 8, 8)).code == "NL212"
    assert refuse(StyleLoss(), of(F32, 2, 4, 8, 8), of(F32, 3, 4, 8, 8)).code == "NL212"
    assert refuse(StyleLoss(), of(F32, "N", 4, 8, 8), of(F32, "M", 4, 8, 8)).code == "NL204"
    assert refuse(ContentLoss(), of(F32, 1, 4, 8, 8), of(F32, 1, 4, 8, 9)).code == "NL212"
    assert refuse(Gram(), of(F32, 4, 8)).code == "NL202"
    assert refuse(TotalVariation(), of(F32, 1, 3, 1, 1)).code == "NL202"
    assert refuse(TotalVariation(), of(DType.u8, 1, 3, 4, 4)).code == "NL210"
