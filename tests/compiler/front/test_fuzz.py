"""Whatever a file holds, checking it ends in a module or in diagnostics with a place in it, within a second (guards A3, A4, A7)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import specs as bundled
from compiler.diagnostics.codes import CODES
from compiler.diagnostics.render import render_json, render_text
from compiler.front.checked import Checked, check
from compiler.front.files import read_source
from compiler.ir.graph import Graph
from compiler.ir.measure import multiply_adds, parameter_count
from compiler.ir.verify import verify
from compiler.source import Source
from netlang.data import READERS
from tests.compiler.front.drawn_specs import specs

SECONDS = 1.0
WITHOUT_PLACE = {"NL147"}
FOLDER = Path(bundled.__file__).parent
FILES = sorted(FOLDER.rglob("*.yaml"))
QUICK = settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(QUICK, max_examples=20_000, database=None)


def check_text(text: str) -> Checked:
    """The outcome of a check, held to what every check owes."""
    checked, elapsed = time_check(text)
    assert elapsed < SECONDS or time_check(text)[1] < SECONDS, "slow twice, so it is not the collection of garbage"
    for item in checked.diagnostics:
        assert item.code in CODES
        assert item.message
        assert item.message.isprintable() or "\\" in render_text([item])
        if item.at is None:
            assert item.code in WITHOUT_PLACE
            continue
        for label in (item.at, *item.also):
            assert 0 <= label.span.start <= label.span.end <= len(label.span.source.text)
            assert label.span.source.path == "spec.yaml" or Path(label.span.source.path).is_relative_to(FOLDER)
    text = render_text(checked.diagnostics) + render_json(checked.diagnostics)
    assert "object at 0x" not in text
    for graph in checked.networks.values():
        measure(graph)
    return checked


def time_check(text: str) -> tuple[Checked, float]:
    start = time.process_time()
    return check(Source("spec.yaml", text), readers=READERS), time.process_time() - start


def measure(graph: Graph) -> None:
    verify(graph)
    parameter_count(graph)
    multiply_adds(graph)


@QUICK
@given(specs())
def test_a_drawn_and_spoilt_spec_is_accepted_or_refused_in_its_place(text: str) -> None:
    check_text(text)


@pytest.mark.slow
@LONG
@given(specs())
def test_twenty_thousand_drawn_specs_are_accepted_or_refused_in_their_place(text: str) -> None:
    check_text(text)


@st.composite
def damaged_files(draw: Callable[[st.SearchStrategy[object]], object]) -> bytes:
    """A bundled spec with some of its bytes replaced, left out or put elsewhere."""
    data = bytearray(FILES[int(str(draw(st.integers(0, len(FILES) - 1))))].read_bytes())
    for _ in range(int(str(draw(st.integers(1, 6))))):
        at = int(str(draw(st.integers(0, len(data) - 1))))
        length = int(str(draw(st.sampled_from((1, 1, 1, 2, 8, 200)))))
        piece = draw(st.binary(max_size=4)) if draw(st.booleans()) else bytes(data[at // 2 : at // 2 + length])
        assert isinstance(piece, bytes)
        data[at : at + (length if draw(st.booleans()) else 0)] = piece
    return bytes(data)


@settings(QUICK, max_examples=200)
@given(data=damaged_files())
def test_a_bundled_spec_with_damaged_bytes_is_accepted_or_refused(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "spec.yaml"
    path.write_bytes(data)
    start = time.process_time()
    checked = check(path, readers=READERS)
    assert time.process_time() - start < SECONDS
    if checked.source is not None:
        assert read_source(path).text == checked.source.text
    assert render_text(checked.diagnostics) or not checked.diagnostics


CHAINS: dict[str, Callable[[int], str]] = {
    "brackets": lambda n: "(" * n + "x" + ")" * n,
    "calls": lambda n: "relu(" * n + "x" + ")" * n,
    "minus": lambda n: "-" * n + "x",
    "not": lambda n: "not " * n + "true",
    "sum": lambda n: " + ".join(["x"] * n),
    "constant sum": lambda n: f"linear({' + '.join(['1'] * n)})",
    "power": lambda n: f"linear({' ** '.join(['1'] * n)})",
    "pipeline": lambda n: " -> ".join(["relu"] * n),
    "members": lambda n: "x" + ".y" * n,
    "indices": lambda n: "x" + "[0]" * n,
    "lists": lambda n: "concat(" + "[" * n + "x" + "]" * n + ")",
    "conditions": lambda n: "x if true else " * n + "x",
    "waiting": lambda n: "mean(" * n + "axis=1" + ")" * n,
    "repeats": lambda n: "repeat(2, " * min(n, 12) + "relu" + ")" * min(n, 12),
    "unknown calls": lambda n: "f(" * n + "y" + ")" * n,
}


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("length", [10, 190, 2000, 100_000])
def test_no_expression_is_too_deep_or_too_long_for_the_stack(name: str, length: int) -> None:
    text = "netlang: 1\nnetworks:\n  net:\n    inputs: {x: [N, 8]}\n    layers:\n      out: '%s'\n"
    check_text(text % CHAINS[name](3))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(stack_depth() + 150)
    try:
        checked = check(Source("spec.yaml", text % CHAINS[name](length)), readers=READERS)
    finally:
        sys.setrecursionlimit(limit)
    assert all(item.span is not None for item in checked.diagnostics)


def stack_depth() -> int:
    """How many calls the test itself stands in."""
    depth, frame = 0, sys._getframe().f_back
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    return depth
