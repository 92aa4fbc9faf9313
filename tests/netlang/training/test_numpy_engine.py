"""Training with NumPy: the same programs, losses and files as with torch, the same bits after a resume, and no torch anywhere."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, final

import numpy as np
import pytest

import netlang
from compiler.diagnostics import SpecError
from netlang.training import EvaluationRecord, Notice, evaluate
from netlang.training.blas import read_threads, set_threads
from netlang.training.engine import NonFinite
from netlang.training.engines import in_numbers_of, make_engine
from netlang.training.feed import Feed
from netlang.training.start import train
from tests.compiler.backends.array_names import CUPY
from tests.netlang.training.runs import ADVERSARIAL, CLASSIFIER, digest_state, make, only, read_log, run, steps_of

ROOT = Path(__file__).parents[3]
PLAIN = CLASSIFIER.replace(" -> dropout(0.2)", "")
LENET = "lenet5"
STEPS = [
    "sgd(lr=0.1, momentum=0.9, nesterov=true)",
    "rmsprop(lr=step(0.01, every=4), centered=true)",
    "adam(lr=0.01, amsgrad=true)",
    "adagrad(lr=linear(0.1, hold=3), lr_decay=0.1)",
]


def objectives(text: str, folder: Path, **settings: Any) -> list[float]:
    return [record.objective for record in steps_of(run(make(text), folder, **settings))]


@pytest.mark.parametrize("optimizer", STEPS)
@pytest.mark.parametrize("option", ["", "clip_norm: 0.1", "clip_value: 0.01", "clamp: 0.3"])
def test_losses_are_those_of_torch(tmp_path: Path, optimizer: str, option: str) -> None:
    text = PLAIN.replace("adamw(lr=cosine(rate, warmup=4))", f"{optimizer}\n      {option}")
    assert option in text
    ours = objectives(text, tmp_path / "numpy", backend="numpy", dtype="f64")
    theirs = objectives(text, tmp_path / "torch", backend="torch", dtype="f64")
    assert len(ours) == 42
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_single_precision_stays_near_torch(tmp_path: Path) -> None:
    ours = run(make(PLAIN), tmp_path / "numpy", backend="numpy")
    theirs = run(make(PLAIN), tmp_path / "torch")
    np.testing.assert_allclose([item.objective for item in steps_of(ours)], [item.objective for item in steps_of(theirs)], atol=1e-5)
    pairs = zip(steps_of(ours), steps_of(theirs), strict=True)
    assert all(a.learning_rate == b.learning_rate and math.isclose(a.gradient_norm, b.gradient_norm, rel_tol=1e-3) for a, b in pairs)
    metrics = [[item.metrics for item in records if isinstance(item, EvaluationRecord)] for records in (ours, theirs)]
    assert metrics[0] == metrics[1]


def test_statistics_of_batches_are_those_of_torch(tmp_path: Path) -> None:
    checked = in_numbers_of(make(PLAIN), "f64")
    states = []
    for backend in ("numpy", "torch"):
        engine = make_engine(checked, 0, 10, backend, "cpu", 1)
        feed = Feed(checked, 0)
        for iteration in range(4):
            engine.update(0, engine.place(feed.take("train")), iteration, 10)
        states.append({key: np.frombuffer(item.data, item.dtype.numpy_name).copy() for key, item in engine.weights()["net"].items()})
        engine.close()
    assert states[0].keys() == states[1].keys()
    assert any("running_var" in key for key in states[0])
    for key, value in states[0].items():
        np.testing.assert_allclose(value, states[1][key], rtol=1e-10, err_msg=key)


@pytest.mark.parametrize("text", [CLASSIFIER, ADVERSARIAL], ids=["classifier", "adversarial"])
def test_same_seed_gives_same_bits_and_another_gives_others(tmp_path: Path, text: str) -> None:
    first, second, other = (
        objectives(text, tmp_path / str(index), backend="numpy", seed=seed) for index, seed in enumerate((1, 1, 2))
    )  # fmt: skip
    assert first == second
    assert first != other


@pytest.mark.parametrize("text", [CLASSIFIER, ADVERSARIAL], ids=["classifier", "adversarial"])
def test_resumed_run_ends_in_the_same_bits(tmp_path: Path, text: str) -> None:
    checked = make(text)
    run(checked, tmp_path / "whole", backend="numpy", save_every=5)
    records = train(checked, folder=tmp_path / "parts", threads=1, backend="numpy", save_every=5)
    for record in records:
        if getattr(record, "iteration", 0) >= 8:
            break
    assert isinstance(records, Generator)
    records.close()
    again = run(checked, tmp_path / "parts", resume=True, save_every=5)
    assert not [record for record in again if isinstance(record, Notice)]
    assert digest_state(tmp_path / "parts") == digest_state(tmp_path / "whole")
    assert read_log(tmp_path / "parts") == read_log(tmp_path / "whole")


def test_resume_keeps_the_back_end(tmp_path: Path) -> None:
    checked = make(PLAIN)
    run(checked, tmp_path / "run", backend="numpy", dtype="f64", save_every=5)
    with pytest.raises(SpecError) as found:
        run(checked, tmp_path / "run", resume=True, backend="torch")
    assert only(found.value, "NL717").message == "the run was started with the back end numpy, not torch"
    with pytest.raises(SpecError) as found:
        run(checked, tmp_path / "run", resume=True, dtype="f32")
    assert only(found.value, "NL717").message == "the run was started with the type f64, not f32"
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["backend"] == "numpy"


def test_weights_serve_both_back_ends(tmp_path: Path) -> None:
    checked = make(PLAIN)
    run(checked, tmp_path / "run", backend="numpy")
    assert evaluate(checked, tmp_path / "run", backend="numpy") == evaluate(checked, tmp_path / "run", backend="torch")


def test_what_is_not_finite_is_located_and_nothing_is_updated() -> None:
    checked = make(PLAIN.replace("net(point)", "net(log(point - 100))"))
    engine = make_engine(checked, 0, 10, "numpy", "cpu", 1)
    before = {key: bytes(item.data) for key, item in engine.weights()["net"].items()}
    with pytest.raises(NonFinite) as found:
        engine.update(0, engine.place(Feed(checked, 0).take("train")), 0, 10)
    assert (found.value.what, found.value.names) == ("objective", ("net.a",))
    assert {key: bytes(item.data) for key, item in engine.weights()["net"].items()} == before
    engine.close()


def test_gradient_that_is_another_weight_is_taken_before_it_changes(tmp_path: Path) -> None:
    text = """\
