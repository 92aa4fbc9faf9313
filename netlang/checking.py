"""Checks a spec by path, bundled name or text, with the readers of netlang. Loads neither torch nor NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import compiler.front.checked
from compiler.front.checked import Checked
from compiler.source import Source
from netlang.catalog import find_spec
from netlang.data import READERS

Spec: TypeAlias = str | Path | Source | Checked
"""A path, the name of a bundled spec, text, or a spec that is checked already."""


def check(spec: Spec, *, set: Mapping[str, object] | None = None) -> Checked:
    """Check a spec; `set` replaces constants under `let`. Raises SpecError NL701 where there is no such spec, and for nothing else."""
    if isinstance(spec, Checked):
        return spec
    overrides = {name: show_constant(value) for name, value in (set or {}).items()}
    return compiler.front.checked.check(find_spec(spec), readers=READERS, overrides=overrides)


def show_constant(value: object) -> str:
    """A Python constant as `--set` would be given it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(show_constant(item) for item in value)}]"
    return str(value)
