"""Files that commands make: never through a link, never over another file unless told to, never half.

All files of one call are written beside their places first and synced; only then are they moved to their names.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from compiler.diagnostics import Diagnostic, SpecError
from compiler.diagnostics.quote import show
from netlang.training.durable import Part, sync_folder, write_new


def write_files(folder: Path, files: Mapping[str, Iterable[Part]], *, force: bool = False) -> list[Path]:
    """Write files into a folder, which is made if it is not there; their paths.

    Raises SpecError NL702 where one of them exists (without `force`), NL703 where the system refuses; then nothing has changed.
    """
    made = False
    try:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is no folder")
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            made = True
    except (OSError, ValueError) as error:
        raise _refused(folder, error) from None
    taken = [folder / name for name in files if os.path.lexists(folder / name)]
    if taken and not force:
        raise exists_already(taken)
    beside: dict[Path, Path] = {}
    try:
        for name, parts in files.items():
            part = folder / f".{name}.{os.getpid()}.new"
            if os.path.lexists(part):
                raise FileExistsError(errno.EEXIST, "it exists", str(part))
            beside[part] = folder / name
            write_new(part, parts)
        for part, path in beside.items():
            _move(part, path, force)
        sync_folder(folder)
    except FileExistsError as error:
        raise exists_already([Path(error.filename2 or error.filename)]) from None
    except OSError as error:
        raise _refused(folder, error) from None
    finally:
        for part in beside:
            part.unlink(missing_ok=True)
        if made and not any(folder.iterdir()):
            folder.rmdir()
    return list(beside.values())


def _move(part: Path, path: Path, force: bool) -> None:
    """Give a finished file its name; FileExistsError where another process took it meanwhile."""
    if force:
        part.rename(path)
    else:
        path.hardlink_to(part)


def exists_already(paths: list[Path]) -> SpecError:
    """NL702 for files that are there."""
    names = ", ".join(show(str(path)) for path in paths)
    verb = "exists" if len(paths) == 1 else "exist"
    return SpecError((Diagnostic("NL702", f"{names} {verb} already", None, help="give another place, or `--force` to replace"),))


def _refused(folder: Path, error: OSError | ValueError) -> SpecError:
    reason = (getattr(error, "strerror", None) or str(error)).lower()
    return SpecError(
        (Diagnostic("NL703", f"{show(str(folder))} cannot be written: {reason}", None, help="give a folder that you may write to"),)
    )