netlang: 1
networks:
  A: {inputs: {x: [N, 2]}, layers: {a: "linear(1, bias=false)"}}
  B: {inputs: {x: [N, 2]}, layers: {a: "linear(1, bias=false)"}}
data: {train: blobs(samples=16)}
train:
  iterations: 10
  batch: 8
  steps:
    - {update: [A, B], minimize: mean(A(point) * B(point)), with: sgd(lr=0.1)}
"""
    ours, theirs = (objectives(text, tmp_path / name, backend=name, dtype="f64") for name in ("numpy", "torch"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-11)


def test_threads_are_set_and_given_back() -> None:
    before = read_threads()
    engine = make_engine(make(PLAIN), 0, 1, "numpy", "cpu", 1)
    assert engine.threads == 1
    assert read_threads() == 1
    engine.close()
    assert read_threads() == before
    set_threads(before)


def test_unknown_devices_and_missing_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    for device, code in (("cuda", "NL724"), ("cuda:1", "NL724"), ("gpu", "NL722"), ("cuda:x", "NL722")):
        with pytest.raises(SpecError) as found:
            make_engine(make(PLAIN), 0, 1, "numpy", device, 1)
        only(found.value, code)


def test_other_back_ends_and_types_are_refused() -> None:
    with pytest.raises(ValueError, match="no back end 'jax'"):
        make_engine(make(PLAIN), 0, 1, "jax", "cpu", 1)
    with pytest.raises(ValueError, match="no training in 'f16'"):
        in_numbers_of(make(PLAIN), "f16")


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise AssertionError("torch is imported")
sys.meta_path.insert(0, Blocked())
import netlang.cli
code = netlang.cli.run(sys.argv[1:])
assert not [name for name in sys.modules if name.split(".")[0] == "torch"]
raise SystemExit(code)
"""


