"""From the text of an expression to its syntax tree: an LALR(1) automaton without recursion that builds the nodes as it reduces.

Texts share one tree (positions are relative to the text), so ten thousand equal entries are parsed once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from math import isinf
from re import sub
from typing import Any, Final, cast

from compiler.diagnostics.record import Diagnostic, Fix, Label, SpecError
from compiler.front.ast import Call, Chain, Conditional, Ellipsis, Expr, Index, Keyword, Literal, Member, Name, Pipe, Sequence, Slice, Unary
from compiler.front.grammar import END, Grammar, load_grammar
from compiler.front.lexer import ExpressionError, Token, read_tokens
from compiler.front.limits import INTEGER, INTEGER_DIGITS
from compiler.front.syntax_errors import name_error
from compiler.front.tree import Scalar

ESCAPES: Final = {"\\": "\\", '"': '"', "n": "\n"}


@lru_cache(maxsize=32768)
def parse_expression(text: str) -> Expr:
    """The tree of an expression; raises ExpressionError for its first mistake."""
    grammar = load_grammar()
    tokens = read_tokens(text)
    actions, gotos, reductions = grammar.actions, grammar.gotos, prepare_reductions()
    passed = PASSED
    states = [grammar.start]
    values: list[Any] = []
    for position, token in enumerate(tokens):
        kind = token[0]
        while True:
            state = states[-1]
            action = actions[state].get(kind)
            if action is None:
                if kind == END and state == grammar.end:
                    return cast(Expr, values[-1])
                raise name_error(tokens, position, accepted_terminals(grammar, states))
            if action >= 0:
                states.append(action)
                values.append(token)
                break
            size, origin, builder = reductions[~action]
            if builder is not None:
                arguments = values[len(values) - size :]
                del values[len(values) - size :], states[len(states) - size :]
                values.append(builder(arguments))
                states.append(gotos[states[-1]][origin])
                continue
            if kind == END and state == grammar.end:
                return cast(Expr, values[-1])
            below = states[-2]
            key = (below, state, kind)
            target = passed.get(key)
            if target is None:
                target = passed[key] = pass_on(grammar, below, state, kind)
            states[-1] = target
    raise AssertionError("the end token ends every parse")


def read_expression(scalar: Scalar) -> Expr:
    """The tree of a scalar's text; raises SpecError with its mistake at its place in the file."""
    try:
        return parse_expression(scalar.value)
    except ExpressionError as error:
        raise SpecError((place_error(error, scalar),)) from None


def place_error(error: ExpressionError, scalar: Scalar) -> Diagnostic:
    """The diagnostic of a mistake in the expression that a scalar holds."""
    span = scalar.locate(error.start, error.end)
    also = tuple(Label(scalar.locate(start, end), words) for start, end, words in error.also)
    replacement = error.replacement
    is_exact = span.text == scalar.value[error.start : error.end]
    is_safe = replacement is not None and (scalar.style not in ("single", "double") or not {"'", '"'} & set(replacement))
    fix = Fix(span, replacement) if replacement is not None and is_exact and is_safe else None
    return Diagnostic(error.code, error.message, Label(span, error.label), also=also, help=error.help, fix=fix)


PASSED: Final[dict[tuple[int, int, str], int]] = {}
"""Where a run of reductions that build nothing ends, by the state below, the state and the next terminal; bounded by the table's size."""


def pass_on(grammar: Grammar, below: int, state: int, kind: str) -> int:
    """Follow the reductions of one symbol to one symbol as far as they go."""
    while state != grammar.end:
        action = grammar.actions[state].get(kind)
        if action is None or action >= 0:
            break
        rule = grammar.rules[~action]
        if rule.builder is not None or rule.size != 1:
            break
        state = grammar.gotos[below][rule.origin]
    return state


def accepted_terminals(grammar: Grammar, states: list[int]) -> frozenset[str]:
    """The terminals that could follow: each is tried on the stack of states alone."""
    kinds = {kind for row in grammar.actions for kind in row}
    return frozenset(kind for kind in kinds if is_accepted(grammar, states, kind))


