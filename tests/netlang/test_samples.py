"""The commands `sample` and `plot`: what they write and print, and what they say when that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import netlang as package
from compiler.ir.training import Program
from netlang.checking import check
from netlang.curves import thin
from netlang.report.runs import label_steps
from tests.netlang.conftest import Netlang

SPEC = """\
netlang: 1
name: seen
networks:
  G:
    inputs: {z: [N, 2]}
    layers: {a: linear(2)}
  F:
    inputs: {z: [N, 2]}
    layers: {a: linear(4) -> sigmoid, b: "reshape(a, [N, 1, 2, 2])"}
data:
  train: text("words.txt", length=4)
train:
  iterations: 2
  batch: 4
  draw:
    z: normal(N, 2)
  steps:
    - update: [G, F]
      minimize: mean(G(z) ** 2) + mean(F(z))
      with: sgd(lr=0.1)
    - name: reader
      update: R
      minimize: cross_entropy(R(text), next, axis=2)
      with: adam
  sample:
    points: G(z)
    faces: F(z)
    words: generate(R(text), prompt="a", length=9)
"""
READER = """\
  R:
    inputs: {text: "i64[N, T]"}
    layers: {e: "embedding(text, 96, 4)", y: linear(96)}
data:
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, netlang: Netlang) -> Path:
    """A spec in the working folder, with its run in `run`."""
    monkeypatch.chdir(tmp_path)
    Path("words.txt").write_text("abcd" * 50)
    path = Path("seen.yaml")
    path.write_text(SPEC.replace("data:\n", READER))
    done = netlang("train", path, "--run", "run")
    assert done.code == 0, done.err
    samples = [Path("run/samples") / name for name in ("faces-000002.png", "points-000002.png", "words-000002.txt")]
    assert set(done.out.splitlines()) == {*map(str, samples), *(f"run/{name}.safetensors" for name in "GFR")}
    assert all(path.exists() for path in samples)
    return path


def sides(path: str) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_pictures_go_into_files_and_text_is_printed(spec: Path, netlang: Netlang) -> None:
    done = netlang("sample", spec, "--weights", "run")
    assert (done.code, done.err) == (0, "")
    text, *paths = done.out.splitlines()
    assert (text[0], len(text), sorted(paths)) == ("a", 10, ["faces.png", "points.png"])
    assert Path("faces.png").read_bytes() == Path("run/samples/faces-000002.png").read_bytes()
    again = netlang("sample", spec, "points", "--weights", "run")
    assert (again.code, again.out) == (2, "")
    assert "`points.png` exists already" in again.err
    assert netlang("sample", spec, "points", "--weights", "run", "--force").code == 0


def test_one_file_of_each_kind(spec: Path, netlang: Netlang) -> None:
    for arguments in (["faces", "--count", 4, "--out", "a.jpg"], ["words", "--out", "a.txt"], ["--count", 5, "--out", "new/a.npz"]):
        done = netlang("sample", spec, *arguments, "--weights", "run")
        assert (done.code, done.out) == (0, f"{arguments[-1]}\n"), done.err
    assert sides("a.jpg") == (2 * 2 + 2, 2 * 2 + 2)
    assert Path("a.txt").read_text() == Path("run/samples/words-000002.txt").read_text()
    with np.load("new/a.npz") as arrays:
        assert {name: array.shape for name, array in arrays.items()} == {"points": (5, 2), "faces": (5, 1, 2, 2), "words": ()}
    done = netlang("sample", spec, "--weights", "run", "--out", "folder")
    assert sorted(path.name for path in Path("folder").iterdir()) == ["faces.png", "points.png", "words.txt"]


def test_the_last_samples_of_a_run_go_where_they_are_wanted(spec: Path, netlang: Netlang) -> None:
    done = netlang("train", spec, "--run", "second", "--out", "last")
    assert done.code == 0, done.err
    assert sorted(path.name for path in Path("last").iterdir()) == ["faces.png", "points.png", "words.txt"]
    assert Path("last/faces.png").read_bytes() == Path("second/samples/faces-000002.png").read_bytes()
    refused = netlang("train", spec, "--run", "third", "--out", "last")
    assert refused.code == 2
    assert not Path("third").exists(), "nothing is computed that could not be written"
    lines = spec.read_text().splitlines(keepends=True)
    spec.write_text("".join(line for line in lines if "points: G" not in line and "words: gen" not in line))
    assert netlang("train", spec, "--run", "third", "--out", "one.jpg").code == 0
    with Image.open("one.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", sides("third/samples/faces-000002.png"))


