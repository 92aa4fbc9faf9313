"""Commands that look at specs and at the language: what they print, and the exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compiler.diagnostics.codes import CODES
from compiler.ops import OPS
from netlang.cli import exits
from netlang.starters import list_templates
from netlang.training import EXIT_CODES

Netlang = Callable[..., Any]

WRONG = "netlang: 1\nnetworks:\n  net:\n    inputs: {x: [N, 4]}\n    layers:\n      y: linaer(3)\n"
GOOD = WRONG.replace("linaer", "linear")

LENET5 = """\
lenet5(image: [N, 1, 28, 28])

entry    op                               output            parameters   multiply-adds   activations
────────────────────────────────────────────────────────────────────────────────────────────────────
c1       conv(6, 5, pad=2) -> tanh        [N, 6, 28, 28]           156         117,600      36.8 KiB
s2       avg_pool(2)                      [N, 6, 14, 14]                                     4.6 KiB
c3       conv(16, 5) -> tanh              [N, 16, 10, 10]        2,416         240,000      12.5 KiB
s4       avg_pool(2)                      [N, 16, 5, 5]                                      1.6 KiB
c5       flatten -> linear(120) -> tanh   [N, 120]              48,120          48,000       2.5 KiB
f6       linear(84) -> tanh               [N, 84]               10,164          10,080         672 B
logits   linear(10)                       [N, 10]                  850             840          40 B

total                                     [N, 10]               61,706         416,520      58.6 KiB

61,706 trained numbers, 241.0 KiB

multiply-adds and activations are for one example (N = 1); `--size N=64` gives those of a batch

data
  train  digits(split=train, size=28)  image: [N, 1, 28, 28], label: i64[N]
  test   digits(split=test, size=28)   image: [N, 1, 28, 28], label: i64[N]

train for 20 epochs, 64 examples at a time, seed 0
  1. minimize cross_entropy(lenet5(image), label)
     by updating lenet5 with sgd(lr=0.05, momentum=0.9)
  metrics on test: accuracy
