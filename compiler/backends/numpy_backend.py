"""Runs what `numpy_source` prints, with NumPy or any array module that has its interface bound to `np`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from compiler.backends.execution import execute
from compiler.backends.native_scan import use_native
from compiler.backends.numpy_source import print_numpy
from compiler.ir.graph import Graph

HEAD = "import numpy as np\n"


@final
@dataclass(frozen=True, slots=True)
class NumpyNetworks:
    """One printed file, running: its text, its network classes by name (each made with a dictionary of arrays), its steps."""

    source: str
    networks: dict[str, Callable[..., Any]]
    steps: dict[str, Callable[..., Any]]


def load_numpy(graphs: list[Graph], array_module: Any = None, title: str = "") -> NumpyNetworks:
    """Print the graphs and run the text with `np` bound to the array module, NumPy where none is given."""
    printed = print_numpy(graphs, title)
    if array_module is None:
        names = execute(printed.text, "numpy_model")
        use_native(names, printed.scans, tensors=False)
    else:
        names = execute(printed.text.replace(HEAD, "\n", 1), "numpy_model", {"np": array_module})
    return NumpyNetworks(
        printed.text,
        {name: names[found] for name, found in printed.networks.items()},
        {name: names[found] for name, found in printed.steps.items()},
    )
