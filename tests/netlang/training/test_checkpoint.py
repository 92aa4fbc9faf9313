"""Checkpoints against every fault: a kill at each system call, each call failing, each byte cut, bits flipped."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.diagnostics import SpecError
from netlang.training import checkpoint as module
from netlang.training.checkpoint import (
    Damaged,
    clean,
    encode_manifest,
    list_checkpoints,
    load_newest,
    read_checkpoint,
    set_aside,
    write_checkpoint,
)
from tests.netlang.training.runs import only

CALLS = ("open", "write", "fsync", "rename", "unlink", "rmdir", "mkdir", "close")


def content(iteration: int) -> dict[str, list[bytes | memoryview]]:
    return {"a.safetensors": [b"head", memoryview(bytes([iteration % 251]) * 40)], "progress.json": [str(iteration).encode()]}


def save(run: Path, *iterations: int) -> None:
    for iteration in iterations:
        write_checkpoint(run, iteration, content(iteration))


def assert_is(found: module.Checkpoint, iteration: int) -> None:
    assert found.iteration == iteration
    assert {name: bytes(data) for name, data in found.files.items()} == {
        name: b"".join(parts) for name, parts in content(iteration).items()
    }


def test_the_newest_two_stay(tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 3, 10)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000010", "step-00000003"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000003", "step-00000010"]
    found, warnings = load_newest(tmp_path)
    assert_is(found, 10)
    assert warnings == ()


@pytest.fixture
def at_call(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], list[int]]:
    """Run something at the k-th system call of os; the list counts the calls."""

    def arm(k: int, act: Callable[[], None]) -> list[int]:
        count = [0]

        def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **keywords: Any) -> Any:
                count[0] += 1
                if count[0] == k:
                    act()
                return original(*arguments, **keywords)

            return call

        for name in CALLS:
            monkeypatch.setattr(os, name, wrap(getattr(os, name)))
        return count

    return arm


def count_calls(run: Path, at_call: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch) -> int:
    save(run, 1, 2)
    with monkeypatch.context():
        count = at_call(0, lambda: None)
        save(run, 3)
        total = count[0]
    monkeypatch.undo()
    return total


def test_a_kill_at_every_system_call_of_a_save_leaves_the_old_or_the_new_state(
    tmp_path: Path, at_call: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counted").mkdir()
    calls = count_calls(tmp_path / "counted", at_call, monkeypatch)
    assert calls > 20
    outcomes = set()
    for k in range(1, calls + 1):
        run = tmp_path / str(k)
        run.mkdir()
        save(run, 1, 2)
        child = os.fork()
        if child == 0:
            at_call(k, lambda: os.kill(os.getpid(), signal.SIGKILL))
            save(run, 3)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signal.SIGKILL
        found, warnings = load_newest(run)
        assert warnings == ()
        assert_is(found, found.iteration)
        outcomes.add(found.iteration)
        clean(run)
        assert all(path.name.startswith("step-") and (path / "manifest.json").exists() for path in run.iterdir())
        save(run, 4)
        assert_is(load_newest(run)[0], 4)
    assert outcomes == {2, 3}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_every_failing_system_call_leaves_a_sound_checkpoint_and_is_told(
    number: int, tmp_path: Path, at_call: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counted").mkdir()
    calls = count_calls(tmp_path / "counted", at_call, monkeypatch)
    told = 0
    for k in range(1, calls + 1):
        run = tmp_path / str(k)
        run.mkdir()
        save(run, 1, 2)

        def fail() -> None:
            raise OSError(number, os.strerror(number))

        at_call(k, fail)
        try:
            save(run, 3)
        except SpecError as error:
            told += 1
            found = only(error, "NL719")
            assert "step-00000003" in found.message
            assert os.strerror(number).lower() in found.message
            assert any("untouched" in note for note in found.notes)
        finally:
            monkeypatch.undo()
        found_checkpoint, _ = load_newest(run)
        assert found_checkpoint.iteration in (2, 3)
        assert_is(found_checkpoint, found_checkpoint.iteration)
    assert told > 10


def files_of(step: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(step.iterdir()):
        yield path, path.read_bytes()


def test_every_truncation_is_seen(tmp_path: Path) -> None:
    save(tmp_path, 7)
    step = list_checkpoints(tmp_path)[0]
    for path, data in files_of(step):
        for length in range(len(data)):
            path.write_bytes(data[:length])
            with pytest.raises(Damaged):
                read_checkpoint(step)
        path.write_bytes(data + b"\0")
        with pytest.raises(Damaged):
            read_checkpoint(step)
        path.write_bytes(data)
    assert_is(read_checkpoint(step), 7)


def test_every_flipped_bit_is_seen(tmp_path: Path) -> None:
    save(tmp_path, 7)
    step = list_checkpoints(tmp_path)[0]
    for path, data in files_of(step):
        for bit in range(len(data) * 8):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            with pytest.raises(Damaged):
                read_checkpoint(step)
        path.write_bytes(data)


def test_files_of_another_step_are_seen(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)
    new, old = list_checkpoints(tmp_path)
    (new / "a.safetensors").write_bytes((old / "a.safetensors").read_bytes())
    with pytest.raises(Damaged, match=r"SHA-256 of `a\.safetensors`"):
        read_checkpoint(new)


@pytest.mark.parametrize("change", [{"x": 1}, {"bytes": -1}, {"bytes": "4"}, {"sha256": 4}])
def test_manifests_made_by_others_are_refused(change: dict[str, object], tmp_path: Path) -> None:
    save(tmp_path, 1)
    step = list_checkpoints(tmp_path)[0]
    manifest = json.loads((step / "manifest.json").read_text())
    if "x" in change:
        manifest["files"]["../outside"] = manifest["files"]["a.safetensors"]
    else:
        manifest["files"]["a.safetensors"] |= change
    (step / "manifest.json").write_bytes(encode_manifest(1, manifest["files"]))
    with pytest.raises(Damaged):
        read_checkpoint(step)


def test_a_pipe_in_a_checkpoint_is_not_waited_for(tmp_path: Path) -> None:
    save(tmp_path, 1)
    step = list_checkpoints(tmp_path)[0]
    (step / "a.safetensors").unlink()
    os.mkfifo(step / "a.safetensors")
    with pytest.raises(Damaged, match="regular"):
        read_checkpoint(step)


def test_an_older_one_is_used_and_told(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)
    path = list_checkpoints(tmp_path)[0] / "a.safetensors"
    path.write_bytes(b"x" * 44)
    found, (warning,) = load_newest(tmp_path)
    assert_is(found, 1)
    assert warning.code == "NL716"
    assert "`step-00000001`" in warning.message
    assert warning.notes[0].startswith("`step-00000002`: the SHA-256 of `a.safetensors` is")
    set_aside(tmp_path, 1)
    save(tmp_path, 2)
    assert_is(load_newest(tmp_path)[0], 2)
    assert (tmp_path / "damaged-step-00000002-1").is_dir()


def test_without_a_sound_one_all_reasons_are_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_newest(tmp_path)
    only(caught.value, "NL714")
    save(tmp_path, 1, 2)
    for step in list_checkpoints(tmp_path):
        (step / "progress.json").unlink()
    with pytest.raises(SpecError) as caught:
        load_newest(tmp_path)
    assert len(only(caught.value, "NL715").notes) == 2


def test_a_reader_never_sees_a_step_vanish(tmp_path: Path) -> None:
    save(tmp_path, 0)
    child = os.fork()
    if child == 0:
        for iteration in range(1, 150):
            save(tmp_path, iteration)
        os._exit(0)
    last = 0
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        found, warnings = load_newest(tmp_path)
        assert warnings == ()
        assert found.iteration >= last
        last = found.iteration
    assert_is(load_newest(tmp_path)[0], 149)