"""


def write(folder: Path, text: str, name: str = "net.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_check_of_good_specs(netlang: Netlang, tmp_path: Path) -> None:
    result = netlang("check", "lenet5", write(tmp_path, GOOD))
    assert (result.code, result.err) == (0, "")
    assert result.out == f"lenet5: ok, lenet5 (61,706 parameters)\n{tmp_path}/net.yaml: ok, net (15 parameters)\n"


def test_assignments_after_the_spec(netlang: Netlang, tmp_path: Path) -> None:
    spec = write(tmp_path, "netlang: 1\nlet: {a: 1, b: 2}\nnetworks: {net: {inputs: {x: [N, 2]}, layers: {y: linear(a * 10 + b)}}}\n")
    for words in (["--set", "a=2", "b=3"], ["a=2", "b=3"], ["b=1", "a=2", "b=3"], ["--set", "b=3", "--set", "a=2"], ["a = 2", "b=3"]):
        assert "(69 parameters)" in netlang("check", spec, *words).out
        assert "69" in netlang("show", spec, *words).out


def test_check_of_a_wrong_spec(netlang: Netlang, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, WRONG)
    monkeypatch.chdir(tmp_path)
    result = netlang("check", "net.yaml", "lenet5")
    assert result.code == 1
    assert result.out == "lenet5: ok, lenet5 (61,706 parameters)\n"
    assert result.err.startswith("error[NL301]: there is no op, block or network `linaer`\n --> net.yaml:6:10\n")
    assert "did you mean `linear`" in result.err


def test_check_for_tools(netlang: Netlang, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, WRONG)
    monkeypatch.chdir(tmp_path)
    result = netlang("check", "net.yaml", "--json")
    (diagnostic,) = json.loads(result.out)
    assert (result.code, result.err) == (1, "")
    assert (diagnostic["code"], diagnostic["file"], diagnostic["line"], diagnostic["column"]) == ("NL301", "net.yaml", 6, 10)
    assert netlang("check", "net.yaml", "--format", "github").out.startswith("::error file=net.yaml,line=6,col=10,")
    assert json.loads(netlang("check", "lenet5", "--json").out) == []


def test_check_tells_all_specs_and_the_gravest_exit(netlang: Netlang, tmp_path: Path) -> None:
    result = netlang("check", write(tmp_path, WRONG), "lenett5")
    assert result.code == 2
    assert "NL301" in result.err
    assert "there is no file and no bundled spec `lenett5`\n = help: did you mean `lenet5`?" in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "Usage"),
        (["chekc", "lenet5"], 2, "There is no command 'chekc'. Did you mean check?"),
        (["check"], 2, "Missing argument 'SPEC... [NAME=VALUE]...'"),
        (["check", "lenet5", "--set", "classes"], 2, "'classes' is not of the form name=value"),
        (["check", "lenet5", "--set", "clases=3"], 2, "`--set clases` names no constant under `let`\n = help: did you mean `classes`?"),
        (["check", "classes=3"], 2, "No spec is given, only the value of 'classes'"),
        (["show", "lenet5", "classes"], 2, "'classes' after the spec is not of the form name=value"),
        (["show", "lenet5", "--set", "classes=3", "vgg19"], 2, "'vgg19' after the spec is not of the form name=value"),
        (["show", "lenet5", "clases=3"], 2, "`--set clases` names no constant under `let`\n = help: did you mean `classes`?"),
        (["sample", "style", "1=2"], 2, "has no sample `1=2`"),
        (["check", "lenet5", "--format", "xml"], 2, "'xml' is not one of"),
        (["show", "lenet5", "--size", "N"], 2, "'N' is not a size such as N=64"),
        (["show", "lenet5", "--size", "N=0"], 2, "'N=0' is not a size"),
        (["show", "lenet5", "--size", "N=99999999999"], 2, "is not a size"),
        (["show", "lenet5", "--size", "M=3"], 2, "symbolic sizes of its networks are N"),
        (["show", "lenet5", "--depth", "-1"], 2, "--depth"),
        (["show", "nets/none.yaml"], 2, "there is no file `nets/none.yaml`"),
        (["show", "."], 1, "NL001"),
        (["explain", "NL999"], 2, "There is no code 'NL999'"),
        (["explain", "NL706"], 2, "Did you mean NL70"),
        (["ops", "cnv"], 2, "There is no op 'cnv'. Did you mean conv?"),
        (["new", "1st"], 2, "'1st' is no name for a spec"),
        (["new", "x", "--template", "rnm"], 2, "'rnm' is not one of"),
        (["build", "lenet5"], 2, "Missing option '--out'"),
        (["build", "lenet5", "--to", "jax", "--out", "x"], 2, "'jax' is not one of"),
        (["build", "lenet5", "--out", "x", "--weights", "w", "--seed", "1"], 2, "not both"),
        (["train", "lenet5", "--run", "a", "--resume", "b"], 2, "given twice"),
        (["train", "std/conv"], 1, "has no training program"),
        (["train", "lenet5", "--resume", "nowhere"], 1, "NL714"),
        (["eval", "lenet5"], 1, "NL705"),
        (["eval", "lenet5", "--weights", "nowhere.safetensors"], 1, "NL601"),
    ],
)
def test_mistakes_on_the_command_line(
    netlang: Netlang, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = netlang(*arguments)
    assert result.code == code
    assert words in " ".join(result.err.split("\n         ")) or words in result.err
    assert result.out == ""
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_show_prints_the_published_numbers_of_lenet5(netlang: Netlang) -> None:
    result = netlang("show", "lenet5")
    assert (result.code, result.err) == (0, "")
    assert result.out == LENET5


def test_show_for_tools(netlang: Netlang) -> None:
    made = json.loads(netlang("show", "vgg19", "--size", "N=2,H=224", "--size", "W=224", "--depth", "1", "--json").out)
    (network,) = made["networks"]
    assert network["trainable"] == 143_667_240
    assert network["multiply_adds"] == 2 * 19_632_062_464
    assert network["batch"] is None
    assert {"name", "op", "shape", "parameters", "multiply_adds", "activations_bytes", "depth"} == set(network["entries"][0])


def test_show_replaces_constants(netlang: Netlang) -> None:
    result = netlang("show", "lenet5", "--set", "classes=26")
    assert result.code == 1, "the spec asserts its number of parameters"
    assert "NL450" in result.err


@pytest.mark.parametrize("name", ["-h", "--help"])
def test_help(netlang: Netlang, name: str) -> None:
    result = netlang(name)
    assert result.code == 0
    for command in ("new", "check", "show", "train", "eval", "sample", "plot", "build", "ops", "explain", "specs", "schema"):
        assert f"\n  {command} " in result.out
        page = netlang(command, name)
        assert page.code == 0
        assert "..." not in page.out.replace("SPEC...", "").replace("[NAME]...", "").replace("[NAME=VALUE]...", ""), (
            "short help that is cut off"
        )
    assert "..." not in result.out.replace("[ARGS]...", "")


def test_version(netlang: Netlang) -> None:
    assert netlang("--version").out == "netlang 0.1.0\n"


def test_explain(netlang: Netlang) -> None:
    page = netlang("explain", "203")
    assert page.code == 0
    assert page.out.startswith("NL203: ")
    assert page.out.endswith(CODES["NL203"].explanation + "\n")
    table = netlang("explain").out
    assert all(name in table for name in CODES)


def test_ops(netlang: Netlang) -> None:
    table = netlang("ops").out
    shown = [name for name, op in OPS.items() if not op.internal]
    assert all(f"{name}(" in table for name in shown)
    page = netlang("ops", "conv")
    assert page.code == 0
    assert "filters     a positive integer" in page.out
    assert len(json.loads(netlang("ops", "--json").out)) == len(shown)
    assert json.loads(netlang("ops", "conv", "--json").out)["parameters"] == ["weight", "bias"]


def test_specs(netlang: Netlang) -> None:
    assert "cnn/lenet5 " in netlang("specs").out
    assert "cnn/vgg19" in json.loads(netlang("specs", "--json").out)


def test_schema(netlang: Netlang) -> None:
    made = json.loads(netlang("schema").out)
    assert made["properties"]["netlang"]["const"] == 1


@pytest.mark.parametrize("template", list_templates())
def test_new_specs_are_good_and_never_overwritten(netlang: Netlang, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str) -> None:
    monkeypatch.chdir(tmp_path)
    made = netlang("new", "mine", "--template", template)
    assert (made.code, made.out) == (0, "mine.yaml\n")
    assert "netlang train mine.yaml" in made.err
    assert netlang("check", "mine.yaml").code == 0
    again = netlang("new", "mine")
    assert again.code == 2
    assert "`mine.yaml` exists already" in again.err
    assert netlang("new", "mine", "--force").code == 0
    assert netlang("new", "nets/deep/other.yaml").out == "nets/deep/other.yaml\n"


def test_standard_input(netlang: Netlang, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with write(tmp_path, WRONG).open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        result = netlang("check", "-")
    assert result.code == 1
    assert "--> <stdin>:6:10" in result.err


@pytest.mark.parametrize(
    ("variables", "colored"),
    [({"FORCE_COLOR": "1"}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False), ({}, False)],
)
def test_colors(netlang: Netlang, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], colored: bool) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in netlang("check", "nowhere").err) is colored
    assert ("\x1b[" in netlang("show", "lenet5").out) is colored
    assert ("\x1b[" in netlang("explain", "NL203").out) is colored


def test_a_fault_of_ours_is_told_as_one(netlang: Netlang, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("some\ninner trouble")

    monkeypatch.setattr("netlang.cli.inspect.summarize_spec", fail)
    result = netlang("show", "lenet5")
    assert result.code == 70
    assert result.err.startswith("netlang failed unexpectedly: ZeroDivisionError: some inner trouble\n")
    assert "Traceback" not in result.err
    monkeypatch.setenv("NETLANG_TRACEBACK", "1")
    assert "Traceback" in netlang("show", "lenet5").err


def test_exit_codes_agree_with_the_loop() -> None:
    assert {code: int(exits.CODES[code]) for code in EXIT_CODES} == EXIT_CODES
    assert {code for code in exits.CODES if code.startswith("NL7")} <= set(CODES)
