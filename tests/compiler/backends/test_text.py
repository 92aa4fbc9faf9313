"""The printed text: as golden files, clean for ruff, formatted as `ruff format` would."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from compiler.backends.names import Names, class_name, docstring
from compiler.backends.numpy_source import numpy_source
from compiler.backends.torch_source import torch_source
from compiler.backends.wrapping import split_items, wrap
from tests.compiler.backends.support import SPECS, checked_graphs, graphs_of
from tests.compiler.backends.test_agreement import CASES

RULES = ["--isolated", "--select", "F,E,I,B,UP", "--line-length", "140", "--target-version", "py311"]


def ruff(*arguments: str, text: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ruff", *arguments, "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "mobilenet_small"])
def test_torch_text(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"torch/{name}", torch_source(list(checked_graphs(SPECS / "cnn" / f"{name}.yaml").values())))


@pytest.mark.parametrize("name", ["lenet5", "resnet20"])
def test_numpy_text(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"numpy/{name}", numpy_source(list(checked_graphs(SPECS / "cnn" / f"{name}.yaml").values())))


@pytest.mark.parametrize("case", ["several outputs, split and taps", "keys", "repeated blocks", "sizes inside a block"])
def test_text_of_cases(case: str, golden: Callable[[str, str], None]) -> None:
    graphs = list(graphs_of(*CASES[case]).values())
    name = case.replace(" ", "_").replace(",", "")
    golden(f"torch/{name}", torch_source(graphs))
    golden(f"numpy/{name}", numpy_source(graphs))


@pytest.mark.parametrize("printer", [torch_source, numpy_source])
def test_text_is_clean_and_formatted(printer: Callable[..., str]) -> None:
    for text, blocks in CASES.values():
        source = printer(list(graphs_of(text, blocks).values()))
        checked = ruff("check", *RULES, text=source)
        assert checked.returncode == 0, f"{checked.stdout}\n{source}"
    for name in ("cnn/lenet5", "cnn/lenet5_1998", "cnn/resnet18", "cnn/mobilenet_v2", "cnn/unet", "rnn/digits_rows"):
        source = printer(list(checked_graphs(SPECS / f"{name}.yaml").values()), title=f"{name}, printed.")
        checked = ruff("check", *RULES, text=source)
        assert checked.returncode == 0, f"{checked.stdout}\n{source}"
        if printer is torch_source:
            formatted = ruff("format", "--isolated", "--line-length", "120", "--diff", text=source)
            assert formatted.returncode == 0, formatted.stdout


def test_free_text_cannot_leave_a_docstring() -> None:
    hostile = 'a """\nimport os\\ "'
    (line,) = docstring(hostile, 0)
    assert line == '"""a \'\'\' import os/ \'"""'


def test_names_are_unique_and_no_keywords() -> None:
    names = Names({"softmax"})
    assert [names.claim(item) for item in ("x", "x", "lambda", "sum", "softmax", "h'", "0")] == [
        "x",
        "x_2",
        "lambda_",
        "sum_",
        "softmax_",
        "h_next",
        "x0",
    ]
    assert [class_name(item) for item in ("lenet5", "lenet5_1998", "conv_norm", "resnet18")] == [
        "LeNet5",
        "LeNet5_1998",
        "ConvNorm",
        "ResNet18",
    ]


def test_long_lines_break_at_the_last_bracket() -> None:
    call = f"x = f({', '.join(f'argument_number_{i}' for i in range(8))})"
    lines = list(wrap(call, 0))
    assert lines[0] == "x = f("
    assert lines[1].endswith("argument_number_7,") or len(lines) == 10
    assert split_items('a, f(b, c), "d, e"') == ["a", "f(b, c)", '"d, e"']
