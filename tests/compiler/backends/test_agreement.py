"""Both back ends compute the same, whatever shape the printed text takes; state-dict keys are the spec's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compiler.backends.numpy_backend import load_numpy
from compiler.backends.parameters import initial_parameters
from compiler.backends.torch_backend import load_torch, set_parameters
from compiler.front.builder import GraphBuilder
from compiler.ir.dims import Dim
from compiler.ir.graph import Graph, owned_parameters
from compiler.ir.types import DType, TensorType
from compiler.ir.verify import verify
from compiler.ops import op_named
from tests.compiler.backends.support import RESIDUAL, SPECS, assert_agree, checked_graphs, draw_inputs, draw_parameters, graphs_of

CASES: dict[str, tuple[str, str]] = {
    "repeated blocks": (
        """
  net:
    inputs: {image: [N, 3, H, W]}
    layers:
      conv: conv(8, 3, pad=1) -> relu
      stage: conv -> repeat(3, residual(8)) -> residual(16, 2) -> repeat(2, residual(16))
      out: stage -> global_avg_pool -> linear(4)
""",
        RESIDUAL,
    ),
    "repeated pipelines": (
        """
  net:
    inputs: {image: [N, 3, H, W]}
    layers:
      pairs: image -> repeat(2, conv(3, 3, pad=1) -> gelu)
      groups: pairs -> repeat(2, conv(3, 3, pad=1) -> batch_norm -> relu)
      before: groups -> relu -> batch_norm -> conv(4, 1)
""",
        "",
    ),
    "a list of layers": ("\n  net:\n    inputs: {x: [N, 10]}\n    layers: [linear(16), relu, linear(4), softmax]\n", ""),
    "a list that is no chain": ("\n  net:\n    inputs: {x: [N, 10]}\n    layers: ['linear(16) -> relu', 'linear(4) -> softmax']\n", ""),
    "keys": (
        """
  net:
    inputs: {image: [N, 3, H, W]}
    keys: {conv1: features.0, conv2: features.2, fc: classifier.0}
    layers:
      conv1: conv(4, 3, pad=1) -> relu
      conv2: conv(4, 3, pad=1) -> relu
      pool: global_avg_pool
      fc: linear(5) -> dropout
""",
        "",
    ),
    "declared sizes": (
        """
  net:
    inputs: {image: [N, 3, 16*H, 16*W]}
    layers:
      down: conv(4, 3, stride=2, pad=1)
      rows: reshape(down, [N, 4, 64 * H * W])
      scaled: rows / (4 * H * W)
""",
        "",
    ),
    "sizes inside a block": (
        """
  net:
    inputs: {image: [N, 3, H, W]}
    layers:
      small: conv(4, 3, stride=2)
      gram: small -> gram(0.5)
""",
        """
  gram(w):
    inputs: {a: [N, C, H, W]}
    layers:
      flat: reshape(a, [N, C, H * W])
      out: flat @ transpose(flat, 1, 2) / (C * H * W) * w
""",
    ),
    "several outputs, split and taps": (
        """
  encoder:
    inputs: {x: [N, 10]}
    layers:
      hidden: linear(16) -> mish
      parts: hidden -> linear(8) -> split(2, axis=1)
      mu: parts[0]
      logvar: parts[1] -> softplus
    outputs: {mu: mu, logvar: logvar}
  net:
    inputs: {x: [N, 10]}
    layers:
      code: encoder(x)
      z: code.mu + exp(0.5 * code.logvar)
      again: encoder(concat(z, z, z[:, 0:2], axis=1)).mu
      deep: encoder(x).hidden
    outputs: [z, again, deep]
""",
        "",
    ),
    "names that Python has": (
        """
  net:
    inputs: {sum: [N, 4]}
    layers:
      softmax: sum -> softmax
      list: softmax * 2 -> linear(3)
      p: max(list, 0)
      prefix: p + 1 -> selu
""",
        "",
    ),
    "sizes called as modules are": (
        """
  net:
    inputs: {x: [N, F, np]}
    layers:
      H: relu(x)
      N_2: reshape(H, [N, F * np]) / F
      out: selu(N_2)
""",
        "",
    ),
    "constants as tensors": (
        "\n  net:\n    inputs: {x: [N, 3]}\n    layers:\n      ones: 1.0 -> expand(4, 3)\n      out: x @ transpose(ones, 0, 1)\n",
        "",
    ),
    "operands that a formula repeats": (
        "\n  net:\n    inputs: {x: [N, 3]}\n    layers:\n      y: linear(3) -> silu -> hardswish -> gelu -> elu -> log_sigmoid\n",
        "",
    ),
    "a block that returns several": (
        """
  net:
    inputs: {x: [N, 6]}
    layers:
      both: pair(x, 4)
      out: both.low * both.high
""",
        """
  pair(C):
    inputs: {x: [N, D]}
    layers:
      low: linear(C)
      high: x -> linear(C) -> tanh
    outputs: {low: low, high: high}
