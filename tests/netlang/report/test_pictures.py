"""Files of pictures: what is in them, what is refused, and that an old file outlives a new one that cannot be written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compiler.diagnostics import SpecError
from netlang.report import chart
from netlang.report.pictures import read_curves, write_curves, write_grid, write_scatter


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_one_picture_is_written_as_it_is(tmp_path: Path) -> None:
    levels = np.linspace(0, 1, 3 * 4 * 5).reshape(1, 3, 4, 5)
    write_grid(tmp_path / "a.png", levels)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), np.rint(levels[0].transpose(1, 2, 0) * 255).astype(np.uint8))
    write_grid(tmp_path / "a.png", np.array([-1, 0, 1, 9, np.nan, -np.inf]).reshape(1, 1, 2, 3), low=-1, high=1)
    assert read(tmp_path / "a.png").tolist() == [[0, 128, 255], [255, 0, 0]]
    assert list(tmp_path.iterdir()) == [tmp_path / "a.png"]


def test_several_pictures_fill_rows(tmp_path: Path) -> None:
    pictures = np.stack([np.full((3, 4, 6), index / 10) for index in range(5)])
    write_grid(tmp_path / "a.png", pictures)
    grid = read(tmp_path / "a.png")
    assert grid.shape == (2 * 4 + 2, 3 * 6 + 2 * 2, 3)
    assert [grid[row, column, 0] for row, column in [(0, 0), (0, 8), (0, 16), (6, 0), (6, 8), (6, 16), (4, 0), (0, 6)]] == [
        0, 26, 51, 76, 102, 255, 255, 255,
    ]  # fmt: skip
    write_grid(tmp_path / "a.png", pictures, columns=1)
    assert read(tmp_path / "a.png").shape == (5 * 6 - 2, 6, 3)
    write_grid(tmp_path / "a.jpg", pictures[:1])
    with Image.open(tmp_path / "a.jpg") as picture:
        assert picture.format == "JPEG"


@pytest.mark.parametrize("shape", [(1, 2, 4, 4), (3, 4, 4), (0, 3, 4, 4), (1, 3, 0, 4)])
def test_other_shapes_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="pictures are"):
        write_grid(tmp_path / "a.png", np.zeros(shape))
    with pytest.raises(ValueError, match="points are"):
        write_scatter(tmp_path / "a.png", {"a": np.zeros((3, 3))})
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    write_grid(tmp_path / "a.png", np.zeros((1, 1, 2, 2)))
    for name, reason in [("a.gif", "pictures end in .png, .jpg, .jpeg"), ("none/a.png", "no such file or directory")]:
        with pytest.raises(SpecError) as caught:
            write_grid(tmp_path / name, np.ones((1, 1, 2, 2)))
        (diagnostic,) = caught.value.diagnostics
        assert diagnostic.code == "NL703"
        assert reason in diagnostic.message
    assert list(tmp_path.iterdir()) == [tmp_path / "a.png"]
    outside = tmp_path / "outside.png"
    outside.write_text("mine")
    (tmp_path / "b.png").symlink_to(outside)
    write_grid(tmp_path / "b.png", np.ones((1, 1, 2, 2)))
    assert outside.read_text() == "mine"


def test_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(SpecError, match="NL730"):
        write_grid(tmp_path / "a.png", np.zeros((1, 1, 2, 2)))
    with pytest.raises(SpecError, match="NL730"):
        write_curves(tmp_path / "a.png", {"a": ([1], [1])})


def colors(path: Path) -> dict[tuple[int, ...], int]:
    """How often each color of the charts, or nearly it, is in a picture."""
    pixels = read(path).reshape(-1, 3).astype(int)
    return {color: int((abs(pixels - color).max(1) < 40).sum()) for color in chart.COLORS}


def test_points_of_each_name_have_a_color(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(200, 2))
    points[0] = np.nan
    write_scatter(tmp_path / "a.png", {"real": points, "made": points[:20] + 9, "\x1b[31m": np.zeros((0, 2))})
    amounts = [colors(tmp_path / "a.png")[color] for color in chart.COLORS]
    assert amounts[0] > amounts[1] > 50
    assert amounts[3] == 0


@pytest.mark.parametrize("y", [[1.0, 2.0, 3.0], [1e-3, 1.0, 1e3], [5.0, 5.0, 5.0], [-1.0, float("nan"), 1e300]])
def test_curves(tmp_path: Path, y: list[float]) -> None:
    write_curves(tmp_path / "a.png", {"loss": ([1, 2, 3], y), "one": ([2], [4.0]), "none": ([], [])})
    assert colors(tmp_path / "a.png")[chart.COLORS[0]] > 100
    assert read(tmp_path / "a.png").shape == (480, 800, 3)


def test_curves_of_nothing_are_an_empty_frame(tmp_path: Path) -> None:
    write_curves(tmp_path / "a.png", {})
    assert read(tmp_path / "a.png").shape == (480, 800, 3)


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
