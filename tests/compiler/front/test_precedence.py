"""Operators bind as in Python: trees are compared with those of Python's own parser."""

from __future__ import annotations

import ast as python

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.front.expressions import parse_expression
from compiler.front.lexer import ExpressionError
from tests.compiler.front.showing import show


def refusal(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text)
    return caught.value


PYTHON_OPERATORS = {
    python.Add: "+", python.Sub: "-", python.Mult: "*", python.Div: "/", python.FloorDiv: "//", python.Mod: "%",
    python.MatMult: "@", python.Pow: "**",
    python.And: "and", python.Or: "or", python.Eq: "==", python.NotEq: "!=", python.Lt: "<", python.LtE: "<=", python.Gt: ">",
    python.GtE: ">=",
    python.USub: "-", python.Not: "not",
}  # fmt: skip


def show_python(node: python.AST) -> str:
    match node:
        case python.Expression(body=body):
            return show_python(body)
        case python.Name(id=name):
            return name
        case python.Constant(value=value):
            return repr(value)
        case python.UnaryOp(op=operator, operand=operand):
            return f"({PYTHON_OPERATORS[type(operator)]} {show_python(operand)})"
        case python.BinOp(left=left, op=operator, right=right):
            return f"({show_python(left)} {PYTHON_OPERATORS[type(operator)]} {show_python(right)})"
        case python.BoolOp(op=operator, values=operands):
            text = show_python(operands[0])
            for operand in operands[1:]:
                text = f"({text} {PYTHON_OPERATORS[type(operator)]} {show_python(operand)})"
            return text
        case python.Compare(left=left, ops=[operator], comparators=[right]):
            return f"({show_python(left)} {PYTHON_OPERATORS[type(operator)]} {show_python(right)})"
        case python.IfExp(test=test, body=body, orelse=orelse):
            return f"({show_python(body)} if {show_python(test)} else {show_python(orelse)})"
        case python.Call(func=function, args=arguments):
            return f"{show_python(function)}({', '.join(map(show_python, arguments))})"
        case python.Subscript(value=python.expr() as base, slice=index):
            return f"{show_python(base)}[{show_python(index)}]"
        case python.Attribute(value=python.expr() as base, attr=name):
            return f"{show_python(base)}.{name}"
    raise TypeError(node)


def is_chained(tree: python.AST) -> bool:
    return any(isinstance(node, python.Compare) and len(node.ops) > 1 for node in python.walk(tree))


PIECES = [
    "x",
    "y",
    "2",
    "0.5",
    "f(x)",
    "x[0]",
    "s.h",
    "(",
    ")",
    "-",
    "-",
    "not ",
    " if ",
    " else ",
    " and ",
    " or ",
    "==",
    "<",
    "+",
    "*",
    "//",
    "@",
    "**",
    "%",
    "/",
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=14))
def test_any_row_of_tokens_is_read_as_python_reads_it(pieces: list[str]) -> None:
    compare_with_python(" ".join(pieces))


OPERANDS = st.sampled_from(["x", "y", "2", "0.5", "f(x)", "x[0]", "s.h"])
OPERATORS = st.sampled_from(["+", "-", "*", "/", "//", "%", "@", "**", "and", "or", "=="])


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, OPERATORS, inner).map(" ".join),
        st.tuples(inner, OPERATORS, inner, OPERATORS, inner).map(" ".join),
        inner.map(lambda text: f"-{text}"),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"not {text}"),
        st.tuples(inner, inner, inner).map(lambda parts: f"{parts[0]} if {parts[1]} else {parts[2]}"),
    )


@settings(max_examples=400, deadline=None)
@given(st.recursive(OPERANDS, compound, max_leaves=12))
def test_precedence_is_pythons(text: str) -> None:
    compare_with_python(text)


def compare_with_python(text: str) -> None:
    try:
        tree = python.parse(text.strip(), mode="eval")
    except SyntaxError:
        refusal(text)
        return
    if text.strip() and ("+ +" in " ".join(text.split()) or any(isinstance(node, python.UAdd) for node in python.walk(tree))):
        refusal(text)
    elif is_chained(tree) or any(isinstance(node, python.Tuple) for node in python.walk(tree)):
        parse_or_refuse(text)
    else:
        assert show(parse_expression(text)) == show_python(tree)


def parse_or_refuse(text: str) -> None:
    if is_chained(python.parse(text.strip(), mode="eval")):
        assert refusal(text).code == "NL110"
    else:
        parse_expression(text)
