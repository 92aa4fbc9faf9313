from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from compiler.diagnostics import SpecError
from netlang.training.records import StepRecord
from netlang.training.run_folder import create_run, describe_environment, own, safe_name
from tests.netlang.training.runs import only

RECORD = StepRecord(1, 0, "fit", 0.5, 0.1, 2.0, 0.001)


def test_a_folder_that_exists_is_never_used(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        create_run(tmp_path, "x")
    found = only(caught.value, "NL712")
    assert found.help is not None
    assert f"--resume {tmp_path}" in found.help


def test_folders_are_named_by_spec_and_time_and_never_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = []
    for _ in range(3):
        with create_run(None, "my net/..") as run:
            made.append(run.path)
    assert len(set(made)) == 3
    assert {path.parent for path in made} == {Path("runs") / "my_net___"}


@pytest.mark.parametrize(("name", "safe"), [("", "run"), ("a/../b", "a____b"), ("é\x1b", "__"), ("x" * 200, "x" * 100)])
def test_names_of_specs_become_names_of_folders(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_the_second_owner_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    with create_run(tmp_path / "run", "x"), pytest.raises(SpecError) as caught:
        own(tmp_path / "run")
    message = only(caught.value, "NL713").message
    assert f"process {os.getpid()} on " in message
    assert "started 2" in message
    own(tmp_path / "run").__exit__()


def test_a_killed_owner_leaves_no_lock(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        own(folder)
        os.write(told, b"x")
        signal.pause()
    os.read(ready, 1)
    with pytest.raises(SpecError):
        own(folder)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with own(folder) as run:
        assert run.path == folder


def test_a_lock_without_a_readable_owner_is_told(tmp_path: Path) -> None:
    with create_run(tmp_path / "run", "x"):
        (tmp_path / "run" / "lock").write_bytes(b"\xff")
        with pytest.raises(SpecError) as caught:
            own(tmp_path / "run")
        assert "in use by another process" in only(caught.value, "NL713").message


def test_links_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "mine").write_text("keep")
    for name in ("lock", "metrics.jsonl"):
        (folder / name).symlink_to(tmp_path / "mine")
        with pytest.raises(SpecError) as caught:
            own(folder)
        only(caught.value, "NL712")
        (folder / name).unlink()
    with own(folder) as run:
        (folder / ".x.new").symlink_to(tmp_path / "mine")
        run.write("x", b"data")
    assert (tmp_path / "mine").read_text() == "keep"
    assert (folder / "x").read_bytes() == b"data"


def test_the_log_has_a_line_a_record_and_is_cut_where_told(tmp_path: Path) -> None:
    with create_run(tmp_path / "run", "x") as run:
        run.log(RECORD)
        length = run.sync_log()
        run.log(RECORD)
        run.cut_log(length)
        run.log(RECORD)
        lines = (run.path / "metrics.jsonl").read_text().splitlines()
    wanted = {"kind": "step", "iteration": 1, "epoch": 0, "step": "fit", "objective": 0.5, "learning_rate": 0.1, "gradient_norm": 2.0}
    assert [json.loads(line) for line in lines] == [wanted | {"seconds": 0.001}] * 2


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with create_run(tmp_path / "run", "x") as run:
        run.write("x", b"old")
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full)
            acts: list[Callable[[], object]] = [lambda: run.log(RECORD), lambda: run.write("x", b"new")]
            for act in acts:
                with pytest.raises(SpecError) as caught:
                    act()
                assert "no space left on device" in only(caught.value, "NL719").message
        assert [path.name for path in run.path.iterdir() if path.name.startswith(".")] == []
        assert (run.path / "x").read_bytes() == b"old"


def test_places_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "run", Path("/proc/run"), tmp_path / "a\0b"):
        with pytest.raises(SpecError) as caught:
            create_run(place, "x")
        only(caught.value, "NL712")


def test_the_environment_is_json() -> None:
    found = json.loads(json.dumps(describe_environment(seed=3)))
    assert found["seed"] == 3
    assert found["versions"]["torch"].startswith("2.")
