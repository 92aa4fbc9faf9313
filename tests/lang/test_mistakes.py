"""Mistakes that a person makes, one spec each under mistakes/, with the text that is shown for it beside it.

A comment marks what must be found and where: `# error: NL203 "main"` stands on the line of the error, with the characters that
the span covers; `# warning: …` likewise. A comment on a line of its own says what has no place in the file
(`# error without a place: NL147`), what lies in `--set` (`# error in the setting: …`), which settings are given
(`# set: hidden=3`), or where a comment cannot stand (`# error in line 8: NL101 "5"`). `pytest --bless` writes the texts anew,
not the marks. Files under `parts` are used by others.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeAlias

import pytest

from compiler.diagnostics import Diagnostic
from compiler.diagnostics.render import arrange, render_text
from compiler.front.checked import Checked, check
from compiler.source import Source
from netlang.data import READERS

FOLDER = Path(__file__).parent / "mistakes"
FILES = sorted(path for path in FOLDER.rglob("*.yaml") if path.parent.name != "parts")
MARK = re.compile(
    r"# (?P<severity>error|warning)(?: in line (?P<line>\d+)| in the (?P<setting>setting))?: "
    r'(?P<code>NL\d{3})(?: "(?P<text>.*)")?$'
)
NOWHERE = re.compile(r"# error without a place: (NL\d{3})$")
SETTING = re.compile(r"^# set: (\w+)=(.*)$", re.MULTILINE)
LEAST = 150
MOST_LINES = 12
QUOTED = re.compile("`[^`]*`")
PYTHON = re.compile(r"\b(str|int|float|tuple|dict|None|NoneType|object|Exception|Poison)\b")
"""Words of the implementation, not of the user."""

Found: TypeAlias = tuple[str, int, str, str, str | None]
"""File, line, severity, code and the text of the span."""


def name_of(path: Path) -> str:
    return path.relative_to(FOLDER).with_suffix("").as_posix()


def check_file(path: Path) -> Checked:
    return check(path, readers=READERS, overrides=dict(SETTING.findall(path.read_text(encoding="utf-8"))))


def marks_of(path: str, text: str) -> list[Found]:
    """What the comments of a file ask for."""
    marks: list[Found] = []
    for number, line in enumerate(text.splitlines(), 1):
        nowhere = NOWHERE.match(line)
        if nowhere is not None:
            marks.append(("", 0, "error", nowhere[1], None))
        mark = MARK.search(line)
        if mark is not None:
            place = ("--set", 1) if mark["setting"] else (path, int(mark["line"] or number))
            marks.append((*place, mark["severity"], mark["code"], mark["text"]))
    return marks


def found_as(diagnostic: Diagnostic, marks: list[Found]) -> Found:
    """A diagnostic as a mark says it; the text of the span only where the mark of its line gives one."""
    span = diagnostic.span
    if span is None:
        return "", 0, str(diagnostic.severity), diagnostic.code, None
    path = "--set" if span.source.path.startswith("--set") else span.source.path
    found = (path, span.line, str(diagnostic.severity), diagnostic.code)
    return (*found, None) if (*found, None) in marks else (*found, span.text.split("\n")[0])


def test_there_are_many() -> None:
    assert len(FILES) >= LEAST


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_each_mistake_is_found_where_it_is_and_nothing_else(path: Path) -> None:
    diagnostics = check_file(path).diagnostics
    sources: dict[str, Source | None] = {item.span.source.path: item.span.source for item in diagnostics if item.span is not None}
    texts = {name: source.text for name, source in sources.items() if source is not None} | {str(path): path.read_text(encoding="utf-8")}
    marks = [mark for name, text in texts.items() for mark in marks_of(name, text)]
    assert sorted(map(str, (found_as(item, marks) for item in diagnostics))) == sorted(map(str, marks))


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
