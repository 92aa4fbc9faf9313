"""Rows and totals of networks."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from compiler.diagnostics import SpecError
from compiler.front.checked import Checked, check
from compiler.source import Source
from netlang.data import READERS
from netlang.report.networks import network_json, summarize
from netlang.report.specs import describe_sizes, spec_json, summarize_spec
from netlang.report.tables import draw_network, draw_program

RESIDUAL = """
netlang: 1
blocks:
  residual(C, activation=relu):
    inputs: {x: [N, C, H, W]}
    layers:
      main: x -> conv(C, 3, pad=1, bias=false) -> batch_norm -> activation
      out: main + x
networks:
  net:
    inputs: {image: [N, 3, H, W]}
    layers:
      stem: conv(8, 3, pad=1)
      body: repeat(2, residual(8)) -> residual(8, activation=tanh)
      doubled: body * 2
"""


def read(text: str) -> Checked:
    return check(Source("net.yaml", text), readers=READERS).require()


def residual() -> Checked:
    return read(RESIDUAL)


def test_amounts_are_for_one_example() -> None:
    summary = summarize(residual().networks["net"])
    stem, body, doubled = summary.rows
    assert (stem.name, stem.op, stem.shape) == ("stem", "conv(8, 3, pad=1)", "[N, 8, H, W]")
    assert stem.parameters == 3 * 8 * 9 + 8
    assert str(stem.multiply_adds) == "216*H*W"
    assert str(stem.activations) == "32*H*W"
    assert body.op == "2 x residual(C=8, activation=relu) -> residual(C=8, activation=tanh)"
    assert doubled.op == "mul", "the constant is no op that one wants to read"
    assert summary.batch == "N"


def test_sizes_fix_amounts_and_shapes() -> None:
    summary = summarize(residual().networks["net"], {"N": 4, "H": 10, "W": 5})
    assert summary.rows[0].shape == "[4, 8, 10, 5]"
    assert summary.rows[0].multiply_adds == 216 * 10 * 5 * 4
    assert summary.batch is None


def test_rows_sum_to_the_totals() -> None:
    for depth in (0, 1, 5):
        summary = summarize(residual().networks["net"], {"H": 8, "W": 8}, depth)
        top = [row for row in summary.rows if row.depth == 0]
        assert sum(row.parameters for row in top) == summary.trainable == 224 + 3 * (8 * 8 * 9 + 16)
        assert sum(row.multiply_adds.constant or 0 for row in top) == summary.multiply_adds.constant
        assert sum(row.activations.constant or 0 for row in top) == summary.activations.constant
    assert summary.buffers == 3 * (8 + 8 + 1)
    assert summary.parameter_bytes == 4 * summary.trainable + 3 * (4 * 16 + 8)


def test_depth_opens_blocks_and_copies() -> None:
    def names(depth: int) -> list[str]:
        return ["  " * row.depth + row.name for row in summarize(residual().networks["net"], depth=depth).rows]

    assert names(0) == ["stem", "body", "doubled"]
    assert names(1) == ["stem", "body", "  0", "  1", "  residual", "doubled"] + (["  scalar", "  mul"] if len(names(1)) > 6 else [])
    assert "    main" in names(2)
    assert "      batch_norm" in names(3)


def test_a_network_that_calls_another_owns_none_of_its_weights() -> None:
    checked = read(
        "netlang: 1\nnetworks:\n"
        "  inner: {inputs: {x: [N, 4]}, layers: {y: linear(4)}}\n"
        "  outer: {inputs: {x: [N, 4]}, layers: {y: x -> inner -> inner}}\n"
    )
    summary = summarize(checked.networks["outer"])
    assert (summary.trainable, summary.multiply_adds.constant, summary.calls) == (0, 32, ("inner",))
    assert "uses the weights of inner" in draw_network(summary, width=None, color=False)


def test_json_is_exact() -> None:
    made = network_json(summarize(residual().networks["net"], depth=1))
    entries = made["entries"]
    assert isinstance(entries, list)
    first: Mapping[str, object] = entries[0]
    assert first == {
        "name": "stem",
        "op": "conv(8, 3, pad=1)",
        "shape": "[N, 8, H, W]",
        "parameters": 224,
        "depth": 0,
        "multiply_adds": "216*H*W",
        "activations_bytes": "32*H*W",
    }
    assert made["batch"] == 1


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(SpecError) as caught:
        summarize_spec(residual(), {"M": 3})
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "NL704"
    assert diagnostic.help == "symbolic sizes of its networks are N, H, W"


def test_the_program_in_words() -> None:
    checked = read("""
netlang: 1
networks:
  net: {inputs: {point: [N, 2]}, layers: {y: linear(2)}}
data:
  train: moons(samples=10)
  test: moons(samples=5, seed=1)
train:
  iterations: 1000
  steps:
    - update: net
      minimize: |
        cross_entropy(net(point),
          label)
      with: adam(lr=cosine(1e-2, warmup=5))
      clip_norm: 1.5
      repeat: 2
  metrics: {accuracy: "accuracy(net(point), label)"}
""")
    summary = summarize_spec(checked)
    assert draw_program(summary.data, summary.program) == (
        "data\n"
        "  train  moons(noise=0.1, samples=10, seed=0)  point: [N, 2], label: i64[N]\n"
        "  test   moons(noise=0.1, samples=5, seed=1)   point: [N, 2], label: i64[N]\n"
        "\n"
        "train for 1,000 iterations, 32 examples at a time, seed 0\n"
        "  1. minimize cross_entropy(net(point), label)\n"
        "     by updating net with adam(lr=cosine(0.01, warmup=5)), clip norm 1.5, repeat 2\n"
        "  metrics on test: accuracy\n"
    )
    assert spec_json(summary)["train"] is not None


def test_sizes_that_are_numbers_need_no_words() -> None:
    checked = read("netlang: 1\nnetworks:\n  net: {inputs: {x: [4, 2]}, layers: {y: linear(2)}}\n")
    assert describe_sizes(summarize_spec(checked)) == ""


def test_hostile_texts_are_escaped() -> None:
    checked = read('netlang: 1\ndoc: "a"\nnetworks:\n  net: {inputs: {x: [4, 2]}, layers: {y: linear(2)}}\n')
    summary = summarize(checked.networks["net"])
    text = draw_network(summary, width=60, color=False)
    assert all(letter == "\n" or letter.isprintable() for letter in text)
