"""What a run that cannot go on raises, and the exit codes of those failures that have one of their own."""

from __future__ import annotations

from typing import Final

from compiler.diagnostics import Diagnostic, Label, SpecError
from compiler.source import Span

EXIT_CODES: Final = {"NL609": 4, "NL711": 3, "NL713": 2, "NL715": 4, "NL719": 3}
"""Codes of diagnostics after which the command line exits with something else than 1."""


def failure(code: str, message: str, span: Span | None = None, *, notes: tuple[str, ...] = (), help: str | None = None) -> SpecError:
    """One diagnostic as the error to raise."""
    return SpecError((Diagnostic(code, message, None if span is None else Label(span), notes=notes, help=help),))
