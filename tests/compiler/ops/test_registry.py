"""The registry: the table says what the files say, files are loaded when asked for, names are taken once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compiler.ops import OPS, UnknownOp, op_named, register, table, write_table
from compiler.ops.functions import Tanh

ROOT = Path(__file__).parents[3]


def test_the_table_is_that_of_the_files() -> None:
    assert Path(table.__file__).read_text(encoding="utf-8") == write_table.make_table(), f"run `{write_table.COMMAND}`"


def test_every_op_of_the_table_is_where_it_says() -> None:
    assert {name: OPS[name].name for name in table.MODULES} == {name: name for name in table.MODULES}
    assert len(OPS) == len(list(OPS)) >= 150


def test_an_op_loads_its_file_alone() -> None:
    code = "import sys; from compiler.ops import OPS; 'conv' in OPS; OPS['tanh']; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert "compiler.ops.functions" in loaded
    assert "compiler.ops.conv" not in loaded


def test_a_name_is_taken_once() -> None:
    class Impostor(Tanh):  # type: ignore[misc]
        """Has a name of another file's op that may not be loaded yet."""

    Impostor.__module__ = "plugin"
    Impostor.name = "conv"
    with pytest.raises(ValueError, match="two ops are named conv"):
        register(Impostor)
    with pytest.raises(UnknownOp):
        op_named("convv")
