"""Networks whose weights a run leaves in the file that its spec names; variables beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import netlang
from compiler.diagnostics import SpecError
from netlang.comparison import compare
from netlang.model import Backend
from netlang.training import CheckpointRecord, Finished, Record
from netlang.training import train as run_checked
from netlang.training.checkpoint import list_checkpoints
from tests.netlang.training.foreign import SPEC, draw_state, save
from tests.netlang.training.runs import digest_state, only

PROGRAM = """\
data: {seen: 'image("skimage:astronaut", size=12)'}
variables: {canvas: {init: "seen + normal(shape(seen), std=0.1)"}}
train:
  iterations: 4
  steps: [{update: canvas, minimize: mean((net(canvas) - net(seen)) ** 2), with: adam(lr=0.01)}]
  sample: {picture: canvas}
"""
PRODUCT = PROGRAM + "  metrics: {distance: mean((net(canvas) - net(seen)) ** 2)}\n"
EVERYTHING = {"net.safetensors", "canvas.safetensors"}


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NETLANG_WEIGHTS", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NETLANG_CACHE", str(tmp_path / "converted"))


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    save(tmp_path / "small.pth")
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC + PRODUCT)
    return path


def train(spec: Path, **options: object) -> list[Record]:
    return list(netlang.train(spec, folder=spec.parent / "run", threads=1, **options))  # type: ignore[arg-type]


def start(spec: Path) -> Path:
    """A run that was left after its second iteration."""
    folder = spec.parent / "half"
    records: Iterator[Record] = run_checked(netlang.check(spec).require(), folder=folder, threads=1, save_every=2)
    for record in records:
        if isinstance(record, CheckpointRecord) and record.iteration == 2:
            break
    records.close()  # type: ignore[attr-defined]
    return folder


def test_neither_checkpoints_nor_the_end_hold_them(spec: Path) -> None:
    end = train(spec)[-1]
    assert isinstance(end, Finished)
    assert end.weights == {"canvas": end.folder / "canvas.safetensors"}
    assert not list(end.folder.rglob("*net.safetensors"))
    told = json.loads((list_checkpoints(end.folder)[0] / "progress.json").read_text())["frozen"]
    file = spec.parent / "small.pth"
    assert told == {"net": {"file": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}}


@pytest.mark.parametrize(
    ("old", "new"), [("update: canvas", "update: [net, canvas]"), ("update: canvas,", "update: canvas, mode: {net: train},"), ("", "")]
)
def test_what_may_change_is_held(spec: Path, old: str, new: str) -> None:
    spec.write_text(spec.read_text().replace(old, new) if old else spec.read_text())
    train(spec, **({} if old else {"weights": save(spec.parent / "given.pth", draw_state(1))}))
    assert {path.name for path in (spec.parent / "run").glob("*.safetensors")} == EVERYTHING
    assert "network.net.safetensors" in digest_state(spec.parent / "run")


def test_a_resumed_run_finds_them_again(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(spec)
    folder = start(spec)
    found = netlang.evaluate(spec, folder)
    (spec.parent / "other").mkdir()
    (spec.parent / "small.pth").rename(spec.parent / "other" / "small.pth")
    with pytest.raises(SpecError) as caught:
        list(netlang.train(spec, folder=folder, resume=True))
    only(caught.value, "NL601")
    monkeypatch.setenv("NETLANG_WEIGHTS", str(spec.parent / "other"))
    assert netlang.evaluate(spec, folder) == found
    list(netlang.train(spec, folder=folder, resume=True, threads=1))
    assert digest_state(folder) == digest_state(spec.parent / "run")


def test_a_changed_file_is_refused(spec: Path) -> None:
    train(spec)
    folder = start(spec)
    before = digest_state(folder)
    save(spec.parent / "small.pth", draw_state(1))
    for call in (
        lambda: list(netlang.train(spec, folder=folder, resume=True)),
        lambda: netlang.evaluate(spec, folder),
        lambda: netlang.evaluate(spec, spec.parent / "run"),
        lambda: netlang.build(spec, spec.parent / "built", weights=spec.parent / "run"),
    ):
        with pytest.raises(SpecError) as caught:
            call()
        assert "the weights of `net` have changed" in only(caught.value, "NL717").message
    assert digest_state(folder) == before
    assert not (spec.parent / "built").exists()
    (spec.parent / "small.pth").write_bytes(b"\0" * 100)
    with pytest.raises(SpecError) as caught:
        list(netlang.train(spec, folder=folder, resume=True))
    only(caught.value, "NL717")


@pytest.mark.parametrize("backend", ["torch", "numpy"])
def test_networks_with_variables_are_loaded_and_built(spec: Path, backend: Backend) -> None:
    """A variable has the value with which a run begins, or that at which one ended."""
    folder = start(spec)
    first = netlang.load(spec, backend=backend)
    np.testing.assert_array_equal(np.asarray(first.parameters["net"]["conv1_1.weight"]), draw_state()["features.0.weight"])
    canvas = np.asarray(first.parameters["canvas"]["value"])
    content = netlang.check(spec).require().readers["seen"].read(None)[""]
    assert 0.05 < (canvas - content).std() < 0.15
    assert not np.array_equal(np.asarray(netlang.load(spec, backend=backend, seed=1).parameters["canvas"]["value"]), canvas)
    given = netlang.load(spec, backend=backend, weights=save(spec.parent / "given.pth", draw_state(1)))
    np.testing.assert_array_equal(np.asarray(given.parameters["net"]["conv1_1.weight"]), draw_state(1)["features.0.weight"])
    np.testing.assert_array_equal(np.asarray(given.parameters["canvas"]["value"]), canvas)
    trained = netlang.load(spec, backend=backend, weights=folder)
    assert 0 < np.abs(np.asarray(trained.parameters["canvas"]["value"]) - canvas).max() < 0.1
    np.testing.assert_array_equal(np.asarray(trained.parameters["net"]["conv1_1.weight"]), draw_state()["features.0.weight"])
    built = {path.name for path in netlang.build(spec, spec.parent / "built", to=backend, weights=spec.parent / "given.pth")}
    assert built >= EVERYTHING | {"model.py"}
    again = netlang.load(spec, backend=backend, weights=spec.parent / "built")
    np.testing.assert_array_equal(np.asarray(again.parameters["net"]["conv1_1.weight"]), draw_state(1)["features.0.weight"])


def test_comparison_takes_them_where_they_are(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("netlang.comparison.set_parameters", lambda _, arrays: seen.append(arrays))
    checked = netlang.check(spec).require()
    compare(checked, batch=1)
    kernels = [arrays["conv1_1.weight"] for arrays in seen if "conv1_1.weight" in arrays]
    assert kernels
    for kernel in kernels:
        np.testing.assert_array_equal(kernel, draw_state()["features.0.weight"].double())
    assert all(arrays["value"].any() for arrays in seen if "value" in arrays)
    monkeypatch.undo()
    (spec.parent / "small.pth").unlink()
    assert compare(checked, batch=1).first is None
