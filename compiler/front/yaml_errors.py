"""Says in the language's own words what libyaml (or the parser in pure Python) found wrong."""

from __future__ import annotations

import re
from typing import Final

import yaml

from compiler.diagnostics.quote import show
from compiler.diagnostics.record import Diagnostic, Label
from compiler.front.flow_cuts import CODE, HELP, unbalanced
from compiler.front.tree import Scalar
from compiler.source import Source, Span

PROBLEMS: Final = (
    ("unexpected end of stream", "NL002", "the quoted text is never closed", "close it with the quote it began with"),
    ("unknown escape", "NL002", "this escape is unknown", 'in single quotes a backslash is a backslash; in double quotes it is `\\\\`'),
    ("hexdecimal number", "NL002", "this escape is not complete", "write `\\xNN`, `\\uNNNN` or `\\UNNNNNNNN`"),
    ("escape sequence", "NL002", "this escape is not complete", "write `\\xNN`, `\\uNNNN` or `\\UNNNNNNNN`"),
    ("invalid Unicode character escape", "NL013", "this escape is no character", "take it out"),
    ("tag handle", "NL004", "tags are not part of the language", "take the tag away, or quote the text"),
    ("alphabetic or numeric", "NL002", "a name must follow `&` or `*`", "quote the text where `*` or `&` is meant as it is"),
    ("alphabetical or numeric", "NL002", "a name must follow `&` or `*`", "quote the text where `*` or `&` is meant as it is"),
    ("could not find expected ':'", "NL002", "this line has no `:`", "write `key: value`, and indent what continues a value"),
    ("block sequence entries are not allowed", "NL002", "a list item cannot stand here", "begin the `- ` on a line of its own"),
    ("sequence entries are not allowed", "NL002", "a list item cannot stand here", "begin the `- ` on a line of its own"),
    ("mapping keys are not allowed", "NL002", "a `? ` key cannot stand here", "quote the text"),
    ("'-' indicator", "NL002", "this line is no list item, but the lines above are", "begin it with `- `, or align it with a key"),
    ("comment or line break", "NL002", "text stands behind `|` or `>`", "begin the text on the next line, indented"),
    ("chomping or indentation", "NL002", "text stands behind `|` or `>`", "begin the text on the next line, indented"),
    ("document start", "NL010", "text follows the end of the document", "keep one document in a file"),
    ("expected key", "NL002", "this line does not fit the lines above", "indent it as the key beside which it belongs, as `key: value`"),
    ("<block end>", "NL002", "this line does not fit the lines above", "indent it as the key beside which it belongs, as `key: value`"),
    ("node content", "NL002", "a value is expected here", "quote it if it is a text"),
    ("directive", "NL002", "this `%` line is unknown", "take it out, or quote the text"),
)  # fmt: skip


def translate(error: yaml.MarkedYAMLError, source: Source, flow: int | None, last: Scalar | None) -> Diagnostic:
    """The diagnostic of a syntax error; `flow` is where the innermost open bracket stands, `last` the scalar read last."""
    problem = error.problem or ""
    if "<block end>" in problem and "collection" in (error.context or ""):
        problem = "did not find expected '-' indicator"
    mark = error.problem_mark or error.context_mark
    place = min(mark.index, len(source.text)) if mark is not None else 0
    at = Span(source, place, min(place + 1, len(source.text)))
    character = at.text
    if is_tab(source, place, problem):
        tab = source.text.find("\t", source.text.rfind("\n", 0, place) + 1)
        return Diagnostic("NL008", "a tab indents this line", Label(Span(source, tab, tab + 1)), help="indent with spaces")
    if flow is not None and "',' or" in problem:
        return flow_error(source, at, flow, last)
    if "mapping values are not allowed" in problem:
        return colon_error(source, at)
    if "cannot start any token" in problem:
        sign = "a backtick" if character == "`" else show(character)
        return Diagnostic("NL002", f"{sign} cannot begin a value", Label(at), help="quote the value")
    if error.context_mark is not None and "unexpected end of stream" in problem:
        at = Span(source, error.context_mark.index, min(error.context_mark.index + 1, len(source.text)))
    before = source.text[:place].rstrip(" ")[-1:]
    is_misfit = "expected key" in problem or "<block end>" in problem
    if is_misfit and before in ("'", '"') and last is not None and last.style in ("single", "double"):
        help = "put the whole value in quotes of the other kind: `'\"a\" + b'`"
        return Diagnostic("NL002", "text follows the quoted text", Label(at), help=help)
    for words, code, message, help in PROBLEMS:
        if words in problem:
            return Diagnostic(code, message, Label(at), help=help)
    return Diagnostic("NL002", f"this is not YAML: {problem}", Label(at), help="quote the value")


def is_tab(source: Source, place: int, problem: str) -> bool:
    """Whether the trouble is a tab in the indentation of its line."""
    if "tab character" in problem:
        return True
    begin = source.text.rfind("\n", 0, place) + 1
    indentation = re.compile(r"[ \t]*").match(source.text, begin)
    return indentation is not None and "\t" in indentation.group()


def flow_error(source: Source, at: Span, flow: int, last: Scalar | None) -> Diagnostic:
    """Inside `[…]` or `{…}`: an expression with brackets of its own, a second `:`, or a bracket that is never closed."""
    opening = Span(source, flow, flow + 1)
    before = source.text[max(at.start - 1, 0) : at.start]
    if at.text in ("[", "{") and before and (before.isalnum() or before in "_'\"([)]"):
        message = f"a `{at.text}` ends the value before it: it stands inside `{opening.text}`"
        return Diagnostic(CODE, message, Label(at), (Label(opening, "opened here"),), help=HELP)
    if last is not None and last.style == "plain" and unbalanced(last.value)[1] and at.text:
        message = f"a `{at.text}` ends the value behind {show(last.value)}"
        return Diagnostic(CODE, message, Label(at), (Label(opening, "opened here"),), help=HELP)
    if at.text == ":" and "\n" not in source.text[flow : at.start]:
        return Diagnostic("NL002", "a second `:` stands in one entry", Label(at), help="quote the value, or put a `,` between the entries")
    closing = "]" if opening.text == "[" else "}"
    also = () if at.start == at.end else (Label(at, f"a `,` or `{closing}` is expected here"),)
    return Diagnostic("NL002", f"`{opening.text}` is never closed", Label(opening), also, help=f"add a `{closing}`")


def colon_error(source: Source, at: Span) -> Diagnostic:
    """A `: ` where no key can stand: inside an expression, a second one in a line, or on a line indented too deep."""
    begin = source.text.rfind("\n", 0, at.start) + 1
    line = source.text[begin : at.start]
    first = line.find(": ")
    if first >= 0:
        value = line[first + 2 :].strip()
        if unbalanced(value)[1]:
            return Diagnostic(CODE, f"a `: ` ends the value behind {show(value)}", Label(at), help=HELP)
        key = Span(source, begin + first, begin + first + 1)
        help = "quote the value, or put the inner mapping on lines of its own"
        return Diagnostic("NL002", "a second `: ` stands in one line", Label(at), (Label(key),), help=help)
    word = line.strip()
    span = Span(source, at.start - len(line.lstrip()), at.start) if word else at
    help = "the line above has a value already, or no `:`; align the keys of one mapping"
    return Diagnostic("NL002", f"the key {show(word)} cannot stand here", Label(span), help=help)
