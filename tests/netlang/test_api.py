"""The embed API: models on both back ends, plug-ins, training and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import pytest
import torch

import compiler
import netlang
from compiler.ir.op import Code, Lowering, Op, Sample, SampleTensor
from compiler.ir.types import TensorType
from compiler.ops import OPS
from compiler.source import Source
from netlang import api
from netlang.data import READERS, Reader

TWO = """
netlang: 1
networks:
  encoder:
    inputs: {x: [N, 6]}
    layers: {h: linear(5) -> batch_norm -> tanh, code: linear(2)}
  critic:
    inputs: {x: [N, 6]}
    layers: {y: encoder(x).h -> linear(1)}
"""
SMALL = """
netlang: 1
name: small
networks:
  net: {inputs: {point: [N, 2]}, layers: {h: linear(8) -> tanh, y: linear(2)}}
data:
  train: moons(samples=64)
  test: moons(samples=32, seed=1)
train:
  epochs: 2
  batch: 16
  steps:
    - update: net
      minimize: cross_entropy(net(point), label)
      with: adam
  metrics:
    accuracy: accuracy(net(point), label)
"""


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def test_both_back_ends_start_equal() -> None:
    x = numbers(3, 1, 28, 28)
    first, second = netlang.load("lenet5", seed=4), netlang.load("lenet5", seed=4, backend="numpy")
    assert list(first.parameters["lenet5"]) == list(second.parameters["lenet5"])
    np.testing.assert_allclose(first(torch.from_numpy(x)).detach().numpy(), second(x), rtol=0, atol=2e-6)
    other = netlang.load("lenet5", seed=5, backend="numpy")
    assert not np.array_equal(other(x), second(x))


def test_a_network_that_calls_another_is_given_it() -> None:
    x = numbers(4, 6)
    models = [netlang.load(Source("two.yaml", TWO), backend=backend) for backend in ("torch", "numpy")]
    made = models[0]["critic"](torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(made, models[1]["critic"](x), rtol=0, atol=2e-6)
    np.testing.assert_allclose(models[1](x), models[1]["critic"](x), rtol=0, atol=0)
    assert isinstance(models[0].networks["critic"], torch.nn.Module)
    assert "encoder.h.linear.weight" not in models[0].parameters["critic"]


@pytest.mark.parametrize("backend", ["torch", "numpy"])
def test_parameters_can_be_written(backend: Any) -> None:
    model = netlang.load(Source("two.yaml", TWO), backend=backend)
    for value in model.parameters["encoder"].values():
        value[...] = 0
    x: Any = numbers(4, 6)
    made = model["encoder"](torch.from_numpy(x) if backend == "torch" else x)
    assert not made.any()


def test_constants_are_replaced() -> None:
    text = "netlang: 1\nlet: {width: 2}\nnetworks:\n  net: {inputs: {x: [N, 4]}, layers: {y: linear(width)}}\n"
    model = netlang.load(Source("net.yaml", text), set={"width": 7}, backend="numpy")
    assert model(numbers(1, 4)).shape == (1, 7)


def test_wrong_specs_raise_all_their_diagnostics() -> None:
    wrong = Source("net.yaml", "netlang: 1\nnetworks:\n  net: {inputs: {x: [N, 4]}, layers: {y: linaer(1), z: linear(no)}}\n")
    assert len(netlang.check(wrong).diagnostics) == 2
    with pytest.raises(netlang.SpecError) as caught:
        netlang.load(wrong)
    assert len(caught.value.diagnostics) == 2


def test_weights_that_no_memory_holds_are_refused() -> None:
    huge = Source("net.yaml", "netlang: 1\nnetworks:\n  net: {inputs: {x: [N, 2000000]}, layers: {y: linear(2000000)}}\n")
    with pytest.raises(netlang.SpecError) as caught:
        netlang.load(huge, backend="numpy")
    assert caught.value.diagnostics[0].code == "NL711"


def test_a_run_is_trained_measured_loaded_and_built(tmp_path: Path) -> None:
    spec = Source("small.yaml", SMALL)
    records = list(netlang.train(spec, folder=tmp_path / "run", epochs=1))
    assert isinstance(records[-1], api.Finished)
    assert sum(isinstance(record, api.StepRecord) for record in records) == 4
    measured = netlang.evaluate(spec, tmp_path / "run")
    (told,) = [record.metrics for record in records if isinstance(record, api.EvaluationRecord)]
    assert measured == dict(told)
    paths = netlang.build(spec, tmp_path / "built", weights=tmp_path / "run")
    assert [path.name for path in paths] == ["model.py", "model.safetensors", "train.py", "data.npz"]
    point = numbers(5, 2)
    models = [
        netlang.load(spec, weights=tmp_path / place, backend="numpy")
        for place in ("run", "built", "run/model.safetensors", "built/model.safetensors")
    ]
    results = [model(point) for model in models]
    assert all(np.array_equal(results[0], other) for other in results)
    assert not np.array_equal(results[0], netlang.load(spec, backend="numpy")(point))


def test_epochs_need_a_program() -> None:
    with pytest.raises(netlang.SpecError) as caught:
        list(netlang.train(Source("two.yaml", TWO), epochs=2))
    assert caught.value.diagnostics[0].code == "NL710"


def make_op() -> type[Op]:
    """An op that no part of the repository knows."""

    @final
    @dataclass(frozen=True)
    class Wave(Op):
        """A sine with a frequency of its own."""

        name: ClassVar[str] = "wave_of_a_test"
        frequency: float = 1.0

        def infer(self, *operands: TensorType) -> TensorType:
            return operands[0]

        def torch(self, at: Lowering, *arguments: Code) -> str:
            return f"torch.sin({arguments[0]} * {self.frequency!r})"

        def numpy(self, at: Lowering, *arguments: Code) -> str:
            return f"np.sin({arguments[0].within(9)} * np.float32({self.frequency!r}))"

        @classmethod
        def samples(cls) -> Iterator[Sample]:
            yield Sample(cls(2.0), (SampleTensor((2, 3)),))

    return Wave


@pytest.fixture
def wave() -> Iterator[type[Op]]:
    made = netlang.register_op(make_op())
    yield made
    OPS.remove(made.name)


def test_a_plug_in_registers_an_op(wave: type[Op]) -> None:
    spec = Source("net.yaml", "netlang: 1\nnetworks:\n  net: {inputs: {x: [N, 4]}, layers: {y: linear(3) -> wave_of_a_test(2.5)}}\n")
    x = numbers(6, 4)
    made = netlang.load(spec)(torch.from_numpy(x)).detach().numpy()
    model = netlang.load(spec, backend="numpy")
    weight, bias = model.parameters["net"]["y.weight"], model.parameters["net"]["y.bias"]
    np.testing.assert_allclose(made, np.sin(2.5 * (x @ weight.T + bias)), rtol=0, atol=2e-6)
    np.testing.assert_allclose(model(x), made, rtol=0, atol=2e-6)


def test_a_plug_in_registers_a_reader() -> None:
    @final
    @dataclass(frozen=True)
    class Ramp(Reader):
        """0, 1, 2, …"""

        name: ClassVar[str] = "ramp_of_a_test"
        samples: int = 4

        def fields(self, folder: Path | None) -> dict[str, TensorType]:
            return {"x": TensorType.of(compiler.ir.types.DType.f32, "N", 1)}

        def read(self, folder: Path | None) -> dict[str, Any]:
            return {"x": np.arange(self.samples, dtype=np.float32)[:, None]}

    netlang.register_reader(Ramp)
    try:
        text = "netlang: 1\nnetworks:\n  net: {inputs: {x: [N, 1]}, layers: {y: linear(1)}}\ndata: {train: ramp_of_a_test(samples=8)}\n"
        checked = netlang.check(Source("net.yaml", text)).require()
        assert checked.readers["train"] == Ramp(8)
    finally:
        del READERS["ramp_of_a_test"]


@pytest.mark.parametrize("module", [netlang, compiler])
def test_public_names_are_there(module: Any) -> None:
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)
    with pytest.raises(AttributeError, match="has no attribute 'chekc'"):
        module.chekc  # noqa: B018 reading it is the test


def test_the_surface_of_the_api() -> None:
    assert sorted(netlang.__all__) == [
        "Checked", "Diagnostic", "Model", "Op", "Reader", "Source", "SpecError", "build", "check", "evaluate", "load", "register_op",
        "register_reader", "sample", "train",
    ]  # fmt: skip
    assert set(netlang.__all__) <= set(api.__all__)


def test_the_version_is_that_of_the_package() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert f'version = "{netlang.__version__}"' in project
