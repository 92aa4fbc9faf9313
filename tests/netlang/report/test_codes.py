"""Pages of diagnostic codes."""

from __future__ import annotations

import pytest

from compiler.diagnostics.codes import CODES
from netlang.report.codes import draw_code, draw_codes, find_code, near_codes


@pytest.mark.parametrize("text", ["NL203", "nl203", " 203 "])
def test_codes_are_found_however_they_are_written(text: str) -> None:
    assert find_code(text) is CODES["NL203"]


@pytest.mark.parametrize(("text", "near"), [("NL706", ["NL703", "NL704", "NL705"]), ("NL999", []), ("what", [])])
def test_near_codes_are_of_the_same_family(text: str, near: list[str]) -> None:
    assert find_code(text) is None or text in CODES
    if text not in CODES:
        assert near_codes(text) == near


def test_every_code_has_a_page_and_a_line() -> None:
    table = draw_codes(CODES.values(), width=None, color=False)
    for name, code in CODES.items():
        assert draw_code(code, color=False) == f"{name}: {code.title}\n\n{code.explanation}\n"
        assert f"{name}   {code.title}" in table
