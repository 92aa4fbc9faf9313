"""The embed API: what the command line does, as functions. Importing this loads neither torch nor NumPy.

    import netlang
    checked = netlang.check("lenet5").require()
    model = netlang.load("lenet5", backend="numpy", seed=0)
    logits = model["lenet5"](image)

A spec is a path, the name of a bundled spec, or a `compiler.source.Source`. What is wrong in a spec is data: `check` returns
it; everything else raises `SpecError` with all diagnostics.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import compiler.front.checked
from compiler.diagnostics import Diagnostic, SpecError
from compiler.front.checked import Checked
from compiler.ops import OPS
from compiler.ops import register as register_op
from compiler.source import Source
from netlang.catalog import find_spec, list_specs
from netlang.data import READERS, register_reader

__all__ = [
    "OPS",
    "READERS",
    "Checked",
    "Diagnostic",
    "Source",
    "Spec",
    "SpecError",
    "check",
    "find_spec",
    "list_specs",
    "register_op",
    "register_reader",
]

Spec = str | Path | Source


def check(spec: Spec, *, set: Mapping[str, object] | None = None) -> Checked:
    """Check a spec; `set` replaces constants under `let`. Raises SpecError only where there is no such spec."""
    overrides = {name: _as_text(value) for name, value in (set or {}).items()}
    return compiler.front.checked.check(find_spec(spec), readers=READERS, overrides=overrides)


def _as_text(value: object) -> str:
    """A Python constant as `--set` would be given it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_as_text(item) for item in value)}]"
    return str(value)
