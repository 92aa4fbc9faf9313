"""Programs as compiled, in tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

import netlang
from compiler.diagnostics import SpecError
from compiler.front.checked import Checked, check
from compiler.passes.program_plan import plan_spec
from compiler.passes.step_gradient import read_step
from compiler.source import Source
from netlang.data import READERS
from netlang.report.amounts import format_bytes
from netlang.report.plan import draw_plan, summarize_plan
from netlang.training.feed import Feed
from netlang.training.numpy_functions import compile_steps, flatten

SHARING = """
netlang: 1
name: sharing
networks:
  G: {inputs: {z: [N, 3]}, layers: {y: linear(2)}}
  critic: {inputs: {x: [N, 2]}, layers: {y: linear(1)}}
  judge: {inputs: {x: [N, 2]}, layers: {y: linear(4)}}
data:
  train: ring(samples=100)
train:
  iterations: 5
  batch: 10
  draw: {z: "normal(N, 3)"}
  let: {fake: G(z)}
  steps:
    - {name: first, update: critic, repeat: 9, until: 2, maximize: mean(critic(point)) - mean(critic(fake)), with: rmsprop(lr=0.1)}
    - {name: then, update: critic, after: 2, maximize: mean(critic(point)) - mean(critic(fake)), with: rmsprop(lr=0.1)}
    - {name: make, update: G, minimize: mean(square(judge(fake) - judge(point))) - mean(critic(fake)), with: adam()}
"""


def made(text: str) -> Checked:
    return check(Source("sharing.yaml", text), readers=READERS).require()


def test_tables_of_programs(golden: Callable[[str, str], None]) -> None:
    specs = [made(SHARING), *(netlang.check(name).require() for name in ("gan/infogan_digits", "gan/vaegan_small", "gan/wgan", "lenet5"))]
    golden("program_tables", "\n".join(f"# {item.name}\n{draw_plan(summarize_plan(item), width=None, color=False)}" for item in specs))


@pytest.mark.parametrize("spec", ["mlp", "lenet5"])
def test_planned_memory_is_what_a_step_takes(spec: str) -> None:
    checked = netlang.check(spec).require()
    assert checked.program is not None
    steps = [read_step(graph) for graph in plan_spec(checked, flatten(checked.program)).steps]
    (compiled,) = compile_steps(steps, [], np)
    arrays = {
        item.key: np.ones([dim.constant or 0 for dim in item.type.shape], np.float32) for graph in steps for item in graph.graph.parameters
    }  # fmt: skip
    compiled(arrays, Feed(checked, 0).take("train"), None)
    assert isinstance(compiled.function, partial)
    taken = compiled.function.keywords["work"].bytes[0]
    (note,) = summarize_plan(checked).notes
    assert note == f"step_1 with NumPy: {format_bytes(taken)} of planned memory at a batch of 64"


def test_what_a_step_leaves_out() -> None:
    rows = {(row.step, row.network): row for row in summarize_plan(made(SHARING)).networks}
    assert (rows["make", "critic"].weights, rows["make", "critic"].gradients_left_out) == ("frozen, tape to its inputs", 3)
    assert (rows["make", "judge"].mode, rows["make", "judge"].gradients_left_out) == ("evaluation", 12)
    assert rows["make", "G"].weights == "updated, through fake"
    assert (rows["first", "G"].weights, rows["first", "G"].gradients_left_out) == ("frozen, no tape", 8)
    assert ("then", "G") not in rows


def test_a_spec_without_a_program_has_no_table() -> None:
    text = "netlang: 1\nnetworks:\n  G: {inputs: {z: [N, 3]}, layers: {y: linear(2)}}\n"
    with pytest.raises(SpecError) as caught:
        summarize_plan(made(text))
    assert [item.code for item in caught.value.diagnostics] == ["NL710"]
