"""Optional packages that a reader loads when it reads."""

from __future__ import annotations

import importlib
from typing import Any

from compiler.front.readers import ReaderError


def require(module: str, package: str, extra: str) -> Any:
    """The module, or ReaderError NL503 that names the package and the extra to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ReaderError(
            f"this source needs the package `{package}`", help=f'install it: `pip install "netlang[{extra}]"`', code="NL503"
        ) from error
