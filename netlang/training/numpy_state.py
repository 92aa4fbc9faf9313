"""What a NumPy run keeps besides weights, by name: states of optimizers, averaged weights, carried states, buffers of examples.

Names are those of torch_state.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np

from netlang.training.numpy_arrays import to_host
from netlang.training.numpy_lbfgs import NumpyLbfgs
from netlang.training.numpy_optimizers import NumpyOptimizer
from netlang.training.replay import ReplayBuffer
from netlang.training.state import AVERAGE

CARRIED, REPLAYED = "carried", "replayed"


@final
class NumpyState:
    """Reads and writes the state of these optimizers (by the first step of each), averages and buffers."""

    def __init__(
        self,
        owners: Mapping[int, NumpyOptimizer | NumpyLbfgs],
        averages: Mapping[str, Any],
        buffers: Mapping[str, ReplayBuffer],
        module: Any,
    ) -> None:
        self._owners = owners
        self._averages = averages
        self._buffers = buffers
        self._module = module

    def read(self, carried: Mapping[str, Any]) -> dict[str, Any]:
        """The arrays, valid until the next update."""
        found = {
            f"{index}:{name.replace('/', '.', 1)}": value
            for index, optimizer in self._owners.items()
            for name, value in optimizer.read_state().items()
        }
        found |= {f"{AVERAGE}:{name.replace('/', '.', 1)}": value for name, value in self._averages.items()}
        found |= {f"{CARRIED}:{name}": value for name, value in carried.items()}
        for name, buffer in self._buffers.items():
            if buffer.examples:
                found[f"{REPLAYED}:{name}:examples"] = self._module.stack(buffer.examples)
            found[f"{REPLAYED}:{name}:uses"] = np.array(buffer.uses, np.int64)
        return found

    def write(self, state: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
        """Put back what `read` gave; returns the carried states. ValueError where a name or a shape is another program's."""
        optimizers: dict[int, dict[str, Any]] = {index: {} for index in self._owners}
        carried: dict[str, Any] = {}
        for full, value in state.items():
            kind, _, name = full.partition(":")
            inner = name.replace(".", "/", 1)
            buffer = self._buffers.get(name.rpartition(":")[0])
            if kind.isdecimal() and int(kind) in optimizers:
                optimizers[int(kind)][inner] = value
            elif kind == CARRIED:
                carried[name] = self._module.asarray(value)
            elif kind == AVERAGE and inner in self._averages and self._averages[inner].shape == value.shape:
                self._averages[inner][...] = self._module.asarray(value)
            elif kind == REPLAYED and buffer is not None:
                if name.endswith(":uses"):
                    buffer.uses = int(to_host(value))
                else:
                    buffer.examples = [self._module.asarray(row) for row in value]
            else:
                raise ValueError(f"`{full}` belongs to nothing of this program")
        for index, optimizer in self._owners.items():
            optimizer.write_state(optimizers[index])
        return carried
