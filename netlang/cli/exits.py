"""Exit codes, and which diagnostics lead to which. A fault of netlang itself is told apart from what is wrong in a spec or a run."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable
from enum import IntEnum
from typing import Final, final

import click

from compiler.diagnostics import Diagnostic, Severity


@final
class Exit(IntEnum):
    """What the shell is told."""

    GOOD = 0
    WRONG = 1
    USAGE = 2
    TOO_LARGE = 3
    CHECKSUM = 4
    FAULT = 70
    INTERRUPTED = 130
    TERMINATED = 143


CODES: Final[dict[str, Exit]] = {
    "NL147": Exit.USAGE,
    "NL609": Exit.CHECKSUM,
    "NL701": Exit.USAGE,
    "NL702": Exit.USAGE,
    "NL704": Exit.USAGE,
    "NL711": Exit.TOO_LARGE,
    "NL713": Exit.USAGE,
    "NL715": Exit.CHECKSUM,
    "NL719": Exit.TOO_LARGE,
    "NL731": Exit.USAGE,
    "NL733": Exit.USAGE,
    "NL734": Exit.USAGE,
}
"""Diagnostics after which the exit code is not simply WRONG."""


def exit_of(diagnostics: Iterable[Diagnostic]) -> Exit:
    """The exit code of a command that found these: the gravest if there are several, GOOD without errors."""
    found = [CODES.get(item.code, Exit.WRONG) for item in diagnostics if item.severity is Severity.ERROR]
    return max(found, default=Exit.GOOD)


def report_fault(error: Exception) -> None:
    """Say that this is a fault of netlang; NETLANG_TRACEBACK=1 shows where."""
    if os.environ.get("NETLANG_TRACEBACK"):
        traceback.print_exception(error)
    summary = " ".join(str(error).split())[:200]
    command = " ".join(["netlang", *sys.argv[1:]])[:200]
    click.echo(
        f"netlang failed unexpectedly: {type(error).__name__}{f': {summary}' if summary else ''}\n"
        f"This is a fault of netlang, not of your spec. Please report it with the command ({command})\n"
        "and the spec. NETLANG_TRACEBACK=1 in the environment shows the traceback to add.",
        err=True,
    )
