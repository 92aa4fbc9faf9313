"""The state of torch's generators as a run has it: the caller's generators are as they were between evaluations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, final

from netlang.training.seeds import Purpose, derive_seed

if TYPE_CHECKING:
    import torch


@final
class TorchRandom:
    """States by generator: `cpu`, and `cuda` on such a device."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._device = device
        self.states = self.seeded(Purpose.TRAINING)

    def seeded(self, purpose: Purpose) -> dict[str, torch.Tensor]:
        """States of generators freshly seeded for a purpose."""
        import torch

        seed = derive_seed(self._seed, purpose)
        states = {"cpu": torch.Generator().manual_seed(seed).get_state()}
        if self._device.type == "cuda":
            states["cuda"] = torch.Generator(self._device).manual_seed(seed).get_state()
        return states

    def write(self, states: Mapping[str, torch.Tensor]) -> None:
        """Take states that were saved; ValueError where they are of other generators."""
        if states.keys() != self.states.keys():
            raise ValueError(f"random states of {sorted(states)}, wanted {sorted(self.states)}")
        self.states = dict(states)

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Inside, torch's global generators are the run's; afterwards they are the caller's again."""
        import torch

        cuda = self._device if self._device.type == "cuda" else None
        outer, outer_cuda = torch.get_rng_state(), None if cuda is None else torch.cuda.get_rng_state(cuda)
        torch.set_rng_state(self.states["cpu"])
        if cuda is not None:
            torch.cuda.set_rng_state(self.states["cuda"], cuda)
        try:
            yield
        finally:
            self.states = {"cpu": torch.get_rng_state()}
            torch.set_rng_state(outer)
            if cuda is not None and outer_cuda is not None:
                self.states["cuda"] = torch.cuda.get_rng_state(cuda)
                torch.cuda.set_rng_state(outer_cuda, cuda)
