"""Where a spec may read: inside its own folder, regular files only, no more bytes than a limit. Sizes in bytes.

Non-goals: locking, and files that another process swaps for something else while the containing folders themselves are hostile.
"""

from __future__ import annotations

import difflib
import os
import stat
from io import BufferedReader
from pathlib import Path

from compiler.front.readers import ReaderError, TrustedPath

LARGEST_FILE = 16 * 2**30
LARGEST_DATA = 8 * 2**30
LARGEST_RATIO = 100
FREE_OF_RATIO = 64 * 2**20


def resolve_inside(folder: Path | None, path: str, *, trusted: bool = False, attribute: str | None = None) -> Path:
    """The real path of `path` as a spec in `folder` writes it; ReaderError NL502 when it leaves the folder, also through a link.

    `trusted` (or a TrustedPath) is a path from the command line: absolute or relative to the working directory, wherever it leads.
    """
    if "\0" in path or not path:
        raise ReaderError("a path is empty or holds a NUL character", attribute=attribute, code="NL502")
    try:
        if trusted or isinstance(path, TrustedPath):
            return Path(path).expanduser().resolve()
        if folder is None:
            raise ReaderError(
                f"`{path}` is relative to the spec's folder, but this spec is not a file",
                help="save the spec as a file, or give the path on the command line",
                attribute=attribute,
                code="NL502",
            )
        root = folder.resolve()
        found = (root / path).resolve()
    except (OSError, RuntimeError) as error:
        raise ReaderError(f"`{path}` cannot be followed: {_reason(error)}", attribute=attribute, code="NL502") from error
    if Path(path).is_absolute() or not found.is_relative_to(root):
        raise ReaderError(
            f"`{path}` leaves the spec's folder",
            help="move the data beside the spec, or give the path on the command line",
            attribute=attribute,
            code="NL502",
        )
    return found


def join_path(path: str, *parts: str) -> str:
    """`path/parts…`, trusted if `path` is."""
    joined = "/".join((path, *parts))
    return TrustedPath(joined) if isinstance(path, TrustedPath) else joined


def open_regular(path: Path, shown: str, *, limit: int = LARGEST_FILE, attribute: str | None = None) -> BufferedReader:
    """`path` (already resolved) opened for reading if it is a regular file of at most `limit` bytes; never waits on a pipe.

    `shown` is the path as messages name it. Raises ReaderError NL501 or NL505.
    """
    flags = (
        os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError as error:
        raise ReaderError(f"there is no file `{shown}`", help=_nearest_file(path), attribute=attribute, code="NL501") from error
    except OSError as error:
        raise ReaderError(f"`{shown}` cannot be opened: {_reason(error)}", attribute=attribute, code="NL501") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
        os.close(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ReaderError(f"`{shown}` is not a regular file", attribute=attribute, code="NL501")
        raise ReaderError(f"`{shown}` holds {status.st_size:,} bytes, more than the limit of {limit:,}", attribute=attribute, code="NL505")
    return os.fdopen(descriptor, "rb")


def open_folder(path: Path, shown: str, attribute: str | None = None) -> list[Path]:
    """The entries of a folder in sorted order, hidden ones left out. Raises ReaderError NL501."""
    try:
        return sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    except FileNotFoundError as error:
        raise ReaderError(f"there is no folder `{shown}`", help=_nearest_file(path), attribute=attribute, code="NL501") from error
    except OSError as error:
        raise ReaderError(f"`{shown}` cannot be read as a folder: {_reason(error)}", attribute=attribute, code="NL501") from error


def check_declared_size(shown: str, declared: int, stored: int, attribute: str | None = None) -> None:
    """ReaderError NL505 when a file of `stored` bytes says it unpacks to more than anyone means: a bomb, or a lie in its header."""
    if declared > LARGEST_DATA:
        raise ReaderError(
            f"`{shown}` unpacks to {declared:,} bytes, more than the limit of {LARGEST_DATA:,}", attribute=attribute, code="NL505"
        )
    if declared > FREE_OF_RATIO and declared > LARGEST_RATIO * stored:
        raise ReaderError(
            f"`{shown}` holds {stored:,} bytes but says that it unpacks to {declared:,}",
            help=f"data that is really this uniform can be saved uncompressed; the limit is {LARGEST_RATIO} to 1",
            attribute=attribute,
            code="NL505",
        )


def _nearest_file(path: Path) -> str | None:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return None
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean `{near[0]}`?" if near else None


def _reason(error: OSError | RuntimeError) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
