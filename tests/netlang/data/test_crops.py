"""Random crops: what they hold, what they are made smaller to, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from compiler.front.readers import ReaderError
from netlang.data import read_arrays
from netlang.data.crops import Crops


def test_crops_are_pieces_of_their_picture(tmp_path: Path) -> None:
    whole = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)
    Pillow.fromarray(whole).save(tmp_path / "a.png")
    crops = read_arrays(Crops("a.png", 8, channels=1, samples=12), tmp_path)["image"]
    assert crops.shape == (12, 1, 8, 8)
    places = {np.round(255 * crop).astype(np.uint8).tobytes() for crop in crops}
    pieces = {whole[i : i + 8, j : j + 8].tobytes() for i in range(13) for j in range(23)}
    assert places <= pieces
    assert len(places) > 6


def test_pictures_take_turns_and_equal_attributes_give_equal_crops(tmp_path: Path) -> None:
    (tmp_path / "both").mkdir()
    for name, color in (("a.png", "black"), ("b.jpg", "white")):
        Pillow.new("RGB", (9, 9), color).save(tmp_path / "both" / name)
    (tmp_path / "both" / "notes.txt").write_text("no picture")
    first = read_arrays(Crops("both", 4, samples=10), tmp_path)["image"]
    assert first.mean() == pytest.approx(0.5)
    assert np.array_equal(first, read_arrays(Crops(("both/a.png", "both/b.jpg"), 4, samples=10), tmp_path)["image"])
    assert not np.array_equal(first, read_arrays(Crops("both", 4, samples=10, seed=1), tmp_path)["image"])


def test_small_ones_and_their_enlargement() -> None:
    reader = Crops("skimage:chelsea", 32, shrink=4, samples=5)
    assert {name: str(field) for name, field in reader.fields(None).items()} == {
        "image": "[N, 3, 32, 32]",
        "small": "[N, 3, 8, 8]",
        "enlarged": "[N, 3, 32, 32]",
    }
    arrays = read_arrays(reader, None)
    boxes = arrays["image"].reshape(5, 3, 8, 4, 8, 4).mean((3, 5))
    assert np.abs(arrays["small"] - boxes).max() < 0.1
    assert (
        np.abs(arrays["enlarged"] - arrays["image"]).mean() < np.abs(arrays["image"].mean((2, 3), keepdims=True) - arrays["image"]).mean()
    )


def test_a_side_is_brought_to_length_first(tmp_path: Path) -> None:
    Pillow.new("RGB", (10, 40), "red").save(tmp_path / "a.png")
    crops = read_arrays(Crops("a.png", 16, side=18, samples=2), tmp_path)["image"]
    np.testing.assert_allclose(crops.mean((0, 2, 3)), [1, 0, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("reader", "message", "attribute"),
    [
        (Crops((), 8), "crops need a picture", "files"),
        (Crops("a.png", 9, shrink=2), "9 pixels cannot be shrunk 2 times", "shrink"),
        (Crops("a.png", 9, side=8), "no crop of 9 fits a side of 8", "side"),
    ],
)
def test_what_is_refused_before_reading(reader: Crops, message: str, attribute: str) -> None:
    with pytest.raises(ReaderError, match=message) as caught:
        reader.fields(None)
    assert caught.value.attribute == attribute


def test_what_is_refused_while_reading(tmp_path: Path) -> None:
    Pillow.new("RGB", (6, 40), "red").save(tmp_path / "a.png")
    (tmp_path / "none").mkdir()
    for reader, message in (
        (Crops("a.png", 8), "`a.png` has 6x40 pixels: no crop of 8 fits"),
        (Crops("none", 8), "`none` holds no pictures"),
        (Crops("b.png", 8), "there is no file `b.png`"),
        (Crops("a.png", 8000, side=8000, samples=10**8), "need more than"),
    ):
        with pytest.raises(ReaderError, match=message):
            reader.read(tmp_path)
