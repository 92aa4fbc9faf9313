"""Specs by path, by name, by text."""

from __future__ import annotations

from pathlib import Path

import pytest

import netlang
from compiler.diagnostics import SpecError
from compiler.front.bundled import FOLDER
from compiler.source import Source
from netlang.catalog import find_spec, list_specs
from netlang.checking import show_constant

TEXT = "netlang: 1\nlet: {width: 2, deep: false, sizes: [1, 2]}\nnetworks:\n  net: {inputs: {x: [N, 4]}, layers: {y: linear(width)}}\n"


def test_a_path_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_spec("lenet5") == FOLDER / "cnn" / "lenet5.yaml"
    assert find_spec("cnn/vgg19") == FOLDER / "cnn" / "vgg19.yaml"
    (tmp_path / "lenet5").write_text(TEXT)
    assert find_spec("lenet5") == Path("lenet5")
    (tmp_path / "style").mkdir()
    assert find_spec("style") == FOLDER / "style" / "gatys.yaml"


def test_names_are_shown_relative_to_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER.parent)
    assert find_spec("lenet5") == Path("specs/cnn/lenet5.yaml")


@pytest.mark.parametrize(
    ("name", "help"),
    [
        ("lenet", "did you mean `lenet5`?"),
        ("cnn/vgg18", "did you mean `cnn/vgg1"),
        ("nte.yaml", "did you mean `net.yaml`?"),
        ("./nte.yaml", "did you mean `net.yaml`?"),
        ("zzzzzz", "`netlang specs` lists"),
        ("a\0b", "`netlang specs` lists"),
        ("x" * 5000, "`netlang specs` lists"),
    ],
    ids=range(7),
)
def test_near_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, help: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(TEXT)
    with pytest.raises(SpecError) as caught:
        find_spec(name)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "NL701"
    assert (diagnostic.help or "").startswith(help)


def test_bundled_specs_have_a_sentence() -> None:
    found = list_specs()
    assert found["cnn/lenet5"].startswith("LeNet-5 after LeCun et al. 1998")
    assert all(found.values())


def test_constants_are_replaced_as_on_the_command_line() -> None:
    checked = netlang.check(Source("net.yaml", TEXT), set={"width": 7, "deep": True, "sizes": [3, 4.5]}).require()
    assert checked.constants == {"width": 7, "deep": True, "sizes": (3, 4.5)}
    assert show_constant((True, "word", 1e-4)) == "[true, word, 0.0001]"


def test_a_checked_spec_is_taken_as_it_is() -> None:
    checked = netlang.check(Source("net.yaml", TEXT))
    assert netlang.check(checked) is checked
