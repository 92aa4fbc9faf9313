"""Builds what runs without netlang: `model.py` beside its weights, and `train.py` beside its data."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import netlang
from compiler.diagnostics import Diagnostic, SpecError
from compiler.emit.numpy_file import numpy_file
from compiler.emit.torch_file import torch_file
from compiler.emit.train_file import Settings, UnknownTotal, train_file
from compiler.front.checked import Checked
from compiler.ir.graph import Graph
from compiler.ir.training import Program
from compiler.passes.inference import prepare_inference
from compiler.passes.program_plan import plan_spec
from netlang.checking import Spec, check
from netlang.inference import fold_arrays
from netlang.model import Backend
from netlang.output import write_files
from netlang.training.durable import Part
from netlang.training.export import program_arrays, total_iterations
from netlang.training.functions import list_others
from netlang.training.loop import weights_file
from netlang.training.weights import encode_weights
from netlang.weights import Weights, load_weights, start_weights, store_array, view_array


def build(
    spec: Spec,
    folder: str | Path,
    *,
    to: Backend = "torch",
    set: Mapping[str, object] | None = None,
    weights: str | Path | None = None,
    seed: int | None = None,
    force: bool = False,
    data: bool = True,
    inference: bool = False,
) -> list[Path]:
    """Write `model.py` and the weights of every network into a folder; the paths written. Raises SpecError.

    The file runs without netlang, with torch and safetensors or with NumPy alone. For torch, a spec with a training program gives
    `train.py` too, and with `data` the file `data.npz` that it reads. With `inference` the networks are faster and not for training:
    batch normalization is part of the weights before it, dropout is left out, and `model.py` is all. Files that are there are replaced
    only with `force`, and only when all new ones are complete.
    """
    checked = check(spec, set=set).require()
    if not checked.networks:
        raise SpecError((Diagnostic("NL705", f"`{checked.name}` has no networks to build", None),))
    networks, stored = checked.networks, _weights(checked, None if weights is None else Path(weights), seed)
    if inference:
        networks, stored = _prepare(networks, stored)
    readers = () if checked.program is None or inference else _readers(checked, checked.program)
    files = dict(_files(dataclasses.replace(checked, networks=networks), to, stored, readers, inference))
    if to == "torch" and not inference:
        files |= dict(_training_files(checked, seed, data))
    return write_files(Path(folder), files, force=force)


def _readers(checked: Checked, program: Program) -> tuple[Graph, ...]:
    """The graphs that read the networks' results in `train.py`: those of the plan, and the program's that belong to no plan."""
    plan = plan_spec(checked)
    return (*plan.evaluated, *(item.graph for item in plan.shared), *list_others(program))


def _files(
    checked: Checked, to: Backend, weights: Weights, readers: Sequence[Graph], inference: bool
) -> Iterator[tuple[str, Iterable[Part]]]:
    name, doc = checked.name, checked.doc
    made_by = _made_by() + " for inference (batch normalization is part of the weights)" * inference
    if to == "numpy":
        text = numpy_file(checked.networks, name=name, doc=doc, made_by=made_by)
    else:
        text = torch_file(checked.networks, name=name, doc=doc, made_by=made_by, readers=readers, inference=inference)
    yield "model.py", [text.encode()]
    for name, tensors in weights.items():
        yield weights_file(name, len(checked.networks)), encode_weights(tensors)


def _prepare(networks: Mapping[str, Graph], weights: Weights) -> tuple[Mapping[str, Graph], Weights]:
    """Networks for evaluation alone with their weights."""
    made = prepare_inference(networks)
    arrays = {name: {key: view_array(item) for key, item in tensors.items()} for name, tensors in weights.items()}
    folded = {name: fold_arrays(found, made.foldings[name]) for name, found in arrays.items()}
    return made.networks, {name: {key: store_array(array) for key, array in found.items()} for name, found in folded.items()}


def _training_files(checked: Checked, seed: int | None, data: bool) -> Iterator[tuple[str, Iterable[Part]]]:
    """`train.py`, and its data unless it reads none."""
    program = checked.program
    if program is None:
        return
    arrays = _read_data(checked) if data else {}
    made_by, chosen = _made_by(), program.seed if seed is None else seed
    known = total_iterations(checked) if data or program.iterations is not None else None
    try:
        text = train_file(checked, Settings(made_by, chosen, known))
    except UnknownTotal:
        text = train_file(checked, Settings(made_by, chosen, total_iterations(checked)))
    yield "train.py", [text.encode()]
    if arrays:
        yield "data.npz", [_compressed(arrays)]


def _read_data(checked: Checked) -> dict[str, Any]:
    """The arrays for the data file; raises SpecError (codes NL5xx)."""
    try:
        return program_arrays(checked)
    except SpecError as error:
        note = "`train.py` can be written without its data: `--no-data`"
        raise SpecError(tuple(dataclasses.replace(item, notes=(*item.notes, note)) for item in error.diagnostics)) from error


def _made_by() -> str:
    return f"netlang {netlang.__version__}"


def _compressed(arrays: dict[str, Any]) -> bytes:
    import numpy as np

    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def _weights(checked: Checked, path: Path | None, seed: int | None) -> Weights:
    if path is not None:
        return load_weights(checked, path, seed)
    drawn = start_weights(checked, seed)
    return {name: {key: store_array(array) for key, array in arrays.items()} for name, arrays in drawn.items()}
