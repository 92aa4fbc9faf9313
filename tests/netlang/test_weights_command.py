from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.netlang.conftest import Netlang
from tests.netlang.training.foreign import draw_state, save, write_spec


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NETLANG_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", "torch")
    monkeypatch.setenv("NETLANG_CACHE", "cache")
    return write_spec(tmp_path)


def test_list(netlang: Netlang, spec: Path) -> None:
    row = netlang("weights", "list", spec).out.splitlines()[2]
    assert row.split(maxsplit=3) == ["net", "small.pth", "torchvision", "not here: `netlang weights check` tells where to get it"]
    save(Path("torch/hub/checkpoints/small.pth"))
    row = netlang("weights", "list", spec).out.splitlines()[2]
    assert row.split() == ["net", "small.pth", "torchvision", "torch/hub/checkpoints/small.pth"]
    result = netlang("weights", "list", "lenet5")
    assert result.code == 1
    assert "error[NL705]: no network of `lenet5` names weights" in result.err


def test_check(netlang: Netlang, spec: Path) -> None:
    result = netlang("weights", "check", spec)
    assert (result.code, result.out) == (1, "")
    assert "error[NL601]: the weights `small.pth` of the network `net` are not here" in result.err
    save(Path("given.pth"))
    result = netlang("weights", "check", spec, "--weights", "given.pth")
    assert result.code == 0
    assert result.out.startswith("net: ok, given.pth, 6 tensors, SHA-256 ")
    state = draw_state()
    state["features.2.bias"][1] = torch.nan
    save(Path("small.pth"), state)
    result = netlang("weights", "check", spec)
    assert (result.code, result.out) == (1, "")
    assert "error[NL605]: the weights `conv1_2.bias` of `net` are not finite" in result.err
    save(Path("given-0123abcd.pth"))
    assert netlang("weights", "check", spec, "--weights", "given-0123abcd.pth").code == 4


def test_convert(netlang: Netlang, spec: Path) -> None:
    save(Path("small.pth"))
    assert netlang("weights", "convert", "small.pth", "small.safetensors").out == "small.safetensors\n"
    for name, tensor in draw_state().items():
        torch.testing.assert_close(load_file("small.safetensors")[name], tensor, rtol=0, atol=0)
    before = Path("small.safetensors").read_bytes()
    assert netlang("weights", "convert", "small.pth", "small.safetensors").code == 2
    Path("text.pth").write_text("no weights\n")
    assert netlang("weights", "convert", "text.pth", "small.safetensors", "--force").code == 1
    assert netlang("weights", "convert", "small.safetensors", "other.safetensors").code == 1
    assert netlang("weights", "convert", "small.pth", "other.pt").code == 2
    assert Path("small.safetensors").read_bytes() == before
    assert netlang("weights", "convert", "small.pth", "small.safetensors", "--force").code == 0
