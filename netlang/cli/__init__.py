"""The command `netlang`: parse, call, print, exit code. No logic of its own.

Exit codes: 0 good, 1 the spec or the run is wrong, 2 the command line is wrong, 3 refused for its size, 4 a file fails its
checksum, 70 a fault of netlang, 130 and 143 stopped by a signal.
"""

from __future__ import annotations

import gc
import io
import os
import sys
from typing import NoReturn

import click

import netlang
from compiler.diagnostics import SpecError
from netlang.cli.commands import Commands
from netlang.cli.exits import Exit, exit_of, report_fault
from netlang.cli.streams import show_diagnostics


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(netlang.__version__, prog_name="netlang", message="%(prog)s %(version)s")
def cli() -> None:
    """Neural networks from short typed specs, printed as PyTorch or NumPy.

    SPEC is a path, the name of a spec that comes with netlang (`netlang specs`), or - for standard input.

    \b
    netlang new mine && netlang check mine.yaml && netlang train mine.yaml
    """


def run(arguments: list[str] | None = None) -> int:
    """Run a command line; its exit code."""
    try:
        result = cli.main(arguments, prog_name="netlang", standalone_mode=False)
        sys.stdout.flush()
    except SpecError as error:
        show_diagnostics(error.diagnostics)
        return exit_of(error.diagnostics)
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.GOOD
    except Exception as error:  # noqa: BLE001 the last resort: whatever comes here is a fault of netlang
        report_fault(error)
        return Exit.FAULT
    return result if isinstance(result, int) else Exit.GOOD


def main() -> NoReturn:
    """The entry point of the `netlang` script. Collecting garbage waits until a command runs long: it is a tenth of `check`."""
    gc.disable()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    raise SystemExit(int(run()))
