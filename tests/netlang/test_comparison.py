"""Back ends held against each other: what agrees, what is found where it does not, what is left out."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import compiler.ops.conv
import netlang
from compiler.passes.lift_draws import lift_draws
from compiler.source import Source
from netlang.cli import run
from netlang.comparison import compare, draws_inside, relative_error
from netlang.report.comparison import comparison_json, disagreement, draw_comparison
from tests.netlang.training.runs import ADVERSARIAL, CLASSIFIER, EVERYTHING, make


@pytest.mark.parametrize("name", ["mlp", "lenet5", "lenet5_1998", "resnet20"])
def test_bundled_specs_agree(name: str) -> None:
    found = compare(netlang.check(name).require())
    assert found.first is None
    assert found.left_out == ()
    assert {row.kind for row in found.rows} >= {"forward", "gradient"}


@pytest.mark.parametrize("text", [CLASSIFIER, ADVERSARIAL], ids=["classifier", "adversarial"])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_programs_agree(text: str, dtype: str) -> None:
    checked = make(text)
    found = compare(checked, dtype=dtype, batch=8)
    assert found.first is None
    assert checked.program is not None
    steps = {row.place for row in found.rows if row.kind == "gradient"}
    assert steps == {step.name for step in checked.program.steps}


def test_every_entry_output_parameter_and_statistic_has_a_row() -> None:
    found = compare(make(CLASSIFIER), batch=8)
    names = [(row.kind, row.name) for row in found.rows]
    keys = ["a.linear", "a.batch_norm", "b"]
    assert [name for kind, name in names if kind == "forward"] == ["a", "b"]
    assert sorted(name for kind, name in names if kind == "gradient") == sorted(
        f"net/{key}.{what}" for key in keys for what in ("weight", "bias")
    )
    assert {name for kind, name in names if kind == "statistic"} == {
        f"net/a.batch_norm.{what}" for what in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert all(row.span is not None for row in found.rows)
    assert set(found.rows[1].errors) == {"numpy", "torch file", "numpy file"}


def test_draws_of_a_step_are_shared() -> None:
    text = ADVERSARIAL.replace("mean(D(G(z)))", "mean(D(G(z + normal(N, 3))))")
    checked = make(text)
    assert checked.program is not None
    lifted, _ = lift_draws(checked.program.steps[0].graph, set())
    assert [value.name for value in lifted.inputs][-1] == "normal"
    assert compare(checked).first is None


def test_networks_that_draw_are_left_out_and_said_to_be() -> None:
    text = ADVERSARIAL.replace("a: linear(8) -> relu, b", "a: 'linear(8) -> relu', n: 'a + normal(N, 8)', b")
    checked = make(text)
    assert draws_inside(checked.networks["G"])
    found = compare(checked)
    assert found.left_out[0] == "network `G` draws random numbers"
    assert "left out: network `G` draws random numbers" in draw_comparison(found, width=None, color=False)


def test_fault_is_found_where_it_first_shows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A convolution that is wrong in NumPy alone: the first entry that uses it is named, with its place."""
    printed = compiler.ops.conv.Conv.numpy

    def wrong(self: Any, at: Any, *arguments: Any) -> str:
        text = printed(self, at, *arguments)
        return f"({text} * 1.001)" if self.filters == 16 else text

    monkeypatch.setattr(compiler.ops.conv.Conv, "numpy", wrong)
    found = compare(netlang.check("lenet5").require())
    assert found.first is not None
    assert (found.first.kind, found.first.name) == ("forward", "c3")
    message = disagreement(found.first, found.tolerance)
    assert message.code == "NL725"
    assert message.message.startswith("PyTorch and NumPy disagree first in `c3` of network `lenet5`, by ")
    assert message.span is not None
    assert message.span.line == 14
    data = comparison_json(found)
    assert (data["agrees"], data["rows"][data["first"]]["name"]) == (False, "c3")
    assert run(["compare", "lenet5"]) == 1
    assert "NL725" in capsys.readouterr().err


def test_command_prints_tables_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "mlp", "--dtype", "f32", "--batch", "3"]) == 0
    table = capsys.readouterr().out
    assert "gradient of mlp.fc1.weight" in table
    assert "allowed 1.0e-04" in table
    assert run(["compare", "mlp", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["agrees"]
    assert data["first"] is None
    assert run(["compare", "mlp", "--tolerance", "0"]) == 1


def test_spec_without_a_program_is_compared_forward() -> None:
    text = "netlang: 1\nnetworks:\n  f:\n    inputs: {x: [N, 3, H, H]}\n    layers: {a: 'conv(2, 3, pad=1) -> relu'}\n"
    found = compare(netlang.check(Source("f.yaml", text)).require(), batch=2)
    assert [row.name for row in found.rows] == ["a"]
    assert found.first is None


def test_open_sizes_leave_every_layer_a_result() -> None:
    text = "netlang: 1\nnetworks:\n  f:\n    inputs: {x: [N, 1, H, W]}\n    layers: {a: 'conv(1, 50) -> relu'}\n"
    found = compare(netlang.check(Source("f.yaml", text)).require(), batch=1)
    assert found.first is None


@pytest.mark.parametrize(
    ("found", "reference", "error"),
    [
        ([1.0, 2.0], [1.0, 4.0], 0.5),
        ([0.5], [0.0], 0.5),
        ([], [], 0.0),
        ([math.nan, 1.0], [math.nan, 1.0], 0.0),
        ([math.nan], [1.0], math.inf),
        ([1.0], [1.0, 1.0], math.inf),
        ([math.inf, 1.0], [math.inf, 1.0], 0.0),
        ([1.0, 1.0], [math.inf, 1.0], math.inf),
        ([0.0, -math.inf], [0.0, 1.0], math.inf),
    ],
)
def test_relative_error(found: list[float], reference: list[float], error: float) -> None:
    assert relative_error(np.array(found), np.array(reference)) == error


def test_programs_with_everything_agree() -> None:
    found = compare(make(EVERYTHING))
    assert found.first is None
    assert found.left_out == ()
    assert {row.place for row in found.rows if row.kind == "gradient"} == {"critic", "step_2", "step_3"}
    assert "shift/value" in {row.name for row in found.rows}


def test_ops_that_make_f32_of_whole_numbers_are_compared_in_f64() -> None:
    text = (
        'netlang: 1\nuse: [rnn/cells]\nnetworks:\n  net:\n    inputs: {x: "i64[N, 5]"}\n    layers: {y: x -> one_hot(2) -> scan(gru(3))}\n'
    )
    found = compare(netlang.check(Source("f.yaml", text)).require(), batch=2)
    assert found.rows
    assert max(row.worst for row in found.rows) < 1e-12
