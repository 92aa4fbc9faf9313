"""The folder of a run: made exclusively, owned by one process at a time, with the run's log of records.

It holds `lock`, `spec.yaml`, `environment.json`, `metrics.jsonl` (one record a line), `samples`, checkpoints, and at the end the weights.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import socket
import sys
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, final

from compiler.diagnostics import SpecError
from netlang.training.durable import replace, saving_failed
from netlang.training.failures import failure
from netlang.training.records import EvaluationRecord, GradientRecord, StepRecord

METRICS: Final = "metrics.jsonl"
MOST_ATTEMPTS: Final = 1000


@final
class RunFolder:
    """A run's folder while this process owns it; a context manager that gives it back."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        try:
            self._log = os.open(path / METRICS, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            os.close(lock)
            raise _unusable(path, error) from error

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._log)
        os.close(self._lock)

    def log(self, record: StepRecord | GradientRecord | EvaluationRecord) -> None:
        """One line; it is with the operating system when this returns, so a killed process loses none."""
        values = {"kind": record.kind} | {item.name: getattr(record, item.name) for item in fields(record)}
        line = json.dumps(values, default=dict).encode() + b"\n"
        try:
            written = os.write(self._log, line)
            while written < len(line):
                written += os.write(self._log, line[written:])
        except OSError as error:
            raise saving_failed(error, self.path / METRICS, len(line), "earlier checkpoints are untouched") from error

    def sync_log(self) -> int:
        """The length of the log in bytes, all of it on the disk."""
        try:
            os.fsync(self._log)
        except OSError as error:
            raise saving_failed(error, self.path / METRICS, 0, "earlier checkpoints are untouched") from error
        return os.fstat(self._log).st_size

    def cut_log(self, length: int) -> None:
        """Drop what was logged after the checkpoint that a run goes on from."""
        if os.fstat(self._log).st_size > length:
            os.ftruncate(self._log, length)

    def write(self, name: str, data: bytes) -> Path:
        """A file of the run, or of a folder in it, in place of one that is there."""
        path = self.path / name
        try:
            if path.parent != self.path:
                path.parent.mkdir(exist_ok=True)
            replace(path, [data])
        except OSError as error:
            raise saving_failed(error, path, len(data), "earlier checkpoints are untouched") from error
        return path


def create_run(folder: Path | None, name: str) -> RunFolder:
    """A new folder, `runs/<name>/<time>` unless given; SpecError NL712 where it exists already or cannot be made."""
    if folder is not None:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            help = f"go on with that run: `--resume {folder}`, or give another folder"
            raise failure("NL712", f"the folder `{folder}` exists already", help=help) from None
        except (OSError, ValueError) as error:
            raise _unusable(folder, error) from error
        return own(folder)
    return own(_create_dated(Path("runs") / safe_name(name)))


def _create_dated(parent: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    for attempt in range(MOST_ATTEMPTS):
        path = parent / (stamp if attempt == 0 else f"{stamp}-{attempt + 1}")
        try:
            parent.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise _unusable(path, error) from error
        return path
    raise failure("NL712", f"no new folder could be made in `{parent}`", help="give one with `--folder`")


def safe_name(name: str) -> str:
    """A spec's name as the name of a folder."""
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_-") else "_" for letter in name[:100])
    return kept or "run"


def own(path: Path) -> RunFolder:
    """The folder for this process alone until it ends, however it ends; SpecError NL713 names the other owner."""
    try:
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = _describe_owner(os.pread(lock, 4096, 0))
        os.close(lock)
        raise failure("NL713", f"the run `{path}` is in use by {owner}", help="wait for it, or stop it") from None
    os.ftruncate(lock, 0)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    os.pwrite(lock, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "start": started}).encode(), 0)
    return RunFolder(path, lock)


def _describe_owner(data: bytes) -> str:
    try:
        owner = json.loads(data)
        return f"process {int(owner['pid'])} on {str(owner['host'])[:100]}, started {str(owner['start'])[:40]}"
    except (ValueError, KeyError, TypeError):
        return "another process"


def _unusable(path: Path, error: OSError | ValueError) -> SpecError:
    reason = (getattr(error, "strerror", None) or str(error)).lower()
    return failure("NL712", f"the folder `{path}` cannot be used: {reason}", help="give a folder that you may write to")


def describe_environment(**settings: Any) -> dict[str, Any]:
    """What a run's numbers may depend on besides its spec."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "command": sys.argv,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": read_versions(),
        **settings,
    }


def read_versions() -> Mapping[str, str]:
    """Versions of the packages that compute."""
    found = {}
    for name in ("netlang", "numpy", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
