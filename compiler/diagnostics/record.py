"""A diagnostic is data: what is wrong, where, which values are involved, what to do. Rendering is elsewhere.

Wording: lower case, no final period, code in backticks; the message says what is wrong, `help` alone says what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import final

from compiler.source import Span


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@final
@dataclass(frozen=True, slots=True)
class Label:
    """A span with a few words about it; `text` may be empty."""

    span: Span
    text: str = ""


@final
@dataclass(frozen=True, slots=True)
class Fix:
    """A machine-applicable edit: put `replacement` in place of `span`."""

    span: Span
    replacement: str


@final
@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake. `at` is None only where there is no file to point into (a command-line value, a missing file)."""

    code: str
    message: str
    at: Label | None
    also: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: str | None = None
    fix: Fix | None = None
    severity: Severity = Severity.ERROR

    @property
    def span(self) -> Span | None:
        return self.at.span if self.at is not None else None


@final
class SpecError(Exception):
    """Raised with every diagnostic of a run where going on makes no sense: the caller renders them."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__("; ".join(f"{item.span or '-'}: {item.code} {item.message}" for item in diagnostics))
        self.diagnostics = diagnostics
