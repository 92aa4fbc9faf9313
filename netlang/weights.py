"""The numbers of a spec's networks: drawn from a seed, or read from where a run or a build left them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.backends.parameters import TooLarge, initial_parameters
from compiler.front.checked import Checked
from compiler.ir.types import DType
from compiler.ops.program import is_variable
from netlang.training.draws import first_values
from netlang.training.failures import failure
from netlang.training.given_weights import find_weights, has_weights, named_weights, read_given
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
    chosen = _choose_seed(checked, seed)
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


def start_weights(checked: Checked, seed: int | None, *, needed: bool = True) -> dict[str, dict[str, np.ndarray]]:
    """The weights of every network: from the file that the spec names, else drawn; variables have their first values.

    Without `needed`, files that are not there are done without. Raises SpecError.
    """
    return _complete(checked, seed, named_weights(checked, [name for name in checked.weights if needed or has_weights(checked, name)]))


def _complete(checked: Checked, seed: int | None, read: Weights) -> dict[str, dict[str, np.ndarray]]:
    """What was read, and first weights of every other network and variable."""
    others = {name: graph for name, graph in checked.networks.items() if name not in read}
    found = draw_weights(dataclasses.replace(checked, networks=others), seed)
    if any(map(is_variable, others.values())):
        for name, value in first_values(checked, _choose_seed(checked, seed)).items():
            found[name]["value"][...] = value
    found |= {name: {key: view_array(item) for key, item in tensors.items()} for name, tensors in read.items()}
    return {name: found[name] for name in checked.networks}


def _choose_seed(checked: Checked, seed: int | None) -> int:
    """The spec's own seed where none is given."""
    return seed if seed is not None else 0 if checked.program is None else checked.program.seed


def load_weights(checked: Checked, path: Path, seed: int | None = None) -> Weights:
    """The weights of every network from a file, a folder that `build` wrote, or a run; raises SpecError.

    A file is for the only network; variables beside it have their first values.
    """
    own = [name for name, graph in checked.networks.items() if not is_variable(graph)]
    if not path.is_dir() and len(own) == 1:
        made = _complete(checked, seed, {own[0]: read_given(checked, own[0], path)})
        return {name: {key: store_array(array) for key, array in arrays.items()} for name, arrays in made.items()}
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
