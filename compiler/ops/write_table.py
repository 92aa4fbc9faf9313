"""Writes `table.py`: which file of this folder defines which op. Run it after adding an op: `python compiler/ops/write_table.py`."""

from __future__ import annotations

import ast
from pathlib import Path

FOLDER = Path(__file__).parent
COMMAND = "python compiler/ops/write_table.py"
FAMILIES = (
    *("fill", "elementwise", "functions", "arithmetic", "activation", "softmax", "reduce", "search", "loss", "classification", "random"),
    *("linear", "shape", "repeat", "join", "index", "index_gradients", "conv", "conv_gradients", "pool", "pool_gradients", "pool_grid"),
    *("resize", "resize_gradients", "norm", "norm_gradients", "layer_norm"),
)
"""The order in which ops are listed; files that are not named here follow by name."""


def find_ops(path: Path) -> list[str]:
    """The names of the classes that a file registers, in its order, without running it."""
    classes = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
    registered = [node for node in classes if any(isinstance(item, ast.Name) and item.id == "register" for item in node.decorator_list)]
    return [_name_of(node) for node in registered]


def _name_of(node: ast.ClassDef) -> str:
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.target.id == "name":
            assert isinstance(item.value, ast.Constant)
            return str(item.value.value)
    raise ValueError(f"{node.name} has no name")


def make_table() -> str:
    """The text of `table.py`."""
    found = [path.stem for path in FOLDER.glob("*.py")]
    names = [*(name for name in FAMILIES if name in found), *sorted(set(found) - set(FAMILIES))]
    lines = [f'    "{op}": "{name}",' for name in names for op in find_ops(FOLDER / f"{name}.py")]
    return "\n".join([f'"""Which file defines which op. Written by `{COMMAND}`."""', "", "MODULES = {", *lines, "}", ""])


if __name__ == "__main__":
    (FOLDER / "table.py").write_text(make_table(), encoding="utf-8")
