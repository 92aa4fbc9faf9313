"""A stand-alone PyTorch file: the printed networks, a `load` that reads the weights beside it, an example of use.

It needs torch and safetensors, and NumPy where a scan runs by its own functions. The weights of a lone network are in
`model.safetensors`, those of several in one file each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compiler.backends.torch_source import print_torch
from compiler.emit.examples import keyword_arguments, print_example
from compiler.emit.layout import file_title, join_file, split_imports
from compiler.ir.graph import Graph, owned_parameters
from compiler.ir.types import DType

IMPORTS = ("from pathlib import Path", "from safetensors.torch import load_file")

LOAD_ONE = '''def load(folder: Path = Path(__file__).parent) -> {cls}:
    """The network in evaluation mode, with the weights in `model.safetensors`."""
    network = {cls}()
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network.eval(){layout}'''

LOAD_SEVERAL = '''NETWORKS: dict[str, type[nn.Module]] = {table}


def load(name: str, folder: Path = Path(__file__).parent) -> nn.Module:
    """The network of that name in evaluation mode, with its weights, which are in `<name>.safetensors`."""
    network = NETWORKS[name]()
    network.load_state_dict(load_file(folder / f"{{name}}.safetensors"))
    return network.eval(){layout}'''

CHANNELS_LAST = ".to(memory_format=torch.channels_last)"


def torch_file(
    networks: Mapping[str, Graph], *, name: str, doc: str, made_by: str, readers: Sequence[Graph] = (), inference: bool = False
) -> str:
    """The text of `model.py` for the networks of a spec, with what `readers` read of them; `made_by` says who printed it.

    For `inference` weights of two-dimensional convolutions lie channels last, and so then do the numbers between them.
    """
    layout = CHANNELS_LAST if inference and any(has_filters(graph) for graph in networks.values()) else ""
    printed = print_torch(list(networks.values()), readers=readers)
    imports, body = split_imports(printed.text)
    classes = printed.networks
    if len(networks) == 1:
        (network,) = networks
        load = LOAD_ONE.format(cls=classes[network], layout=layout)
    else:
        entries = "".join(f'    "{network}": {classes[network]},\n' for network in networks)
        load = LOAD_SEVERAL.format(table=f"{{\n{entries}}}", layout=layout)
    needs = "torch, safetensors and NumPy" if "import numpy as np" in imports else "torch and safetensors"
    title = file_title(doc, name, made_by, f"Needs {needs}, nothing else.")
    last, graph = list(networks.items())[-1]
    example = print_example(
        graph,
        networks,
        keyword_arguments(body, classes[last], "forward"),
        _made_up,
        before=[],
        after=lambda call: ["with torch.inference_mode():", f"    print({call})"],
    )
    needed = ["import torch", *(["from torch import nn"] if len(networks) > 1 else [])]
    return join_file(title, [*imports, *IMPORTS, *needed], [body, load, example])


def has_filters(graph: Graph) -> bool:
    """Whether a network owns weights of four axes, those of two-dimensional convolutions."""
    return any(item.type.rank == 4 for _, item in owned_parameters(graph))


def _made_up(shape: tuple[int, ...], dtype: DType) -> str:
    sizes = ", ".join(map(str, shape)) or "()"
    if dtype is DType.f32:
        return f"torch.rand({sizes})"
    return f"torch.{'rand' if dtype.is_float else 'zeros'}({sizes}, dtype=torch.{dtype.torch_name})"
