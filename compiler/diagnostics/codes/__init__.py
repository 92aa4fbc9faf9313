"""All diagnostic codes with their explanations, joined from one module a family."""

from __future__ import annotations

from typing import Final

from compiler.diagnostics.codes import calls, cells, data, files, names, program, runs, structure, syntax, types, weights
from compiler.diagnostics.codes.code import Code

__all__ = ["CODES", "Code", "join"]


def join(*families: tuple[Code, ...]) -> dict[str, Code]:
    """One table in the order of the codes; a code given twice is a fault."""
    table: dict[str, Code] = {}
    for code in sorted((code for family in families for code in family), key=lambda code: code.code):
        if code.code in table:
            raise ValueError(f"diagnostic code {code.code} is defined twice")
        table[code.code] = code
    return table


CODES: Final[dict[str, Code]] = join(
    files.CODES,
    syntax.CODES,
    structure.CODES,
    names.CODES,
    cells.CODES,
    types.CODES,
    calls.CODES,
    program.CODES,
    data.CODES,
    weights.CODES,
    runs.CODES,
)
