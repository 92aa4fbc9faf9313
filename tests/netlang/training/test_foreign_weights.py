"""Weights that a spec names: where they are found, how they are converted, and what is said of files that are none."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import netlang
from compiler.diagnostics import SpecError
from compiler.diagnostics.render import render_text
from netlang.model import Backend
from netlang.training.layouts import rename_torchvision
from netlang.training.weight_search import find_weight_file
from tests.netlang.training.foreign import draw_state, save, write_spec
from tests.netlang.training.runs import only


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place without any weights; caches lie in it."""
    for name in ("NETLANG_WEIGHTS", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NETLANG_CACHE", str(tmp_path / "converted"))
    return tmp_path


def first_kernel(spec: Path, **options: Any) -> Any:
    model = netlang.load(spec, backend="numpy", **options)
    return model.parameters["net"]["conv1_1.weight"]


def refusal(spec: Path, code: str, **options: Any) -> str:
    with pytest.raises(SpecError) as caught:
        netlang.load(spec, backend="numpy", **options)
    return only(caught.value, code).message


def test_torchvisions_names_become_the_papers(home: Path) -> None:
    save(home / "specs" / "small.pth")
    model = netlang.load(write_spec(home / "specs"))
    state, own = draw_state(), dict(model.networks["net"].state_dict())
    assert list(own) == [f"conv{name}.{part}" for name in ("1_1", "1_2", "2_1") for part in ("weight", "bias")]
    for name, place in (("conv1_1", 0), ("conv1_2", 2), ("conv2_1", 5)):
        torch.testing.assert_close(own[f"{name}.weight"], state[f"features.{place}.weight"], rtol=0, atol=0)
        torch.testing.assert_close(own[f"{name}.bias"], state[f"features.{place}.bias"], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_names_of_whole_networks(name: str) -> None:
    """The bundled networks have both: the paper's names as entries, torchvision's as `keys`."""
    graph = netlang.check(name).require().networks[name]
    keys = {item.key.rpartition(".")[0]: node.entry for node in graph.nodes for item in graph.parameters if item.value in node.parameters}
    names = [item.key for item in graph.parameters]
    renamed = {key: f"{keys[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}" for key in names}
    assert len(renamed) == {"vgg16": 32, "vgg19": 38}[name]
    assert rename_torchvision(names) == renamed


def test_names_that_the_network_has_stay(home: Path) -> None:
    spec = write_spec(home, "    weights:", "    keys: {conv1_1: features.0, conv1_2: features.2, conv2_1: features.5}\n    weights:")
    save(home / "small.pth")
    parameters = netlang.load(spec, backend="numpy").parameters["net"]
    np.testing.assert_array_equal(parameters["features.5.weight"], draw_state()["features.5.weight"])


def test_the_order_of_the_search(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = write_spec(home / "specs")
    entry = netlang.check(spec).require().weights["net"]
    found = []
    places = {"package": home / "cache" / "torch" / "hub" / "checkpoints", "torch": home / "torch" / "hub" / "checkpoints",
              "named": home / "named", "spec": home / "specs"}  # fmt: skip
    for seed, (name, place) in enumerate(places.items()):
        save(place / "small.pth", draw_state(seed))
        if name == "torch":
            monkeypatch.setenv("TORCH_HOME", str(home / "torch"))
        if name == "named":
            monkeypatch.setenv("NETLANG_WEIGHTS", str(place))
        found.append(find_weight_file(entry, "net"))
        np.testing.assert_array_equal(first_kernel(spec), draw_state(seed)["features.0.weight"])
    assert [path.parent for path in found] == list(places.values())
    (home / "specs" / "small.pth").unlink()
    monkeypatch.setenv("NETLANG_WEIGHTS", str(save(home / "other.pt", draw_state(9))))
    np.testing.assert_array_equal(first_kernel(spec), draw_state(9)["features.0.weight"])
    given = save(home / "given.pth", draw_state(10))
    np.testing.assert_array_equal(first_kernel(spec, weights=given), draw_state(10)["features.0.weight"])


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_a_pickle_is_converted_once(home: Path, options: dict[str, Any]) -> None:
    spec = write_spec(home)
    save(home / "small.pth", **options)
    first_kernel(spec)
    (converted,) = (home / "converted" / "weights").iterdir()
    before = converted.stat()
    np.testing.assert_array_equal(first_kernel(spec), draw_state()["features.0.weight"])
    assert converted.stat().st_mtime_ns == before.st_mtime_ns
    save(home / "small.pth", draw_state(1), **options)
    np.testing.assert_array_equal(first_kernel(spec), draw_state(1)["features.0.weight"])
    assert len(list((home / "converted" / "weights").iterdir())) == 2


def test_numpy_needs_no_torch_once_it_is_converted(home: Path) -> None:
    spec = write_spec(home)
    save(home / "small.pth")
    first_kernel(spec)
    script = f"import netlang, sys; netlang.load({str(spec)!r}, backend='numpy'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_converted(home: Path, dtype: torch.dtype) -> None:
    state = {name: tensor.to(dtype) for name, tensor in draw_state().items()}
    save_file(state, home / "small.safetensors")
    np.testing.assert_array_equal(first_kernel(write_spec(home)), state["features.0.weight"].float())


def test_archives_of_arrays(home: Path) -> None:
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in draw_state().items()}
    np.savez(home / "small.npz", **arrays)
    np.testing.assert_array_equal(first_kernel(write_spec(home)), arrays["features.0.weight"])


def test_digests(home: Path) -> None:
    sound = save(home / "small.pth")
    digest = hashlib.sha256(sound.read_bytes()).hexdigest()
    spec = write_spec(home, "layout: torchvision", f'layout: torchvision, sha256: "{digest[:12].upper()}"')
    first_kernel(spec)
    sound.write_bytes(sound.read_bytes() + b"\0")
    assert f"the spec says {digest[:12]}" in refusal(spec, "NL609")
    named = home / f"small-{digest[:8]}.pth"
    sound.rename(named)
    assert f"its name says {digest[:8]}" in refusal(write_spec(home, "small.pth", named.name), "NL609")
    assert f"its name says {digest[:8]}" in refusal(write_spec(home), "NL609", weights=named)
    assert not (home / "small.safetensors").exists()


def test_paths_stay_below_the_spec(home: Path) -> None:
    save(home / "small.pth")
    spec = write_spec(home / "specs", "small.pth", "../small.pth")
    assert "leaves the spec's folder" in refusal(spec, "NL606")
    (home / "specs" / "small.pth").symlink_to(home / "small.pth")
    assert "leaves the spec's folder" in refusal(write_spec(home / "specs"), "NL606")
    first_kernel(write_spec(home / "specs"), weights=home / "small.pth")


class Hostile:
    def __reduce__(self) -> Any:
        return os.mkdir, ("touched",)


def test_messages(home: Path, monkeypatch: pytest.MonkeyPatch, golden: Callable[[str, str], None]) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("NETLANG_CACHE", "converted")
    write_spec(Path())
    state = draw_state()
    names = list(state)
    save(Path("code.pth"), Hostile())
    save(Path("list.pth"), [1, 2])
    save(Path("mixed.pth"), {**state, "epoch": 3})
    save(Path("half.pth"), {name: state[name] for name in names[:2]})
    save(Path("other.pth"), {**state, "features.2.weight": torch.zeros(5, 5, 3, 3)})
    save(Path("integers.pth"), {**state, "features.2.weight": torch.zeros(5, 4, 3, 3, dtype=torch.int64)})
    Path("cut.pth").write_bytes(save(Path("good.pth")).read_bytes()[:-200])
    Path("text.pth").write_text("no weights\n")
    Path("empty.npz").touch()
    np.savez("pickled.npz", x=np.array([Hostile()], object))
    Path("text.onnx").write_text("no weights\n")
    pickles = ["code.pth", "list.pth", "mixed.pth", "half.pth", "other.pth", "integers.pth", "cut.pth", "text.pth", "none.pth"]
    texts = []
    for name in (None, *pickles, "empty.npz", "pickled.npz", "text.onnx", "."):
        with pytest.raises(SpecError) as caught:
            netlang.load("spec.yaml", backend="numpy", weights=name)
        texts.append(render_text(caught.value.diagnostics))
    assert not Path("touched").exists()
    assert not [path for path in Path("converted").rglob("*") if ".new" in path.name]
    golden("weight_messages", "\n".join(texts))


def test_a_cache_that_cannot_be_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = write_spec(home)
    save(home / "small.pth")
    (home / "taken").touch()
    monkeypatch.setenv("NETLANG_CACHE", str(home / "taken"))
    assert "cannot be written" in refusal(spec, "NL610")


def test_without_torch(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = write_spec(home)
    save(home / "small.pth")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "needs PyTorch" in refusal(spec, "NL608")


def test_a_run_begins_with_them_and_evaluation_reads_them(home: Path) -> None:
    spec = write_spec(home)
    with spec.open("a") as file:
        file.write(
            "data: {train: 'npz(\"x.npz\")'}\n"
            "train:\n  iterations: 1\n  batch: 4\n"
            "  steps: [{update: net, minimize: mean(net(x) ** 2), with: sgd(lr=1e-30)}]\n"
            "  metrics: {size: mean(net(x) ** 2)}\n"
        )
    np.savez(home / "x.npz", x=np.random.default_rng(3).standard_normal((4, 3, 4, 4)).astype(np.float32))
    save(home / "small.pth")
    found = {}
    backends: tuple[Backend, ...] = ("torch", "numpy")
    for backend in backends:
        list(netlang.train(spec, folder=home / backend, backend=backend, threads=1))
        found[backend] = netlang.load(spec, backend="numpy", weights=home / backend).parameters["net"]["conv1_1.weight"]
        np.testing.assert_allclose(found[backend], draw_state()["features.0.weight"], rtol=1e-6)
        by_name = netlang.evaluate(spec, backend=backend, threads=1)
        assert by_name == netlang.evaluate(spec, home / "small.pth", backend=backend, threads=1)
    other = save(home / "other.pth", draw_state(5))
    list(netlang.train(spec, folder=home / "given", backend="numpy", threads=1, weights=other))
    kernel = netlang.load(spec, backend="numpy", weights=home / "given").parameters["net"]["conv1_1.weight"]
    np.testing.assert_allclose(kernel, draw_state(5)["features.0.weight"], rtol=1e-6)
    (home / "small.pth").unlink()
    with pytest.raises(SpecError) as caught:
        list(netlang.train(spec, folder=home / "none", backend="numpy", threads=1))
    only(caught.value, "NL601")
    assert not (home / "none").exists()


def test_only_what_is_read_is_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(draw_state(), home / "small.safetensors")
    spec = write_spec(home)
    expected = rename_torchvision(draw_state())
    assert expected["features.7.weight"] == "conv2_2.weight"
    assert set(netlang.load(spec, backend="numpy").parameters["net"]) == {name for name in expected.values() if "2_2" not in name}
    monkeypatch.setattr("netlang.training.weights._read_one", lambda *_: pytest.fail("a number was read"))
    assert "another shape" in refusal(write_spec(home, "conv(5, 3", "conv(6, 3"), "NL604")
