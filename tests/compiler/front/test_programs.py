"""What programs become: variables as networks, carried states as inputs, samples by their types, gradients as nodes."""

from __future__ import annotations

import pytest

from compiler.front.checked import Checked, check
from compiler.ir.graph import Graph, owned_parameters
from compiler.ir.reach import Reach
from compiler.ir.training import Pictures, Points, Program, Text
from compiler.ir.verify import verify
from compiler.ops.program import Gradient, Replay
from compiler.source import Source
from netlang.data import READERS

NETWORKS = """netlang: 1
networks:
  G:
    inputs: {z: [N, 8]}
    layers: {h: linear(32) -> relu, out: linear(2)}
  critic:
    inputs: {x: [N, 2]}
    layers: {h: linear(32) -> relu, score: linear(1)}
  sign:
    inputs: {x: [N, 2]}
    layers: {inner: linear(2), hard: "cast(inner > 0, f32)", both: "concat(inner, hard, axis=1)"}
    outputs: {soft: inner, hard: hard, both: both}
data: {train: ring()}
"""
ADVERSARIAL = """variables:
  code: {init: "normal(4, 8)", shape: [4, 8]}
  scale: {init: 0.5}
train:
  iterations: 20
  evaluate: {every: 5}
  checkpoint: {every: 10, keep: 2}
  draw: {z: "normal(N, 8)"}
  let: {fake: G(z)}
  steps:
    - update: critic
      draw: {t: "uniform(N, 1)"}
      let: {mix: t * point + (1 - t) * fake}
      minimize: mean(critic(replay(fake, 50))) - mean(critic(point)) + mean((norm(grad(critic(mix), mix)) - 1) ** 2)
      with: adam
    - update: [G, code, scale]
      minimize: -mean(critic(fake)) - scale * mean(critic(G(code)))
      with: adam
      ema: 0.99
      mode: {critic: eval}
  sample:
    points: fake
    pictures: reshape(G(code), 1, 1, 4, 2)
"""


def read(text: str) -> Checked:
    return check(Source("spec.yaml", text), readers=READERS).require()


def program_of(text: str) -> Program:
    program = read(text).program
    assert program is not None
    for graph in (*(step.graph for step in program.steps), *(sample.graph for sample in program.samples.values())):
        verify(graph)
    return program


def inputs_of(graph: Graph) -> dict[str, str]:
    return {value.name: str(value.type) for value in graph.inputs}


def test_a_variable_is_a_network_that_owns_one_tensor() -> None:
    checked = read(NETWORKS + ADVERSARIAL)
    program = checked.program
    assert program is not None
    assert list(checked.networks) == ["G", "critic", "sign", "code", "scale"]
    for name, type in (("code", "[4, 8]"), ("scale", "f32[]")):
        variable = program.variables[name]
        assert checked.networks[name] is variable.network
        assert [(key, str(item.type), item.trainable) for key, item in owned_parameters(variable.network)] == [("value", type, True)]
        assert str(variable.init.outputs[""].type) == type
        verify(variable.network)
        verify(variable.init)


def test_graphs_have_the_inputs_that_they_read_and_no_others() -> None:
    first, second = program_of(NETWORKS + ADVERSARIAL).steps
    assert inputs_of(first.graph) == {"point": "[N, 2]", "z": "[N, 8]"}
    assert inputs_of(second.graph) == {"z": "[N, 8]"}
    assert [type(node.op) for node in first.graph.nodes if isinstance(node.op, Gradient | Replay)] == [Replay, Gradient]


def test_settings_are_read() -> None:
    program = program_of(NETWORKS + ADVERSARIAL)
    assert (program.evaluate_every, program.checkpoint_every, program.checkpoints_kept) == (5, 10, 2)
    assert [(step.ema, dict(step.mode)) for step in program.steps] == [(None, {}), (0.99, {"critic": False})]
    assert {name: type(sample) for name, sample in program.samples.items()} == {"points": Points, "pictures": Pictures}


