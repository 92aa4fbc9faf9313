"""Runs what `torch_source` prints: modules and step functions, and arrays put into their parameters by key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from compiler.backends.execution import execute
from compiler.backends.native_scan import use_native
from compiler.backends.torch_source import print_torch
from compiler.ir.graph import Graph, called_networks

if TYPE_CHECKING:
    import numpy as np
    from torch import nn


@final
@dataclass(frozen=True, slots=True)
class TorchModules:
    """One printed file, running: its text, its networks by name, its step functions by name."""

    source: str
    networks: dict[str, nn.Module]
    steps: dict[str, Any]


def load_torch(graphs: list[Graph], title: str = "") -> TorchModules:
    """Print the graphs and run the text; a network that calls others has them to pass, see `call_network`."""
    printed = print_torch(graphs, title)
    names = execute(printed.text, "model")
    use_native(names, printed.scans, tensors=True)
    networks = {name: names[found] for name, found in printed.networks.items()}
    return TorchModules(
        printed.text,
        {name: made() for name, made in networks.items()},
        {name: names[function] for name, function in printed.steps.items()},
    )


def set_parameters(module: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Copy arrays into a module by state-dict key; RuntimeError where keys or shapes differ."""
    import torch

    module.load_state_dict({key: torch.from_numpy(array.copy()) for key, array in arrays.items()})


def place_channels_last(module: nn.Module) -> None:
    """Let the weights of two-dimensional convolutions lie channels last, which makes evaluation faster."""
    import torch

    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def network_arguments(graph: Graph, networks: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """The keyword arguments `forward` of a network takes for the networks it calls."""
    return {name: networks[name] for name in called_networks(graph)}
