from __future__ import annotations

import re
from pathlib import Path

from compiler.diagnostics.codes import CODES
from netlang.training.failures import EXIT_CODES

FOLDER = Path(__file__).parents[3] / "netlang" / "training"


def test_every_code_that_runs_raise_is_explained() -> None:
    raised = {code for path in FOLDER.glob("*.py") for code in re.findall(r'"(NL[67]\d\d)"', path.read_text())}
    assert raised
    assert raised <= CODES.keys()
    assert EXIT_CODES.keys() <= raised
