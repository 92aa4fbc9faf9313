"""Runs printed source, so that tracebacks and `inspect` show its lines."""

from __future__ import annotations

import itertools
import linecache
import sys
from types import ModuleType
from typing import Any

_COUNT = itertools.count(1)


def execute(text: str, name: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """The names that `text` defines when run among `names`; `name` is what tracebacks call the file.

    The text is what a back end printed, made of validated names and `repr` of typed attributes alone. It is a module of its own, which
    `torch.compile` imports by name.
    """
    count = next(_COUNT)
    path = f"<netlang {name} {count}>"
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    module = ModuleType(f"netlang_{name}_{count}")
    sys.modules[module.__name__] = module
    module.__dict__.update(names or {})
    exec(compile(text, path, "exec"), module.__dict__)  # noqa: S102 - the printed file is the program
    return module.__dict__
