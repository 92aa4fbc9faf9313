"""The look of diagnostics: the layout of the language reference, hostile text, narrow terminals, JSON and GitHub."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from compiler.diagnostics.record import Diagnostic, Fix, Label, Severity
from compiler.diagnostics.render import render_github, render_json, render_text
from compiler.diagnostics.snippet import cells
from compiler.source import Source, Span

RESNET = Source("resnet.yaml", "\n" * 13 + "      out: main + skip -> relu\n" + "blocks:\n  residual(C):\n")


def at(source: Source, part: str, words: str = "") -> Label:
    start = source.text.index(part)
    return Label(Span(source, start, start + len(part)), words)


MISMATCH = Diagnostic(
    "NL203",
    "`main` is [N, 64, H, W] but `skip` is [N, 32, H, W]",
    at(RESNET, "main", "[N, 64, H, W]"),
    (at(RESNET, "skip", "[N, 32, H, W]"),),
    ("in block `residual(C=64)`, used at resnet.yaml:21:9",),
    "project the shortcut: `x -> conv(64, 1)`",
)
EXAMPLE = """\
error[NL203]: `main` is [N, 64, H, W] but `skip` is [N, 32, H, W]
  --> resnet.yaml:14:12
   |
14 |       out: main + skip -> relu
   |            ^^^^   ---- [N, 32, H, W]
   |            [N, 64, H, W]
   = note: in block `residual(C=64)`, used at resnet.yaml:21:9
   = help: project the shortcut: `x -> conv(64, 1)`
"""


def test_layout_of_the_reference() -> None:
    assert render_text([MISMATCH]) == EXAMPLE


def test_color_adds_nothing_but_color() -> None:
    colored = render_text([MISMATCH], color=True)
    assert "\x1b[1;31m^^^^\x1b[0m" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == EXAMPLE


def test_sorted_and_each_once() -> None:
    first = Diagnostic("NL001", "no file", None)
    later = Diagnostic("NL002", "later", at(RESNET, "relu"))
    other = Diagnostic("NL002", "other file", at(Source("a.yaml", "x"), "x"))
    text = render_text([later, MISMATCH, first, MISMATCH, other])
    assert re.findall(r"^\w+\[(.*?)\]", text, re.MULTILINE) == ["NL001", "NL002", "NL203", "NL002"]
    assert render_text([]) == ""
    assert render_text([MISMATCH, later], limit=1).endswith("\n\nand 1 more\n")


def test_gallery(golden: Callable[[str, str], None]) -> None:
    wide = Source("wide.yaml", "a: " + "é漢" * 30 + " foo " + "z" * 300 + " bar\n\tb\u202e: 1\x1b[31m\nc: first\n  second\n")
    start = wide.text.index("first")
    found = [
        Diagnostic("NL100", "cropped on both sides", at(wide, "foo", "here it is")),
        Diagnostic("NL101", "cropped on the left", at(wide, "bar", "these words are too long to stand behind the mark")),
        Diagnostic("NL102", "hostile \x1b[31m \u202e text\nin two lines", at(wide, "b\u202e", "\x1b[2J")),
        Diagnostic("NL103", "two lines", Label(Span(wide, start, start + 14), "from here")),
        Diagnostic("NL104", "three marks", at(RESNET, "main", "one"), (at(RESNET, "skip", "two"), at(RESNET, "relu", "three"))),
        Diagnostic("NL105", "nested marks", at(RESNET, "skip", "inner"), (at(RESNET, "main + skip", "outer"),)),
        Diagnostic("NL106", "another line and another file", at(RESNET, "skip"),
                   (at(RESNET, "residual", "declared here"), at(wide, "foo", "and here"))),
        Diagnostic("NL107", "long note", at(RESNET, "out"), notes=("a word " * 30, "first line\nsecond line"), severity=Severity.WARNING),
        Diagnostic("NL108", "at the end", Label(Span(RESNET, len(RESNET.text), len(RESNET.text)), "the end"), severity=Severity.NOTE),
    ]  # fmt: skip
    golden("render_gallery", render_text(found))
    for diagnostic in found:
        assert len(render_text([diagnostic]).splitlines()) <= 14


HOSTILE = st.text(alphabet="ab \t\x1b\x07\x9b\u202e\u2066\u200b漢é😀\u0301", min_size=1, max_size=200)


@given(HOSTILE, HOSTILE, st.integers(0, 199), st.integers(0, 20))
def test_nothing_hostile_gets_through(line: str, words: str, start: int, length: int) -> None:
    source = Source("x\x1b.yaml", line + "\nnext\n")
    start = min(start, len(line))
    label = Label(Span(source, start, min(start + length, len(source.text))), words)
    text = render_text([Diagnostic("NL100", words, label, notes=(words,), help=words)])
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b]", text)
    snippet = [shown for shown in text.splitlines() if re.match(r"\d+ \|", shown)]
    assert snippet
    assert all(cells(shown) <= 80 for shown in snippet)
    assert "^" in text


def test_json() -> None:
    fixed = Diagnostic("NL104", "`^`", at(RESNET, "skip"), fix=Fix(at(RESNET, "skip").span, "**"))
    first, second, third = json.loads(render_json([MISMATCH, fixed, Diagnostic("NL001", "none", None, help="h")]))
    assert (first["file"], first["line"], first["labels"], first["help"]) == (None, None, [], "h")
    assert (second["code"], second["severity"], second["line"], second["column"], second["end_line"], second["end_column"]) == (
        "NL203", "error", 14, 12, 14, 16,
    )  # fmt: skip
    assert [label["text"] for label in second["labels"]] == ["[N, 64, H, W]", "[N, 32, H, W]"]
    assert second["notes"] == list(MISMATCH.notes)
    assert second["fix"] is None
    assert third["fix"] == {"file": "resnet.yaml", "line": 14, "column": 19, "end_line": 14, "end_column": 23, "replacement": "**"}


def test_github() -> None:
    source = Source("a,b:c.yaml", "x\n")
    line = render_github([Diagnostic("NL100", "50% is\nwrong", at(source, "x"), help="do it", severity=Severity.NOTE)])
    assert line == "::notice file=a%2Cb%3Ac.yaml,line=1,col=1,endLine=1,endColumn=2,title=NL100::50%25 is%0Awrong%0Ahelp: do it\n"
    assert render_github([Diagnostic("NL001", "none", None)]) == "::error title=NL001::none\n"
