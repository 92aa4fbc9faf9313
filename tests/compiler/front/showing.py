"""Syntax trees as text with every bracket written."""

from __future__ import annotations

from compiler.front import ast


def show(node: object) -> str:
    """Every bracket written."""
    match node:
        case ast.Literal(value=bool() as value):
            return str(value)
        case ast.Literal(value=value):
            return repr(value)
        case ast.Name(name=name):
            return name
        case ast.Unary(operator=operator, operand=operand):
            return f"({operator} {show(operand)})"
        case ast.Chain(first=first, rest=rest):
            text = show(first)
            for operator, operand in rest:
                text = f"({text} {operator} {show(operand)})"
            return text
        case ast.Conditional(then=then, test=test, otherwise=otherwise):
            return f"({show(then)} if {show(test)} else {show(otherwise)})"
        case ast.Pipe(stages=stages):
            return "(" + " -> ".join(map(show, stages)) + ")"
        case ast.Call(function=function, arguments=arguments, keywords=keywords):
            return f"{show(function)}({', '.join(map(show, (*arguments, *keywords)))})"
        case ast.Keyword(name=name, value=value):
            return f"{name}={show(value)}"
        case ast.Index(base=base, items=items):
            return f"{show(base)}[{', '.join(map(show, items))}]"
        case ast.Slice(lower=lower, upper=upper, step=step):
            return ":".join("" if part is None else show(part) for part in (lower, upper, step))
        case ast.Ellipsis():
            return "..."
        case ast.Member(base=base, name=name):
            return f"{show(base)}.{name}"
        case ast.Sequence(kind=kind, items=items):
            return kind + "{" + ", ".join(map(show, items)) + "}"
    raise TypeError(node)
