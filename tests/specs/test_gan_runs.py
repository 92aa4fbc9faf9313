"""What the small adversarial specs learn in their first minutes on one core."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import netlang
from netlang.data.digits import Digits
from netlang.training import EvaluationRecord

pytestmark = pytest.mark.slow


def measures(name: str, folder: Path, **settings: Any) -> list[dict[str, float]]:
    """The metrics of a run, from first to last; settings that are not `train`'s own are constants."""
    options = {key: settings.pop(key) for key in ("backend", "seed") if key in settings}
    records = netlang.train(f"gan/{name}", set=settings, folder=folder, threads=1, **options)
    return [dict(record.metrics) for record in records if isinstance(record, EvaluationRecord)]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("name", "fewest", "most"), [("nsgan_ring", 1, 4), ("wgan_ring", 8, 8), ("wgan_gp_ring", 8, 8)])
def test_modes_of_the_ring_after_1000_updates_of_the_generator(name: str, fewest: int, most: int, seed: int, tmp_path: Path) -> None:
    """The game without a Lipschitz bound loses modes, the two with one find all."""
    modes = measures(name, tmp_path / "run", iterations=1000, seed=seed, backend="numpy")[-1]["modes"]
    assert fewest <= modes <= most


def read_codes(model: netlang.Model, split: Literal["train", "test"]) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest class code of every digit, and its label."""
    arrays = Digits(split=split).read(None)
    codes = model["Q"](model["trunk"](arrays["image"]))
    return np.asarray(codes.c1).argmax(axis=1), arrays["label"]


def test_the_class_code_of_infogan_reads_digits(tmp_path: Path) -> None:
    """Codes are named by the commonest label of training digits that they are given; test digits are read by those names."""
    measures("infogan_digits", tmp_path / "run", iterations=3000)
    model = netlang.load("gan/infogan_digits", weights=tmp_path / "run", backend="numpy")
    codes, labels = read_codes(model, "train")
    names = np.array([np.bincount(labels[codes == code], minlength=10).argmax() for code in range(10)])
    codes, labels = read_codes(model, "test")
    share = float((names[codes] == labels).mean())
    print(f"\ninfogan_digits reads {share:.3f} of the test digits, with {len(set(names))} names for 10 codes")
    assert share >= 0.6


def test_generated_digits_are_read_as_their_condition(tmp_path: Path) -> None:
    last = measures("cgan_digits", tmp_path / "run", iterations=6000)[-1]
    assert last["read"] > 0.95
    assert last["recognised"] >= 0.8


def test_what_bigan_encodes_comes_back(tmp_path: Path) -> None:
    before = measures("bigan_digits", tmp_path / "begin", iterations=1)[-1]["reconstruction"]
    assert measures("bigan_digits", tmp_path / "run", iterations=6000)[-1]["reconstruction"] < before / 2


def test_srresnet_enlarges_better_than_cubic_interpolation(tmp_path: Path) -> None:
    """After the squared error alone; the game that follows costs decibels, as in the paper."""
    assert measures("srgan_small", tmp_path / "run", iterations=1000)[-1]["gain"] > 0


def test_pictures_come_back_from_the_other_set(tmp_path: Path) -> None:
    before = measures("cyclegan_small", tmp_path / "begin", iterations=1)[-1]["cycles"]
    assert measures("cyclegan_small", tmp_path / "run", iterations=500)[-1]["cycles"] < before / 2
