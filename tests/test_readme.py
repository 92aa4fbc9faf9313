"""The README's blocks: the spec checks, the mistake it shows is told in these words, the Python runs."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from compiler.diagnostics.render import render_text
from compiler.front.checked import check
from compiler.source import Source
from netlang.cli.commands import Commands
from netlang.data import READERS
from netlang.training.engines import make_engine
from netlang.training.feed import Feed
from netlang.training.loop import Inputs

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str, heading: str) -> str:
    """The first block of a language under a heading."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks: list[tuple[str, str]] = re.findall(r"```(\w*)\n(.*?)```", section, re.DOTALL)
    return dict(reversed(blocks))[language]


@pytest.mark.parametrize("heading", ["A spec", "A recurrence", "A game"])
def test_the_specs_check_and_take_a_step_on_both_back_ends(heading: str) -> None:
    checked = check(Source("readme.yaml", block("yaml", heading)), readers=READERS).require()
    assert not checked.diagnostics
    assert checked.program is not None
    for backend in ("torch", "numpy"):
        engine, feed = make_engine(checked, 0, 1, backend, "cpu", 1), Feed(checked, 0)
        inputs = Inputs(feed, engine, engine.place(feed.fixed))
        updates = [engine.update(index, inputs.read(step.graph), 0, 1) for index, step in enumerate(checked.program.steps)]
        assert all(math.isfinite(item.objective) for item in updates)
        engine.close()


def test_every_folder_of_specs_is_in_the_table() -> None:
    table = README.split("\n## Bundled specs\n")[1].split("\n## ")[0]
    assert [path.parent.name for path in sorted((ROOT / "specs").glob("*/*.yaml")) if f"`{path.parent.name}`" not in table] == []


def test_the_mistake_is_told_as_shown() -> None:
    text = re.sub(r"skip: .*", "skip: x -> conv(8, 1)", block("yaml", "A spec"))
    shown = render_text(check(Source("small.yaml", text), readers=READERS).diagnostics)
    assert shown.strip() == block("", "A spec").strip()


def test_the_python_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-c", block("python", "From Python")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[N, 10]\n")
    assert (tmp_path / "runs" / "first" / "model.safetensors").exists()


def test_every_command_is_in_the_table() -> None:
    table = README.split("\n## Commands\n")[1].split("\n## ")[0]
    names = Commands().list_commands(click.Context(Commands()))
    assert [name for name in names if f"`{name}`" not in table and f"`netlang {name}" not in table] == []