def test_a_gradient_goes_through_blocks_and_networks_and_stops_at_comparisons() -> None:
    networks = read(NETWORKS).networks
    sign = networks["sign"]
    reach = Reach()
    (x,) = sign.inputs
    origins = reach.of(sign)
    assert origins[sign.outputs["soft"]] == {x, sign}
    assert not origins[sign.outputs["hard"]]
    assert origins[sign.entries["both"]] == {x, sign}


@pytest.mark.parametrize(("objective", "reached"), [("sign(point).soft", True), ("sign(point).hard", False)])
def test_an_update_needs_a_way_for_the_gradient(objective: str, reached: bool) -> None:
    text = f"train:\n  iterations: 1\n  steps:\n    - {{update: sign, minimize: mean({objective}), with: adam}}\n"
    checked = check(Source("spec.yaml", NETWORKS + text), readers=READERS)
    assert [item.code for item in checked.diagnostics] == ([] if reached else ["NL403"])


def test_a_second_derivative_reaches_the_weights_and_a_buffer_does_not() -> None:
    first = program_of(NETWORKS + ADVERSARIAL).steps[0].graph
    reach = Reach()
    found = reach.of(first)
    gradient = next(node for node in first.nodes if isinstance(node.op, Gradient))
    buffer = next(node for node in first.nodes if isinstance(node.op, Replay))
    assert {item.name for item in found[gradient.results[0]]} >= {"critic", "G", "point"}
    assert not found[buffer.results[0]]


CARRIED = """netlang: 1
networks:
  net:
    inputs: {row: "i64[N, T]", h: [N, 4]}
    layers:
      letters: embedding(row, 10, 4)
      mixed: letters + unsqueeze(h, axis=1)
      logits: linear(mixed, 10)
      next: mean(mixed, axis=1)
    outputs: {logits: logits, next: next}
data: {train: copy_memory()}
train:
  epochs: 1
  let: {h: "full(0, N, 4)", out: "net(row, h)"}
  carry: {h: out.next}
  steps:
    - {update: net, minimize: "cross_entropy(out.logits, target, axis=2)", with: adam}
  metrics: {loss: "cross_entropy(out.logits, target, axis=2)"}
  sample: {written: "generate(out.logits, prompt=\\"12\\", length=7, temperature=0.5)"}
"""


def test_a_carried_state_is_an_input_wherever_it_is_read() -> None:
    program = program_of(CARRIED)
    carry = program.carry
    assert carry is not None
    assert inputs_of(carry.start) == {}
    assert inputs_of(carry.following) == {"row": "i64[N, 20]", "h": "[N, 4]"}
    assert {name: str(value.type) for name, value in carry.following.outputs.items()} == {"h": "[N, 4]"}
    assert inputs_of(program.steps[0].graph)["h"] == inputs_of(program.metrics["loss"])["h"] == "[N, 4]"
    verify(carry.start)
    verify(carry.following)


def test_a_text_reads_characters_of_any_number_and_tells_the_next_states() -> None:
    sample = program_of(CARRIED).samples["written"]
    assert isinstance(sample, Text)
    assert (sample.field, sample.prompt, sample.length, sample.temperature) == ("row", "12", 7, 0.5)
    assert inputs_of(sample.graph) == {"row": "i64[N, T]", "h": "[N, 4]"}
    assert {name: str(value.type) for name, value in sample.graph.outputs.items()} == {"logits": "[N, T, 10]", "h": "[N, 4]"}


def test_data_that_variables_alone_read_is_used() -> None:
    text = NETWORKS.replace("{train: ring()}", "{train: ring(), start: 'image(\"start.png\", size=2)'}")
    program = "variables: {code: {init: start}}\ntrain:\n  iterations: 1\n  steps:\n"
    step = "    - {update: code, minimize: mean(critic(point)) + mean(code ** 2), with: adam}\n"
    assert [item.code for item in check(Source("spec.yaml", text + program + step), readers=READERS).diagnostics] == []
