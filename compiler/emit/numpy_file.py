"""A stand-alone NumPy file: the printed networks, a reader of safetensors, a `load` for the weights beside it, an example of use.

It needs NumPy alone. The weights of a lone network are in `model.safetensors`, those of several in one file each.
"""

from __future__ import annotations

from collections.abc import Mapping

from compiler.backends.numpy_source import print_numpy
from compiler.emit.examples import keyword_arguments, print_example
from compiler.emit.layout import file_title, join_file, split_imports
from compiler.ir.graph import Graph
from compiler.ir.types import DType

IMPORTS = ("from __future__ import annotations", "import json", "import math", "from pathlib import Path")

READER = '''TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "|u1", "BOOL": "|b1"}


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file by name: 8 bytes with the length of a JSON header, the header, the numbers."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    arrays = {}
    for name, item in json.loads(data[8:start]).items():
        if name != "__metadata__":
            shape, (first, _) = item["shape"], item["data_offsets"]
            flat = np.frombuffer(data, TYPES[item["dtype"]], math.prod(shape), start + first)
            arrays[name] = flat.reshape(shape)
    return arrays'''

LOAD_ONE = '''def load(folder: Path = Path(__file__).parent) -> {cls}:
    """The network with the weights in `model.safetensors`."""
    return {cls}(read_weights(folder / "model.safetensors"))'''

LOAD_SEVERAL = '''NETWORKS = {table}


def load(name: str, folder: Path = Path(__file__).parent) -> {union}:
    """The network of that name with its weights, which are in `<name>.safetensors`."""
    return NETWORKS[name](read_weights(folder / f"{{name}}.safetensors"))'''


def numpy_file(networks: Mapping[str, Graph], *, name: str, doc: str, made_by: str) -> str:
    """The text of `model.py` for the networks of a spec; `made_by` says who printed it."""
    printed = print_numpy(list(networks.values()))
    imports, body = split_imports(printed.text)
    if len(networks) == 1:
        (network,) = networks
        load = LOAD_ONE.format(cls=printed.networks[network])
    else:
        entries = "".join(f'    "{network}": {printed.networks[network]},\n' for network in networks)
        load = LOAD_SEVERAL.format(table=f"{{\n{entries}}}", union=" | ".join(printed.networks[network] for network in networks))
    title = file_title(doc, name, made_by, "Needs NumPy, nothing else.")
    last, graph = list(networks.items())[-1]
    keywords = keyword_arguments(body, printed.networks[last], "__call__")
    example = print_example(
        graph,
        networks,
        keywords,
        _made_up,
        before=["generator = np.random.default_rng(0)"],
        after=lambda call: [f"print({call})"],
    )
    return join_file(title, [*imports, *IMPORTS], [body, READER, load, example])


def _made_up(shape: tuple[int, ...], dtype: DType) -> str:
    if dtype is DType.f32:
        return f"generator.random({shape}, dtype=np.float32)"
    if dtype.is_float:
        return f"generator.random({shape}).astype(np.{dtype.numpy_name})"
    return f"np.zeros({shape}, np.{dtype.numpy_name})"
