"""Encoded pictures: what is in them, and what is refused."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compiler.diagnostics import SpecError
from netlang.report import chart
from netlang.report.pictures import encode_curves, encode_grid, encode_scatter, read_curves, require_suffix


def read(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


def test_one_picture_is_written_as_it_is() -> None:
    levels = np.linspace(0, 1, 3 * 4 * 5).reshape(1, 3, 4, 5)
    np.testing.assert_array_equal(read(encode_grid(levels)), np.rint(levels[0].transpose(1, 2, 0) * 255).astype(np.uint8))
    numbers = np.array([-1, 0, 1, 9, np.nan, -np.inf]).reshape(1, 1, 2, 3)
    assert read(encode_grid(numbers, low=-1, high=1)).tolist() == [[0, 128, 255], [255, 0, 0]]


def test_several_pictures_fill_rows() -> None:
    pictures = np.stack([np.full((3, 4, 6), index / 10) for index in range(5)])
    grid = read(encode_grid(pictures))
    assert grid.shape == (2 * 4 + 2, 3 * 6 + 2 * 2, 3)
    assert [grid[row, column, 0] for row, column in [(0, 0), (0, 8), (0, 16), (6, 0), (6, 8), (6, 16), (4, 0), (0, 6)]] == [
        0, 26, 51, 76, 102, 255, 255, 255,
    ]  # fmt: skip
    assert read(encode_grid(pictures, columns=1)).shape == (5 * 6 - 2, 6, 3)
    with Image.open(io.BytesIO(encode_grid(pictures[:1], suffix=".JPG"))) as picture:
        assert picture.format == "JPEG"


@pytest.mark.parametrize("shape", [(1, 2, 4, 4), (3, 4, 4), (0, 3, 4, 4), (1, 3, 0, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="pictures are"):
        encode_grid(np.zeros(shape))
    with pytest.raises(ValueError, match="points are"):
        encode_scatter({"a": np.zeros((3, 3))})


def test_a_name_tells_the_format() -> None:
    require_suffix(Path("a.JPEG"))
    with pytest.raises(SpecError) as caught:
        require_suffix(Path("a.gif"))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "NL703"
    assert "pictures end in .png, .jpg, .jpeg" in diagnostic.message


def test_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(SpecError, match="NL730"):
        encode_grid(np.zeros((1, 1, 2, 2)))
    with pytest.raises(SpecError, match="NL730"):
        encode_curves({"a": ([1], [1])})


def colors(data: bytes) -> dict[tuple[int, ...], int]:
    """How often each color of the charts, or nearly it, is in a picture."""
    pixels = read(data).reshape(-1, 3).astype(int)
    return {color: int((abs(pixels - color).max(1) < 40).sum()) for color in chart.COLORS}


def test_points_of_each_name_have_a_color() -> None:
    points = np.random.default_rng(0).normal(size=(200, 2))
    points[0] = np.nan
    scatter = encode_scatter({"real": points, "made": points[:20] + 9, "\x1b[31m": np.zeros((0, 2))})
    amounts = [colors(scatter)[color] for color in chart.COLORS]
    assert amounts[0] > amounts[1] > 50
    assert amounts[3] == 0


@pytest.mark.parametrize("y", [[1.0, 2.0, 3.0], [1e-3, 1.0, 1e3], [5.0, 5.0, 5.0], [-1.0, float("nan"), 1e300]])
def test_curves(y: list[float]) -> None:
    curves = encode_curves({"loss": ([1, 2, 3], y), "one": ([2], [4.0]), "none": ([], [])})
    assert colors(curves)[chart.COLORS[0]] > 100
    assert read(curves).shape == (480, 800, 3)


def test_curves_of_nothing_are_an_empty_frame() -> None:
    assert read(encode_curves({})).shape == (480, 800, 3)


def test_ticks_are_round_and_within() -> None:
    assert chart.Axis(0.1, 5.2, 100).ticks() == [1, 2, 3, 4, 5]
    assert chart.Axis(0.5, 2000, 100, log=True).ticks() == [1, 10, 100, 1000]
    assert chart.Axis(1, 100, 80, log=True).place(10) == 40
    assert [chart.show_number(item) for item in (0.0, 1e-7, 12345678, 0.5)] == ["0", "1e-7", "1.235e7", "0.5"]


def test_a_runs_log_as_curves(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    lines = [
        {"kind": "step", "iteration": 1, "step": "critic", "objective": 2.5},
        {"kind": "step", "iteration": 2, "step": "critic", "objective": 2.0},
        {"kind": "evaluation", "iteration": 2, "metrics": {"accuracy": 0.5}},
    ]
    log.write_text("\n".join(map(json.dumps, lines)) + '\n{"kind": "step", "iter')
    assert read_curves(log) == {"critic": ([1, 2], [2.5, 2.0]), "accuracy": ([2], [0.5])}
