"""The parts of a printed file, and how they are put together: docstring, imports in the usual order, sections."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable

from compiler.backends.names import docstring

GAP = "\n\n\n"


def split_imports(text: str) -> tuple[list[str], str]:
    """The import lines at the head of a printed file, and its body."""
    module = ast.parse(text)
    lines = text.splitlines()
    imports: list[str] = []
    end = 0
    for node in module.body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            break
        end = node.end_lineno or node.lineno
        imports += lines[node.lineno - 1 : end]
    return imports, "\n".join(lines[end:]).strip("\n")


def join_file(title: list[str], imports: Iterable[str], sections: Iterable[str], constants: Iterable[str] = ()) -> str:
    """One file: `title` is the docstring's lines, imports are sorted, constants follow them, two blank lines stand between sections."""
    head = "\n\n".join(part for part in ("\n".join(title), sort_imports(imports), "\n".join(constants)) if part)
    return f"{head}{GAP}{GAP.join(section for section in sections if section)}\n"


def sort_imports(lines: Iterable[str]) -> str:
    """Import lines in blocks: `__future__`, the standard library, others, `model` beside the file; in each, `import` before `from`."""
    blocks: dict[int, list[str]] = {}
    for line in dict.fromkeys(lines):
        root = line.split()[1].split(".")[0]
        rank = 0 if root == "__future__" else 1 if root in sys.stdlib_module_names else 3 if root == "model" else 2
        blocks.setdefault(rank, []).append(line)
    ordered = (sorted(block, key=lambda line: (line.startswith("from"), line.split()[1].lower())) for _, block in sorted(blocks.items()))
    return "\n\n".join("\n".join(block) for block in ordered)


def file_title(doc: str, name: str, made_by: str, needs: str) -> list[str]:
    """The docstring of a printed file: the spec's own words, where it comes from, the sentence that says what it needs."""
    first, *rest = docstring(doc or name, 0)
    words = [line.removeprefix('"""').removesuffix('"""') for line in docstring(f"Printed by {made_by} from the spec {name}. {needs}", 0)]
    told = [line for line in words if line]
    if rest:
        return [first, *rest[:-1], "", *told, '"""']
    return [first.removesuffix('"""'), "", *told, '"""']
