"""Guard A7: long and deep expressions are refused at once, and no expression needs Python's stack."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields

import pytest

from compiler.front import ast
from compiler.front.expressions import parse_expression
from compiler.front.lexer import ExpressionError


def mistake(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text)
    return caught.value


DEEP: dict[str, Callable[[int], str]] = {
    "parentheses": lambda n: "(" * n + "x" + ")" * n,
    "calls": lambda n: "f(" * n + ")" * n,
    "calls of calls": lambda n: "f" + "(x)" * n,
    "signs": lambda n: "-" * n + "x",
    "nots": lambda n: "not " * n + "x",
    "powers": lambda n: "**".join(["2"] * n),
    "members": lambda n: "x" + ".a" * n,
    "indices": lambda n: "x" + "[0]" * n,
    "choices": lambda n: "a if b else " * n + "c",
    "sums": lambda n: "+".join(["x"] * n),
    "pipes": lambda n: "x" + " -> f" * n,
    "lists": lambda n: "[" * n + "]" * n,
    "quotes": lambda n: '"\\' * n,
    "blanks": lambda n: "x" + " " * n + "y",
    "digits": lambda n: "1" * n,
}  # fmt: skip


@pytest.mark.parametrize("name", DEEP)
def test_over_the_limit_is_refused_at_once(name: str) -> None:
    parse_expression("x")
    for size, seconds in ((100_000, 1.0), (1_000_000, 5.0)):  # ten times the guard's: a busy machine must pass
        text = DEEP[name](size)
        began = time.process_time()
        error = mistake(text)
        assert time.process_time() - began < seconds
        assert error.code == {"quotes": "NL108", "blanks": "NL100", "digits": "NL009"}.get(name, "NL105")


def test_no_recursion_up_to_the_limits() -> None:
    """Depth is limited, and parsing to the limit needs no Python stack."""
    names = ["parentheses", "calls", "signs", "nots", "powers", "members", "choices", "lists"]
    texts = [DEEP[name](198) for name in names] + [DEEP["sums"](2000), DEEP["pipes"](2000)]
    code = (
        "import sys\nfrom compiler.front.expressions import parse_expression\n"
        "for text in ('x', '(a, -b)'): parse_expression(text)\n"
        f"texts = {texts!r}\nsys.setrecursionlimit(150)\n"
        "for text in texts: parse_expression(text)\nprint('done', 'lark' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "done False\n"


def test_limits_are_exact() -> None:
    parse_expression("(" * 200 + "x" + ")" * 200)
    assert mistake("(" * 201 + "x" + ")" * 201).code == "NL105"
    parse_expression("+".join(["x"] * 2048))
    assert mistake("+".join(["x"] * 2049)).code == "NL105"


def measure_depth(node: object) -> int:
    deepest, stack = 0, [(node, 1)]
    while stack:
        current, depth = stack.pop()
        deepest = max(deepest, depth)
        if isinstance(current, ast.Expr):
            stack += [(getattr(current, field.name), depth + 1) for field in fields(current)]
        elif isinstance(current, tuple):
            stack += [(item, depth) for item in current]
    return deepest


@pytest.mark.parametrize("name", DEEP)
def test_depth_of_the_tree_is_bounded(name: str) -> None:
    for size in (150, 190, 199, 250, 2000):
        try:
            tree = parse_expression(DEEP[name](size))
        except ExpressionError:
            continue
        assert measure_depth(tree) < 3 * 200 + 10
