"""What commands do to a run before it starts: find its folder, change its length."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from compiler.front.checked import Checked
from compiler.ir.training import Program
from netlang.training.failures import failure
from netlang.training.run_folder import safe_name

FOLDER = Path("runs")


def find_newest_run(checked: Checked) -> Path:
    """The newest run of a spec below the working directory; SpecError NL714 where there is none."""
    folder = FOLDER / safe_name(checked.name)
    runs = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not runs:
        raise failure(
            "NL714", f"there is no run of `{checked.name[:100]}` in `{folder}`", help="give the folder of the run: `--resume DIR`"
        )
    return runs[-1]


def require_program(checked: Checked) -> Program:
    """The training program of a correct spec; SpecError NL710 where there is none."""
    if checked.program is None:
        raise failure("NL710", f"`{checked.name[:100]}` has no training program", help="add a section `train`")
    return checked.program


def replace_epochs(checked: Checked, epochs: int | None) -> Checked:
    """The spec with a program of that many epochs, whatever it says itself; None leaves it as it is."""
    if epochs is None:
        return checked
    program = dataclasses.replace(require_program(checked), epochs=epochs, iterations=None)
    return dataclasses.replace(checked, program=program)
