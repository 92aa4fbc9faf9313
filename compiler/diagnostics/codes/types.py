"""NL2xx: types and shapes."""

from __future__ import annotations

from typing import Final

from compiler.diagnostics.codes.code import Code

CODES: Final[tuple[Code, ...]] = ()
