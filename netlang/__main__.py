"""`python -m netlang` is the command `netlang`."""

from __future__ import annotations

from netlang.cli import main

main()
