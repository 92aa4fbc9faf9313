"""Samples: what they are, that they start from the same draws, that they change nothing, and what cannot be made is told."""

from __future__ import annotations

import io
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from compiler.diagnostics import SpecError
from compiler.front.checked import Checked, check
from netlang.data import READERS
from netlang.data.sequences import ALPHABET
from netlang.training import EvaluationRecord, SampleRecord, StepRecord, Wanted, sample, sampling, train
from netlang.training.checkpoint import list_checkpoints
from netlang.training.sampling import draw_number
from tests.netlang.training.runs import ADVERSARIAL, digest_state, make, only, read_log, run

FACES = """\
  F:
    inputs: {z: [N, 3]}
    layers:
      a: linear(12) -> dropout(0.5) -> sigmoid
      b: reshape(a, [N, 3, 2, 2])
"""
SAMPLE = """\
  sample:
    made: G(z)
    real: point
    faces: F(z)
    one: "F(normal(1, 3))"
"""
TRAINED = """\
    - name: face
      update: F
      minimize: mean(F(z))
      with: adam(lr=1e-3)
"""
GAME = ADVERSARIAL.replace("data:\n", FACES + "data:\n") + TRAINED
SEEN = GAME + SAMPLE
NAMES = ["faces", "one", "made+real"]

