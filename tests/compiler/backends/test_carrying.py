"""Which results share a variable: read by the next statement alone, several in a row, under a name nobody needs later."""

from __future__ import annotations

from compiler.backends.carrying import MARK, Statement, carry, strip


def lines(*texts: str, last: str, inputs: tuple[str, ...] = ("image",), taken: tuple[str, ...] = ("image",)) -> list[str]:
    """`a = f(image)` with words in capitals marked as variables, after carrying."""

    def mark(text: str) -> str:
        return "".join(part + MARK if part.isalpha() and part.isupper() else part for part in split(text))

    statements = []
    for text in texts:
        targets, code = text.split(" = ")
        statements.append(Statement(tuple(item + MARK for item in targets.split(", ")), mark(code)))
    made, end = carry(statements, mark(last), [name.upper() + MARK for name in inputs], [name.upper() for name in taken])
    return [f"{', '.join(item.targets)} = {item.text}" for item in made] + [f"return {end}"]


def split(text: str) -> list[str]:
    parts, word = [], ""
    for letter in text:
        if letter.isalpha():
            word += letter
        else:
            parts += [word, letter]
            word = ""
    return [*parts, word]


def test_a_chain_is_one_variable() -> None:
    assert lines("A = f(IMAGE)", "B = g(A)", last="h(B)") == ["x = f(IMAGE)", "x = g(x)", "return h(x)"]


def test_what_is_read_later_keeps_its_name() -> None:
    made = lines("A = f(IMAGE)", "B = g(A)", "C = g(B)", "D = h(C)", last="D + A")
    assert made == ["A = f(IMAGE)", "x = g(A)", "x = g(x)", "x = h(x)", "return x + A"]


def test_one_alone_keeps_its_name() -> None:
    assert lines("A = f(IMAGE)", last="A + IMAGE") == ["A = f(IMAGE)", "return A + IMAGE"]


def test_an_entry_that_is_assigned_again_is_judged_piece_by_piece() -> None:
    made = lines("A = f(IMAGE)", "A = g(A)", "B = h(A)", last="A + B")
    assert made == ["A = f(IMAGE)", "A = g(A)", "B = h(A)", "return A + B"]


def test_several_results_are_not_carried() -> None:
    made = lines("A, B = f(IMAGE)", "C = g(A)", "D = h(C)", last="D")
    assert made == ["A, B = f(IMAGE)", "x = g(A)", "x = h(x)", "return x"]


def test_an_input_called_x_lends_its_name_when_nobody_reads_it_later() -> None:
    statements = [Statement((f"a{MARK}",), f"f(x{MARK}, x=1)"), Statement((f"b{MARK}",), f"g(a{MARK})")]
    made, last = carry(statements, f"b{MARK}", [f"x{MARK}"], ["x"])
    assert [(item.targets, item.text) for item in made] == [(("x",), "f(x, x=1)"), (("x",), "g(x)")]
    assert last == "x"
    kept, last = carry(statements, f"b{MARK} + x{MARK}", [f"x{MARK}"], ["x"])
    assert [(item.targets, item.text) for item in kept] == [(("y",), "f(x, x=1)"), (("y",), "g(y)")]
    assert last == "y + x"


def test_without_a_free_name_all_keep_theirs() -> None:
    statements = [Statement((f"a{MARK}",), "f()"), Statement((f"b{MARK}",), f"g(a{MARK})")]
    assert carry(statements, f"b{MARK}", [], ["x", "y", "h"]) == strip(statements, f"b{MARK}")


def test_the_comment_names_the_entry_that_the_statement_does_not_show() -> None:
    statements = [
        Statement((f"c1{MARK}",), f"self.c1(image{MARK})", ("# [", "N", "]"), "c1"),
        Statement((f"s2{MARK}",), f"pool(c1{MARK})", ("# [", "N", "]"), "s2"),
    ]
    made, _ = carry(statements, f"f(s2{MARK})", [], [])
    assert ["".join(map(str, item.comment)) for item in made] == ["# [N]", "# s2 [N]"]
