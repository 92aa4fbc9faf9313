"""The specs of style transfer: what they read of VGG, and that a picture is found with drawn features on both back ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import netlang
from compiler.ir.training import Adam
from compiler.passes.program_plan import plan_spec
from netlang.model import Backend
from netlang.training import StepRecord
from netlang.training.engines import make_engine
from netlang.training.feed import Feed
from netlang.training.loop import Inputs
from netlang.training.weights import encode_weights, expected_types
from netlang.weights import store_array

NAMES = ("gatys", "gatys_vgg16")


def write_he(path: Path, spec: str) -> Path:
    """Features drawn after He et al. 2015."""
    generator = np.random.default_rng(0)
    types = expected_types(netlang.check(spec).require().networks["features"])
    arrays = {}
    for key, type in types.items():
        shape = [dim.constant or 0 for dim in type.shape]
        deviation = np.sqrt(2 / np.prod(shape[1:])) if len(shape) == 4 else 0
        arrays[key] = (generator.standard_normal(shape) * deviation).astype(np.float32)
    path.write_bytes(b"".join(bytes(part) for part in encode_weights({key: store_array(array) for key, array in arrays.items()})))
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("pooling", "start"), [("max", "content"), ("avg", "noise")])
def test_only_the_picture_is_trained(name: str, pooling: str, start: str) -> None:
    checked = netlang.check(f"style/{name}", set={"pooling": pooling, "size": 100, "content": "skimage:chelsea", "start": start}).require()
    assert checked.program is not None
    assert [step.update for step in checked.program.steps] == [("canvas",)]
    assert [str(value.type) for value in checked.networks["canvas"].outputs.values()] == ["[1, 3, 67, 100]"]
    assert list(checked.weights) == ["features"]
    kinds = {node.op.name for node in checked.networks["features"].nodes}
    assert "linear" not in kinds


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("keep_color", [False, True])
def test_a_second_picture_shares_in_the_style(name: str, keep_color: bool) -> None:
    given = {"size": 64, "second": "sklearn:flower", "keep_color": keep_color}
    checked = netlang.check(f"style/{name}", set=given).require()
    assert not checked.diagnostics
    alone = netlang.check(f"style/{name}", set={"size": 64, "keep_color": keep_color}).require()
    assert not alone.diagnostics
    found = []
    for item in (checked, alone):
        (shared,) = plan_spec(item).shared
        assert shared.constant
        found.append([str(value.type) for value in shared.graph.outputs.values()])
    grams = ["[1, 64, 64]", "[1, 128, 128]", "[1, 256, 256]", "[1, 512, 512]", "[1, 512, 512]"]
    assert sorted(found[1]) == sorted([*grams, "[1, 512, 8, 8]"])
    assert sorted(found[0]) == sorted([*found[1], *grams])


def test_other_optimizers() -> None:
    program = netlang.check("style", set={"optimizer": "adam", "size": 64, "every": 10}).require().program
    assert program is not None
    assert isinstance(program.steps[0].optimizer, Adam)
    assert (program.iterations, program.evaluate_every) == (300, 10)


@pytest.mark.slow
def test_the_colours_of_the_content_stay(tmp_path: Path) -> None:
    """Where only brightness is transferred, what each pixel's colours differ by is the content's."""
    weights = write_he(tmp_path / "he.safetensors", "style/gatys_vgg16")
    constants = {"size": 32, "keep_color": True, "iterations": 2, "optimizer": "adam"}
    for _ in netlang.train("style/gatys_vgg16", set=constants, folder=tmp_path / "run", weights=weights, threads=1):
        pass
    checked = netlang.check("style/gatys_vgg16", set=constants).require()
    content = checked.readers["scene"].read(checked.folder)[""]
    picture = netlang.sample(checked, tmp_path / "run")["picture"]
    assert isinstance(picture, np.ndarray)
    assert np.abs(picture - content).max() > 1e-3
    np.testing.assert_allclose(picture[:, :2] - picture[:, 1:], content[:, :2] - content[:, 1:], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_objective_falls_a_hundredfold_in_a_hundred_steps(name: str, tmp_path: Path) -> None:
    """One picture gives content and style, so that there is a picture whose objective is 0; of two, the features conflict."""
    weights = write_he(tmp_path / "he.safetensors", f"style/{name}")
    constants: dict[str, object] = {"size": 64, "start": "noise", "alpha": 1, "beta": 1e3, "variation": 0, "pooling": "avg"}
    constants["style"] = constants["content"] = "skimage:astronaut"
    found = {}
    lengths: tuple[tuple[Backend, int], ...] = (("torch", 6), ("numpy", 2))
    for backend, length in lengths:
        given = constants | {"iterations": length}
        records = netlang.train(f"style/{name}", set=given, folder=tmp_path / backend, backend=backend, weights=weights, threads=1)
        found[backend] = [record.objective for record in records if isinstance(record, StepRecord)]
    assert found["torch"][0] > 100 * found["torch"][5], "the sixth record is after a hundred steps of L-BFGS"
    np.testing.assert_allclose(found["numpy"][0], found["torch"][0], rtol=1e-4)
    np.testing.assert_allclose(found["numpy"][1], found["torch"][1], rtol=0.05)


@pytest.mark.slow
def test_two_pictures_from_noise_as_the_paper_weighs_them(tmp_path: Path) -> None:
    """Average pooling, alpha 1e-3, beta 1, 64 pixels, drawn features: a hundred steps take the objective down a hundredfold."""
    given: dict[str, object] = {"size": 64, "start": "noise", "alpha": 1e-3, "beta": 1, "variation": 0, "pooling": "avg", "iterations": 6}
    given |= {"content": "skimage:astronaut", "style": "skimage:coffee"}
    weights = write_he(tmp_path / "he.safetensors", "style/gatys")
    records = netlang.train("style/gatys", set=given, folder=tmp_path / "run", weights=weights, threads=1)
    objectives = [record.objective for record in records if isinstance(record, StepRecord)]
    assert objectives[0] > 100 * objectives[5]


@pytest.mark.slow
def test_both_back_ends_paint_alike_for_twenty_steps(tmp_path: Path) -> None:
    """In f64; the objective after twenty steps of L-BFGS, each of one evaluation at least, is the second record's."""
    weights = write_he(tmp_path / "he.safetensors", "style/gatys")
    given: dict[str, object] = {"size": 32, "start": "noise", "iterations": 2, "content": "skimage:astronaut", "style": "skimage:coffee"}
    found = {}
    backends: tuple[Backend, ...] = ("torch", "numpy")
    for backend in backends:
        folder = tmp_path / backend
        records = netlang.train("style/gatys", set=given, folder=folder, backend=backend, weights=weights, threads=1, dtype="f64")
        found[backend] = [record.objective for record in records if isinstance(record, StepRecord)]
    assert found["torch"][1] < found["torch"][0] / 5
    np.testing.assert_allclose(found["numpy"], found["torch"], rtol=1e-3)


@pytest.mark.parametrize(("name", "settings"), [("deepdream", {"size": 48}), ("invert", {"size": 48}), ("fast", {"size": 32, "shown": 48})])
def test_neighbours_take_a_step_that_changes_what_they_train(name: str, settings: dict[str, int]) -> None:
    checked = netlang.check(f"style/{name}", set=settings).require()
    assert checked.program is not None
    (step,) = checked.program.steps
    engine, feed = make_engine(checked, 0, 10, "torch", "cpu", 1), Feed(checked, 0)
    fixed = engine.place(feed.fixed)
    engine.begin(fixed)
    before = {name: {key: bytes(item.data) for key, item in found.items()} for name, found in engine.weights().items()}
    found = engine.update(0, Inputs(feed, engine, fixed).read(step.graph), 0, 10)
    after = {name: {key: bytes(item.data) for key, item in found.items()} for name, found in engine.weights().items()}
    engine.close()
    assert np.isfinite(found.objective)
    assert {name for name in after if after[name] != before[name]} == set(step.update)
