from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from compiler.diagnostics import SpecError
from netlang.training import EvaluationRecord, evaluate
from netlang.training.checkpoint import list_checkpoints
from tests.netlang.training.runs import ADVERSARIAL, CLASSIFIER, make, only, run

MEASURED = ADVERSARIAL + "  metrics:\n    gap: mean(D(point)) - mean(D(G(z)))\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("runs") / "run"
    run(make(), made)
    return made


def test_a_run_its_file_and_its_checkpoint_give_the_same_metrics(folder: Path, tmp_path: Path) -> None:
    found = evaluate(make(), folder, threads=1)
    assert 0 <= found["accuracy"] <= 1
    assert evaluate(make(), folder / "model.safetensors", threads=1) == found
    (tmp_path / "unfinished").mkdir()
    newest = list_checkpoints(folder)[0]
    newest_copy = tmp_path / "unfinished" / newest.name
    newest_copy.mkdir()
    for path in newest.iterdir():
        (newest_copy / path.name).write_bytes(path.read_bytes())
    assert evaluate(make(), tmp_path / "unfinished", threads=1) == found


def test_metrics_are_those_of_the_run(tmp_path: Path) -> None:
    records = run(make(), tmp_path / "run")
    last = [record for record in records if isinstance(record, EvaluationRecord)][-1]
    assert evaluate(make(), tmp_path / "run", threads=1) == last.metrics


def test_metrics_may_draw_and_always_draw_the_same(tmp_path: Path) -> None:
    records = run(make(MEASURED), tmp_path / "run")
    last = [record for record in records if isinstance(record, EvaluationRecord)][-1]
    first = evaluate(make(MEASURED), tmp_path / "run", threads=1)
    assert first == evaluate(make(MEASURED), tmp_path / "run", threads=1) == last.metrics


@pytest.mark.parametrize("backend", ["torch", "numpy"])
def test_averaged_weights_are_what_is_measured_also_from_a_checkpoint(backend: str, tmp_path: Path) -> None:
    checked = make(MEASURED.replace("      clip_norm: 0.5\n", "      clip_norm: 0.5\n      ema: 0.8\n"))
    records = run(checked, tmp_path / "run", backend=backend)
    last = [record for record in records if isinstance(record, EvaluationRecord)][-1]
    assert evaluate(checked, tmp_path / "run", backend=backend, threads=1) == last.metrics
    for path in (tmp_path / "run").glob("*.safetensors"):
        path.unlink()
    assert evaluate(checked, tmp_path / "run", backend=backend, threads=1) == last.metrics


def test_one_file_is_not_enough_for_several_networks(tmp_path: Path) -> None:
    run(make(MEASURED), tmp_path / "run")
    with pytest.raises(SpecError) as caught:
        evaluate(make(MEASURED), tmp_path / "run" / "G.safetensors")
    assert "`G`, `D`" in only(caught.value, "NL705").message


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    with pytest.raises(SpecError) as caught:
        evaluate(make(CLASSIFIER.replace("hidden: 8", "hidden: 9")), folder)
    assert "`a.linear.weight` is f32[8, 2], the network has f32[9, 2]" in only(caught.value, "NL604").notes
    with pytest.raises(SpecError) as caught:
        evaluate(make(CLASSIFIER.replace("      b: linear", "      c: linear")), folder)
    assert "nearest to `c.weight` is `b.weight`" in only(caught.value, "NL603").notes


def test_weights_that_are_not_finite_are_refused(folder: Path, tmp_path: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["b.bias"][1] = torch.nan
    save_file(weights, tmp_path / "x.safetensors")
    with pytest.raises(SpecError) as caught:
        evaluate(make(), tmp_path / "x.safetensors")
    assert "`net.b.bias`" in only(caught.value, "NL605").message


def test_a_spec_without_metrics_has_nothing_to_measure(folder: Path) -> None:
    with pytest.raises(SpecError) as caught:
        evaluate(make(CLASSIFIER.split("  metrics:")[0]), folder)
    only(caught.value, "NL710")


def test_a_folder_without_weights_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        evaluate(make(), tmp_path)
    only(caught.value, "NL714")
