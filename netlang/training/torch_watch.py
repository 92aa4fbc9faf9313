"""Watches gradients with torch, whose autograd goes through scans as it does in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from compiler.front.checked import Checked
from compiler.ir.graph import called_networks
from compiler.passes.gradients import mark_differentiable
from compiler.passes.program_plan import network_modes
from compiler.passes.watch_states import WatchedGraph
from netlang.training.engine import Placed
from netlang.training.functions import BATCH, ROWS, Function, bind, with_own_names, with_rows
from netlang.training.torch_functions import load_quietly
from netlang.training.torch_tensors import from_stored
from netlang.training.watch import Watch, find_watched, read_sizes
from netlang.training.weights import Stored

if TYPE_CHECKING:
    import torch


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Probe:
    """A step's objective as a function of its inputs and of what is added to states, with its networks and which of them train."""

    watched: WatchedGraph
    function: Function
    networks: Mapping[str, torch.nn.Module]
    modes: Mapping[str, bool]


@final
class TorchWatch(Watch):
    """Computes on `device` with modules that hold copies of the weights."""

    def __init__(self, checked: Checked, device: str) -> None:
        program = checked.require().program
        assert program is not None
        self._device = device
        self._batch = program.batch
        watched = find_watched(program)
        networks = {name: graph for item in watched.values() for name, graph in called_networks(item.graph).items()}
        graphs = with_own_names([with_rows(mark_differentiable(item.graph)) for item in watched.values()], set(networks))
        loaded = load_quietly([*networks.values(), *graphs])
        modules = {name: loaded.networks[name].requires_grad_(False) for name in networks}
        self._probes: dict[int, _Probe] = {}
        for (index, item), graph in zip(watched.items(), graphs, strict=True):
            own = {name: modules[name] for name in called_networks(item.graph)}
            modes = network_modes(program, program.steps[index])
            self._probes[index] = _Probe(item, bind(loaded.steps[graph.name], graph, modules), own, modes)
        self.steps = frozenset(self._probes)

    def measure(self, index: int, inputs: Placed, weights: Mapping[str, Mapping[str, Stored]]) -> dict[str, list[float]]:
        import torch

        probe = self._probes[index]
        for name, module in probe.networks.items():
            copies = {key: from_stored(value).to(self._device) for key, value in weights[name].items()}
            module.load_state_dict(copies, assign=True)
            module.train(probe.modes.get(name, False))
        sizes = {BATCH: self._batch} | read_sizes(probe.watched.graph.inputs, inputs)
        shifts = {}
        for state in probe.watched.states:
            type = state.input.type
            shape, dtype = [dim.evaluate(sizes) for dim in type.shape], getattr(torch, type.dtype.torch_name)
            shifts[state.input.name] = torch.zeros(shape, dtype=dtype, device=self._device, requires_grad=True)
        rows = torch.empty(sizes[BATCH], dtype=torch.uint8, device=self._device)
        with torch.random.fork_rng(), torch.enable_grad():
            objective = probe.function({ROWS: rows, **inputs, **shifts})
            gradients = torch.autograd.grad(objective, list(shifts.values()), allow_unused=True, materialize_grads=True)
        found = {}
        for state, gradient in zip(probe.watched.states, gradients, strict=True):
            norms = gradient.reshape(*gradient.shape[:2], -1).norm(dim=2).mean(0)
            found[state.name] = (norms.flip(0) if state.reverse else norms).tolist()
        return found
