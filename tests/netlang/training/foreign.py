"""A small network with the names of a VGG, and its weights as other programs write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

SPEC = """\
netlang: 1
name: small
networks:
  net:
    inputs: {x: [N, 3, H, W]}
    layers:
      conv1_1: conv(4, 3, pad=1) -> relu
      conv1_2: conv(5, 3, pad=1) -> relu
      pool1: max_pool(2)
      conv2_1: conv(6, 3, pad=1) -> relu
    weights: {file: small.pth, layout: torchvision}
"""
SHAPES = {"features.0": (4, 3), "features.2": (5, 4), "features.5": (6, 5), "features.7": (7, 6)}
"""The network's convolutions and one more."""


def write_spec(folder: Path, old: str = "", new: str = "") -> Path:
    assert old in SPEC
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spec.yaml"
    path.write_text(SPEC.replace(old, new) if old else SPEC)
    return path


def draw_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights by torchvision's names."""
    generator = np.random.default_rng(seed)
    state = {}
    for name, (outputs, inputs) in SHAPES.items():
        state[f"{name}.weight"] = torch.from_numpy(generator.standard_normal((outputs, inputs, 3, 3)).astype(np.float32))
        state[f"{name}.bias"] = torch.from_numpy(generator.standard_normal(outputs).astype(np.float32))
    return state


def save(path: Path, state: Any = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(draw_state() if state is None else state, path, **options)
    return path
