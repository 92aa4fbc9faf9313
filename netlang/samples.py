"""What `netlang sample` writes: samples as picture files, texts, or arrays that a program can read (.npz)."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from compiler.diagnostics.quote import show
from compiler.front.checked import Checked
from compiler.ir.training import Program, Sample
from netlang.output import exists_already, write_files
from netlang.report.pictures import convert, require_suffix
from netlang.training import Finished, Sampled
from netlang.training.failures import failure
from netlang.training.sampling import choose_samples, name_files, name_texts, sample_file

ARRAYS: Final = ".npz"
TEXT: Final = ".txt"


def require_samples(checked: Checked) -> Mapping[str, Sample]:
    """The samples of a spec; SpecError NL710 where it has none."""
    chosen = choose_samples(checked, ()).program
    assert chosen is not None
    return chosen.samples


def require_place(samples: Mapping[str, Sample], out: Path, *, force: bool = False, arrays: bool = True) -> None:
    """Before anything is computed: SpecError NL702 where files exist (without `force`), NL703 and NL733 where `out` cannot hold them.

    `arrays` says whether it may be a file of arrays.
    """
    names = name_texts(samples)
    if is_folder(out):
        taken = [out / f"{name}{TEXT if text else '.png'}" for name, text in names.items()]
    else:
        taken = [out]
        if not arrays or out.suffix.lower() != ARRAYS:
            _require_one(names, out)
    if (found := [path for path in taken if os.path.lexists(path)]) and not force:
        raise exists_already(found)


def _require_one(names: Mapping[str, bool], out: Path) -> None:
    """NL733 where these names, of texts or pictures, are not one file of the kind of `out`."""
    if out.suffix.lower() != TEXT:
        require_suffix(out)
    if len(names) > 1:
        shown = ", ".join(f"`{name}`" for name in names)
        raise failure("NL733", f"{shown} do not go into one file {show(str(out))}", help="name one of them, or give a folder")
    for name, text in names.items():
        if text != (out.suffix.lower() == TEXT):
            message = f"`{name}` is {'text' if text else 'a picture'}, and {show(str(out))} would not be"
            raise failure("NL733", message, help=f"call the file `{name}{TEXT if text else '.png'}`")


def is_folder(out: Path) -> bool:
    return out.is_dir() or not out.suffix


def write_samples(program: Program, sampled: Mapping[str, Sampled], out: Path, *, force: bool = False) -> list[Path]:
    """Write samples into the file `out` of that kind, or one file for each into the folder `out`; the paths.

    Raises SpecError NL702 and NL703, as `write_files` does; `require_place` has been asked before.
    """
    if is_folder(out):
        files = {f"{name}{suffix}": [data] for name, (suffix, data) in name_files(program, sampled).items()}
        return write_files(out, files, force=force)
    kind = out.suffix.lower()
    if kind == ARRAYS:
        return write_files(out.parent, {out.name: [_encode_arrays(sampled)]}, force=force)
    ((_, data),) = name_files(program, sampled, ".png" if kind == TEXT else kind).values()
    return write_files(out.parent, {out.name: [data]}, force=force)


def _encode_arrays(sampled: Mapping[str, Sampled]) -> bytes:
    import numpy as np

    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **{name: np.asarray(value) for name, value in sampled.items()})
    return stream.getvalue()


def last_samples(program: Program, end: Finished) -> dict[str, Path]:
    """The files of the samples that a run has written at its end."""
    names = name_texts(program.samples)
    return {name: end.folder / sample_file(name, end.iteration, TEXT if text else ".png") for name, text in names.items()}


def copy_samples(samples: Mapping[str, Path], out: Path) -> list[Path]:
    """Copies of the files of samples as `out`, or in the folder `out`; the paths. Raises SpecError NL702 and NL703."""
    if is_folder(out):
        return write_files(out, {f"{name}{path.suffix}": [path.read_bytes()] for name, path in samples.items()})
    (path,) = samples.values()
    data = path.read_bytes()
    return write_files(out.parent, {out.name: [data if out.suffix.lower() == path.suffix else convert(data, out.suffix)]})
