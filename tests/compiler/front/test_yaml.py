"""Reading YAML: the tree, every message, and the guards A2 and A5."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import pytest
import yaml

from compiler.diagnostics.record import Diagnostic, SpecError
from compiler.diagnostics.render import render_text
from compiler.front.tree import Mapping, Scalar, Sequence
from compiler.front.yaml import read_tree
from compiler.source import Source

MISTAKES = [
    "a: 'b", 'a: "b', 'a: "\\q"', 'a: "\\xZZ"', "a: @b", "a: `b`", "a: %b", "a: *", "a: *x", "a: ]", "a: 1\n]", "a: [1, 2", "a: {x: 1",
    "a: [1, 2\nb: 3\n",
    "a: 1\n b: 2", "a\nb: c", "a: b: c", "a:\n  b: 1\n c: 2", "- a\nb: c", "a: b\nc: - d", "a: ? b", "a: |x\n b", 'a: "x" + y',
    "a: {x: y: z}",
    "a: 1\nb: 2\na: 3", "a: {b: 1, b: 2}", "a: !!python/object:os.system x", "a: !x [1]", "a: !x!y 1", "<<: 1\nb: 2", "a: &x [*x]",
    "a: &x {b: {c: *x}}",
    "a: {x: conv(6, 5), y: relu}", "a: [conv(6, 5) -> tanh, relu]", 'a: {s: f("p, q"), t: 1}', "a: {x: y[3]}", "a: [x[1: 2]]",
    "a: {x: f(1, 2)[3]}",
    "a: x[b: c]", "a:\n  - x[a: b]", "a: conv(x, #3\nb: 1", 'a: text("no #1")',
    "a:\n\tb: 1", "a: b\n\tc: 1", "\ta: b", "", "# nothing\n", "---\n", "a: 1\n---\nb: 2", "a: 1\n...\nb", "? [a]\n: 1", "? {a: 1}\n: 1",
    ": x", "a: {: 1}", "'': 1",
    "- 1", "some words", 'a: "\\0"', 'a: "\\e[31m"', "é: 😀\n漢: [1, x: y: z]",
    "a: 1\na: 2\nb: {c: f(1, 2)}\n<<: 3\nd: !t 1\n",
]  # fmt: skip


def mistakes(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(SpecError) as caught:
        read_tree(Source("spec.yaml", text))
    assert caught.value.diagnostics
    return caught.value.diagnostics


def test_messages(golden: Callable[[str, str], None]) -> None:
    golden("yaml_messages", "\n".join(f"{text!r}\n{render_text(mistakes(text))}" for text in MISTAKES))


def test_parser_in_pure_python_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [[(item.code, item.message) for item in mistakes(text)] for text in MISTAKES]
    monkeypatch.delattr(yaml, "CSafeLoader")
    found = [[(item.code, item.message) for item in mistakes(text)] for text in MISTAKES]
    different = [text for text, first, second in zip(MISTAKES, expected, found, strict=True) if first != second]
    assert different == []


def test_positions_lie_in_the_file() -> None:
    for text in MISTAKES:
        for item in mistakes(text):
            assert item.span is not None
            assert 0 <= item.span.start <= item.span.end <= len(text)


def test_tree() -> None:
    text = "é: &k one\r\nb: [1, *k, {c: 'x''y'}]\nd: |\n  two\n  lines\n\ne:\n"
    tree = read_tree(Source("spec.yaml", text))
    assert [pair.key.value for pair in tree.pairs] == ["é", "b", "d", "e"]
    first = tree.get("é")
    assert isinstance(first, Scalar)
    assert first.span.text == "one"
    items = tree.get("b")
    assert isinstance(items, Sequence)
    assert items.span.text == "[1, *k, {c: 'x''y'}]"
    assert items.items[1] is first
    assert isinstance(items.items[2], Mapping)
    quoted = items.items[2].get("c")
    assert isinstance(quoted, Scalar)
    assert (quoted.value, quoted.style, quoted.span.text) == ("x'y", "single", "'x''y'")
    block = tree.get("d")
    assert isinstance(block, Scalar)
    assert (block.value, block.style, block.span.text) == ("two\nlines\n", "literal", "|\n  two\n  lines")
    missing = tree.get("e")
    assert isinstance(missing, Scalar)
    assert missing.is_missing
    assert tree.get("f") is None


@pytest.mark.parametrize(
    "text",
    [
        "layers:\n  c1: conv(6, 5, pad=2) -> tanh\n  out: x[:, 0] + x[..., 1:2]\n",
        "shape: {image: [N, 3, 2*(H//2)], z: [N, min(a)]}\n",
        "doc: a smile :( and (unfinished\n",
        "residual(C, stride=1):\n  W_i, W_f: [H, D]\n  c': f * c\n",
        "'quoted: [': 'f(1, #2'\n",
        "%YAML 1.2\n---\na: 1\n",
    ],
)
def test_honest_specs_pass(text: str) -> None:
    read_tree(Source("spec.yaml", text))


LETTERS = "abcdefghijk"
BOMB = "a: &a [" + ",".join("x" * 10) + "]\n"
BOMB += "".join(f"{now}: &{now} [{','.join([f'*{before}'] * 10)}]\n" for before, now in pairwise(LETTERS))
BOMBS = {
    "aliases": BOMB,
    "brackets": "a: " + "[" * 400_000,
    "braces": "a: " + "{a: " * 200_000,
    "dashes": "- " * 400_000,
    "indented": "".join(" " * depth + "a:\n" for depth in range(1400)),
    "long plain": "a: " + "x" * 1_000_000,
    "long digits": "a: " + "1" * 1_000_000,
    "long quoted": 'a: "' + "x" * 1_000_000 + '"',
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(name: str) -> None:
    read_tree(Source("spec.yaml", "a: 1"))
    began = time.process_time()
    found = mistakes(BOMBS[name])
    assert time.process_time() - began < 0.1
    assert [item.code for item in found] == ["NL006"]


def test_depth_limit_is_exact() -> None:
    read_tree(Source("spec.yaml", "a: " + "[" * 63 + "]" * 63))
    assert mistakes("a: " + "[" * 64 + "]" * 64)[0].code == "NL006"


def test_alias_limit_counts_amplification_only() -> None:
    read_tree(Source("spec.yaml", "b: &b {x: 1}\n" + "".join(f"l{number}: *b\n" for number in range(2000))))
    read_tree(Source("spec.yaml", "".join(f"k{number}: {number}\n" for number in range(60_000))))
    shared = "b: &b [" + ",".join("x" * 999) + "]\n"
    read_tree(Source("spec.yaml", shared + "c: [" + ",".join(["*b"] * 100) + "]"))
    assert mistakes(shared + "c: [" + ",".join(["*b"] * 101) + "]")[0].code == "NL006"


def test_ten_thousand_entries() -> None:
    tree = read_tree(Source("spec.yaml", "".join(f"l{number}: l{number - 1} -> conv(64, 3, pad=1) -> relu\n" for number in range(10_000))))
    assert len(tree.pairs) == 10_000


def test_many_mistakes_end_the_reading() -> None:
    assert len(mistakes("a: 1\n" * 1000)) == 100
