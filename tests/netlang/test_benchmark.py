"""`netlang bench`: what is timed, and how it is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from compiler.diagnostics import SpecError
from compiler.front.checked import check
from compiler.source import Source
from netlang.benchmark import benchmark
from netlang.cli.bench import bench
from netlang.report.benchmark import Benchmark, Timing, draw_benchmark
from tests.netlang.training.runs import ADVERSARIAL, make


def test_every_network_and_step_is_timed_on_both_back_ends() -> None:
    found = benchmark(make(ADVERSARIAL), batch=5, seconds=0.0)
    assert [(item.kind, item.name, item.way) for item in found.timings] == [
        (kind, name, way)
        for kind, names in (("forward", ("G", "D")), ("step", ("critic", "generator")))
        for name in names
        for way in ("torch", "numpy")
    ]
    assert all(0 < item.fastest <= item.median for item in found.timings)
    assert found.timings[0].multiply_adds == 5 * (3 * 8 + 8 * 2)
    assert found.timings[1].allocated
    assert found.ratio(found.timings[0]) == 1
    assert found.left_out == ()


def test_a_table_tells_ratios_and_shares() -> None:
    timings = (Timing("forward", "net", "torch", 2e-3, 1e-3, 10**6, None), Timing("forward", "net", "numpy", 1e-3, 5e-4, 10**6, 2048))
    text = draw_benchmark(Benchmark(timings, 1e10, ("training on numpy: no",)), width=None, color=False)
    first, second = (line.split() for line in text.splitlines() if line.startswith("forward"))
    assert first == ["forward", "net", "torch", "2.000", "ms", "1.000", "ms", "1.00", "10%"]
    assert second == ["forward", "net", "numpy", "1.000", "ms", "0.500", "ms", "0.50", "20%", "2.0", "KiB"]
    assert "left out: training on numpy: no\n" in text
    assert text.endswith("limit: 10.0 G multiply-adds a second, a product of large f32 matrices here\n")


def test_json_has_every_timing(tmp_path: Path) -> None:
    spec = tmp_path / "gan.yaml"
    spec.write_text(ADVERSARIAL)
    result = CliRunner().invoke(bench, [str(spec), "--seconds", "0", "--json"])
    assert result.exception is None
    found = json.loads(result.stdout)
    assert {item["way"] for item in found["timings"]} == {"torch", "numpy"}
    assert found["limit"] > 0


def test_what_memory_cannot_hold_is_refused() -> None:
    with pytest.raises(SpecError, match="NL711"):
        benchmark(make(ADVERSARIAL), batch=10**12, seconds=0.0)


def test_networks_are_timed_as_they_are_built_for_inference() -> None:
    text = "netlang: 1\nnetworks:\n  f:\n    inputs: {x: [N, 3]}\n    layers: {a: linear(4) -> batch_norm}\n"
    found = benchmark(check(Source("f.yaml", text)), seconds=0.0)
    assert [item.way for item in found.timings] == ["torch", "numpy", "torch, inference", "numpy, inference"]
    assert all(item.allocated for item in found.timings if item.way.startswith("numpy"))
