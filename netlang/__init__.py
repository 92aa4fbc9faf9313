"""Netlang: neural networks from short typed specs, printed as PyTorch or NumPy source.

The embed API is `netlang.api`; its names can be read from here (`netlang.check(...)`) and load when they are first used, so
that `import netlang` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netlang.api import (
        Checked,
        Diagnostic,
        Model,
        Op,
        Reader,
        Source,
        SpecError,
        build,
        check,
        evaluate,
        load,
        register_op,
        register_reader,
        sample,
        train,
    )

__version__ = "0.1.0"

__all__ = [
    "Checked",
    "Diagnostic",
    "Model",
    "Op",
    "Reader",
    "Source",
    "SpecError",
    "build",
    "check",
    "evaluate",
    "load",
    "register_op",
    "register_reader",
    "sample",
    "train",
]


def __getattr__(name: str) -> Any:
    """A name of the embed API, loaded now."""
    if name in __all__:
        from netlang import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
