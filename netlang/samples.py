"""What `netlang sample` writes: samples as picture files, texts, or arrays that a program can read (.npz)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from compiler.diagnostics.quote import show
from compiler.ir.training import Program
from netlang.output import write_files
from netlang.report.pictures import require_suffix
from netlang.training import Sampled, name_files
from netlang.training.failures import failure

ARRAYS: Final = ".npz"
TEXT: Final = ".txt"


def write_samples(program: Program, sampled: Mapping[str, Sampled], out: Path | None, *, force: bool = False) -> list[Path]:
    """Write samples into the file `out` of that kind, or one file for each into the folder `out`, by default the working folder.

    Returns the paths. Raises SpecError NL702 and NL703, as `write_files` does, and NL733 where one file cannot hold them.
    """
    if out is None or out.is_dir() or not out.suffix:
        files = {f"{name}{suffix}": [data] for name, (suffix, data) in name_files(program, sampled).items()}
        return write_files(out or Path(), files, force=force)
    return write_files(out.parent, {out.name: [_encode_file(program, sampled, out)]}, force=force)


def _encode_file(program: Program, sampled: Mapping[str, Sampled], out: Path) -> bytes:
    """All samples in one file."""
    kind = out.suffix.lower()
    if kind == ARRAYS:
        return _encode_arrays(sampled)
    if kind != TEXT:
        require_suffix(out)
    files = name_files(program, sampled, ".png" if kind == TEXT else kind)
    if len(files) > 1:
        names = ", ".join(f"`{name}`" for name in files)
        raise failure("NL733", f"{names} do not go into one file {show(str(out))}", help="name one of them, or give a folder")
    ((name, (suffix, data)),) = files.items()
    if suffix != kind:
        what = "text" if suffix == TEXT else "a picture"
        raise failure("NL733", f"`{name}` is {what}, and {show(str(out))} would not be", help=f"call the file `{name}{suffix}`")
    return data


def _encode_arrays(sampled: Mapping[str, Sampled]) -> bytes:
    import numpy as np

    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **{name: np.asarray(value) for name, value in sampled.items()})
    return stream.getvalue()
