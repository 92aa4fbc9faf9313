"""Errors as data: the record, the codes with their explanations, the renderers."""

from compiler.diagnostics.record import Diagnostic, Fix, Label, Severity, SpecError

__all__ = ["Diagnostic", "Fix", "Label", "Severity", "SpecError"]
