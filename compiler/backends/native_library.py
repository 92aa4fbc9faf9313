"""Compiles C once with the system's compiler and keeps what comes out in the user's cache folder.

The folder is `NETLANG_CACHE`, or netlang's below XDG_CACHE_HOME or ~/.cache; libraries stand in `native` there. A library is called
after the hash of its source, the compiler's version, its flags and the processor, and after its own SHA-256, which a file beside it
names; it is read and compared before it is loaded. A folder or file of another user, or one that others may write to, is not used.
Non-goals: choosing what is compiled; cleaning up.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Final, final

COMPILERS: Final = ("cc", "gcc", "clang")
FLAGS: Final = ("-O3", "-march=native", "-std=gnu11", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math")
"""Never `-ffast-math`: it takes away the roundings that exp is made of."""
SECONDS: Final = 120
SWITCH: Final = "NETLANG_NATIVE"


@final
class NativeError(Exception):
    """Why there is no library, as a phrase."""


def find_compiler() -> str | None:
    """The system's C compiler, as a path."""
    return next((found for name in COMPILERS if (found := shutil.which(name)) is not None), None)


def lacks_native() -> str | None:
    """Why nothing is compiled here, as a phrase; None where it is."""
    if os.environ.get(SWITCH) == "0":
        return f"{SWITCH} is 0"
    if os.name != "posix":
        return "nothing is compiled on this system"
    if find_compiler() is None:
        return f"no C compiler is there ({', '.join(f'`{name}`' for name in COMPILERS)})"
    folder = cache_folder()
    return describe_hostile(folder) if folder.is_symlink() or folder.exists() else None


def cache_folder() -> Path:
    """Where compiled libraries are kept."""
    base = os.environ.get("NETLANG_CACHE")
    cache = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "netlang"
    return cache / "native"


def describe_hostile(path: Path) -> str | None:
    """Why a path may be another user's work, as a phrase."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return f"`{path}` is a link"
    if found.st_uid != os.getuid():
        return f"`{path}` belongs to another user"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write to `{path}`"
    return None


def load_library(source: str) -> ctypes.CDLL:
    """The compiled source; raises NativeError."""
    compiler = find_compiler()
    if compiler is None:
        raise NativeError("no C compiler is there")
    key = hashlib.sha256("\n".join([source, _version(compiler), *FLAGS, _processor()]).encode()).hexdigest()
    folder = cache_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (reason := describe_hostile(folder)) is not None:
            raise NativeError(reason)
        path = _find(folder, key) or _compile(folder, key, compiler, source)
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise NativeError(f"`{folder}` cannot be used: {error}") from error


def _find(folder: Path, key: str) -> Path | None:
    """The library of a key, where it is what was put there."""
    note = folder / f"{key}.sha256"
    if not note.exists() and not note.is_symlink():
        return None
    digest = _read(note).decode("ascii", "replace").strip()
    path = folder / f"{key}-{digest[:16]}.so"
    if hashlib.sha256(_read(path)).hexdigest() == digest:
        return path
    warnings.warn(f"`{path}` is not what netlang compiled: it is not loaded, but compiled again", RuntimeWarning, stacklevel=2)
    return None


def _read(path: Path) -> bytes:
    """A file of the user's own; nothing where there is none."""
    try:
        if (reason := describe_hostile(path)) is not None:
            raise NativeError(reason)
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _compile(folder: Path, key: str, compiler: str, source: str) -> Path:
    with tempfile.TemporaryDirectory(dir=folder, prefix="compiling-") as work:
        text, made, note = Path(work, "scan.c"), Path(work, "scan.so"), Path(work, "scan.sha256")
        text.write_text(source, encoding="utf-8")
        command = [compiler, *FLAGS, "-o", str(made), str(text), "-lm"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603 - the compiler found
        except subprocess.TimeoutExpired as error:
            raise NativeError(f"`{compiler}` took more than {SECONDS} seconds") from error
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["it said nothing"]
            raise NativeError(f"`{compiler}` failed: {next((line for line in said if 'error' in line), said[0])}")
        made.chmod(0o600)
        digest = hashlib.sha256(made.read_bytes()).hexdigest()
        note.write_text(digest, encoding="ascii")
        note.chmod(0o600)
        path = folder / f"{key}-{digest[:16]}.so"
        made.replace(path)
        note.replace(folder / f"{key}.sha256")
    return path


@functools.cache
def _version(compiler: str) -> str:
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
    return done.stdout


@functools.cache
def _processor() -> str:
    """What the processor can do, for `-march=native` depends on it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    wanted = [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))]
    return "\n".join(dict.fromkeys(wanted)) or f"{platform.machine()} {platform.processor()}"
