from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compiler.front.readers import ReaderError, TrustedPath
from netlang.data import idx, read_arrays
from netlang.data.idx import FashionMnist, Idx


def encode(array: np.ndarray[Any, Any], code: int = 8) -> bytes:
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()


PICTURES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4) * 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").write_bytes(encode(PICTURES))
    (tmp_path / "labels.gz").write_bytes(gzip.compress(encode(np.array([7, 9]))))
    return tmp_path


def test_pictures_and_labels(folder: Path) -> None:
    reader = Idx("images", "labels.gz")
    assert {name: str(field) for name, field in reader.fields(folder).items()} == {"image": "[N, 1, 3, 4]", "label": "i64[N]"}
    arrays = read_arrays(reader, folder)
    np.testing.assert_array_equal(arrays["image"], PICTURES[:, None].astype(np.float32) / np.float32(255))
    assert arrays["label"].tolist() == [7, 9]


def test_bytes_as_they_are(folder: Path) -> None:
    reader = Idx("images", scale=False)
    assert str(reader.fields(folder)["image"]) == "u8[N, 1, 3, 4]"
    np.testing.assert_array_equal(read_arrays(reader, folder)["image"], PICTURES[:, None])


def test_other_ranks_stay(folder: Path) -> None:
    (folder / "rows").write_bytes(encode(np.zeros((5, 6))))
    assert str(Idx("rows").fields(folder)["image"]) == "[N, 6]"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not begin like an IDX file"),
        (b"PNG....", "does not begin like an IDX file"),
        (b"\0\0\x08\x03\0\0", "ends inside its header"),
        (encode(PICTURES, code=13), "type code 13"),
        (encode(PICTURES)[:-1], r"tells of 24 numbers \[2, 3, 4\] but it holds 23"),
        (encode(PICTURES) + b"\0", "but it holds more"),
        (gzip.compress(encode(PICTURES), mtime=0)[:-9], "cannot be unpacked"),
        (b"\0\0\x08\x02\xff\xff\xff\xff\xff\xff\xff\xff", "more than the limit"),
        (b"\0\0\x08\x02\0\1\0\0\0\1\0\0", "says that it unpacks to 4,294,967,296"),
    ],
)
def test_damaged_files_are_named(folder: Path, content: bytes, message: str) -> None:
    (folder / "bad").write_bytes(content)
    with pytest.raises(ReaderError, match=message) as caught:
        Idx("bad").read(folder)
    assert "`bad`" in caught.value.message
    assert caught.value.attribute == "images"


def test_labels_must_fit_the_pictures(folder: Path) -> None:
    (folder / "three").write_bytes(encode(np.zeros(3)))
    for action in (Idx("images", "three").fields, Idx("images", "three").read):
        with pytest.raises(ReaderError, match=r"labels \[3\] for 2 pictures") as caught:
            action(folder)
        assert caught.value.attribute == "labels"


@pytest.fixture
def clothes(tmp_path: Path) -> Path:
    home = tmp_path / "fashion-mnist"
    home.mkdir()
    for stem, count in (("train", 5), ("t10k", 3)):
        images = np.full((count, 28, 28), 255)
        (home / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(encode(images)))
        (home / f"{stem}-labels-idx1-ubyte").write_bytes(encode(np.arange(count)))
    return tmp_path


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(idx, "DEBIAN_FOLDER", tmp_path / "absent")
    monkeypatch.delenv(idx.DATA_VARIABLE, raising=False)


@pytest.mark.usefixtures("nowhere")
def test_fashion_mnist_from_a_folder(clothes: Path) -> None:
    train = read_arrays(FashionMnist(folder="fashion-mnist"), clothes)
    assert train["image"].shape == (5, 1, 28, 28)
    assert train["image"].dtype == np.float32
    assert train["label"].tolist() == [0, 1, 2, 3, 4]
    padded = read_arrays(FashionMnist(split="test", size=32, folder=TrustedPath(clothes / "fashion-mnist")), None)["image"]
    assert padded.shape == (3, 1, 32, 32)
    assert padded.sum() == 3 * 28 * 28
    assert padded[:, :, 2:30, 2:30].min() == 1


@pytest.mark.usefixtures("nowhere")
def test_fashion_mnist_from_the_data_folder(clothes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(idx.DATA_VARIABLE, str(clothes))
    assert len(read_arrays(FashionMnist(split="test"), None)["label"]) == 3


@pytest.mark.usefixtures("nowhere")
def test_fashion_mnist_absent_says_how_to_get_it(tmp_path: Path) -> None:
    assert str(FashionMnist().fields(None)["image"]) == "[N, 1, 28, 28]"
    with pytest.raises(ReaderError) as caught:
        FashionMnist().read(None)
    assert caught.value.help is not None
    assert "apt-get install dataset-fashion-mnist" in caught.value.help
    with pytest.raises(ReaderError, match=r"there is no file `here/train-images-idx3-ubyte\.gz`"):
        FashionMnist(folder="here").read(tmp_path)


@pytest.mark.usefixtures("nowhere")
def test_fashion_mnist_does_not_follow_links_out(clothes: Path, tmp_path: Path) -> None:
    spec = tmp_path / "spec"
    (spec / "data").mkdir(parents=True)
    for path in (clothes / "fashion-mnist").iterdir():
        (spec / "data" / path.name).symlink_to(path)
    with pytest.raises(ReaderError, match="leaves the spec's folder"):
        FashionMnist(folder="data").read(spec)


@pytest.mark.usefixtures("nowhere")
def test_fashion_mnist_of_some_classes(clothes: Path) -> None:
    some = FashionMnist(classes=(3, 1), folder="fashion-mnist")
    assert read_arrays(some, clothes)["label"].tolist() == [1, 3]
    with pytest.raises(ReaderError, match="no class is left"):
        FashionMnist(classes=()).fields(None)
