"""A run that was killed and resumed ends in the same bits as one that was not."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from compiler.diagnostics import Severity, SpecError
from netlang.training import CheckpointRecord, EvaluationRecord, Notice, StepRecord, train
from netlang.training.checkpoint import list_checkpoints
from tests.netlang.training.nursery import Nursery
from tests.netlang.training.runs import ADVERSARIAL, CLASSIFIER, digest_state, make, only, read_log, run, steps_of

SAVE_EVERY = 5
LONG = CLASSIFIER.replace("epochs: 6", "epochs: 40")
GAME = ADVERSARIAL.replace("iterations: 12", "iterations: 90")


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


def go_on(nursery: Nursery, spec: Path, folder: Path) -> int:
    """Resume a run, or start it anew where it was killed before its first checkpoint; its process."""
    resume = bool(list_checkpoints(folder))
    if not resume and folder.exists():
        shutil.rmtree(folder)
    return nursery.start(spec, folder, resume=resume, save_every=SAVE_EVERY)


def kill(nursery: Nursery, spec: Path, folder: Path, generator: random.Random, *, longest: float) -> bool:
    """Start or resume a run and kill it, half the time while it saves; whether it ended before."""
    process = go_on(nursery, spec, folder)
    wait_for(lambda: (folder / "metrics.jsonl").exists())
    time.sleep(generator.uniform(0, longest))
    if generator.random() < 0.5:
        wait_for(lambda: bool(list(folder.glob(".step-*"))) or is_ended(process), pause=0)
        time.sleep(generator.uniform(0, 0.005))
    if not is_ended(process):
        os.kill(process, signal.SIGKILL)
    return nursery.wait() == 0


def is_ended(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


def wait_for(condition: object, pause: float = 0.001) -> None:
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(pause)


def kill_and_compare(nursery: Nursery, text: str, folder: Path, kills: int, seed: int) -> None:
    spec = folder / "spec.yaml"
    spec.write_text(text)
    nursery.start(spec, folder / "whole", resume=False)
    assert nursery.wait() == 0
    generator = random.Random(seed)
    for _ in range(kills):
        if kill(nursery, spec, folder / "killed", generator, longest=0.12):
            break
        lost = len(read_log(folder / "killed")) and steps_done(folder / "killed") - saved_iteration(folder / "killed")
        assert lost <= SAVE_EVERY, "more than an interval of work is lost"
    go_on(nursery, spec, folder / "killed")
    assert nursery.wait() == 0
    assert digest_state(folder / "killed") == digest_state(folder / "whole")
    assert read_log(folder / "killed") == read_log(folder / "whole")
    assert [path.name for path in (folder / "killed").iterdir() if path.name.startswith((".", "damaged"))] == []


def steps_done(folder: Path) -> int:
    return max((int(line["iteration"]) for line in read_log(folder)), default=0)


def saved_iteration(folder: Path) -> int:
    return int(list_checkpoints(folder)[0].name.removeprefix("step-"))


@pytest.mark.parametrize("text", [LONG, GAME], ids=["classifier", "game"])
def test_kills_at_random_moments_change_no_bit(text: str, nursery: Nursery, tmp_path: Path) -> None:
    kill_and_compare(nursery, text, tmp_path, kills=3, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("text", [LONG, GAME], ids=["classifier", "game"])
@pytest.mark.parametrize("seed", range(5))
def test_many_kills_at_random_moments_change_no_bit(text: str, seed: int, nursery: Nursery, tmp_path: Path) -> None:
    kill_and_compare(nursery, text, tmp_path, kills=5, seed=seed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_at_the_end_of_the_iteration(number: signal.Signals, nursery: Nursery, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(LONG)
    folder = tmp_path / "stopped"
    process = nursery.start(spec, folder, resume=False)
    wait_for(lambda: (folder / "metrics.jsonl").exists() and (folder / "metrics.jsonl").stat().st_size > 2000)
    os.kill(process, number)
    assert nursery.wait() == 128 + number
    assert saved_iteration(folder) == steps_done(folder)
    nursery.start(spec, folder, resume=True)
    assert nursery.wait() == 0
    nursery.start(spec, tmp_path / "whole", resume=False)
    assert nursery.wait() == 0
    assert digest_state(folder) == digest_state(tmp_path / "whole")
    assert read_log(folder) == read_log(tmp_path / "whole")


@pytest.mark.parametrize("stop_at", [0, 3, 7, 41, 42])
def test_stopping_after_any_iteration_changes_nothing(stop_at: int, tmp_path: Path) -> None:
    first = []
    for record in train(make(), folder=tmp_path / "run", threads=1):
        first.append(record)
        if isinstance(record, StepRecord | CheckpointRecord) and record.iteration == stop_at:
            signal.raise_signal(signal.SIGTERM)
            stop_at = -1
    assert first[-1].kind == "stopped"
    second = run(make(), tmp_path / "run", resume=True)
    whole = run(make(), tmp_path / "whole")
    assert digest_state(tmp_path / "run") == digest_state(tmp_path / "whole")
    assert read_log(tmp_path / "run") == read_log(tmp_path / "whole")
    kinds = (StepRecord, EvaluationRecord)
    assert len([item for item in [*first, *second] if isinstance(item, kinds)]) == len([item for item in whole if isinstance(item, kinds)])


def test_handlers_are_given_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    iterator = train(make(), folder=tmp_path / "run", threads=1)
    next(iterator)
    assert signal.getsignal(signal.SIGTERM) is not before[0]
    iterator.close()  # type: ignore[attr-defined]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    run(make(), tmp_path / "run")
    before = digest_state(tmp_path / "run")
    assert [record.kind for record in run(make(), tmp_path / "run", resume=True)] == ["finished"]
    assert digest_state(tmp_path / "run") == before


def stop_early(folder: Path, text: str = CLASSIFIER, **overrides: str) -> None:
    iterator = train(make(text, **overrides), folder=folder, threads=1, save_every=4)
    for record in iterator:
        if record.kind == "step" and getattr(record, "iteration", 0) == 10:
            iterator.close()  # type: ignore[attr-defined]


def test_another_spec_is_refused_with_both_lines(tmp_path: Path) -> None:
    stop_early(tmp_path / "run")
    with pytest.raises(SpecError) as caught:
        run(make(CLASSIFIER.replace("dropout(0.2)", "dropout(0.3)")), tmp_path / "run", resume=True)
    notes = only(caught.value, "NL717").notes
    assert ["0.2" in notes[0], "0.3" in notes[1]] == [True, True]
    assert notes[0].startswith("line 8 was")


def test_another_constant_is_refused_with_both_values(tmp_path: Path) -> None:
    stop_early(tmp_path / "run", hidden="6")
    with pytest.raises(SpecError) as caught:
        run(make(), tmp_path / "run", resume=True)
    assert only(caught.value, "NL717").notes == ("`hidden` was 6, is 8",)


def test_another_seed_is_refused_with_both(tmp_path: Path) -> None:
    stop_early(tmp_path / "run")
    with pytest.raises(SpecError) as caught:
        run(make(), tmp_path / "run", resume=True, seed=4)
    assert "the seed 3, not 4" in only(caught.value, "NL717").message
    assert len(steps_of(run(make(), tmp_path / "run", resume=True, seed=3))) == 42 - 8


def test_another_number_of_threads_is_told(tmp_path: Path) -> None:
    stop_early(tmp_path / "run")
    records = list(train(make(), folder=tmp_path / "run", resume=True, threads=2))
    (notice,) = [record for record in records if isinstance(record, Notice)]
    assert notice.diagnostic.severity is Severity.WARNING
    assert notice.diagnostic.message.startswith("the run was started with threads 1, and goes on with 2")


def test_threads_are_those_of_the_start_unless_told(tmp_path: Path) -> None:
    for _ in train(make(), folder=tmp_path / "run", threads=2):
        break
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    records = list(train(make(), folder=tmp_path / "run", resume=True))
    torch.set_num_threads(before)
    assert [record for record in records if isinstance(record, Notice)] == []


def test_a_run_can_be_made_longer_and_that_is_told(tmp_path: Path) -> None:
    run(make(), tmp_path / "run")
    checked = make()
    assert checked.program is not None
    longer = dataclasses.replace(checked, program=dataclasses.replace(checked.program, epochs=8))
    records = run(longer, tmp_path / "run", resume=True)
    (notice,) = [record for record in records if isinstance(record, Notice)]
    assert notice.diagnostic.message == "the run was started with iterations 42, and goes on with 56: schedules follow the new length"
    assert [record.iteration for record in steps_of(records)] == list(range(43, 57))
    shorter = dataclasses.replace(checked, program=dataclasses.replace(checked.program, epochs=2))
    assert [record.kind for record in run(shorter, tmp_path / "run", resume=True)] == ["notice", "finished"]


def test_the_second_signal_ends_the_process_at_once(nursery: Nursery, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(LONG)
    process = nursery.start(spec, tmp_path / "run", resume=False, sleep_at=3)
    wait_for(lambda: (tmp_path / "run" / "metrics.jsonl").exists() and steps_done(tmp_path / "run") == 3)
    began = time.monotonic()
    os.kill(process, signal.SIGTERM)
    time.sleep(0.1)
    os.kill(process, signal.SIGTERM)
    assert nursery.wait() == 143
    assert time.monotonic() - began < 1
    assert saved_iteration(tmp_path / "run") == 0


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    stop_early(tmp_path / "run")
    newest = list_checkpoints(tmp_path / "run")[0]
    (newest / "optimizers.safetensors").write_bytes(b"")
    records = run(make(), tmp_path / "run", resume=True)
    (notice,) = [record for record in records if isinstance(record, Notice)]
    assert notice.diagnostic.code == "NL716"
    run(make(), tmp_path / "whole")
    assert digest_state(tmp_path / "run") == digest_state(tmp_path / "whole")
    assert read_log(tmp_path / "run") == read_log(tmp_path / "whole")


@pytest.mark.parametrize("name", ["none", "empty"])
def test_a_folder_without_a_run_cannot_be_resumed(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError) as caught:
        run(make(), tmp_path / name, resume=True)
    only(caught.value, "NL714")
