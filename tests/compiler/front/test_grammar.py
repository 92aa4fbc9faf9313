"""The table in the repository is the grammar's, and the grammar has no conflicts."""

from __future__ import annotations

import lark
import pytest

from compiler.front.expressions import BUILDERS
from compiler.front.grammar import HERE, load_grammar, make_table


def test_table_is_made_from_the_grammar() -> None:
    grammar = load_grammar()
    table = make_table()
    assert table["actions"] == list(grammar.actions)
    assert table["gotos"] == list(grammar.gotos)
    assert [tuple(rule) for rule in table["rules"]] == [(rule.origin, rule.size, rule.builder) for rule in grammar.rules]
    assert (table["start"], table["end"], table["words"]) == (grammar.start, grammar.end, grammar.words)
    assert [tuple(pattern) for pattern in table["patterns"]] == list(grammar.patterns)
    assert {rule.builder for rule in grammar.rules} - {None} == set(BUILDERS)


def test_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (HERE / "grammar.lark").read_text(encoding="utf-8")
    monkeypatch.setattr(lark.logger, "propagate", True)
    with caplog.at_level("DEBUG", logger=lark.logger.name):
        lark.Lark(text, parser="lalr", lexer="basic", debug=True)
        assert not [record for record in caplog.records if "conflict" in record.message.lower()]
        lark.Lark('start: "a" start | start "a" | "b"', parser="lalr", lexer="basic", debug=True)
    assert [record for record in caplog.records if "conflict" in record.message.lower()]
