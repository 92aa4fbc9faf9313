"""Diagnostics as text for people, as JSON for tools and as annotations for GitHub, sorted by place, each mistake once.

Text counts terminal cells: a wide character is two, a tab four. Control and bidirectional characters are shown escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from textwrap import wrap
from typing import Any, Final

from compiler.diagnostics.record import Diagnostic, Label, Severity
from compiler.diagnostics.snippet import draw_snippet, escape
from compiler.source import Span

COLORS: Final = {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m", Severity.NOTE: "\x1b[1;36m"}
BLUE: Final = "\x1b[1;34m"
BOLD: Final = "\x1b[1m"
RESET: Final = "\x1b[0m"
CARETS: Final = re.compile(r"\^+")


def arrange(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """By file and place, what has no place first; exact duplicates are dropped."""

    def place(diagnostic: Diagnostic) -> tuple[str, int, int]:
        span = diagnostic.span
        return ("", -1, -1) if span is None else (span.source.path, span.start, span.end)

    return sorted(dict.fromkeys(diagnostics), key=place)


def render_text(diagnostics: Iterable[Diagnostic], color: bool = False, width: int = 80, limit: int | None = None) -> str:
    """The layout of the language reference, a blank line between two; beyond `limit` only their number is told."""
    ordered = arrange(diagnostics)
    shown = ordered if limit is None else ordered[:limit]
    blocks = ["\n".join(render_one(diagnostic, color, max(width, 40))) for diagnostic in shown]
    if len(shown) < len(ordered):
        blocks.append(f"and {len(ordered) - len(shown)} more")
    return "\n\n".join(blocks) + "\n" if blocks else ""


def render_one(diagnostic: Diagnostic, color: bool, width: int) -> list[str]:
    """The lines of one diagnostic."""
    head = f"{diagnostic.severity}[{diagnostic.code}]"
    lines = fold(f"{head}: ", diagnostic.message, width, "  ")
    groups = group_labels(diagnostic)
    gutter = max((len(str(labels[0].span.line)) for labels in groups), default=0)
    tone = COLORS[diagnostic.severity]
    if color:
        lines = [f"{BOLD}{line}{RESET}" for line in lines]
        lines[0] = f"{tone}{head}{RESET}{BOLD}{lines[0][len(BOLD) + len(head) :]}"
    for number, labels in enumerate(groups):
        lines += render_snippet(labels, diagnostic.at, gutter, "-->" if number == 0 else ":::", width, tone if color else None)
    lead = " " * (gutter + 1) + "= "
    for title, text in [*(("note", note) for note in diagnostic.notes), *([("help", diagnostic.help)] if diagnostic.help else [])]:
        hanging = " " * (len(lead) + len(title) + 2)
        for position, part in enumerate(text.split("\n")):
            lines += fold(f"{lead}{title}: " if position == 0 else hanging, part, width, hanging)
    return lines


def render_snippet(labels: list[Label], primary: Label | None, gutter: int, arrow: str, width: int, tone: str | None) -> list[str]:
    """Where it is, the line of the file, and the marks under it."""
    first = primary if primary is not None and primary in labels else labels[0]
    space = " " * gutter
    number = str(first.span.line)
    code, *marks = draw_snippet(first.span.source.line(first.span.line), [mark(label, primary) for label in labels], width - gutter - 3)
    place = escape(str(first.span))
    if tone is None:
        return [f"{space}{arrow} {place}", f"{space} |", f"{number:>{gutter}} | {code}".rstrip(), *(f"{space} | {line}" for line in marks)]
    bar = f"{BLUE}{space} |{RESET}"
    marks[:1] = [CARETS.sub(lambda match: f"{tone}{match.group()}{RESET}", line, count=1) for line in marks[:1]]
    return [
        f"{BLUE}{space}{arrow}{RESET} {place}",
        bar,
        f"{BLUE}{number:>{gutter}} |{RESET} {code}".rstrip(),
        *(f"{bar} {line}" for line in marks),
    ]


def mark(label: Label, primary: Label | None) -> tuple[int, int, str, str]:
    """Start and end in the line (from 0), the sign and the words; a span of several lines is marked to the end of its first."""
    span = label.span
    start = span.column - 1
    line_end = len(span.source.line(span.line))
    end = min(start + span.end - span.start, max(line_end, start + 1))
    return start, max(end, start + 1), "^" if label is primary else "-", label.text


def group_labels(diagnostic: Diagnostic) -> list[list[Label]]:
    """Labels of one line together, the line of the primary span first, the others in the order given."""
    groups: dict[tuple[int, int], list[Label]] = {}
    for label in [] if diagnostic.at is None else [diagnostic.at, *diagnostic.also]:
        groups.setdefault((id(label.span.source), label.span.line), []).append(label)
    return list(groups.values())


def fold(lead: str, text: str, width: int, hanging: str) -> list[str]:
    """The text behind `lead`, broken at blanks to the width."""
    safe = escape(text)
    if len(lead) + len(safe) <= width:
        return [lead + safe]
    return wrap(safe, width, initial_indent=lead, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)


def describe_span(span: Span) -> dict[str, Any]:
    """File, lines and columns from 1; the end is the column behind the last character."""
    line, column = span.source.position(span.start)
    end_line, end_column = span.source.position(span.end)
    return {"file": span.source.path, "line": line, "column": column, "end_line": end_line, "end_column": end_column}


def describe(diagnostic: Diagnostic) -> dict[str, Any]:
    """One diagnostic as JSON has it; `labels` begins with the primary one."""
    labels = [] if diagnostic.at is None else [diagnostic.at, *diagnostic.also]
    place: dict[str, Any] = dict.fromkeys(("file", "line", "column", "end_line", "end_column"))
    fix = diagnostic.fix
    return {
        "code": diagnostic.code,
        "severity": str(diagnostic.severity),
        "message": diagnostic.message,
        **(place if diagnostic.span is None else describe_span(diagnostic.span)),
        "labels": [{**describe_span(label.span), "text": label.text} for label in labels],
        "notes": list(diagnostic.notes),
        "help": diagnostic.help,
        "fix": None if fix is None else {**describe_span(fix.span), "replacement": fix.replacement},
    }


def render_json(diagnostics: Iterable[Diagnostic]) -> str:
    """A JSON array in ASCII."""
    return json.dumps([describe(diagnostic) for diagnostic in arrange(diagnostics)], indent=2) + "\n"


def render_github(diagnostics: Iterable[Diagnostic]) -> str:
    """One workflow command a diagnostic, as GitHub Actions reads them."""
    return "".join(github_line(diagnostic) + "\n" for diagnostic in arrange(diagnostics))


def github_line(diagnostic: Diagnostic) -> str:
    command = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}[diagnostic.severity]
    properties: dict[str, str] = {}
    if diagnostic.span is not None:
        place = describe_span(diagnostic.span)
        for name, key in (("file", "file"), ("line", "line"), ("col", "column"), ("endLine", "end_line"), ("endColumn", "end_column")):
            properties[name] = str(place[key])
    properties["title"] = diagnostic.code
    listed = ",".join(f"{name}={github_escape(value, in_property=True)}" for name, value in properties.items())
    parts = [diagnostic.message, *diagnostic.notes, *([f"help: {diagnostic.help}"] if diagnostic.help else [])]
    return f"::{command} {listed}::{github_escape(chr(10).join(parts), in_property=False)}"


def github_escape(text: str, in_property: bool) -> str:
    safe = escape(text.replace("%", "%25"), keep="\n").replace("\n", "%0A")
    return safe.replace(":", "%3A").replace(",", "%2C") if in_property else safe
