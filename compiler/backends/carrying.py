"""Lets a result that only the next statement reads be called `x`, like the one before it: what nobody reads again is given back.

While statements are made, every variable ends in MARK, so that it is told from attributes, keywords and strings. Statements
run in order and have no effect but their targets.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, final

from compiler.backends.pieces import Pieces

MARK: Final = "\u01c0"
"""A letter that no spec can use in a name."""
VARIABLE: Final = re.compile(rf"\w+{MARK}")
CARRIERS: Final = ("x", "y", "h")


@final
@dataclass(frozen=True, slots=True)
class Statement:
    """`targets = text`, variables marked; `entry` is what the spec calls the result, where it has a name there."""

    targets: tuple[str, ...]
    text: str
    comment: Pieces = ()
    entry: str = ""


def plain(text: str) -> str:
    return text.replace(MARK, "")


def strip(statements: Sequence[Statement], last: str) -> tuple[list[Statement], str]:
    """The statements and the returned text, unmarked."""
    return _name(statements, last, set(), "")


def carry(statements: Sequence[Statement], last: str, inputs: Collection[str], taken: Collection[str]) -> tuple[list[Statement], str]:
    """As `strip`, with one variable for results that only the next statement reads, where two or more follow each other.

    `inputs` are marked; `taken` are names of the function that the variable cannot have, but for an input nobody reads later.
    """
    texts = [*(item.text for item in statements), last]
    single = {index for index in range(len(statements)) if _is_carried(statements, texts, index)}
    carried = {index for index in single if not single.isdisjoint((index - 1, index + 1))}
    carrier = _choose(min(carried), texts, inputs, taken) if carried else None
    return strip(statements, last) if carrier is None else _name(statements, last, carried, carrier)


def _name(statements: Sequence[Statement], last: str, carried: Collection[int], carrier: str) -> tuple[list[Statement], str]:
    names: dict[str, str] = {}
    made = []
    for index, item in enumerate(statements):
        text = _rename(item.text, names)
        names.update((target, carrier if index in carried else plain(target)) for target in item.targets)
        comment = _name_entry(item, text) if index in carried else item.comment
        made.append(Statement(tuple(names[target] for target in item.targets), text, comment))
    return made, _rename(last, names)


def _is_carried(statements: Sequence[Statement], texts: Sequence[str], index: int) -> bool:
    """Whether the one target of a statement is read by the next statement and by no other."""
    if len(statements[index].targets) != 1:
        return False
    (target,) = statements[index].targets
    readers = []
    for later in range(index + 1, len(texts)):
        if target in VARIABLE.findall(texts[later]):
            readers.append(later)
        if later < len(statements) and target in statements[later].targets:
            break
    return readers == [index + 1]


def _choose(first: int, texts: Sequence[str], inputs: Collection[str], taken: Collection[str]) -> str | None:
    """A name that is free, or an input's that is not read after the first carried statement."""
    later = {name for text in texts[first + 1 :] for name in VARIABLE.findall(text)}
    for name in CARRIERS:
        if name not in taken or (name + MARK in inputs and name + MARK not in later):
            return name
    return None


def _rename(text: str, names: dict[str, str]) -> str:
    return VARIABLE.sub(lambda match: names.get(match[0], plain(match[0])), text)


def _name_entry(statement: Statement, text: str) -> Pieces:
    """The comment with the entry's name before the shape, where the statement does not show it."""
    if not statement.comment or not statement.entry or re.search(rf"\.{re.escape(statement.entry)}\b", text):
        return statement.comment
    first, *rest = statement.comment
    return (str(first).replace("# ", f"# {statement.entry} ", 1), *rest)
