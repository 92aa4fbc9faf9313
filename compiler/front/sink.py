"""Where the front end puts its diagnostics: all of a run, each mistake once."""

from __future__ import annotations

from typing import final

from compiler.diagnostics import Diagnostic, Fix, Label, Severity
from compiler.source import Span


@final
class Sink:
    """Collects diagnostics; a second one with the same code at the same place is dropped."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._seen: set[tuple[str, int, int, int]] = set()
        self._misshapen: set[tuple[int, int, int]] = set()

    def add_structural(self, diagnostic: Diagnostic) -> None:
        """Add what is wrong with the structure: whatever else is wrong at the same place follows from it."""
        span = diagnostic.span
        if span is not None:
            self._misshapen.add((id(span.source), span.start, span.end))
        self.diagnostics.append(diagnostic)

    def add(self, diagnostic: Diagnostic) -> None:
        span = diagnostic.span
        if span is not None:
            place = (diagnostic.code, id(span.source), span.start, span.end)
            if place in self._seen or place[1:] in self._misshapen:
                return
            self._seen.add(place)
        self.diagnostics.append(diagnostic)

    def report(
        self,
        code: str,
        message: str,
        span: Span,
        *,
        label: str = "",
        also: tuple[Label, ...] = (),
        notes: tuple[str, ...] = (),
        help: str | None = None,
        fix: Fix | None = None,
        severity: Severity = Severity.ERROR,
    ) -> None:
        self.add(Diagnostic(code, message, Label(span, label), also, notes, help, fix, severity))

    @property
    def failed(self) -> bool:
        return any(item.severity is Severity.ERROR for item in self.diagnostics)