""",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_both_back_ends_agree(case: str) -> None:
    text, blocks = CASES[case]
    assert_agree(graphs_of(text, blocks), "net")


@pytest.mark.parametrize("case", CASES)
def test_keys_of_the_state_dict_are_those_of_the_spec_in_order(case: str) -> None:
    text, blocks = CASES[case]
    graphs = graphs_of(text, blocks)
    modules = load_torch(list(graphs.values())).networks
    for name, graph in graphs.items():
        expected = {key: [dim.constant for dim in item.type.shape] for key, item in owned_parameters(graph)}
        found = {key: list(tensor.shape) for key, tensor in modules[name].state_dict().items()}
        assert found == expected
        assert list(found) == list(expected)


@pytest.mark.parametrize("name", ["lenet5", "lenet5_1998", "mlp", "mobilenet_small", "resnet20", "resnet18"])
def test_bundled_networks_agree(name: str) -> None:
    assert_agree(checked_graphs(SPECS / "cnn" / f"{name}.yaml"), name, size=32)


def test_keys_of_vgg19_are_torchvisions() -> None:
    graphs = checked_graphs(SPECS / "cnn" / "vgg19.yaml")
    keys = [key for key, _ in owned_parameters(graphs["vgg19"])]
    assert keys[0] == "features.0.weight"
    assert keys[-1] == "classifier.6.bias"
    with torch.device("meta"):
        assert list(load_torch(list(graphs.values())).networks["vgg19"].state_dict()) == keys


def test_dropout_follows_train_and_eval() -> None:
    graphs = graphs_of("\n  net:\n    inputs: {x: [N, 100]}\n    layers:\n      y: linear(100) -> tanh -> dropout(0.5)\n")
    module = load_torch(list(graphs.values())).networks["net"]
    x = torch.ones(2, 100)
    assert (module.train()(x) == 0).any()
    assert (module.eval()(x) != 0).all()


def test_a_tap_computes_only_what_it_needs() -> None:
    text, _ = CASES["several outputs, split and taps"]
    source = load_torch(list(graphs_of(text).values())).source
    tap = source.split("def read_hidden")[1].split("\n\n")[0]
    assert "self.hidden" in tap
    assert "self.parts" not in tap


def test_another_array_module_runs_the_same_text() -> None:
    graphs = graphs_of("\n  net:\n    inputs: {x: [N, 4]}\n    layers:\n      y: linear(3) -> sigmoid\n")

    class Counting:
        """NumPy, counting what is asked of it."""

        asked = 0

        def __getattr__(self, name: str) -> object:
            Counting.asked += 1
            return getattr(np, name)

    parameters, (x,) = draw_parameters(graphs["net"]), draw_inputs(graphs["net"])
    plain = load_numpy(list(graphs.values())).networks["net"](parameters)(x)
    other = load_numpy(list(graphs.values()), Counting()).networks["net"](parameters)(x)
    np.testing.assert_array_equal(plain, other)
    assert Counting.asked > 0


def test_a_traceback_shows_the_printed_line() -> None:
    graphs = graphs_of("\n  net:\n    inputs: {x: [N, 4]}\n    layers:\n      y: linear(3) -> sigmoid\n")
    module = load_torch(list(graphs.values())).networks["net"]
    with pytest.raises(RuntimeError) as caught:
        module(torch.ones(2, 5))
    assert any("torch.sigmoid(self.y(x))" in str(entry.statement) for entry in caught.traceback)


def test_parameters_refuse_a_wrong_key() -> None:
    graphs = graphs_of("\n  net:\n    inputs: {x: [N, 4]}\n    layers:\n      y: linear(3)\n")
    module = load_torch(list(graphs.values())).networks["net"]
    with pytest.raises(RuntimeError, match="Missing key"):
        set_parameters(module, {"z.weight": initial_parameters(graphs["net"], 0)["y.weight"]})


def step_graph(net: Graph) -> Graph:
    """`loss = cross_entropy(net(x), label)` and the largest logit, as a training program makes it."""
    builder = GraphBuilder(Graph("loss", "step"))
    x = builder.add_input("x", net.inputs[0].type)
    label = builder.add_input("label", TensorType.of(DType.i64, "N"))
    logits = builder.call(net, (x,), {"N": Dim.symbol("N")}, None)("")
    assert logits is not None
    builder.graph.outputs["loss"] = builder.add(op_named("cross_entropy")(), (logits, label))[0]
    builder.graph.outputs["largest"] = builder.add(op_named("amax")(), (logits,))[0]
    graph = builder.finish()
    verify(graph)
    return graph


def test_a_step_is_a_function_of_networks_and_fields() -> None:
    net = graphs_of("\n  net:\n    inputs: {x: [N, 4]}\n    layers:\n      y: linear(3)\n")["net"]
    step = step_graph(net)
    modules, arrays = load_torch([net, step]), load_numpy([net, step])
    parameters, (x,) = draw_parameters(net), draw_inputs(net)
    label = np.array([0, 2])
    set_parameters(modules.networks["net"], parameters)
    by_torch = modules.steps["loss"](modules.networks["net"], torch.from_numpy(x), torch.from_numpy(label))
    by_numpy = arrays.steps["loss"](arrays.networks["net"](parameters), x, label)
    assert "def loss(net: nn.Module, x: torch.Tensor, label: torch.Tensor) -> LossOutput:" in modules.source
    np.testing.assert_allclose(by_torch.loss.detach().numpy(), by_numpy.loss, atol=1e-6)
    np.testing.assert_allclose(by_torch.largest.detach().numpy(), by_numpy.largest, atol=1e-6)
