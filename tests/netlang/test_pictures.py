"""Pictures as a command meets them: where a path leads, what is said of a file that is no picture, and that nothing is written then."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from netlang.api import check
from netlang.data.fields import read_arrays
from tests.netlang.conftest import Netlang

SPEC = """\
netlang: 1
let: {content: "cat.jpg"}
data:
  content: image(content, size=16)
networks:
  net:
    inputs: {x: [N, 3, H, W]}
    layers: {y: "conv(3, 3, pad=1)"}
train:
  iterations: 1
  steps:
    - update: net
      minimize: content_loss(net(content), content)
      with: adam
"""


def png_header(width: int, height: int) -> bytes:
    """A PNG of so many black pixels, without any."""
    kinds = {b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(bytes(100)), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)) for kind, content in kinds.items()
    )


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec in one folder and pictures in another, which is the working one."""
    for name, color in (("specs/cat.jpg", "red"), ("work/cat.jpg", "blue"), ("work/night.png", "lime")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Pillow.new("RGB", (20, 20), color).save(tmp_path / name)
    monkeypatch.chdir(tmp_path / "work")
    path = tmp_path / "specs" / "spec.yaml"
    path.write_text(SPEC)
    return path


def read_color(spec: Path, **constants: str) -> list[int]:
    checked = check(spec, set=constants).require()
    picture = read_arrays(checked.readers["content"], checked.folder)[""]
    return [round(float(value)) for value in picture[0].mean((1, 2))]


def test_paths_of_the_command_line_are_relative_to_the_working_folder(spec: Path, tmp_path: Path) -> None:
    assert read_color(spec) == [1, 0, 0]
    assert read_color(spec, content="cat.jpg") == [0, 0, 1]
    assert read_color(spec, content=str(tmp_path / "work" / "night.png")) == [0, 1, 0]
    assert read_color(spec, content="../specs/cat.jpg") == [1, 0, 0]


def test_texts_in_a_list_of_the_command_line_are_paths_too(spec: Path) -> None:
    spec.write_text(SPEC.replace('content: "cat.jpg"', 'pictures: ["a.jpg", "b.jpg"]').replace("image(content", "image(pictures[1]"))
    assert read_color(spec, pictures='["cat.jpg", "night.png"]') == [0, 1, 0]


def test_what_is_no_picture_is_told_with_its_place_and_nothing_is_written(
    spec: Path, netlang: Netlang, golden: Callable[[str, str], None]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Pillow.fromarray(noise).save("cut.jpg")
    Path("cut.jpg").write_bytes(Path("cut.jpg").read_bytes()[:3000])
    Path("large.png").write_bytes(png_header(10_000, 5_000))
    Path("text.jpg").write_text("this is no picture\n")
    Pillow.new("RGB", (1, 1)).save("dot.png")
    Path("empty.png").touch()
    texts = []
    for name in ("cut.jpg", "large.png", "text.jpg", "dot.png", "empty.png", "none.jpg", "night.jpg", ".", "skimage:chelse"):
        before = {path: path.stat().st_mtime_ns for path in Path().iterdir()}
        result = netlang("train", spec, "--set", f"content={name}", "--backend", "numpy")
        assert (result.code, result.out) == (1, "")
        assert {path: path.stat().st_mtime_ns for path in Path().iterdir()} == before
        texts.append(result.err.replace(str(spec), "spec.yaml"))
    golden("picture_messages", "\n".join(texts))
