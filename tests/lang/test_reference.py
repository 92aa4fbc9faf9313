"""The language reference, executed: every YAML block of the chapters beside this file is checked as the reader would check it.

The word behind ```yaml says what surrounds a block (see `wrap`); errors and warnings are those that its marks tell (marks.py),
and no others. A block ```parameters lists the parameters of the spec above it, a block ```message is what is shown for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import final

import pytest

from compiler.diagnostics.codes import CODES
from compiler.diagnostics.render import render_text
from compiler.front.checked import Checked, check
from compiler.ir.graph import owned_parameters
from compiler.source import Source
from netlang.data import READERS
from tests.lang.marks import assert_marked, settings_of

FOLDER = Path(__file__).parent
CHAPTERS = sorted(FOLDER.glob("*.md"))
FENCE = re.compile(r"^```(?P<words>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
MENTIONED = re.compile(r"\bNL\d{3}\b")

NETWORK = "networks:\n  net:\n    inputs: {{{inputs}}}\n    layers:\n"
PROGRAM = """\
netlang: 1
networks:
  net:
    inputs: {image: [N, 1, 8, 8]}
    layers: {logits: flatten -> linear(10)}
data:
  train: digits(split=train)
  test: digits(split=test)
"""


def wrap(kind: str, inputs: str, text: str) -> str:
    """The whole spec: entries of the network `net`, the program of `net` on digits, or what lacks at most its first line."""
    if kind == "layers":
        return "netlang: 1\n" + NETWORK.format(inputs=inputs or "x: [N, 3, 32, 32]") + indent(text, "      ")
    if kind == "train":
        return PROGRAM + text
    return text if text.startswith(("netlang:", "# set")) else f"netlang: 1\n{text}"


@final
@dataclass(frozen=True)
class Block:
    """A fenced block: its words behind the fence, its text, and the line it begins in."""

    chapter: Path
    line: int
    words: str
    text: str

    def __str__(self) -> str:
        return f"{self.chapter.stem}:{self.line}"

    @property
    def spec(self) -> str:
        """The whole spec of a YAML block."""
        _, _, words = self.words.partition(" ")
        kind, _, rest = words.partition(" ")
        return wrap(kind, rest, self.text)

    def check(self) -> Checked:
        return check(Source("spec.yaml", self.spec), readers=READERS, overrides=settings_of(self.text))


def blocks_of(chapter: Path) -> list[Block]:
    text = chapter.read_text(encoding="utf-8")
    return [Block(chapter, text.count("\n", 0, found.start()) + 1, found["words"], found["text"]) for found in FENCE.finditer(text)]


BLOCKS = [block for chapter in CHAPTERS for block in blocks_of(chapter)]
SPECS = [block for block in BLOCKS if block.words.split()[:1] == ["yaml"]]


def above(block: Block) -> Block:
    """The spec that a block of results belongs to."""
    return next(item for item in reversed(SPECS) if item.chapter == block.chapter and item.line < block.line)


def test_every_block_is_of_a_known_kind() -> None:
    assert len(SPECS) > 40
    assert {block.words.split(" ")[0] for block in BLOCKS} <= {"yaml", "parameters", "message", "sh", "python"}


@pytest.mark.parametrize("block", SPECS, ids=str)
def test_a_spec_of_the_reference_checks_as_it_says(block: Block) -> None:
    assert_marked("spec.yaml", block.spec, block.check().diagnostics)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.words == "parameters"], ids=str)
def test_parameters_are_called_as_the_reference_says(block: Block) -> None:
    checked = above(block).check().require()
    assert [key for graph in checked.networks.values() for key, _ in owned_parameters(graph)] == block.text.split()


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.words == "message"], ids=str)
def test_a_message_reads_as_the_reference_shows(block: Block) -> None:
    assert render_text(above(block).check().diagnostics) == block.text


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_every_code_the_reference_mentions_exists(chapter: Path) -> None:
    assert set(MENTIONED.findall(chapter.read_text(encoding="utf-8"))) <= set(CODES)
