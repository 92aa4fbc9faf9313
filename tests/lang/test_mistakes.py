"""Mistakes that a person makes, one spec each under mistakes/, with the text that is shown for it beside it.

Marks (see marks.py) say what must be found and where; `pytest --bless` writes the texts anew, not the marks. Files under
`parts` are used by others.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from compiler.diagnostics.render import arrange, render_text
from compiler.front.checked import Checked, check
from netlang.data import READERS
from tests.lang.marks import assert_marked, settings_of

FOLDER = Path(__file__).parent / "mistakes"
FILES = sorted(path for path in FOLDER.rglob("*.yaml") if path.parent.name != "parts")
LEAST = 150
MOST_LINES = 12
QUOTED = re.compile("`[^`]*`")
PYTHON = re.compile(r"\b(str|int|float|tuple|dict|None|NoneType|object|Exception|Poison)\b")
"""Words of the implementation, not of the user."""


def name_of(path: Path) -> str:
    return path.relative_to(FOLDER).with_suffix("").as_posix()


def check_file(path: Path) -> Checked:
    return check(path, readers=READERS, overrides=settings_of(path.read_text(encoding="utf-8")))


def test_there_are_many() -> None:
    assert len(FILES) >= LEAST


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_each_mistake_is_found_where_it_is_and_nothing_else(path: Path) -> None:
    assert_marked(str(path), path.read_text(encoding="utf-8"), check_file(path).diagnostics)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_each_message_reads_as_written(path: Path, request: pytest.FixtureRequest) -> None:
    text = render_text(check_file(path).diagnostics).replace(f"{FOLDER}/", "")
    golden = path.with_suffix(".txt")
    if request.config.getoption("--bless"):
        golden.write_text(text, encoding="utf-8")
    assert golden.exists(), f"look at the text and run `pytest --bless`\n{text}"
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_each_message_keeps_to_the_form(path: Path) -> None:
    for diagnostic in arrange(check_file(path).diagnostics):
        for text in (diagnostic.message, diagnostic.help or ""):
            assert not text.endswith(".")
            assert not text[:1].isupper() or text.startswith("YAML")
            assert not PYTHON.search(QUOTED.sub("", text))
        assert len(render_text([diagnostic]).splitlines()) <= MOST_LINES