def is_accepted(grammar: Grammar, states: list[int], kind: str) -> bool:
    """Whether the automaton shifts this terminal after some reductions; the stack is only read."""
    tail: list[int] = []
    kept = len(states)
    while True:
        state = tail[-1] if tail else states[kept - 1]
        if kind == END and state == grammar.end:
            return True
        action = grammar.actions[state].get(kind)
        if action is None or action >= 0:
            return action is not None
        rule = grammar.rules[~action]
        from_tail = min(rule.size, len(tail))
        del tail[len(tail) - from_tail :]
        kept -= rule.size - from_tail
        tail.append(grammar.gotos[tail[-1] if tail else states[kept - 1]][rule.origin])


@lru_cache(maxsize=1)
def prepare_reductions() -> tuple[tuple[int, str, Callable[[list[Any]], Any] | None], ...]:
    """Size, origin and node function of each rule."""
    return tuple((rule.size, rule.origin, None if rule.builder is None else BUILDERS[rule.builder]) for rule in load_grammar().rules)


def build_conditional(parts: list[Any]) -> Expr:
    return Conditional(parts[0].start, parts[4].end, parts[0], parts[2], parts[4])


def build_pipe(parts: list[Any]) -> Expr:
    stages = parts[0]
    return Pipe(stages[0].start, stages[-1].end, tuple(stages))


def build_first_pair(parts: list[Any]) -> list[Any]:
    return [parts[0], parts[2]]


def build_first_item(parts: list[Any]) -> list[Any]:
    return [parts[0]]


def build_next_item(parts: list[Any]) -> list[Any]:
    parts[0].append(parts[2])
    return cast(list[Any], parts[0])


def build_first_link(parts: list[Any]) -> tuple[Expr, list[tuple[str, Expr]]]:
    return parts[0], [(parts[1].text, parts[2])]


def build_next_link(parts: list[Any]) -> Any:
    parts[0][1].append((parts[1].text, parts[2]))
    return parts[0]


def build_chain(parts: list[Any]) -> Expr:
    first, rest = parts[0]
    return Chain(first.start, rest[-1][1].end, first, tuple(rest))


def build_single_link(parts: list[Any]) -> Expr:
    return Chain(parts[0].start, parts[2].end, parts[0], ((parts[1].text, parts[2]),))


def build_unary(parts: list[Any]) -> Expr:
    return Unary(parts[0].start, parts[1].end, parts[0].text, parts[1])


def build_member(parts: list[Any]) -> Expr:
    base, token = parts
    name = token.text[1:].lstrip()
    return Member(base.start, token.end, base, name, token.end - len(name))


def build_empty_call(parts: list[Any]) -> Expr:
    return Call(parts[0].start, parts[2].end, parts[0], (), ())


def build_call(parts: list[Any]) -> Expr:
    keywords: dict[str, Keyword] = {}
    arguments: list[Expr] = []
    for item in parts[2]:
        if not isinstance(item, Keyword):
            if keywords:
                raise positional_after_keyword(item, next(reversed(keywords.values())))
            arguments.append(item)
        elif item.name in keywords:
            raise repeated_keyword(item, keywords[item.name])
        else:
            keywords[item.name] = item
    return Call(parts[0].start, parts[-1].end, parts[0], tuple(arguments), tuple(keywords.values()))


def positional_after_keyword(item: Expr, keyword: Keyword) -> ExpressionError:
    return ExpressionError(
        "NL106",
        f"an argument without a name follows the argument `{keyword.name}`",
        item.start,
        item.end,
        "put the arguments without a name first, or name this one too",
        also=((keyword.start, keyword.end, "named argument"),),
    )


def repeated_keyword(item: Keyword, before: Keyword) -> ExpressionError:
    end = item.start + len(item.name)
    also = ((before.start, before.start + len(before.name), "first given here"),)
    return ExpressionError("NL111", f"the argument `{item.name}` is given twice", item.start, end, "leave one of them out", also=also)