TEXT = """\
netlang: 1
name: words
use: [rnn/cells]
networks:
  net:
    inputs: {text: "i64[N, T]"STATE}
    layers:
      e: embedding(text, 96, 8)
      s: "e -> scan(gru(16)FIRST)"
      logits: s -> linear(96)
    outputs: {logits: logits, h: s.h}
data:
  train: text("words.txt", length=6)
train:
  epochs: 2
  batch: 4
LET
  steps:
    - update: net
      minimize: cross_entropy(CALL.logits, next, axis=2)
      with: adam(lr=1e-2)
  sample:
    words: generate(CALL.logits, prompt="the ", length=20, temperature=0.7)
"""
CARRIED = {
    "STATE": ", h: [N, 16]",
    "FIRST": ", h=h",
    "LET": "  carry: {h: out.h}\n  let:\n    h: full(0, N, 16)\n    out: net(text, h)",
    "CALL": "out",
}
WINDOW = {"STATE": "", "FIRST": "", "LET": "", "CALL": "net(text)"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("runs") / "run"
    run(make(SEEN), made)
    return made


def make_text(folder: Path, parts: dict[str, str]) -> Checked:
    text = TEXT
    for name, part in parts.items():
        text = text.replace(name, part)
    (folder / "words.txt").write_text("the cat sat on the mat. the dog sat on the log. " * 6)
    (folder / "words.yaml").write_text(text)
    return check(folder / "words.yaml", readers=READERS).require()


def show(folder: Path, *names: str, **settings: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Samples that are arrays."""
    found = sample(make(SEEN), folder, names, threads=1, **settings)
    return {name: value for name, value in found.items() if not isinstance(value, str)}


def write(checked: Checked, folder: Path, **settings: Any) -> str:
    found = sample(checked, folder, threads=1, **settings)["words"]
    assert isinstance(found, str)
    return found


def read(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_run_writes_pictures_at_each_evaluation(tmp_path: Path) -> None:
    checked = make(SEEN.replace("  batch: 16\n", "  batch: 16\n  evaluate: {every: 5}\n"))
    records = [record for record in run(checked, tmp_path / "run") if isinstance(record, SampleRecord)]
    assert [(record.iteration, record.name) for record in records] == [(number, name) for number in (5, 10, 12) for name in NAMES]
    assert [record.path for record in records[:2]] == [tmp_path / "run" / "samples" / f"{name}-000005.png" for name in NAMES[:2]]
    assert sorted(path.name for path in (tmp_path / "run" / "samples").iterdir()) == sorted(record.path.name for record in records)
    assert read(records[0].path).shape == (8 * 4 - 2, 8 * 4 - 2, 3), "64 pictures of 2 x 2"
    assert read(records[1].path).shape == (2, 2, 3), "one picture is written as it is"


@pytest.mark.parametrize("backend", ["torch", "numpy"])
def test_samples_change_nothing(backend: str, tmp_path: Path) -> None:
    metrics = "  metrics:\n    gap: mean(D(point)) - mean(D(G(z)))\n"
    run(make(GAME + metrics), tmp_path / "blind", backend=backend)
    run(make(SEEN + metrics), tmp_path / "seen", backend=backend)
    assert digest_state(tmp_path / "blind") == digest_state(tmp_path / "seen")
    assert read_log(tmp_path / "blind") == read_log(tmp_path / "seen")


def test_a_sample_does_not_depend_on_the_others(folder: Path) -> None:
    together = show(folder)
    assert list(together) == ["made", "real", "faces", "one"]
    for name, value in together.items():
        np.testing.assert_array_equal(show(folder, name)[name], value)
    assert (show(folder, "faces", seed=1)["faces"] != together["faces"]).any()


def test_samples_are_those_of_the_run_and_of_its_checkpoint(folder: Path, tmp_path: Path) -> None:
    faces = show(folder, "faces")["faces"]
    assert faces.shape == (64, 3, 2, 2)
    last = read(folder / "samples" / "faces-000012.png")
    np.testing.assert_array_equal(last[0:2, 0:2], np.rint(faces[0].transpose(1, 2, 0) * 255))
    np.testing.assert_array_equal(last[4:6, 0:2], np.rint(faces[8].transpose(1, 2, 0) * 255))
    newest = list_checkpoints(folder)[0]
    copy = tmp_path / "unfinished" / newest.name
    copy.mkdir(parents=True)
    for path in newest.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    for weights in (tmp_path / "unfinished", folder / "F.safetensors"):
        np.testing.assert_array_equal(show(weights, "faces")["faces"], faces)


def test_how_many(folder: Path) -> None:
    found = show(folder, wanted=Wanted(count=7))
    assert {name: value.shape[0] for name, value in found.items()} == {"made": 7, "real": 7, "faces": 7, "one": 1}
    assert {name: value.shape[0] for name, value in show(folder).items()} == {"made": 1024, "real": 100, "faces": 64, "one": 1}


def test_both_back_ends_show_the_same_data(folder: Path) -> None:
    real = show(folder, "real")["real"]
    np.testing.assert_array_equal(show(folder, "real", backend="numpy")["real"], real)
    assert show(folder, backend="numpy")["faces"].shape == (64, 3, 2, 2)


@pytest.mark.parametrize("stop_at", [SampleRecord, EvaluationRecord, StepRecord])
def test_stopping_around_an_evaluation_changes_nothing(stop_at: type[SampleRecord | EvaluationRecord | StepRecord], tmp_path: Path) -> None:
    checked = make(SEEN + "  metrics:\n    gap: mean(D(point))\n")
    stopped = False
    for record in train(checked, folder=tmp_path / "run", threads=1):
        if isinstance(record, stop_at) and record.iteration == 6 and not stopped:
            signal.raise_signal(signal.SIGTERM)
            stopped = True
    assert list_checkpoints(tmp_path / "run")[0].name == "step-00000006"
    run(checked, tmp_path / "run", resume=True)
    run(checked, tmp_path / "whole")
    assert digest_state(tmp_path / "run") == digest_state(tmp_path / "whole")
    assert read_log(tmp_path / "run") == read_log(tmp_path / "whole")
    files = [{path.name: path.read_bytes() for path in (tmp_path / name / "samples").iterdir()} for name in ("run", "whole")]
    assert files[0] == files[1]


def test_checkpoints_as_the_spec_says(tmp_path: Path) -> None:
    run(make(SEEN.replace("  batch: 16\n", "  batch: 16\n  checkpoint: {every: 2, keep: 3}\n")), tmp_path / "run")
    assert [path.name for path in list_checkpoints(tmp_path / "run")] == ["step-00000012", "step-00000010", "step-00000008"]


def test_text_with_a_window_and_with_states(tmp_path: Path) -> None:
    window, carried = make_text(tmp_path, WINDOW), make_text(tmp_path, CARRIED)
    written = [record for record in run(window, tmp_path / "run") if isinstance(record, SampleRecord)]
    text = written[-1].path.read_text()
    assert written[-1].path.name == f"words-{written[-1].iteration:06d}.txt"
    assert (text[:4], len(text)) == ("the ", 4 + 20 + 1)
    found = write(window, tmp_path / "run")
    assert found + "\n" == text
    assert write(window, tmp_path / "run", backend="numpy") == found
    short = Wanted(prompt="", length=5)
    by_window, by_states = (write(item, tmp_path / "run", wanted=short) for item in (window, carried))
    assert by_window == by_states, "as long as the window holds all of the text, both are the same"
    assert len(by_window) == 5
    assert write(carried, tmp_path / "run", backend="numpy", wanted=short) == by_states
    run(carried, tmp_path / "carried")
    assert len(list((tmp_path / "carried" / "samples").iterdir())) == 2


def test_states_reach_further_back_than_a_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    carried, window = (make_text(tmp_path, parts | {"length=6": "length=2"}) for parts in (CARRIED, WINDOW))
    run(carried, tmp_path / "run")
    told: list[np.ndarray[Any, Any]] = []

    def look(logits: np.ndarray[Any, Any], *_: object) -> int:
        told.append(logits)
        return 5

    monkeypatch.setattr(sampling, "draw_number", look)
    for checked in (carried, window):
        for prompt in ("the log  ", "zebra!!  "):
            assert write(checked, tmp_path / "run", wanted=Wanted(prompt=prompt, length=3)) == prompt + ALPHABET[5] * 3
    by_states, by_window = np.array(told).reshape(2, 2, 3, 96)
    assert (abs(by_states[0] - by_states[1]).max(1) > 0).all(), "the state knows the beginning of the prompt"
    np.testing.assert_array_equal(*by_window)


def test_likely_characters_are_drawn_often() -> None:
    generator = np.random.default_rng(0)
    logits = np.log(np.array([0.2, 0.7, 0.1], np.float32))
    shares = np.bincount([draw_number(logits, 1.0, generator) for _ in range(4000)]) / 4000
    np.testing.assert_allclose(shares, [0.2, 0.7, 0.1], atol=0.03)
    cold = np.array([0.2, 0.7, 0.1]) ** 2
    shares = np.bincount([draw_number(logits, 0.5, generator) for _ in range(4000)]) / 4000
    np.testing.assert_allclose(shares, cold / cold.sum(), atol=0.03)
    assert {draw_number(logits, 0.0, generator) for _ in range(9)} == {1}
    beyond = np.zeros(200)
    beyond[150] = 50
    assert max(draw_number(beyond, 1.0, generator) for _ in range(50)) < len(ALPHABET)


@pytest.mark.parametrize(
    ("names", "wanted", "code", "words"),
    [
        (["mad"], Wanted(), "NL731", "has no sample `mad`"),
        (["one"], Wanted(count=3), "NL732", "how many `one` are does not depend on N"),
        (["real"], Wanted(count=101), "NL732", "holds 100 examples, not 101"),
        (["made", "real"], Wanted(prompt="x"), "NL732", "`made`, `real` are no text"),
    ],
)
def test_what_cannot_be_made_is_told(folder: Path, names: list[str], wanted: Wanted, code: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        sample(make(SEEN), folder, names, wanted=wanted)
    assert words in only(caught.value, code).message


def test_a_spec_without_samples_is_told_how_to_add_one(folder: Path) -> None:
    with pytest.raises(SpecError) as caught:
        sample(make(GAME), folder)
    assert "`sample: {pictures: G(z)}`" in (only(caught.value, "NL710").help or "")


def test_a_prompt_has_the_characters_of_the_text(tmp_path: Path) -> None:
    checked = make_text(tmp_path, WINDOW)
    with pytest.raises(SpecError) as caught:
        sample(checked, tmp_path, wanted=Wanted(prompt="né é"))
    assert "holds `é`," in only(caught.value, "NL732").message
    strange = make_text(tmp_path, WINDOW | {'"the "': '"thé "'})
    with pytest.raises(SpecError) as caught:
        run(strange, tmp_path / "run")
    assert only(caught.value, "NL732").at is not None
    assert not (tmp_path / "run").exists(), "told before anything is computed"


def test_without_pillow_nothing_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(SpecError) as caught:
        run(make(SEEN), tmp_path / "run")
    only(caught.value, "NL730")
    assert not (tmp_path / "run").exists()


def test_a_picture_is_a_sound_png(folder: Path) -> None:
    data = (folder / "samples" / "made+real-000012.png").read_bytes()
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"
        assert len({picture.convert("RGB").getpixel((x, y)) for x in range(0, 640, 4) for y in range(0, 640, 4)}) > 3
