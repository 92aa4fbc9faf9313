"""Places inside scalars: every character of a value is where `locate` says, whatever the style."""

from __future__ import annotations

import string

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from compiler.diagnostics.record import SpecError
from compiler.front.tree import Mapping, Scalar
from compiler.front.yaml import read_tree
from compiler.source import Source

WORDS = st.text(alphabet="abé漢😀.()+", min_size=1, max_size=4)
LINE = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
ENDS = st.sampled_from(["\n", "\r\n"])


def scalar_of(text: str) -> Scalar:
    node = read_tree(Source("spec.yaml", text)).get("key")
    assert isinstance(node, Scalar)
    return node


def check_places(scalar: Scalar) -> None:
    before = scalar.span.start
    for offset, character in enumerate(scalar.value):
        span = scalar.locate(offset, offset + 1)
        assert before <= span.start <= span.end
        before = span.end
        found = span.text
        if character not in " \n":
            assert found == character or (scalar.style == "single" and found == "''") or found.startswith("\\"), (offset, character)
        else:
            assert found in (character, "\n", "\\n", "\\x20"), (offset, character)


@st.composite
def blocks(draw: st.DrawFn) -> str:
    """A block scalar with blank lines, deeper lines, chomping, and an indentation that may be told."""
    outer = draw(st.integers(0, 3))
    indent = draw(st.integers(1, 4))
    indicator = draw(st.sampled_from(["", str(indent)]))
    header = draw(st.sampled_from("|>")) + indicator + draw(st.sampled_from(["", "+", "-"])) + draw(st.sampled_from(["", " # note"]))
    lines = draw(st.lists(st.tuples(st.integers(0, 3), st.one_of(st.just(""), LINE)), min_size=1, max_size=6))
    assume(any(text for _, text in lines))
    if not indicator:
        first = next(position for position, (_, text) in enumerate(lines) if text)
        lines = [(0 if position <= first else extra, text) for position, (extra, text) in enumerate(lines)]
    end = draw(ENDS)
    inner = " " * (outer + indent)
    body = "".join((inner + " " * extra + text if text else "") + end for extra, text in lines)
    if outer:
        return f"top:{end}{' ' * outer}key: {header}{end}{body}{' ' * outer}next: 1{end}"
    return f"key: {header}{end}{body}next: 1{end}"


def find_key(text: str) -> Scalar:
    tree = read_tree(Source("spec.yaml", text))
    inner = tree.get("top")
    node = (inner if isinstance(inner, Mapping) else tree).get("key")
    assert isinstance(node, Scalar)
    return node


@settings(max_examples=300, deadline=None)
@given(blocks())
def test_block_scalars(text: str) -> None:
    scalar = find_key(text)
    assert len(scalar.offsets[0]) == len(scalar.value)
    check_places(scalar)


@st.composite
def quoted(draw: st.DrawFn) -> str:
    quote = draw(st.sampled_from(['"', "'", ""]))
    special = {'"': ["\\n", "\\x41", "\\u6f22", "\\U0001F600", '\\"', "\\\\", "\\\n  ", "\\\n\n "], "'": ["''", "\\"], "": []}[quote]
    word = st.one_of(WORDS, st.sampled_from(special)) if special else WORDS
    gap = st.sampled_from([" ", "  ", "\n  ", " \n  ", "\n\n  ", "\n  \n\n   ", "\r\n  "])
    parts = draw(st.lists(st.tuples(word, gap), min_size=1, max_size=6))
    body = "".join(part + space for part, space in parts[:-1]) + parts[-1][0]
    return f"key: {quote}{body}{quote}\n"


@settings(max_examples=300, deadline=None)
@given(quoted())
def test_quoted_and_plain_scalars(text: str) -> None:
    try:
        scalar = scalar_of(text)
    except SpecError:
        assume(False)
    assert scalar.is_verbatim or len(scalar.offsets[0]) == len(scalar.value)
    check_places(scalar)


@pytest.mark.parametrize(
    ("text", "part", "found"),
    [
        ("key: a + b -> c\n", "b", "b"),
        ("key: &anchor a + b\n", "b", "b"),
        ("key: 'it''s b'\n", "'s b", "''s b"),
        ('key: "a\\tb c"\n', "b c", "b c"),
        ("key: a\n  + b\n", "+ b", "+ b"),
        ("key: >-\n  a\n  + b\n", "+ b", "+ b"),
        ("key: |\n    a\n      + b\n", "+ b", "+ b"),
        ("key: a\n  + b\n", "a + b", "a\n  + b"),
    ],
)
def test_parts(text: str, part: str, found: str) -> None:
    scalar = scalar_of(text)
    start = scalar.value.index(part)
    assert scalar.locate(start, start + len(part)).text == found


def test_places_at_the_end_and_outside() -> None:
    for text in ("key: ab\n", "key: 'ab'\n", "key: |\n  ab\n"):
        scalar = scalar_of(text)
        end = scalar.locate(len(scalar.value), len(scalar.value))
        assert end.start == end.end
        assert scalar.span.start <= end.start <= len(text)
        assert scalar.locate(500, 900).start <= len(text)
    assert scalar_of("key: ''\n").locate(0, 0).text == "''"


def test_alphabet_of_keys() -> None:
    assert scalar_of("key: " + string.ascii_letters).value == string.ascii_letters
