"""Runs printed source, so that tracebacks and `inspect` show its lines."""

from __future__ import annotations

import itertools
import linecache
from typing import Any

_COUNT = itertools.count(1)


def execute(text: str, name: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """The names that `text` defines when run among `names`; `name` is what tracebacks call the file.

    The text is what a back end printed, made of validated names and `repr` of typed attributes alone.
    """
    path = f"<netlang {name} {next(_COUNT)}>"
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    namespace: dict[str, Any] = {"__name__": f"netlang_{name}", **(names or {})}
    exec(compile(text, path, "exec"), namespace)  # noqa: S102 - the printed file is the program
    return namespace
