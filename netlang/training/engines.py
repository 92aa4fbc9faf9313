"""The engines by name, and a spec in the numbers that a run computes with."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from typing import Final

from compiler.front.checked import Checked
from compiler.ir.training import replace_graphs
from compiler.ir.types import DType
from compiler.passes.retype import retype
from netlang.training.engine import Engine
from netlang.training.failures import failure
from netlang.training.torch_engine import TorchEngine
from netlang.training.torch_tensors import open_device
from netlang.training.torch_watch import TorchWatch
from netlang.training.watch import Watch

BACKENDS: Final = ("torch", "numpy")
DTYPES: Final = ("f32", "f64")


def make_engine(checked: Checked, seed: int, total: int, backend: str, device: str, threads: int | None) -> Engine:
    """The engine of a run of `total` iterations; ValueError for a back end that does not train."""
    if backend == "numpy":
        from netlang.training.numpy_engine import NumpyEngine

        return NumpyEngine(checked, seed, total, device, threads)
    if backend != "torch":
        raise ValueError(f"there is no back end {backend!r} to train with, only {', '.join(BACKENDS)}")
    require_torch()
    return TorchEngine(checked, seed, total, device, threads)


def make_watch(checked: Checked, backend: str, device: str) -> Watch:
    """What watches gradients in a run; SpecError NL735 where there is nothing to watch, NL727 where NumPy has no gradient."""
    if backend == "numpy":
        from netlang.training.numpy_watch import NumpyWatch

        watch: Watch = NumpyWatch(checked, device)
    else:
        require_torch()
        open_device(device)
        watch = TorchWatch(checked, device)
    if not watch.steps:
        raise failure("NL735", "no step's objective reads a scan", help="the gradients that are watched are those of a scan's states")
    return watch


def require_torch() -> None:
    """SpecError NL726 where torch is not installed."""
    if "torch" not in sys.modules and importlib.util.find_spec("torch") is None:
        raise failure("NL726", "PyTorch is not installed", help="install it, or compute with NumPy: `--backend numpy`")


def in_numbers_of(checked: Checked, dtype: str) -> Checked:
    """The spec with networks and program in f64 where it says f32; itself for `f32`. ValueError for another type."""
    if dtype not in DTYPES:
        raise ValueError(f"there is no training in {dtype!r}, only in {', '.join(DTYPES)}")
    if dtype == "f32":
        return checked
    program = checked.program
    made = retype([*checked.networks.values(), *(program.graphs if program is not None else ())], DType.f64)
    networks = {name: made[graph] for name, graph in checked.networks.items()}
    return dataclasses.replace(
        checked, networks=networks, program=None if program is None else replace_graphs(program, lambda graph: made[graph])
    )
