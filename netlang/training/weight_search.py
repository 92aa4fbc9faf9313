"""Finds the file that a spec names for a network's weights, and holds it to its SHA-256.

Looked for are the file's name and its stem with the other suffixes, in this order: below the spec's folder; what NETLANG_WEIGHTS names, a
folder or a file; torch hub's folder of checkpoints (below TORCH_HOME, or XDG_CACHE_HOME/torch, or ~/.cache/torch); a package that brings
the layout's file. Non-goals: downloads.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from compiler.diagnostics import SpecError
from compiler.diagnostics.quote import show
from compiler.front.readers import ReaderError
from compiler.front.weight_files import SUFFIXES, WeightFile
from netlang.data.paths import resolve_inside
from netlang.training.durable import open_regular
from netlang.training.failures import failure
from netlang.training.layouts import LAYOUTS

HUB_DIGEST: Final = re.compile(r"-([0-9a-f]{8,64})\.(?:pth|pt)\Z")
"""How torch hub names files: the end of the stem begins the SHA-256."""


def find_weight_file(entry: WeightFile, network: str) -> Path:
    """The file; SpecError NL601 tells where it was looked for and where to get it, NL606 that its path leaves the spec's folder."""
    found = look_for(entry)
    if found is not None:
        return found
    folders = dict.fromkeys(path.parent for path in _candidates(entry))
    own = None if entry.folder is None else resolve_inside(entry.folder, entry.file).parent
    places = ["the spec's folder" if folder == own else f"`{folder}`" for folder in folders]
    source = LAYOUTS[entry.layout].sources.get(Path(entry.file).stem)
    put = f"put it into `{hub_folder()}`, name its folder in NETLANG_WEIGHTS, or give it: `--weights FILE`"
    raise failure(
        "NL601",
        f"the weights {show(Path(entry.file).name)} of the network `{network}` are not here",
        entry.span,
        notes=(f"looked in {', '.join(places)}",),
        help=put if source is None else f"get it: {source}; {put}",
    )


def look_for(entry: WeightFile) -> Path | None:
    """The file where it is there; SpecError NL606 where its path leaves the spec's folder."""
    return next((path for path in _candidates(entry) if path.is_file()), None)


def hub_folder() -> Path:
    """Where torch hub keeps checkpoints."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser() / "hub" / "checkpoints"


def _names(name: str) -> list[str]:
    stem = name[: -len(next(suffix for suffix in SUFFIXES if name.lower().endswith(suffix)))]
    return list(dict.fromkeys([name, *(stem + suffix for suffix in SUFFIXES)]))


def _candidates(entry: WeightFile) -> Iterator[Path]:
    """Every path that may be the file, the first that is one wins."""
    names = _names(Path(entry.file).name)
    if entry.folder is not None:
        try:
            yield from [resolve_inside(entry.folder, (Path(entry.file).parent / name).as_posix()) for name in names]
        except ReaderError as error:
            raise failure("NL606", error.message, entry.span, help="give it on the command line: `--weights FILE`") from None
    folders = [hub_folder()]
    if named := os.environ.get("NETLANG_WEIGHTS"):
        place = Path(named).expanduser()
        folders.insert(0, place)
        if place.is_file():
            yield place
    layout = LAYOUTS[entry.layout]
    package = importlib.util.find_spec(layout.package) if layout.package else None
    if package is not None and package.origin is not None:
        folders.append(Path(package.origin).parent / layout.folder)
    yield from (folder / name for folder in folders for name in names)


def hash_file(path: Path) -> str:
    """The SHA-256 of a file; SpecError NL601 where it cannot be read."""
    try:
        with open_regular(path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError | ValueError) -> SpecError:
    reason = getattr(error, "strerror", None) or str(error)
    help = "give a file of weights or the folder of a run"
    return failure("NL601", f"the weights `{path}` cannot be read: {reason.lower()}", help=help)


def require_digest(path: Path, digest: str, entry: WeightFile | None) -> None:
    """SpecError NL609 where a file's SHA-256 does not begin as the spec says, or as its own name does."""
    named = HUB_DIGEST.search(path.name)
    claims = [] if entry is None or not entry.sha256 else [("the spec says", entry.sha256)]
    claims += [("its name says", named[1])] if named else []
    for who, begins in claims:
        if not digest.startswith(begins):
            raise failure(
                "NL609",
                f"{show(str(path))} is not the file it should be: its SHA-256 begins with {digest[: len(begins)]}, {who} {begins}",
                None if entry is None else entry.span,
                help="it is damaged, incomplete, or another file: get it anew",
            )
