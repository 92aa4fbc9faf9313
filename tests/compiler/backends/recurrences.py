"""Scans of bundled cells on both back ends, and the same weights as torch and ONNX Runtime lay them out."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

from compiler.backends.numpy_backend import load_numpy
from compiler.backends.torch_backend import load_torch, set_parameters
from compiler.front.checked import check
from compiler.ir.graph import Graph, owned_parameters
from compiler.ir.verify import verify
from compiler.source import Source

Arrays = dict[str, np.ndarray]


def scan_graph(layers: str, inputs: str, outputs: str = "", cells: str = "") -> Graph:
    """A network `net` whose one entry is `s`, with cells of its own or else the bundled ones."""
    use = f"cells:{cells}\n" if cells else "use: [rnn/cells]\n"
    head = f"netlang: 1\n{use}networks:\n  net:\n    inputs: {{{inputs}}}\n    layers:\n      s: {layers}\n"
    checked = check(Source("test.yaml", head + (f"    outputs: {outputs}\n" if outputs else "")))
    assert not checked.diagnostics, [f"{item.span}: {item.message}" for item in checked.diagnostics]
    graph = checked.networks["net"]
    verify(graph)
    return graph


def draw_weights(graph: Graph, seed: int = 0) -> Arrays:
    generator = np.random.default_rng(seed)
    return {key: generator.normal(0, 0.5, [dim.constant or 0 for dim in item.type.shape]) for key, item in owned_parameters(graph)}


def torch_network(graph: Graph, weights: Arrays, dtype: type = np.float64) -> torch.nn.Module:
    module = load_torch([graph]).networks["net"]
    if dtype is np.float64:
        module = module.double()
    set_parameters(module, {key: item.astype(dtype) for key, item in weights.items()})
    return module


def run_torch(graph: Graph, weights: Arrays, *inputs: np.ndarray, dtype: type = np.float64) -> list[np.ndarray]:
    with torch.no_grad():
        made = torch_network(graph, weights, dtype)(*(torch.from_numpy(np.asarray(item)) for item in inputs))
    return [item.numpy() for item in (made if isinstance(made, tuple) else (made,))]


def run_numpy(graph: Graph, weights: Arrays, *inputs: np.ndarray, dtype: type = np.float64) -> list[np.ndarray]:
    made = load_numpy([graph]).networks["net"]({key: item.astype(dtype) for key, item in weights.items()})(*inputs)
    return list(made) if isinstance(made, tuple) else [made]


def gates(weights: Arrays, letter: str, order: str, prefix: str = "s.") -> np.ndarray:
    """The weights `letter_gate` under each other in an order of gates."""
    return np.concatenate([weights[f"{prefix}{letter}_{gate}"] for gate in order])


def lstm_state(weights: Arrays, suffix: str = "", prefix: str = "s.") -> dict[str, np.ndarray]:
    """A one-bias LSTM as torch.nn.LSTM holds it."""
    bias = gates(weights, "b", "ifgo", prefix)
    return {
        f"weight_ih_l0{suffix}": gates(weights, "W", "ifgo", prefix),
        f"weight_hh_l0{suffix}": gates(weights, "U", "ifgo", prefix),
        f"bias_ih_l0{suffix}": bias,
        f"bias_hh_l0{suffix}": 0 * bias,
    }


def gru_state(weights: Arrays) -> dict[str, np.ndarray]:
    return {
        "weight_ih_l0": gates(weights, "W", "rzn"),
        "weight_hh_l0": gates(weights, "U", "rzn"),
        "bias_ih_l0": np.concatenate([weights[f"s.b_x{gate}"] for gate in "rzn"]),
        "bias_hh_l0": np.concatenate([weights[f"s.b_h{gate}"] for gate in "rzn"]),
    }


def rnn_state(weights: Arrays) -> dict[str, np.ndarray]:
    bias = weights["s.b"]
    return {"weight_ih_l0": weights["s.W"], "weight_hh_l0": weights["s.U"], "bias_ih_l0": bias, "bias_hh_l0": 0 * bias}


def vendor(kind: Any, width: int, size: int, state: Arrays, **more: Any) -> Any:
    module = kind(width, size, batch_first=True, **more).double()
    module.load_state_dict({key: torch.from_numpy(item) for key, item in state.items()})
    return module


def run_onnx(op: str, x: np.ndarray, W: np.ndarray, R: np.ndarray, B: np.ndarray, P: np.ndarray | None = None, **more: Any) -> np.ndarray:
    """The output sequence [N, T, H] of ONNX Runtime's LSTM or GRU in float32; gates stand in ONNX's order."""
    size = R.shape[-1]
    given = {"X": x.swapaxes(0, 1), "W": W[None], "R": R[None], "B": np.concatenate([B, 0 * B])[None]}
    names = ["X", "W", "R", "B"]
    if P is not None:
        given["P"] = P[None]
        names += ["", "", "", "P"]
    node = helper.make_node(op, names, ["Y"], hidden_size=size, **more)
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, item.shape) for name, item in given.items()]
    graph = helper.make_graph([node], "one", inputs, [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["T", 1, "N", "H"])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {name: item.astype(np.float32) for name, item in given.items()})
    return np.asarray(y)[:, 0].swapaxes(0, 1)