def build_index(parts: list[Any]) -> Expr:
    return Index(parts[0].start, parts[-1].end, parts[0], tuple(parts[2]))


def build_keyword(parts: list[Any]) -> Expr:
    return Keyword(parts[0].start, parts[2].end, parts[0].text, parts[2])


def build_ellipsis(parts: list[Any]) -> Expr:
    return Ellipsis(parts[0].start, parts[0].end)


def build_slice(parts: list[Any]) -> Expr:
    present = [part for part in parts if part is not None]
    bounds = parts[::2]
    return Slice(present[0].start, present[-1].end, bounds[0], bounds[1], bounds[2] if len(bounds) == 3 else None)


def build_nothing(_: list[Any]) -> None:
    return None


def build_name(parts: list[Any]) -> Expr:
    token = parts[0]
    return Name(token.start, token.end, token.text)


def build_number(parts: list[Any]) -> Expr:
    token: Token = parts[0]
    if not token.text.isdigit():
        number = float(token.text)
        if isinf(number):
            raise out_of_range(token, "a number can be no larger than 1.8e308")
        return Literal(token.start, token.end, number)
    digits = token.text.lstrip("0")
    if len(digits) > INTEGER_DIGITS or (value := int(digits) if digits else 0) > INTEGER:
        raise out_of_range(token, "write a number of this size with a decimal point or an exponent: `1e30`")
    return Literal(token.start, token.end, value)


def out_of_range(token: Token, help: str) -> ExpressionError:
    shown = token.text if len(token.text) <= 30 else token.text[:27] + "..."
    return ExpressionError("NL009", f"the number `{shown}` is out of range", token.start, token.end, help)


def build_string(parts: list[Any]) -> Expr:
    token: Token = parts[0]
    content = token.text[1:-1]
    if "\\" in content:
        content = sub(r"\\(.)", lambda match: unescape(match.group(1), token.start + 1 + match.start()), content)
    return Literal(token.start, token.end, content)


def unescape(letter: str, start: int) -> str:
    if letter not in ESCAPES:
        message = f"`\\{letter}` is not an escape"
        raise ExpressionError("NL108", message, start, start + 2, 'the escapes are `\\"`, `\\\\` and `\\n`; a backslash itself is `\\\\`')
    return ESCAPES[letter]


def build_true(parts: list[Any]) -> Expr:
    return Literal(parts[0].start, parts[0].end, True)


def build_false(parts: list[Any]) -> Expr:
    return Literal(parts[0].start, parts[0].end, False)


def build_group(parts: list[Any]) -> Expr:
    inner: Expr = parts[1]
    return replace(inner, start=parts[0].start, end=parts[2].end)


def build_sequence(parts: list[Any]) -> Expr:
    return Sequence(parts[0].start, parts[-1].end, "list" if parts[0].text == "[" else "tuple", tuple(parts[1]))


def build_empty_sequence(parts: list[Any]) -> Expr:
    return Sequence(parts[0].start, parts[-1].end, "list" if parts[0].text == "[" else "tuple", ())


def build_single_sequence(parts: list[Any]) -> Expr:
    return Sequence(parts[0].start, parts[-1].end, "tuple", (parts[1],))


BUILDERS: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "conditional": build_conditional,
    "pipe": build_pipe,
    "first_pair": build_first_pair,
    "first_item": build_first_item,
    "next_item": build_next_item,
    "first_link": build_first_link,
    "next_link": build_next_link,
    "chain": build_chain,
    "single_link": build_single_link,
    "unary": build_unary,
    "member": build_member,
    "empty_call": build_empty_call,
    "call": build_call,
    "index": build_index,
    "keyword": build_keyword,
    "ellipsis": build_ellipsis,
    "slice": build_slice,
    "nothing": build_nothing,
    "name": build_name,
    "number": build_number,
    "string": build_string,
    "true": build_true,
    "false": build_false,
    "group": build_group,
    "sequence": build_sequence,
    "empty_sequence": build_empty_sequence,
    "single_sequence": build_single_sequence,
}
