"""Builds what runs without netlang: `model.py` beside its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import netlang
from compiler.diagnostics import Diagnostic, SpecError
from compiler.emit.numpy_file import numpy_file
from compiler.emit.torch_file import torch_file
from compiler.front.checked import Checked
from netlang.checking import Spec, check
from netlang.model import Backend
from netlang.output import write_files
from netlang.training.durable import Part
from netlang.training.loop import weights_file
from netlang.training.weights import encode_weights
from netlang.weights import Weights, load_weights, start_weights, store_array

PRINTERS: Final[Mapping[str, Callable[..., str]]] = {"torch": torch_file, "numpy": numpy_file}


def build(
    spec: Spec,
    folder: str | Path,
    *,
    to: Backend = "torch",
    set: Mapping[str, object] | None = None,
    weights: str | Path | None = None,
    seed: int | None = None,
    force: bool = False,
) -> list[Path]:
    """Write `model.py` and the weights of every network into a folder; the paths written. Raises SpecError.

    The file runs without netlang, with torch and safetensors or with NumPy alone. Files that are there are replaced only with
    `force`, and only when all new ones are complete.
    """
    checked = check(spec, set=set).require()
    if not checked.networks:
        raise SpecError((Diagnostic("NL705", f"`{checked.name}` has no networks to build", None),))
    return write_files(Path(folder), dict(_files(checked, to, None if weights is None else Path(weights), seed)), force=force)


def _files(checked: Checked, to: Backend, weights: Path | None, seed: int | None) -> Iterable[tuple[str, Iterable[Part]]]:
    made_by = f"netlang {netlang.__version__}"
    text = PRINTERS[to](checked.networks, name=checked.name, doc=checked.doc, made_by=made_by)
    yield "model.py", [text.encode()]
    for name, tensors in _weights(checked, weights, seed).items():
        yield weights_file(name, len(checked.networks)), encode_weights(tensors)


def _weights(checked: Checked, path: Path | None, seed: int | None) -> Weights:
    if path is not None:
        return load_weights(checked, path)
    drawn = start_weights(checked, seed)
    return {name: {key: store_array(array) for key, array in arrays.items()} for name, arrays in drawn.items()}
