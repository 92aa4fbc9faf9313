"""First values of a graph's parameters, alike for every back end.

Each parameter has a generator of its own, PCG64 seeded with the run's seed, the network's name and the parameter's key, so a
change elsewhere in a spec leaves its numbers as they are.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, final

from compiler.ir.graph import Graph, owned_parameters

if TYPE_CHECKING:
    import numpy as np

LARGEST_BYTES: Final = 64 * 2**30


@final
class TooLarge(Exception):
    """Parameters would take more bytes than the budget allows; nothing has been allocated."""

    def __init__(self, name: str, total: int, budget: int) -> None:
        super().__init__(f"the parameters of `{name}` take {total} bytes, more than the budget of {budget}")
        self.total: Final = total
        self.budget: Final = budget


def parameter_bytes(graph: Graph) -> int:
    """Bytes of all parameters and buffers that `graph` owns."""
    return sum((item.type.elements.constant or 0) * item.type.dtype.bytes for _, item in owned_parameters(graph))


def initial_parameters(graph: Graph, seed: int, budget: int = LARGEST_BYTES) -> dict[str, np.ndarray]:
    """Arrays by key, in the spec's order, drawn in f64 and cast; raises TooLarge before anything is allocated."""
    import numpy as np

    total = parameter_bytes(graph)
    if total > budget:
        raise TooLarge(graph.name, total, budget)
    network = _words(graph.name)
    arrays = {}
    for key, item in owned_parameters(graph):
        sequence = np.random.SeedSequence(entropy=(seed, *network), spawn_key=_words(key))
        generator = np.random.Generator(np.random.PCG64(sequence))
        shape = tuple(dim.constant or 0 for dim in item.type.shape)
        arrays[key] = np.asarray(item.init.draw(generator, shape)).astype(item.type.dtype.numpy_name)
    return arrays


def _words(text: str) -> tuple[int, ...]:
    """Four 32-bit words that a text hashes to."""
    digest = hashlib.sha256(text.encode()).digest()
    return tuple(int.from_bytes(digest[start : start + 4], "little") for start in range(0, 16, 4))