def test_command_line_trains_resumes_and_evaluates_without_torch(tmp_path: Path) -> None:
    spec = tmp_path / "small.yaml"
    spec.write_text(CLASSIFIER)

    def call(*arguments: str) -> str:
        done = subprocess.run([sys.executable, "-c", BLOCKED, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run_folder = str(tmp_path / "run")
    trained = call("train", str(spec), "--backend", "numpy", "--run", run_folder)
    assert trained.startswith("accuracy ")
    call("train", str(spec), "--resume", run_folder)
    assert call("eval", str(spec), "--backend", "numpy", "--weights", run_folder).splitlines()[0] == trained.splitlines()[0]


def test_lenet_on_digits_learns_as_with_torch() -> None:
    checked = netlang.check(LENET).require()
    curves = []
    for backend in ("numpy", "torch"):
        engine, feed = make_engine(checked, 0, 460, backend, "cpu", 1), Feed(checked, 0)
        curves.append([engine.update(0, engine.place(feed.take("train")), step, 460).objective for step in range(50)])
        engine.close()
    np.testing.assert_allclose(curves[0], curves[1], atol=1e-4, rtol=0)
    assert curves[0][-1] < 0.6 * curves[0][0]


@pytest.mark.slow
def test_lenet_on_digits_reaches_the_accuracy_of_torch(tmp_path: Path) -> None:
    finals = []
    for backend in ("numpy", "torch"):
        records = list(netlang.train(LENET, folder=tmp_path / backend, backend=backend, threads=2))
        finals.append([record for record in records if isinstance(record, EvaluationRecord)][-1].metrics["accuracy"])
    assert finals[0] >= 0.95
    assert abs(finals[0] - finals[1]) < 0.01


@final
class FakeCupy:
    """NumPy behind the names that CuPy has, and no other."""

    def __getattr__(self, name: str) -> Any:
        if name == "cuda":
            return SimpleNamespace(Device=lambda _: SimpleNamespace(use=lambda: None), runtime=SimpleNamespace(CUDARuntimeError=OSError))
        if name not in CUPY:
            raise AttributeError(name)
        return getattr(np, name)


@pytest.mark.parametrize("text", [CLASSIFIER, ADVERSARIAL], ids=["classifier", "adversarial"])
def test_trains_on_a_module_with_the_names_of_cupy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setitem(sys.modules, "cupy", FakeCupy())
    records = run(make(text), tmp_path / "run", backend="numpy", device="cuda:0")
    assert all(math.isfinite(record.objective) for record in steps_of(records))
    again = run(make(text), tmp_path / "run", resume=True, device="cuda:0")
    assert again[-1].kind == "finished"


@pytest.mark.parametrize("settings", ["lr=0.1, max_iter=3", "line_search_fn=strong_wolfe, max_iter=4, history_size=5"])
@pytest.mark.parametrize("option", ["", "clip_norm: 0.5", "clip_value: 0.05", "clamp: 0.5"])
def test_lbfgs_is_that_of_torch(tmp_path: Path, settings: str, option: str) -> None:
    text = PLAIN.replace("adamw(lr=cosine(rate, warmup=4))", f"lbfgs({settings})\n      {option}").replace("epochs: 6", "epochs: 2")
    ours = objectives(text, tmp_path / "numpy", backend="numpy", dtype="f64")
    theirs = objectives(text, tmp_path / "torch", backend="torch", dtype="f64")
    np.testing.assert_allclose(ours[:8], theirs[:8], rtol=1e-6)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_lbfgs_resumes_in_the_same_bits(tmp_path: Path, backend: str, dtype: str) -> None:
    checked = make(CLASSIFIER.replace("adamw(lr=cosine(rate, warmup=4))", "lbfgs(lr=0.5, max_iter=3, history_size=4)"))
    run(checked, tmp_path / "whole", backend=backend, dtype=dtype, save_every=5)
    records = train(checked, folder=tmp_path / "parts", threads=1, backend=backend, dtype=dtype, save_every=5)
    assert isinstance(records, Generator)
    for record in records:
        if getattr(record, "iteration", 0) >= 8:
            break
    records.close()
    run(checked, tmp_path / "parts", resume=True, save_every=5)
    assert digest_state(tmp_path / "parts") == digest_state(tmp_path / "whole")
    assert read_log(tmp_path / "parts") == read_log(tmp_path / "whole")


def test_missing_torch_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SpecError) as found:
        make_engine(make(PLAIN), 0, 1, "torch", "cpu", 1)
    assert only(found.value, "NL726").help == "install it, or compute with NumPy: `--backend numpy`"


DRAWN = """\
netlang: 1
networks:
  G:
    inputs: {z: [N, 3]}
    layers: {a: linear(4) -> tanh, b: linear(1)}
train:
  iterations: 6
  batch: 32
  draw:
    z: normal(N, 3)
  steps:
    - name: own
      update: G
      draw: {noise: uniform}
      minimize: mean((G(z) - sum(z, axis=1, keepdims=true) + noise) ** 2)
      with: sgd(lr=0.1)
  metrics:
    error: mean((G(z) - sum(z, axis=1, keepdims=true)) ** 2)
""".replace("draw: {noise: uniform}", 'draw: {noise: "uniform(N, 1, low=-0.1, high=0.1)"}')


def test_program_without_data_draws_as_many_rows_as_its_batch(tmp_path: Path) -> None:
    records = run(make(DRAWN), tmp_path / "run", backend="numpy", dtype="f64")
    losses = [record.objective for record in steps_of(records)]
    assert len(losses) == 6
    assert losses[-1] < losses[0]
    (measured,) = (record.metrics["error"] for record in records if isinstance(record, EvaluationRecord))
    assert 0 < measured < losses[0]
    assert evaluate(make(DRAWN), tmp_path / "run", backend="numpy", dtype="f64") == {"error": measured}


def test_scans_train_without_torch(tmp_path: Path) -> None:
    records = list(netlang.train("rnn/digits_rows", folder=tmp_path / "run", backend="numpy", set={"hidden": 16}, seed=1))
    (*_, last) = (record.metrics["accuracy"] for record in records if isinstance(record, EvaluationRecord))
    assert last > 0.85


PENALTY = """
netlang: 1
use: [rnn/cells]
networks:
  reader:
    inputs: {rows: [N, 5, 3]}
    layers:
      s: scan(gru_before(4))
      out: last(s) -> linear(1)
train:
  iterations: 2
  batch: 3
  draw: {rows: "normal(N, 5, 3)"}
  steps:
    - update: reader
      minimize: mean(reader(rows)) + mean(grad(reader(rows), rows) ** 2)
      with: sgd(lr=0.1)
"""


def test_a_gradient_of_a_scans_gradient_is_named_at_its_step(tmp_path: Path) -> None:
    assert len(steps_of(run(make(PENALTY), tmp_path / "torch", backend="torch"))) == 2
    with pytest.raises(SpecError) as caught:
        run(make(PENALTY), tmp_path / "run", backend="numpy")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "NL727"
    assert "a gradient of the scan of `gru_before`" in diagnostic.message
    assert diagnostic.span is not None
    assert diagnostic.span.text.startswith("mean(reader(rows))")
