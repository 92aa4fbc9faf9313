"""Marks: comments in a spec that say which diagnostics it has, and where.

`# error: NL203 "main"` stands on the line of the error, with the characters that the span covers; `# warning:` and `# note:` likewise. A
comment on a line of its own says what has no place in the file (`# error without a place: NL147`), what lies in a setting
(`# error in the setting: …`), where a comment cannot stand (`# error in line 8: NL101 "5"`), and which settings are given
(`# set: hidden=3`).
"""

from __future__ import annotations

import re
from typing import TypeAlias

from compiler.diagnostics import Diagnostic
from compiler.source import Source

MARK = re.compile(
    r"# (?P<severity>error|warning|note)(?: in line (?P<line>\d+)| in the (?P<setting>setting))?: "
    r'(?P<code>NL\d{3})(?: "(?P<text>.*)")?$'
)
NOWHERE = re.compile(r"# error without a place: (NL\d{3})$")
SETTING = re.compile(r"^# set: (\w+)=(.*)$", re.MULTILINE)

Found: TypeAlias = tuple[str, int, str, str, str | None]
"""File, line, severity, code and the text of the span."""


def settings_of(text: str) -> dict[str, str]:
    return dict(SETTING.findall(text))


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


def assert_marked(path: str, text: str, diagnostics: tuple[Diagnostic, ...]) -> None:
    """Hold diagnostics to the marks of a file and of the files they lie in: all of them, and no others."""
    sources: dict[str, Source] = {item.span.source.path: item.span.source for item in diagnostics if item.span is not None}
    texts = {name: source.text for name, source in sources.items()} | {path: text}
    marks = [mark for name, marked in texts.items() for mark in marks_of(name, marked)]
    assert sorted(map(str, (found_as(item, marks) for item in diagnostics))) == sorted(map(str, marks))
