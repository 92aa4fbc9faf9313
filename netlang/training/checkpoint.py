"""Checkpoints: folders `step-00000123` that are there as a whole or not at all, each with the SHA-256 of all it holds.

A checkpoint is written beside, synced, renamed, and the run's folder synced; only then is an older one taken away. What the
files mean is not known here (state.py). Sizes are in bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from compiler.diagnostics import Diagnostic, Severity
from netlang.training.durable import Part, open_regular, saving_failed, sync_folder, write_new
from netlang.training.failures import failure

FORMAT: Final = 1
KEPT: Final = 2
MANIFEST: Final = "manifest.json"
NAME: Final = re.compile(r"step-(\d{8,18})\Z", re.ASCII)
FILE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,200}\Z", re.ASCII)


@final
@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint whose every byte has been verified; `files` holds them."""

    path: Path
    iteration: int
    files: Mapping[str, memoryview]


@final
class Damaged(Exception):
    """Why a checkpoint is not to be trusted."""


def checkpoint_name(iteration: int) -> str:
    return f"step-{iteration:08d}"


def write_checkpoint(run: Path, iteration: int, files: Mapping[str, Sequence[Part]], kept: int = KEPT) -> Path:
    """A new checkpoint; on the disk when this returns, and then all but the newest `kept` are gone.

    Raises SpecError NL719 where the disk refuses; then the checkpoints before are as they were.
    """
    path = run / checkpoint_name(iteration)
    beside = run / f".{path.name}.new"
    needed = sum(memoryview(part).nbytes for parts in files.values() for part in parts)
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        for name, parts in files.items():
            write_new(beside / name, parts)
        write_new(beside / MANIFEST, [encode_manifest(iteration, {name: _describe(parts) for name, parts in files.items()})])
        sync_folder(beside)
        beside.rename(path)
        sync_folder(run)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        earlier = list_checkpoints(run)
        safe = f"the checkpoint `{earlier[0].name}` is untouched" if earlier else "the run has no checkpoint yet"
        raise saving_failed(error, path, needed, safe) from error
    for old in list_checkpoints(run)[kept:]:
        _remove(old)
    return path


def _describe(parts: Sequence[Part]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return {"bytes": sum(memoryview(part).nbytes for part in parts), "sha256": digest.hexdigest()}


def encode_manifest(iteration: int, files: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The manifest in its only form; its own digest stands in it, so that no byte of it can change unseen."""
    body = {"format": FORMAT, "iteration": iteration, "files": dict(sorted(files.items()))}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**body, "sha256": digest}, sort_keys=True, indent=1) + "\n").encode()


def _remove(path: Path) -> None:
    """Take a checkpoint away, its manifest first: what is left of it after a kill is no checkpoint."""
    try:
        (path / MANIFEST).unlink(missing_ok=True)
    except OSError:
        return
    shutil.rmtree(path, ignore_errors=True)


def list_checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run, verified or not, the newest first."""
    try:
        names = [path.name for path in run.iterdir()]
    except OSError:
        return []
    found = sorted(((int(match[1]), run / name) for name in names if (match := NAME.match(name))), reverse=True)
    return [path for _, path in found if (path / MANIFEST).is_file()]


def clean(run: Path) -> None:
    """Take away what a killed run left half written or half removed."""
    for path in list(run.iterdir()):
        leftover = path.name.startswith(".") and path.name.endswith(".new")
        if path.is_dir() and (leftover or (NAME.match(path.name) and not (path / MANIFEST).exists())):
            shutil.rmtree(path, ignore_errors=True)
        elif leftover:
            path.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint with every byte verified; raises Damaged."""
    manifest = _read_manifest(path)
    files: dict[str, memoryview] = {}
    for name, told in manifest["files"].items():
        if not FILE_NAME.match(name):
            raise Damaged("its manifest names a file that none of ours is called")
        data = _read(path / name, told["bytes"])
        if len(data) != told["bytes"]:
            raise Damaged(f"`{name}` has {len(data):,} bytes, its manifest says {told['bytes']:,}")
        actual = hashlib.sha256(data).hexdigest()
        if actual != told["sha256"]:
            raise Damaged(f"the SHA-256 of `{name}` is {actual[:16]}…, its manifest says {told['sha256'][:16]}…")
        files[name] = memoryview(data)
    if path.name != checkpoint_name(manifest["iteration"]):
        raise Damaged(f"it is the checkpoint of iteration {manifest['iteration']}")
    return Checkpoint(path, manifest["iteration"], files)


def _read(path: Path, size: int) -> bytearray:
    """At most `size` + 1 bytes of a file."""
    try:
        with open_regular(path) as stream:
            actual = min(os.fstat(stream.fileno()).st_size, size + 1)
            data = bytearray(actual)
            del data[stream.readinto(data) :]
            return data
    except OSError as error:
        raise Damaged(f"`{path.name}` cannot be read: {(error.strerror or str(error)).lower()}") from error


def _read_manifest(path: Path) -> dict[str, Any]:
    data = bytes(_read(path / MANIFEST, 2**20))
    try:
        manifest = json.loads(data)
        if manifest["format"] != FORMAT:
            raise Damaged(f"it has the format {manifest['format']}, this version reads {FORMAT}")
        files = manifest["files"].values()
        sound = all(type(item["bytes"]) is int and item["bytes"] >= 0 and isinstance(item["sha256"], str) for item in files)
        if sound and encode_manifest(manifest["iteration"], manifest["files"]) == data:
            return dict(manifest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise Damaged(f"`{MANIFEST}` does not match its own SHA-256")


EMPTY_LOOKS = 5
"""A folder that is renamed into and pruned while it is listed may look empty; one that looks so this often is."""


def load_newest(run: Path) -> tuple[Checkpoint, tuple[Diagnostic, ...]]:
    """The newest checkpoint that verifies, and a warning where that is not the newest there is.

    Raises SpecError NL714 where there is none, NL715 where none verifies. Another process may be writing and pruning.
    """
    looks = 0
    while True:
        looks += 1
        paths = list_checkpoints(run)
        rejected: list[tuple[Path, str]] = []
        for path in paths:
            try:
                found = read_checkpoint(path)
            except Damaged as error:
                rejected.append((path, str(error)))
                continue
            return found, _warn(found, rejected)
        if all((path / MANIFEST).is_file() for path in paths) and (paths or looks == EMPTY_LOOKS):
            break
    if not paths:
        raise failure("NL714", f"there is no checkpoint in `{run}`", help="give the folder of a run that has saved one, or start anew")
    notes = tuple(f"`{path.name}`: {reason}" for path, reason in rejected)
    raise failure(
        "NL715", f"no checkpoint in `{run}` passes its checksum", notes=notes, help="restore the folder from a copy, or start anew"
    )


def _warn(found: Checkpoint, rejected: list[tuple[Path, str]]) -> tuple[Diagnostic, ...]:
    if not rejected:
        return ()
    notes = tuple(f"`{path.name}`: {reason}" for path, reason in rejected)
    message = f"the newest checkpoint is damaged, so the run goes on from `{found.path.name}`"
    return (Diagnostic("NL716", message, None, notes=notes, severity=Severity.WARNING),)


def set_aside(run: Path, newer_than: int) -> None:
    """Rename checkpoints after iteration `newer_than`, which were not good enough to start from, out of the way of new ones."""
    for path in list_checkpoints(run):
        if int(path.name.removeprefix("step-")) > newer_than:
            number = 1
            while (target := run / f"damaged-{path.name}-{number}").exists():
                number += 1
            path.rename(target)
