"""Where text goes and how it may look: results on standard output, diagnostics and progress on standard error.

Colors follow NO_COLOR, FORCE_COLOR and TERM=dumb; a stream that is no terminal gets plain text of any width.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from typing import TextIO

import click

from compiler.diagnostics import Diagnostic
from compiler.diagnostics.render import render_text

MOST_SHOWN = 20
NARROWEST = 60
WIDEST = 200
PLAIN = {ord("─"): "-", ord("…"): "..."}


def has_color(stream: TextIO) -> bool:
    """Whether to color what goes to this stream."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def table_width(stream: TextIO) -> int | None:
    """The width of a terminal; None for a stream that is none."""
    return min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST) if stream.isatty() else None


def is_live(stream: TextIO) -> bool:
    """Whether lines already written can be changed: progress bars can be shown."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def write(text: str) -> None:
    """A result, to standard output."""
    click.echo(fit(text, sys.stdout), nl=False, color=has_color(sys.stdout))


def tell(text: str) -> None:
    """A line about what happens, to standard error."""
    click.echo(fit(text, sys.stderr), err=True, color=has_color(sys.stderr))


def fit(text: str, stream: TextIO) -> str:
    """The text in plain signs where the stream's encoding lacks those of tables."""
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return text.translate(PLAIN)
    return text


def show_diagnostics(diagnostics: Iterable[Diagnostic]) -> None:
    """Diagnostics for people, to standard error."""
    width = table_width(sys.stderr) or 100
    text = render_text(diagnostics, color=has_color(sys.stderr), width=min(width, 120), limit=MOST_SHOWN)
    if text:
        tell(text.rstrip("\n"))