def test_text_as_it_is_asked_for(spec: Path, netlang: Netlang) -> None:
    arguments = ["sample", spec, "words", "--weights", "run", "--prompt", "b", "--length", 30, "--temperature", 9]
    first = netlang(*arguments).out
    assert (first[0], len(first.rstrip("\n"))) == ("b", 31)
    assert netlang(*arguments).out == first
    assert netlang(*arguments, "--seed", 5).out != first


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["sample", "seen.yaml"], 1, "there are no weights for `G`"),
        (["sample", "seen.yaml", "face", "--weights", "run"], 2, "has no sample `face`\n = help: did you mean `faces`?"),
        (["sample", "lenet5", "--weights", "run"], 1, "`sample: {pictures: G(z)}`"),
        (["sample", "seen.yaml", "--weights", "run", "--out", "a.png"], 2, "do not go into one file `a.png`"),
        (["sample", "seen.yaml", "words", "--weights", "run", "--out", "a.png"], 2, "call the file `words.txt`"),
        (["sample", "seen.yaml", "faces", "--weights", "run", "--out", "a.gif"], 1, "pictures end in .png, .jpg, .jpeg"),
        (["sample", "seen.yaml", "words", "--weights", "run", "--count", 3], 1, "how many `words` are does not depend on N"),
        (["sample", "seen.yaml", "words", "--weights", "run", "--prompt", "ü"], 1, "holds `ü`"),
        (["sample", "seen.yaml", "--weights", "run/G.safetensors"], 1, "the samples need `G`, `F`, `R`"),
        (["train", "seen.yaml", "--out", "a.png"], 2, "do not go into one file `a.png`"),
        (["train", "lenet5", "--out", "a.png"], 1, "`sample: {pictures: G(z)}`"),
        (["train", "seen.yaml", "--out", "a.npz"], 1, "pictures end in .png, .jpg, .jpeg"),
        (["plot", "nowhere"], 2, "there is no log `nowhere/metrics.jsonl`"),
        (["plot", "run", "--out", "a.pdf"], 1, "pictures end in .png, .jpg, .jpeg"),
    ],
)
def test_mistakes(spec: Path, netlang: Netlang, arguments: list[object], code: int, words: str) -> None:
    before = sorted(Path().iterdir())
    done = netlang(*arguments)
    assert (done.code, done.out) == (code, ""), done.err
    assert words in done.err
    assert sorted(Path().iterdir()) == before


def test_the_embed_api_gives_arrays_and_text(spec: Path) -> None:
    found = package.sample(spec, "run", "faces", "words", count=3, length=2, threads=1)
    assert list(found) == ["faces", "words"]
    assert isinstance(found["faces"], np.ndarray)
    assert found["faces"].shape == (3, 1, 2, 2)
    assert len(found["words"]) == 3


def test_curves_are_drawn_after_a_run_and_on_request(spec: Path, netlang: Netlang) -> None:
    assert sides("run/curves.png") == (800, 480)
    Path("run/curves.png").unlink()
    assert netlang("plot", "run").out == "run/curves.png\n"
    assert netlang("plot", "run").code == 0, "a run's own picture is drawn anew"
    assert netlang("plot", "run", "--out", "a.jpg").out == "a.jpg\n"
    assert netlang("plot", "run", "--out", "a.jpg").code == 2
    names = {json.loads(line)["step"] for line in Path("run/metrics.jsonl").read_text().splitlines()}
    assert names == {"step_1", "reader"}


@pytest.mark.parametrize("count", [0, 1, 1600, 1601, 100_000])
def test_long_curves_are_thinned(count: int) -> None:
    x, y = thin((list(range(count)), [2.0 * item for item in range(count)]))
    assert len(x) == len(y) <= 1600
    assert len(x) >= min(count, 800)
    assert [2 * item for item in x] == y
    assert sorted(x) == list(x)


def test_steps_are_called_by_their_name_or_by_what_they_alone_update(spec: Path) -> None:
    program = check(spec).require().program
    assert isinstance(program, Program)
    assert label_steps(program) == {"step_1": "G+F", "reader": "reader"}
