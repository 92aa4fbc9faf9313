"""The numbers of a spec's networks: drawn from a seed, or read from where a run or a build left them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.backends.parameters import TooLarge, initial_parameters
from compiler.front.checked import Checked
from compiler.ir.types import DType
from netlang.training.evaluation import find_weights
from netlang.training.failures import failure
from netlang.training.loop import weights_file
from netlang.training.memory import free_memory, show_bytes
from netlang.training.weights import Stored, expected_types, read_weights

if TYPE_CHECKING:
    import numpy as np

Weights = Mapping[str, Mapping[str, Stored]]
DTYPES = {dtype.numpy_name: dtype for dtype in DType if dtype is not DType.bf16}


def draw_weights(checked: Checked, seed: int | None) -> dict[str, dict[str, np.ndarray]]:
    """First weights of every network by state-dict key, the same for every back end; the spec's own seed where none is given.

    Raises SpecError NL711 where they do not fit into memory, before any is made.
    """
    program_seed = 0 if checked.program is None else checked.program.seed
    chosen = program_seed if seed is None else seed
    budget = free_memory()
    made = {}
    try:
        for name, graph in checked.networks.items():
            made[name] = initial_parameters(graph, chosen, budget)
            budget -= sum(array.nbytes for array in made[name].values())
    except TooLarge as error:
        raise failure(
            "NL711",
            f"the weights of `{name}` take {show_bytes(error.total)}, but {show_bytes(max(error.budget, 0))} of memory are free",
            help="make the largest layers smaller: `netlang show` tells what each takes",
        ) from None
    return made


def load_weights(checked: Checked, path: Path) -> Weights:
    """The weights of every network from a file (of the only network), a folder that `build` wrote, or a run; raises SpecError."""
    networks = tuple(checked.networks)
    files = {name: path / weights_file(name, len(networks)) for name in networks}
    if path.is_dir() and all(file.exists() for file in files.values()):
        return {name: read_weights(file, expected_types(checked.networks[name])) for name, file in files.items()}
    return find_weights(checked, path, networks, "this needs")


def store_array(array: np.ndarray) -> Stored:
    """An array as it stands in a file."""
    return Stored(DTYPES[array.dtype.name], array.shape, array.reshape(-1).view("u1").data)


def view_array(stored: Stored) -> Any:
    """The array that a file holds, as a view of its bytes."""
    import numpy as np

    return np.frombuffer(stored.data, stored.dtype.numpy_name).reshape(stored.shape)
