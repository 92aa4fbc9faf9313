"""Every code in the sources is explained, and every explained code is used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from compiler.diagnostics.codes import CODES, Code, join

ROOT = Path(__file__).parents[3]


def codes_in_sources() -> set[str]:
    found: set[str] = set()
    for package in ("compiler", "netlang"):
        for path in (ROOT / package).rglob("*.py"):
            if path.parent.name != "codes":
                found |= set(re.findall(r"[\"'](NL\d{3})[\"']", path.read_text(encoding="utf-8")))
    return found


def test_every_used_code_is_explained() -> None:
    assert codes_in_sources() - set(CODES) == set()


def test_every_explained_code_is_used() -> None:
    assert set(CODES) - codes_in_sources() == set()


def test_explanations_have_a_form() -> None:
    for code in CODES.values():
        assert re.fullmatch(r"NL\d{3}", code.code)
        assert code.title == code.title.strip()
        assert not code.title.endswith(".")
        assert re.search(r"^bad\b", code.explanation, re.MULTILINE | re.IGNORECASE), code.code
        assert re.search(r"^good\b", code.explanation, re.MULTILINE | re.IGNORECASE), code.code
        assert max(map(len, code.explanation.splitlines())) <= 140, code.code


def test_a_code_is_defined_once() -> None:
    code = Code("NL001", "a", "b")
    with pytest.raises(ValueError, match="NL001 is defined twice"):
        join((code,), (code,))
