from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from compiler.front.readers import ReaderError
from netlang.data import bundled_pictures, images, read_arrays
from netlang.data.images import Image, Images


def save(path: Path, picture: Pillow.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


def flat(color: str | int | tuple[int, ...], mode: str = "RGB", size: tuple[int, int] = (6, 4)) -> Pillow.Image:
    return Pillow.new(mode, size, color)


def halves(width: int, height: int) -> Pillow.Image:
    """Red on the left, blue on the right."""
    picture = Pillow.new("RGB", (width, height), "blue")
    picture.paste((255, 0, 0), (0, 0, width // 2, height))
    return picture


def test_class_folders_are_numbered_in_sorted_order(tmp_path: Path) -> None:
    save(tmp_path / "pets" / "dog" / "1.png", flat("red"))
    save(tmp_path / "pets" / "cat" / "2.jpg", flat("white"))
    save(tmp_path / "pets" / "cat" / "1.BMP", flat("black"))
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("not a picture")
    (tmp_path / "pets" / ".cache").mkdir()
    reader = Images("pets", (2, 3))
    assert {name: str(field) for name, field in reader.fields(tmp_path).items()} == {"image": "[N, 3, 2, 3]", "label": "i64[N]"}
    arrays = read_arrays(reader, tmp_path)
    assert arrays["label"].tolist() == [0, 0, 1]
    np.testing.assert_allclose(arrays["image"].mean((2, 3)), [[0, 0, 0], [1, 1, 1], [1, 0, 0]], atol=0.01)


def test_grey_pictures(tmp_path: Path) -> None:
    save(tmp_path / "p" / "a" / "1.png", flat(128, "L"))
    save(tmp_path / "p" / "a" / "2.png", flat((255, 255, 255)))
    arrays = read_arrays(Images("p", 4, channels=1), tmp_path)
    assert arrays["image"].shape == (2, 1, 4, 4)
    np.testing.assert_allclose(arrays["image"].mean((1, 2, 3)), [128 / 255, 1], rtol=1e-6)


def test_one_picture_is_a_single_tensor(tmp_path: Path) -> None:
    save(tmp_path / "a.png", flat("blue"))
    assert {name: str(field) for name, field in Image("a.png", 8).fields(tmp_path).items()} == {"": "[1, 3, 8, 8]"}
    picture = read_arrays(Image("a.png", (2, 5)), tmp_path)[""]
    assert picture.shape == (1, 3, 2, 5)
    np.testing.assert_array_equal(picture[0, :, 0, 0], [0, 0, 1])


def test_the_cut_is_around_the_centre_and_keeps_proportions(tmp_path: Path) -> None:
    save(tmp_path / "a.png", halves(40, 10))
    picture = read_arrays(Image("a.png", 10), tmp_path)[""]
    np.testing.assert_array_equal(picture[0, 0], np.repeat([[1.0] * 5 + [0.0] * 5], 10, axis=0))


def test_the_exif_turn_is_obeyed(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    save(tmp_path / "a.png", halves(10, 10), exif=exif)
    picture = read_arrays(Image("a.png", 10), tmp_path)[""]
    assert picture[0, 0, :5].min() == 1
    assert picture[0, 0, 5:].max() == 0


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (flat((255, 0, 0, 0), "RGBA"), [1, 1, 1]),
        (flat((255, 0, 0, 255), "RGBA"), [1, 0, 0]),
        (flat((0, 128), "LA"), [127 / 255] * 3),
        (flat(1, "1"), [1, 1, 1]),
        (flat(65535, "I;16"), [1, 1, 1]),
        (flat(257 * 51, "I;16"), [0.2, 0.2, 0.2]),
        (flat("lime").convert("P"), [0, 1, 0]),
    ],
)
def test_every_kind_of_pixel(tmp_path: Path, picture: Pillow.Image, expected: list[float]) -> None:
    save(tmp_path / "a.png", picture)
    np.testing.assert_allclose(read_arrays(Image("a.png", 4), tmp_path)[""][0, :, 0, 0], expected, atol=1e-6)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [5001, 12_000, 60_000])
def test_a_picture_of_too_many_pixels_is_refused_undecoded(tmp_path: Path, side: int) -> None:
    (tmp_path / "a.png").write_bytes(png_header(side, side))
    with pytest.raises(ReaderError, match=r"`a.png`: .* more than the limit of 25,000,000 pixels") as caught:
        Image("a.png", 4).read(tmp_path)
    assert caught.value.code == "NL505"


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.ppm", "a.webp"])
@pytest.mark.parametrize("damage", [truncate, lambda _: b"", lambda content: b"GIF89a" + content, lambda content: content[:20]])
def test_damaged_files_are_named(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    path = save(tmp_path / name, Pillow.fromarray(noise))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ReaderError, match=f"`{name}` is damaged or no picture") as caught:
        Image(name, 4).read(tmp_path)
    assert caught.value.code == "NL504"


def test_folders_without_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    with pytest.raises(ReaderError, match="`p` holds no folders"):
        Images("p", 4).read(tmp_path)
    (tmp_path / "p" / "cat").mkdir()
    with pytest.raises(ReaderError, match="`p/cat` holds no pictures"):
        Images("p", 4).read(tmp_path)
    with pytest.raises(ReaderError, match="there is no folder `q`"):
        Images("q", 4).read(tmp_path)


def test_links_out_of_the_spec_folder_are_refused(tmp_path: Path) -> None:
    outside = save(tmp_path / "outside" / "cat" / "1.png", flat("red"))
    spec = tmp_path / "spec"
    (spec / "p" / "cat").mkdir(parents=True)
    (spec / "p" / "cat" / "1.png").symlink_to(outside)
    with pytest.raises(ReaderError, match=r"`p/cat/1.png` leaves the spec's folder"):
        Images("p", 4).read(spec)


def test_the_whole_set_is_held_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "p" / "cat" / "1.png", flat("red"))
    monkeypatch.setattr(images, "LARGEST_DATA", 4 * 3 * 4 * 4)
    assert read_arrays(Images("p", 4), tmp_path)["image"].shape == (1, 3, 4, 4)
    with pytest.raises(ReaderError, match="need more than 192 bytes"):
        Images("p", 5).read(tmp_path)


