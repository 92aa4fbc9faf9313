from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from compiler.front.readers import Reader, ReaderError
from netlang.data import read_arrays
from netlang.data.synthetic import Adding, Blobs, Gaussian, LinearRegression, Moons, Ring, Spirals

DRAWN: list[Reader] = [Adding(7), Blobs(), Gaussian(3), LinearRegression(), Moons(), Ring(), Spirals()]


def read(reader: Reader) -> dict[str, NDArray[Any]]:
    return read_arrays(reader, None)


@pytest.mark.parametrize("reader", DRAWN, ids=lambda reader: reader.name)
def test_samples_follow_from_the_attributes_alone(reader: Any) -> None:
    few, other = replace(reader, samples=20), replace(reader, samples=20, seed=1)
    first, again, different = read(few), read(few), read(other)
    assert all(len(array) == 20 for array in first.values())
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
        assert not np.array_equal(array, different[name])


@pytest.mark.parametrize("modes", [2, 8, 25])
def test_ring_has_every_mode_at_its_place(modes: int) -> None:
    points = read(Ring(modes=modes, radius=3, std=0.01, samples=4000))["point"]
    angles = 2 * math.pi * np.arange(modes) / modes
    means = 3 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    distances = np.linalg.norm(points[:, None] - means, axis=2)
    nearest = distances.argmin(1)
    assert np.bincount(nearest, minlength=modes).min() > 0.6 * 4000 / modes
    offsets = points - means[nearest]
    assert abs(offsets.std() - 0.01) < 0.0005, "the standard error of 8,000 offsets is 0.00008"


def test_blobs_lie_around_their_means() -> None:
    data = read(Blobs(classes=4, radius=2, std=0.1, samples=4000))
    for label in range(4):
        mean = data["point"][data["label"] == label].mean(0)
        expected = (2 * math.cos(math.pi * label / 2), 2 * math.sin(math.pi * label / 2))
        np.testing.assert_allclose(mean, expected, atol=0.02)


def test_moons_are_half_circles() -> None:
    data = read(Moons(noise=0, samples=500))
    upper, lower = data["point"][data["label"] == 0], data["point"][data["label"] == 1]
    np.testing.assert_allclose(np.linalg.norm(upper, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(lower - (1, 0.5), axis=1), 1, atol=1e-6)
    assert upper[:, 1].min() >= 0
    assert lower[:, 1].max() <= 0.5


def test_spiral_arms_are_turned_copies() -> None:
    data = read(Spirals(arms=3, turns=2, noise=0, samples=500))
    radii = np.linalg.norm(data["point"], axis=1)
    expected = 2 * math.pi * (2 * radii + data["label"] / 3)
    np.testing.assert_allclose(data["point"], radii[:, None] * np.stack([np.cos(expected), np.sin(expected)], axis=1), atol=1e-4)
    assert radii.max() <= 1


def test_gaussian_has_its_mean_and_deviation() -> None:
    points = read(Gaussian(dims=4, samples=20_000, mean=-2, std=3))["point"]
    assert points.shape == (20_000, 4)
    assert abs(points.mean() + 2) < 0.06, "five standard errors of 80,000 numbers are 0.053"
    assert abs(points.std() - 3) < 0.05


def test_linear_regression_is_the_line_it_says() -> None:
    data = read(LinearRegression(slope=(1.5, -2.0, 0.25), intercept=-1, noise=0, samples=50))
    np.testing.assert_allclose(data["target"][:, 0], data["point"] @ [1.5, -2.0, 0.25] - 1, atol=1e-5)
    with pytest.raises(ReaderError, match="at least one number"):
        LinearRegression(slope=()).fields(None)


@pytest.mark.parametrize("length", [2, 3, 10, 51])
def test_adding_marks_one_number_in_each_half(length: int) -> None:
    data = read(Adding(length, samples=300))
    values, marks = data["row"][..., 0], data["row"][..., 1]
    half = length // 2
    assert set(np.unique(marks)) <= {0, 1}
    np.testing.assert_array_equal(marks[:, :half].sum(1), 1)
    np.testing.assert_array_equal(marks[:, half:].sum(1), 1)
    np.testing.assert_allclose(data["target"][:, 0], [values[i][marks[i] == 1].sum() for i in range(300)], rtol=1e-6)
    assert marks.sum(0).min() > 0, "every place is drawn"
    assert values.min() >= 0
    assert values.max() <= 1
