"""Golden texts: what a test renders is compared with a file under tests/golden; `pytest --bless` writes the files anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ["NETLANG_NATIVE"] = "0"
"""Most tests print many cells once each: compiling them takes longer than running them. Tests of the native way turn it on."""

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="write golden files instead of comparing with them")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)` compares with tests/golden/<name>.txt; a missing file fails."""
    is_blessing = bool(request.config.getoption("--bless"))

    def compare(name: str, text: str) -> None:
        path = GOLDEN / f"{name}.txt"
        if is_blessing:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing: look at the text and run `pytest --bless`\n{text}"
        assert text == path.read_text(encoding="utf-8")

    return compare
