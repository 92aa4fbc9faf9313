"""Networks prepared for inference give what the networks they come from give in evaluation mode, on both back ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import netlang
from compiler.backends.numpy_backend import load_numpy
from compiler.backends.torch_backend import load_torch, set_parameters
from compiler.front.checked import check
from compiler.ir.graph import Graph, owned_parameters
from compiler.ir.verify import verify
from compiler.passes.inference import prepare_inference
from compiler.source import Source
from netlang.comparison import draw_inputs
from netlang.inference import fold_arrays
from tests.compiler.backends.support import as_list, draw_parameters
from tests.compiler.passes.test_fold_batch_norm import count_norms

BLOCKS = """
blocks:
  unit(C, kernel=3, groups=1):
    inputs: {x: [N, D, H, W]}
    layers:
      - conv(C, kernel, pad=same, groups=groups, bias=false)
      - batch_norm
      - relu
  joined(C):
    inputs: {x: [N, D, H, W]}
    layers:
      left: unit(C, 1) -> conv(C, 3, pad=1) -> batch_norm(affine=false)
      right: x -> conv_transpose(C, 3, pad=1, groups=2, bias=false) -> batch_norm(eps=0.01)
      out: left + right
"""
LAYERS = (
    "conv({c}, 3, pad=1, bias=false) -> batch_norm",
    "conv({c}, 1, groups=2) -> batch_norm(eps=0.1) -> relu",
    "conv({c}, 3, pad=same, mode=reflect) -> dropout(0.2) -> batch_norm",
    "conv_transpose({c}, 2, stride=2, groups=2) -> batch_norm -> max_pool(2)",
    "conv_transpose({c}, 3, pad=1, bias=false) -> batch_norm(affine=false)",
    "batch_norm -> conv({c}, 1) -> batch_norm -> batch_norm",
    "unit({c})",
    "unit({c}, 1, groups=2) -> joined({c})",
    "repeat(2, joined({c}))",
    "dropout",
    "tanh",
)
MATHS = (
    "{a} * 1 + {b}",
    "{a} + 0",
    "-(-{a}) - {b} * 0.5",
    "{a} * ({b} / 1)",
    "reshape({a}, N, {c}, H, W)",
    "concat({a}, {b}) -> conv({c}, 1)",
)


@st.composite
def drawn_networks(draw: st.DrawFn) -> str:
    """A network of one branch that is added to, with names on the way that later lines read."""
    channels = draw(st.sampled_from((2, 4)))
    lines = [f"      e0: conv({channels}, 3, pad=1)"]
    for index in range(1, draw(st.integers(2, 6))):
        before = f"e{index - 1}"
        if draw(st.booleans()):
            made = f"{before} -> {draw(st.sampled_from(LAYERS))}"
        else:
            made = draw(st.sampled_from(MATHS)).replace("{a}", before).replace("{b}", f"e{draw(st.integers(0, index - 1))}")
        lines.append(f"      e{index}: {made.format(c=channels)}")
    if draw(st.booleans()):
        lines.append("      head: global_avg_pool -> linear(3, bias=false) -> batch_norm")
    return f"netlang: 1\n{BLOCKS}networks:\n  f:\n    inputs: {{x: [N, 3, H, W]}}\n    layers:\n" + "\n".join(lines) + "\n"


def assert_same(graph: Graph, inputs: list[np.ndarray]) -> Graph:
    """Both back ends give the same before and after, within 1e-4 of the largest; returns the graph after."""
    made = prepare_inference({graph.name: graph})
    after = made.networks[graph.name]
    verify(after)
    arrays = draw_parameters(graph)
    folded = fold_arrays(arrays, made.foldings[graph.name])
    assert {key: item.type for key, item in owned_parameters(after)}.keys() == folded.keys()
    expected = as_list(load_numpy([graph]).networks[graph.name](arrays)(*inputs))
    by_numpy = as_list(load_numpy([after]).networks[graph.name](folded)(*inputs))
    module = load_torch([after]).networks[graph.name].eval()
    set_parameters(module, folded)
    with torch.inference_mode():
        by_torch = as_list(module(*map(torch.from_numpy, inputs)))
    for found in (by_numpy, by_torch):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * max(1.0, float(np.abs(b).max())))
    return after


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn_networks())
def test_drawn_networks_keep_their_values(text: str) -> None:
    graph = check(Source("f.yaml", text)).networks["f"]
    verify(graph)
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 4)).astype(np.float32)
    assert_same(graph, [x])


@pytest.mark.parametrize("name", ["lenet5", "mobilenet_small", "resnet20", "resnet18", "unet"])
def test_bundled_networks_keep_their_values(name: str) -> None:
    graph = netlang.check(name).require().networks[name]
    after = assert_same(graph, list(draw_inputs(graph, 1, 0).values()))
    assert count_norms(after) == 0


def test_built_for_inference_runs_alone(tmp_path: Path) -> None:
    weights = {}
    for to in ("torch", "numpy"):
        netlang.build("mobilenet_small", tmp_path / to, to=to, seed=3, inference=True)
        weights[to] = (tmp_path / to / "model.safetensors").read_bytes()
        text = (tmp_path / to / "model.py").read_text()
        assert "batch normalization is part of the weights" in text
        assert "atch_norm" not in text
        assert "BatchNorm" not in text
        assert "ropout" not in text
        assert ("channels_last" in text) == (to == "torch")
        done = subprocess.run([sys.executable, "-I", str(tmp_path / to / "model.py")], capture_output=True, text=True, check=False, cwd="/")
        assert (done.returncode, done.stderr) == (0, "")
    assert weights["torch"] == weights["numpy"]


def test_loaded_for_inference_has_the_folded_weights() -> None:
    x = np.random.default_rng(0).random((2, 1, 28, 28), dtype=np.float32)
    expected = netlang.load("mobilenet_small", seed=1, backend="numpy")(x)
    model = netlang.load("mobilenet_small", seed=1, backend="numpy", inference=True)
    assert "stem.1.running_mean" not in model.parameters["mobilenet_small"]
    assert "stem.0.bias" in model.parameters["mobilenet_small"]
    np.testing.assert_allclose(model(x), expected, rtol=0, atol=1e-5)
    by_torch = netlang.load("mobilenet_small", seed=1, inference=True)
    assert by_torch.parameters["mobilenet_small"]["stem.0.weight"].is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(by_torch(torch.from_numpy(x)).detach().numpy(), expected, rtol=0, atol=1e-5)
