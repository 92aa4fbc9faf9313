"""The parse table of expressions: made from grammar.lark by Lark, kept beside it as JSON, read back by the parser.

Making the table takes Lark 70 ms in a fresh process, reading it 1 ms, so Lark is needed only where the grammar is changed:
`python -m compiler.front.grammar` writes the file, and a test compares the two.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, final

HERE: Final = Path(__file__).parent
END: Final = "$END"


@final
@dataclass(frozen=True, eq=False)
class Rule:
    """`size` symbols become one `origin`; `builder` names the function that makes the node, None hands on the only child."""

    origin: str
    size: int
    builder: str | None


@final
@dataclass(frozen=True, eq=False)
class Grammar:
    """`actions[state][terminal]` is the state to shift to, or `~rule` to reduce; `gotos[state][origin]` a state."""

    actions: tuple[dict[str, int], ...]
    gotos: tuple[dict[str, int], ...]
    rules: tuple[Rule, ...]
    start: int
    end: int
    patterns: tuple[tuple[str, str], ...]
    words: dict[str, str]


def make_table() -> dict[str, Any]:
    """Build the table with Lark, in the form of the JSON file; raises on any conflict between two rules."""
    import lark  # needed only when the grammar changes

    parser = lark.Lark((HERE / "grammar.lark").read_text(encoding="utf-8"), parser="lalr", lexer="basic", keep_all_tokens=True)
    table = parser.parser.parser._parse_table
    order = number_states(table)
    rules = {rule: number for number, rule in enumerate(parser.rules)}
    origins = {rule.origin.name for rule in parser.rules}
    actions: list[dict[str, int]] = [{} for _ in order]
    gotos: list[dict[str, int]] = [{} for _ in order]
    for state, number in order.items():
        for symbol, (action, target) in sorted(table.states[state].items()):
            if str(action) == "Reduce":
                actions[number][symbol] = ~rules[target]
            else:
                (gotos if symbol in origins else actions)[number][symbol] = order[target]
    words = {term.pattern.value: term.name for term in parser.terminals if term.pattern.value.isalpha()}
    return {
        "actions": actions,
        "gotos": gotos,
        "rules": [[str(rule.origin.name), len(rule.expansion), rule.alias] for rule in rules],
        "start": order[table.start_states["start"]],
        "end": order[table.end_states["start"]],
        "patterns": [[term.name, term.pattern.to_regexp()] for term in parser.terminals if term.name not in words.values()],
        "words": words,
    }


def number_states(table: Any) -> dict[int, int]:
    """Number the states as they are reached from the start: Lark's own numbers change with the hash seed."""
    order = {table.start_states["start"]: 0}
    for state in (queue := list(order)):
        for _, (action, target) in sorted(table.states[state].items(), key=lambda entry: str(entry[0])):
            if str(action) != "Reduce" and target not in order:
                order[target] = len(order)
                queue.append(target)
    return order


@cache
def load_grammar() -> Grammar:
    """Read the table once a process."""
    table = json.loads((HERE / "grammar.json").read_text(encoding="utf-8"))
    return Grammar(
        actions=tuple(table["actions"]),
        gotos=tuple(table["gotos"]),
        rules=tuple(Rule(*rule) for rule in table["rules"]),
        start=table["start"],
        end=table["end"],
        patterns=tuple((name, pattern) for name, pattern in table["patterns"]),
        words=table["words"],
    )


def write_table() -> None:
    """Write grammar.json, one state or rule a line."""
    table = make_table()
    lines = []
    for key, value in table.items():
        if isinstance(value, list):
            body = ",\n".join(json.dumps(item, separators=(",", ":")) for item in value)
            lines.append(f'"{key}": [\n{body}\n]')
        else:
            lines.append(f'"{key}": {json.dumps(value, separators=(",", ":"))}')
    (HERE / "grammar.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    write_table()