@pytest.mark.parametrize(("size", "sides"), [(20, (15, 20)), ((60, 40), (30, 40)), ((6, 100), (6, 8))])
def test_a_whole_picture_fits_into_its_size_in_its_own_proportions(
    tmp_path: Path, size: int | tuple[int, int], sides: tuple[int, int]
) -> None:
    save(tmp_path / "a.png", halves(40, 30))
    reader = Image("a.png", size, fit="whole")
    picture = read_arrays(reader, tmp_path)[""]
    assert picture.shape == (1, 3, *sides)
    assert [str(field) for field in reader.fields(tmp_path).values()] == [f"[1, 3, {sides[0]}, {sides[1]}]"]
    assert picture[0, 0, 0, 0] == 1
    assert picture[0, 0, 0, -1] == 0


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_size_of_a_whole_picture_is_that_of_the_turned_one(tmp_path: Path, turn: int) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = turn
    save(tmp_path / "a.jpg", halves(32, 16), exif=exif)
    shape = read_arrays(Image("a.jpg", 16, fit="whole"), tmp_path)[""].shape
    assert shape == ((1, 3, 8, 16) if turn < 5 else (1, 3, 16, 8))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_a_picture_of_one_pixel_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    save(tmp_path / "a.png", flat("red", size=size))
    with pytest.raises(ReaderError, match=f"`a.png` has {size[0]}x{size[1]} pixels: that is no picture") as caught:
        Image("a.png", 4).read(tmp_path)
    assert caught.value.code == "NL504"


def test_text_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("not a picture\n" * 100)
    with pytest.raises(ReaderError, match=r"`a.jpg` is damaged or no picture: no known format$"):
        Image("a.jpg", 4).read(tmp_path)


@pytest.mark.parametrize("name", [f"{package}:{name}" for package, files in bundled_pictures.FILES.items() for name in files])
def test_bundled_pictures(name: str) -> None:
    picture = read_arrays(Image(name, 32, fit="whole"), None)[""]
    assert max(picture.shape) == 32
    assert picture.std() > 0.02


def test_names_of_bundled_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReaderError, match="`skimage` brings no picture `astronat`") as caught:
        Image("skimage:astronat", 4).read(None)
    assert (caught.value.code, caught.value.help) == ("NL501", "did you mean `skimage:astronaut`?")
    save(tmp_path / "a:b.png", flat("red"))
    assert read_arrays(Image("a:b.png", 4), tmp_path)[""].shape == (1, 3, 4, 4)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ReaderError, match="comes with the package `scikit-learn`") as caught:
        Image("sklearn:china", 4).read(None)
    assert caught.value.code == "NL503"
