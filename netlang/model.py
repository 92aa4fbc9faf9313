"""A spec's networks, printed, running, with their weights: what `netlang.load` gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, final

from compiler.backends.names import network_parameter
from compiler.backends.numpy_backend import load_numpy
from compiler.backends.torch_backend import load_torch, place_channels_last, set_parameters
from compiler.front.checked import Checked
from compiler.ir.graph import called_networks
from compiler.passes.inference import prepare_inference
from netlang.checking import Spec, check
from netlang.inference import fold_arrays
from netlang.weights import load_weights, start_weights, view_array

Backend: TypeAlias = Literal["torch", "numpy"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """The networks of a spec by name, as torch modules in evaluation mode or as NumPy callables.

    `parameters` holds every network's tensors or arrays by state-dict key; writing into them changes what the networks compute.
    `source` is the printed file that runs.
    """

    checked: Checked
    backend: Backend
    networks: Mapping[str, Any]
    parameters: Mapping[str, Mapping[str, Any]]
    source: str

    def __getitem__(self, name: str) -> Callable[..., Any]:
        """The network as a function of its inputs alone: the networks that it calls are passed along."""
        called = called_networks(self.checked.networks[name])
        return partial(self.networks[name], **{network_parameter(inner): self.networks[inner] for inner in called})

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Run the last network of the spec, which is the only one of most."""
        return self[list(self.networks)[-1]](*inputs, **options)


def load(
    spec: Spec,
    *,
    set: Mapping[str, object] | None = None,
    weights: str | Path | None = None,
    seed: int | None = None,
    backend: Backend = "torch",
    inference: bool = False,
) -> Model:
    """The networks of a spec with weights from a file, a built folder or a run, or else drawn from the seed; raises SpecError.

    `set` replaces constants under `let`. With the same seed both back ends have the same weights. With `inference` batch
    normalization is part of the weights before it and dropout is left out: faster, and not for training.
    """
    checked = check(spec, set=set).require()
    if weights is None:
        arrays: Mapping[str, Mapping[str, Any]] = start_weights(checked, seed)
    else:
        stored = load_weights(checked, Path(weights), seed)
        arrays = {name: {key: view_array(item) for key, item in tensors.items()} for name, tensors in stored.items()}
    graphs = list(checked.networks.values())
    if inference:
        made = prepare_inference(checked.networks)
        graphs = list(made.networks.values())
        arrays = {name: fold_arrays(found, made.foldings[name]) for name, found in arrays.items()}
    if backend == "numpy":
        printed = load_numpy(graphs)
        own = {name: {key: array.copy() for key, array in values.items()} for name, values in arrays.items()}
        return Model(checked, backend, {name: made(own[name]) for name, made in printed.networks.items()}, own, printed.source)
    modules = load_torch(graphs)
    for name, module in modules.networks.items():
        set_parameters(module.eval(), arrays[name])
        if inference:
            place_channels_last(module)
    states = {name: module.state_dict() for name, module in modules.networks.items()}
    return Model(checked, backend, modules.networks, states, modules.source)
