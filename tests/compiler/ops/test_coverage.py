"""Modes found and points near them, against a count by hand."""

from __future__ import annotations

import math

import pytest
import torch

from compiler.ir.types import DType, TensorType
from compiler.ops.coverage import Coverage, ModeCount, ModeShare
from tests.compiler.ops.apply import refuse
from tests.compiler.ops.harness import evaluate_torch_formula

of = TensorType.of
F32 = DType.f32


def evaluate(op: Coverage, points: torch.Tensor, centers: torch.Tensor) -> float:
    (found,) = evaluate_torch_formula(op, (of(F32, *points.shape), of(F32, *centers.shape)), [points, centers])
    return float(found)


def test_a_ring_of_which_three_modes_are_found() -> None:
    angles = torch.arange(8) * (2 * math.pi / 8)
    centers = 2 * torch.stack([torch.cos(angles), torch.sin(angles)], 1)
    points = torch.cat([centers[:1].expand(20, 2), centers[3:4].expand(25, 2), centers[5:6].expand(21, 2), centers[6:7].expand(19, 2)])
    points = torch.cat([points + torch.tensor([0.05, 0.0]), torch.zeros(15, 2)])
    assert evaluate(ModeCount(0.06), points, centers) == 3
    assert evaluate(ModeCount(0.06, least=19), points, centers) == 4
    assert evaluate(ModeShare(0.06), points, centers) == pytest.approx(85 / 100)
    assert evaluate(ModeCount(0.04), points, centers) == evaluate(ModeShare(0.04), points, centers) == 0


def test_a_point_near_two_centers_counts_once() -> None:
    assert evaluate(ModeShare(1.0), torch.zeros(4, 1), torch.tensor([[0.5], [-0.5]])) == 1


def test_coordinates_must_be_equally_many() -> None:
    assert refuse(ModeCount(1.0), of(F32, "N", 2), of(F32, 8, 3)).code == "NL203"
    assert refuse(ModeShare(1.0), of(F32, "N", 2), of(F32, 8)).code == "NL202"
    assert refuse(ModeShare(1.0), of(DType.i64, "N", 2), of(F32, 8, 2)).code == "NL210"
