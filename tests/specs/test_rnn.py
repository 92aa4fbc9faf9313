"""The bundled cells: accepted without a warning, and of the published sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

import specs
from compiler.front.checked import Checked, check
from compiler.ir.measure import multiply_adds, parameter_count
from compiler.source import Source
from netlang.data import READERS

FOLDER = Path(specs.__file__).parent / "rnn"

VARIANTS = {
    "peephole_lstm": 756, "nig": 564, "nfg": 564, "nog": 564, "niaf": 756, "noaf": 756, "cifg": 564, "np": 720, "fgr": 2052,
}  # fmt: skip
"""Weights for inputs of 2 and 12 units, by the formulae of Greff et al. 2017 (4NM + 4N² + 7N for the base)."""

SIZES = {
    "rnn": {(4, 5): 50},
    "lstm": {(4, 5): 200},
    "gru_before": {(4, 5): 150},
    "gru": {(4, 5): 165, (28, 128): 60672, (100, 200): 181200, (256, 512): 1182720},
    "lstm_1997": {(4, 5): 150},
    "mgu": {(4, 5): 100},
    "coupled_lstm": {(4, 5): 150},
}
"""Weights for a width and a size: N(M + N + 1) a gate, and 3N(M + N + 2) for the GRU with two biases."""


def checked_scan(cell: str, width: int) -> Checked:
    text = f"netlang: 1\nuse: [rnn/cells]\nnetworks:\n  net:\n    inputs: {{x: [N, T, {width}]}}\n    layers:\n      s: scan({cell})\n"
    checked = check(Source("test.yaml", text)).require()
    assert checked.diagnostics == ()
    return checked


def weights_of(cell: str, width: int) -> int:
    return parameter_count(checked_scan(cell, width).networks["net"])


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_bundled_spec_is_accepted_without_a_warning(path: Path) -> None:
    checked = check(path, readers=READERS)
    assert [(str(item.span), item.code, item.message) for item in checked.diagnostics] == []
    assert checked.doc


@pytest.mark.parametrize("cell", VARIANTS)
def test_variants_of_the_peephole_lstm_have_their_published_sizes(cell: str) -> None:
    assert weights_of(f"{cell}(12)", 2) == VARIANTS[cell]


@pytest.mark.parametrize("cell", SIZES)
def test_cells_have_their_published_sizes(cell: str) -> None:
    assert {key: weights_of(f"{cell}({key[1]})", key[0]) for key in SIZES[cell]} == SIZES[cell]


def test_peepholes_of_the_coupled_lstm_are_a_choice() -> None:
    """Weights that the equations do not reach for these constants are not there."""
    assert weights_of("coupled_lstm(12, peephole=true)", 2) == 564
    assert weights_of("coupled_lstm(12)", 2) == 540


def test_a_gru_has_three_quarters_of_an_lstm() -> None:
    assert 4 * weights_of("gru_before(64)", 32) == 3 * weights_of("lstm(64)", 32)


def test_a_scan_costs_its_step_for_every_step() -> None:
    (graph,) = checked_scan("lstm(64)", 32).networks.values()
    assert str(multiply_adds(graph)) == "24576*N*T"
    assert 24576 == 4 * 64 * (32 + 64)
