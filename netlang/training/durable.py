"""Files that survive a power cut: written under a new name, synced, renamed, and the folder synced after them."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path

from compiler.diagnostics import SpecError
from netlang.training.failures import failure

Part = bytes | memoryview


def write_new(path: Path, parts: Iterable[Part]) -> None:
    """A new file, on the disk when this returns; OSError where it exists already, even as a link."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        for part in parts:
            rest = memoryview(part).cast("B")
            while rest.nbytes:
                rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_regular(path: Path) -> BufferedReader:
    """The file opened for reading; OSError where it is a pipe, a device or a folder, none of which is waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    return os.fdopen(descriptor, "rb")


def sync_folder(path: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: Path, parts: Iterable[Part]) -> None:
    """The file with new content: a reader sees the old one or the new one, never a part."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    try:
        write_new(beside, parts)
        beside.rename(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def saving_failed(error: OSError, path: Path, needed: int, safe: str) -> SpecError:
    """The diagnostic for a disk that refuses; `safe` says what is still there."""
    notes = [f"{needed:,} bytes were to be written, {free:,} are free"] if (free := free_bytes(path)) is not None else []
    return failure(
        "NL719",
        f"the state of the run cannot be saved to `{path}`: {(error.strerror or str(error)).lower()}",
        notes=(*notes, safe),
        help="make room or repair the disk, then continue the run with `--resume`",
    )


def free_bytes(path: Path) -> int | None:
    """Free bytes of the disk that holds `path`; None where nobody can tell."""
    try:
        return shutil.disk_usage(path if path.exists() else path.parent).free
    except OSError:
        return None
