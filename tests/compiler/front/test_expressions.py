"""Expressions: trees, every message, precedence against Python's own parser, and guard A7."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.diagnostics.record import SpecError
from compiler.diagnostics.render import render_text
from compiler.front import ast
from compiler.front.expressions import parse_expression, read_expression
from compiler.front.lexer import ExpressionError, read_tokens
from compiler.front.tree import Scalar
from compiler.front.yaml import read_tree
from compiler.source import Source
from tests.compiler.front.showing import show

MISTAKES = [
    "''", "a b", "conv(6 5)", "f(a b)", '[1 2]', "x[a b]", "(a", "[a, b", "f(g(a, b)", "f(a]", "f(a))", "a]", "f(,)", "f(a,,b)",
    "x[1,,2]", "x[]", "a +", "a ->",
    "-> a", "'* a'", "+a", "a + + b", "a ==", "not", "a or or b", "f(x=)", "f(-)", "x @ @ y", "a = b", "f(a.b = 3)", "a === b", "a => b",
    "a |> b", "a && b",
    "a <> b", "f(x=1, 2)", "f(x=1, x=2)", "f(kind='same')", "f('a)", 'f("abc', '''f("a\\q")''', "a ^ b", "a & b", "'a ? b : c'",
    "f(a; b)", "a → b", "x − 1",
    "é", "a $ b", "x.", "x..y", "a < b < c", "f(...)", "a:b", "f(a:b)", "'a[1:2:3:4]'", "f(.5)", "1_000", "2x", "a if b", "f(a if b)",
    "if a", "a if b else", "a else b",
    "a, b", "a not b", "99999999999999999999", "1e999", "a.b.0 c", "x[1", "{a: 1}",
]  # fmt: skip


def scalar_of(text: str) -> Scalar:
    """The text as a YAML value; in the list above, quotes around the whole are YAML's."""
    quoted = text if text.startswith("'") else "'" + text.replace("'", "''") + "'"
    node = read_tree(Source("spec.yaml", f"out: {quoted}\n")).get("out")
    assert isinstance(node, Scalar)
    return node


def mistake(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text)
    return caught.value


def test_messages(golden: Callable[[str, str], None]) -> None:
    texts = []
    for text in MISTAKES:
        with pytest.raises(SpecError) as caught:
            read_expression(scalar_of(text))
        texts.append(render_text(caught.value.diagnostics))
    golden("expression_messages", "\n".join(texts))


def test_fixes_are_applied_to_the_file() -> None:
    with pytest.raises(SpecError) as caught:
        read_expression(scalar_of("x ^ 2"))
    fix = caught.value.diagnostics[0].fix
    assert fix is not None
    assert (fix.span.text, fix.replacement) == ("^", "**")


@pytest.mark.parametrize(("text", "is_mended"), [("out: f('x')\n", True), ("out: \"f('x')\"\n", False), ("out: 'f(''x'')'\n", False)])
def test_no_fix_breaks_the_quotes_around_it(text: str, is_mended: bool) -> None:
    node = read_tree(Source("spec.yaml", text)).get("out")
    assert isinstance(node, Scalar)
    with pytest.raises(SpecError) as caught:
        read_expression(node)
    assert (caught.value.diagnostics[0].fix is not None) == is_mended


def test_place_in_a_folded_block() -> None:
    node = read_tree(Source("spec.yaml", "out: >\n  x -> conv(6, 5)\n    -> f(a b)\n")).get("out")
    assert isinstance(node, Scalar)
    with pytest.raises(SpecError) as caught:
        read_expression(node)
    span = caught.value.diagnostics[0].span
    assert span is not None
    assert (span.line, span.column, span.text) == (3, 12, "b")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x + f(x) -> relu", "((x + f(x)) -> relu)"),
        ("x if same else x -> conv(C, 1)", "(x if same else (x -> conv(C, 1)))"),
        ("a -> b if c else d", "((a -> b) if c else d)"),
        ("x -> f -> g(3) -> h", "(x -> f -> g(3) -> h)"),
        ("(x -> f) -> g", "((x -> f) -> g)"),
        ("features.0.1", "features.0.1"),
        ("s . h", "s.h"),
        ("f * c' + i*g", "((f * c') + (i * g))"),
        ("x[:, 0]", "x[::, 0]"),
        ("x[..., ::2]", "x[..., ::2]"),
        ("x[1:-1, a:b:c,]", "x[1:(- 1):, a:b:c]"),
        ("adam(lr=1e-4, betas=(0.0, 0.9),)", "adam(lr=0.0001, betas=tuple{0.0, 0.9})"),
        ("(a,)", "tuple{a}"),
        ("(a, b,)", "tuple{a, b}"),
        ("[]", "list{}"),
        ("()", "tuple{}"),
        ("[a, (b), c,]", "list{a, b, c}"),
        ('text("a\\"b\\\\\\n")', "text('a\"b\\\\\\n')"),
        ("not a == b and c", "((not (a == b)) and c)"),
        ("true", "True"),
        ("2 ** -x ** 2", "(2 ** (- (x ** 2)))"),
        ("-x ** 2", "(- (x ** 2))"),
        ("f(a)(b)[c].d", "f(a)(b)[c].d"),
        ("x\n  -> f", "(x -> f)"),
        ("9223372036854775808", "9223372036854775808"),
        ("1. + 010", "(1.0 + 10)"),
        ("iffy + nota", "(iffy + nota)"),
        ("s.if", "s.if"),
    ],
)
def test_trees(text: str, shown: str) -> None:
    assert show(parse_expression(text)) == shown


def test_spans() -> None:
    text = "(a + b) * f(x, pad=1)[0].h -> g"
    pipe = parse_expression(text)
    assert isinstance(pipe, ast.Pipe)
    product = pipe.stages[0]
    assert isinstance(product, ast.Chain)
    assert text[product.start : product.end] == "(a + b) * f(x, pad=1)[0].h"
    assert text[product.first.start : product.first.end] == "(a + b)"
    member = product.rest[0][1]
    assert isinstance(member, ast.Member)
    assert text[member.start : member.end] == "f(x, pad=1)[0].h"
    assert text[member.name_start : member.end] == "h"


def test_chains_are_one_node() -> None:
    chain = parse_expression("+".join(["x"] * 2000))
    assert isinstance(chain, ast.Chain)
    assert len(chain.rest) == 1999


def test_equal_texts_share_a_tree() -> None:
    assert parse_expression("x -> conv(64, 3)") is parse_expression("x -> conv(64, 3)")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab1.,:()[]+-*/=<>!'\"\\ \n\t\x00éif", max_size=30))
def test_any_text_gives_a_tree_or_a_mistake_inside_it(text: str) -> None:
    found: ast.Expr | ExpressionError
    try:
        found = parse_expression(text)
    except ExpressionError as error:
        found = error
    assert 0 <= found.start <= found.end <= len(text)


def test_tokens() -> None:
    assert [token.kind for token in read_tokens("a.0 ->-1")] == ["NAME", "MEMBER", "ARROW", "MINUS", "NUMBER", "$END"]


@pytest.mark.bench
def test_ten_thousand_short_expressions() -> None:
    texts = [f"l{number} + l{number + 1} -> conv({number}, 3, pad=1) -> relu" for number in range(10_000)]
    began = time.process_time()
    for text in texts:
        parse_expression(text)
    assert time.process_time() - began < 1.2
