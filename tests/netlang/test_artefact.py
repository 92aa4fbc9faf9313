"""Built files stand alone: they run in a process that can import neither netlang nor the compiler, NumPy's without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import netlang
from compiler.source import Source

TWO = """
netlang: 1
doc: 'A doc that ends a string: \"\"\" and escapes: \\ '
blocks:
  load:
    inputs: {x: [N, D]}
    layers: {y: x * 2}
networks:
  path:
    inputs: {network: [N, 4], ids: "i64[N]", flag: "bool[N, 4]"}
    layers:
      a: network -> linear(4) -> load
      b: where(flag, a, embedding(ids, 10, 4))
  outer:
    inputs: {x: [N, 4], ids: "i64[N]"}
    layers:
      y: path(x, ids, x > 0) -> batch_norm
"""
PROGRAM = """
import importlib.abc, json, sys

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(f"{{name}} is blocked")
        return None

sys.meta_path.insert(0, Blocker())
sys.path.insert(0, {folder!r})
import numpy as np
import model
{body}
print(json.dumps(np.asarray(result).tolist()))
"""


def run_alone(folder: Path, body: str, *blocked: str) -> np.ndarray:
    """What `body` calls `result`, in a fresh isolated process that finds `model.py` and nothing of this repository."""
    program = PROGRAM.format(blocked=("netlang", "compiler", "specs", *blocked), folder=str(folder), body=body)
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return np.array(json.loads(done.stdout))


IMAGE = "image = np.random.default_rng(0).random((2, 1, 28, 28), dtype=np.float32)"


def test_lenet5_alone(tmp_path: Path) -> None:
    netlang.build("lenet5", tmp_path / "torch", seed=2)
    netlang.build("lenet5", tmp_path / "numpy", to="numpy", seed=2)
    by_torch = run_alone(tmp_path / "torch", f"{IMAGE}\nimport torch\nresult = model.load()(torch.from_numpy(image)).detach().numpy()")
    by_numpy = run_alone(tmp_path / "numpy", f"{IMAGE}\nresult = model.load()(image)", "torch", "safetensors")
    expected = netlang.load("lenet5", seed=2, backend="numpy")(np.random.default_rng(0).random((2, 1, 28, 28), dtype=np.float32))
    np.testing.assert_allclose(by_numpy, expected, rtol=0, atol=1e-7)
    np.testing.assert_allclose(by_torch, expected, rtol=0, atol=2e-6)


def test_several_networks_alone(tmp_path: Path) -> None:
    spec = Source("two.yaml", TWO)
    for to in ("torch", "numpy"):
        paths = netlang.build(spec, tmp_path / to, to=to)
        assert [path.name for path in paths] == ["model.py", "path.safetensors", "outer.safetensors"]
    body = "x = np.ones((3, 4), np.float32)\nids = np.arange(3)\npath, outer = model.load('path'), model.load('outer')\n"
    by_numpy = run_alone(tmp_path / "numpy", f"{body}result = outer(x, ids, path=path)", "torch", "safetensors")
    by_torch = run_alone(
        tmp_path / "torch",
        f"import torch\n{body}result = outer(torch.from_numpy(x), torch.from_numpy(ids), path=path).detach().numpy()",
    )
    np.testing.assert_allclose(by_torch, by_numpy, rtol=0, atol=2e-6)


@pytest.mark.parametrize("to", ["torch", "numpy"])
@pytest.mark.parametrize(
    "spec",
    ["lenet5", "mobilenet_small", "unet", "rnn/digits_rows", Source("two.yaml", TWO)],
    ids=["lenet5", "mobile", "unet", "rows", "two"],
)
def test_built_files_are_tidy_and_their_example_runs(tmp_path: Path, to: str, spec: str | Source) -> None:
    netlang.build(spec, tmp_path / "out", to=to)  # type: ignore[arg-type]
    path = tmp_path / "out" / "model.py"
    done = subprocess.run([sys.executable, "-I", str(path)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    tidy = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--line-length", "140", "--select", "E,F,I,UP,B", str(path)]
    assert subprocess.run(tidy, capture_output=True, text=True, check=False).stdout == "All checks passed!\n"


def test_built_files_are_not_replaced(tmp_path: Path) -> None:
    netlang.build("lenet5", tmp_path, seed=0)
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(netlang.SpecError) as caught:
        netlang.build("lenet5", tmp_path, seed=1)
    assert caught.value.diagnostics[0].code == "NL702"
    assert (tmp_path / "model.safetensors").read_bytes() == before
    netlang.build("lenet5", tmp_path, seed=1, force=True)
    assert (tmp_path / "model.safetensors").read_bytes() != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.npz", "model.py", "model.safetensors", "train.py"]


def test_safetensors_reads_what_is_built(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    netlang.build("lenet5", tmp_path, seed=0)
    found = safetensors.load_file(tmp_path / "model.safetensors")
    expected = netlang.load("lenet5", seed=0, backend="numpy").parameters["lenet5"]
    assert {name: array.shape for name, array in found.items()} == {name: array.shape for name, array in expected.items()}
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_spec_without_networks_builds_nothing(tmp_path: Path) -> None:
    with pytest.raises(netlang.SpecError) as caught:
        netlang.build("std/conv", tmp_path / "out")
    assert caught.value.diagnostics[0].code == "NL705"
    assert not (tmp_path / "out").exists()
