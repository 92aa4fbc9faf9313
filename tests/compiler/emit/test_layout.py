"""The parts of printed files."""

from __future__ import annotations

import ast

import pytest

from compiler.emit.examples import keyword_arguments
from compiler.emit.layout import file_title, join_file, sort_imports, split_imports


def test_imports_are_in_the_usual_order() -> None:
    lines = [
        "from torch import nn",
        "import torch",
        "from pathlib import Path",
        "import math",
        "from __future__ import annotations",
        "import math",
    ]
    assert sort_imports(lines) == (
        "from __future__ import annotations\n\nimport math\nfrom pathlib import Path\n\nimport torch\nfrom torch import nn"
    )


def test_imports_and_body_come_apart() -> None:
    imports, body = split_imports("import math\n\nfrom typing import (\n    Any,\n)\n\n\nx = 1\nimport os\n")
    assert imports == ["import math", "from typing import (", "    Any,", ")"]
    assert body == "x = 1\nimport os"


@pytest.mark.parametrize("doc", ["", "Short.", "long " * 100, 'ends """ here', "a \\ b\x00\u202e", "\n\n"])
def test_titles_are_docstrings_whatever_the_spec_says(doc: str) -> None:
    text = join_file(file_title(doc, "name", "netlang 0", "Needs NumPy, nothing else."), ["import math"], ["x = math.pi", "", "y = 2"])
    module = ast.parse(text)
    title = ast.get_docstring(module)
    assert title is not None
    assert title.endswith("Printed by netlang 0 from the spec name. Needs NumPy, nothing else.")
    assert text.endswith("\n\n\nimport math\n\n\nx = math.pi\n\n\ny = 2\n") or "\n\nimport math\n\n\nx = math.pi\n\n\ny = 2\n" in text
    assert max(map(len, text.splitlines())) <= 120


def test_keyword_arguments_are_read_off_the_printed_class() -> None:
    body = "class A:\n    def forward(self, x, *, other, generator):\n        return x\n\n\nclass B:\n    pass\n"
    assert keyword_arguments(body, "A", "forward") == ["other", "generator"]
    assert keyword_arguments(body, "B", "forward") == keyword_arguments(body, "C", "forward") == []
