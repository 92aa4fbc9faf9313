"""What a torch run keeps besides weights, by name: states of optimizers, averaged weights, carried states, buffers of examples.

Names are `<step>:<parameter>:<what>` for the optimizer of a step (the first of those that share it), `average:<parameter>`,
`carried:<state>`, `replayed:<buffer>:examples` and `replayed:<buffer>:uses`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, final

from netlang.training.replay import ReplayBuffer
from netlang.training.state import AVERAGE
from netlang.training.torch_optimizers import read_state, write_state
from netlang.training.torch_plan import StepPlan

if TYPE_CHECKING:
    import torch

CARRIED: Final = "carried"
REPLAYED: Final = "replayed"


@final
class TorchState:
    """Reads and writes the state of these optimizers, averages and buffers."""

    def __init__(self, plans: list[StepPlan], averages: Mapping[str, torch.Tensor], buffers: Mapping[str, ReplayBuffer]) -> None:
        self._owners = {index: plan for index, plan in enumerate(plans) if plan.owner == index}
        self._averages = averages
        self._buffers = buffers

    def read(self, carried: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
        """Views of the tensors, valid until the next update."""
        import torch

        for index, plan in self._owners.items():
            for name, value in read_state(plan.optimizer, plan.names, plan.parameters).items():
                yield f"{index}:{name}", value
        yield from ((f"{AVERAGE}:{name}", value) for name, value in self._averages.items())
        yield from ((f"{CARRIED}:{name}", value) for name, value in carried.items())
        for name, buffer in self._buffers.items():
            if buffer.examples:
                yield f"{REPLAYED}:{name}:examples", torch.stack(buffer.examples)
            yield f"{REPLAYED}:{name}:uses", torch.tensor(buffer.uses)

    def write(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Put back what `read` gave; returns the carried states. ValueError where a name or a shape is another program's."""
        import torch

        optimizers: dict[int, dict[str, torch.Tensor]] = {index: {} for index in self._owners}
        carried: dict[str, torch.Tensor] = {}
        for full, value in state.items():
            kind, _, name = full.partition(":")
            buffer = self._buffers.get(name.rpartition(":")[0])
            if kind.isdecimal() and int(kind) in optimizers:
                optimizers[int(kind)][name] = value
            elif kind == CARRIED:
                carried[name] = value
            elif kind == AVERAGE and name in self._averages and self._averages[name].shape == value.shape:
                with torch.no_grad():
                    self._averages[name].copy_(value)
            elif kind == REPLAYED and buffer is not None:
                if name.endswith(":uses"):
                    buffer.uses = int(value)
                else:
                    buffer.examples = list(value.clone())
            else:
                raise ValueError(f"`{full}` belongs to nothing of this program")
        for index, plan in self._owners.items():
            write_state(plan.optimizer, plan.names, plan.parameters, optimizers[index])
        return carried
