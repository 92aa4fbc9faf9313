"""The numbers of a spec's networks: drawn from a seed, or read from where a run or a build left them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.backends.parameters import TooLarge, initial_parameters
from compiler.front.checked import Checked
from compiler.ir.types import DType
from netlang.training.failures import failure
from netlang.training.given_weights import find_weights, named_weights
from netlang.training.loop import weights_file
from netlang.training.memory import free_memory, show_bytes
from netlang.training.weights import Stored, expected_types, read_weights

if TYPE_CHECKING:
    import numpy as np

Weights = Mapping[str, Mapping[str, Stored]]
DTYPES = {dtype.numpy_name: dtype for dtype in DType if dtype is not DType.bf16}


def draw_weights(checked: Checked, seed: int | None) -> dict[str, dict[str, np.ndarray]]:
    """First weights of every network by state-dict key, the same for every back end; the spec's own seed where none is given.

    What files hold is not read.
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


def start_weights(checked: Checked, seed: int | None) -> dict[str, dict[str, np.ndarray]]:
    """The weights of every network: from the file that the spec names, else drawn. Raises SpecError."""
    read = named_weights(checked, checked.weights)
    others = {name: graph for name, graph in checked.networks.items() if name not in read}
    drawn = draw_weights(dataclasses.replace(checked, networks=others), seed)
    arrays = {name: {key: view_array(item) for key, item in tensors.items()} for name, tensors in read.items()}
    return {name: (arrays | drawn)[name] for name in checked.networks}


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


def require_finite(network: str, tensors: Mapping[str, Stored]) -> None:
    """SpecError NL605 where a weight holds NaN or an infinity."""
    import numpy as np

    for key, stored in tensors.items():
        if stored.dtype.is_float and not np.isfinite(view_array(stored)).all():
            raise failure("NL605", f"the weights `{key}` of `{network}` are not finite")
