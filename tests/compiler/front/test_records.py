"""Calls that make records: a conditional chooses between them before anything is read."""

from __future__ import annotations

import pytest

from compiler.front.checked import check
from compiler.source import Source
from netlang.data import READERS

SPEC = """\
netlang: 1
let: {kind: "ring", rate: 0.1}
networks:
  net:
    inputs: {x: [N, 2]}
    layers: [linear(1)]
data:
  train: ring(modes=4) if kind == "ring" else moons(noise=0.1)
train:
  epochs: 1
  steps:
    - update: net
      minimize: mean(net(point) ** 2)
      with: sgd(lr=rate) if rate > 0.05 else adam(lr=cosine(rate, warmup=5))
"""


@pytest.mark.parametrize(("overrides", "reader", "optimizer"), [({}, "ring", "sgd"), ({"kind": "moons", "rate": "0.01"}, "moons", "adam")])
def test_a_conditional_chooses_a_record(overrides: dict[str, str], reader: str, optimizer: str) -> None:
    checked = check(Source("spec", SPEC), readers=READERS, overrides=overrides).require()
    assert checked.readers["train"].name == reader
    assert checked.program is not None
    assert checked.program.steps[0].optimizer.name == optimizer


def test_an_undecidable_condition_is_reported_once() -> None:
    checked = check(Source("spec", SPEC.replace('kind == "ring"', "kind")), readers=READERS)
    assert [item.code for item in checked.diagnostics] == ["NL314"]
