"""Sizes beyond which a spec is refused, whoever wrote it. Units: bytes, nodes, levels, tokens or characters, as each name says."""

from __future__ import annotations

from typing import Final

FILE_BYTES: Final = 1 << 20
TREE_DEPTH: Final = 64
ALIAS_NODES: Final = 100_000
SCALAR_CHARACTERS: Final = 64 * 1024
EXPRESSION_TOKENS: Final = 4096
EXPRESSION_DEPTH: Final = 200
INTEGER: Final = 1 << 63
"""Integers reach from minus this to this."""
INTEGER_DIGITS: Final = 19

NODES: Final = 100_000
"""Ops that a network may be made of, blocks counted as often as they are used, and that a spec may make."""
REPEATED: Final = 20_000
"""Ops and calls that the copies of one `repeat` may be made of: a second's work for what a line can ask."""
CALL_DEPTH: Final = 64
"""Levels of networks and blocks that call others."""
