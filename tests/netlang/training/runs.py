"""Specs that train in a second, and runs of them, for the tests of training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from compiler.diagnostics import Diagnostic, SpecError
from compiler.front.checked import Checked, check
from compiler.source import Source
from netlang.data import READERS
from netlang.training import Record, StepRecord, train
from netlang.training.checkpoint import list_checkpoints

CLASSIFIER = """\
netlang: 1
name: small
let: {hidden: 8, rate: 0.01}
networks:
  net:
    inputs: {x: [N, 2]}
    layers:
      a: linear(hidden) -> batch_norm -> relu -> dropout(0.2)
      b: linear(3)
data:
  train: blobs(samples=50)
  test: blobs(samples=20, seed=1)
train:
  epochs: 6
  batch: 8
  seed: 3
  steps:
    - name: fit
      update: net
      minimize: cross_entropy(net(point), label)
      with: adamw(lr=cosine(rate, warmup=4))
  metrics:
    accuracy: accuracy(net(point), label)
"""

ADVERSARIAL = """\
netlang: 1
name: gan
networks:
  G:
    inputs: {z: [N, 3]}
    layers: {a: linear(8) -> relu, b: linear(2)}
  D:
    inputs: {x: [N, 2]}
    layers: {a: linear(8) -> relu -> dropout(0.1), b: linear(1)}
data:
  train: ring(samples=100)
train:
  iterations: 12
  batch: 16
  draw:
    z: normal(N, 3)
  steps:
    - name: critic
      repeat: 2
      update: D
      maximize: mean(D(point)) - mean(D(G(z)))
      with: rmsprop(lr=1e-3)
      clamp: 0.05
    - name: generator
      update: G
      maximize: mean(D(G(z)))
      with: adam(lr=1e-3)
      clip_norm: 0.5
"""

EVERYTHING = """\
netlang: 1
name: everything
networks:
  G:
    inputs: {z: [N, 4]}
    layers: {h: linear(16) -> batch_norm -> relu, out: linear(2)}
  D:
    inputs: {x: [N, 2]}
    layers: {h: linear(16) -> tanh, out: linear(1)}
data:
  train: ring()
variables:
  shift: {init: "normal(1, 2)"}
train:
  iterations: 10
  batch: 32
  draw:
    z: normal(N, 4)
  let: {fake: G(z)}
  steps:
    - name: critic
      update: D
      repeat: 2
      draw: {t: "uniform(N, 1)"}
      let:
        mix: t * point + (1 - t) * fake
      minimize: mean(D(fake)) - mean(D(point)) + 10 * mean((norm(grad(D(mix), mix)) - 1) ** 2)
      with: adam(lr=1e-3, betas=(0.0, 0.9))
    - update: [G, shift]
      minimize: -mean(D(replay(fake, 50) + shift)) - mean(D(fake))
      with: adam(lr=1e-3, betas=(0.0, 0.9))
      ema: 0.9
    - update: D
      mode: {G: eval}
      minimize: mean(D(fake) ** 2)
      with: adam(lr=1e-3, betas=(0.0, 0.9))
  metrics:
    score: mean(D(point))
  sample: {points: G(z)}
"""


def make(text: str = CLASSIFIER, *, name: str = "small.yaml", **overrides: str) -> Checked:
    """The checked spec, which must be sound."""
    return check(Source(name, text), readers=READERS, overrides=overrides).require()


def run(checked: Checked, folder: Path, **settings: Any) -> list[Record]:
    """All records of a run."""
    return list(train(checked, folder=folder, threads=1, **settings))


def steps_of(records: Iterable[Record]) -> list[StepRecord]:
    return [record for record in records if isinstance(record, StepRecord)]


def digest_state(folder: Path) -> dict[str, str]:
    """SHA-256 of the tensors of the newest checkpoint, by file."""
    newest = list_checkpoints(folder)[0]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in newest.iterdir() if path.suffix == ".safetensors"}


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The run's log without times; a kill may have torn the last line."""
    lines = (folder / "metrics.jsonl").read_text().split("\n")[:-1]
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


def only(error: SpecError, code: str) -> Diagnostic:
    """The one diagnostic of an error, which must have this code."""
    assert [item.code for item in error.diagnostics] == [code], error
    return error.diagnostics[0]
