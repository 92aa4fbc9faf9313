"""Small files that ask for much are refused; with many mistakes, time grows with their number (a measurement, not by default)."""

from __future__ import annotations

import time

import pytest

from compiler.front.checked import check
from compiler.ir.graph import owned_parameters
from compiler.source import Source

HEAD = "netlang: 1\nnetworks:\n  net:\n    inputs: {x: [N, 8]}\n    layers:\n"


def blocks(last: int, body: str) -> str:
    """Blocks `b0` to `b<last>`, each made of the one before, and a network of the last."""
    made = "".join(f"  b{i}(C):\n    layers:\n      - {body.format(i - 1)}\n" for i in range(1, last + 1))
    return (
        f"netlang: 1\nblocks:\n  b0(C):\n    layers: [relu]\n{made}networks:\n  net:\n    inputs: {{x: [N, 8]}}\n    layers: [b{last}(1)]\n"
    )


def chain(length: int) -> str:
    calls = "".join(f"  n{i}:\n    inputs: {{x: [N, 8]}}\n    layers: [n{i + 1}]\n" for i in range(length))
    return f"netlang: 1\nnetworks:\n{calls}  n{length}:\n    inputs: {{x: [N, 8]}}\n    layers: [relu]\n"


BOMBS = {
    "copies of copies": HEAD + "      a: repeat(10000, repeat(10000, relu))\n",
    "blocks of copies": blocks(4, "repeat(10000, b{}(C))"),
    "a tree of different blocks": blocks(25, "x -> b{0}(2 * C) -> b{0}(2 * C + 1)"),
    "a tree of equal blocks": blocks(25, "x -> b{0}(C) -> b{0}(C)"),
    "a long chain of networks": chain(3000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_that_asks_for_too_much_is_refused(name: str) -> None:
    checked = check(Source("spec.yaml", BOMBS[name]))
    assert {item.code for item in checked.diagnostics} == {"NL150"}


@pytest.mark.bench
@pytest.mark.parametrize("entry", ["rleu(3)", "x + y{0}", "x -> linear(8, bais=true)", "x + 1", "x -> rleu{0}"])
def test_many_mistakes_take_linear_time(entry: str) -> None:
    def seconds(count: int) -> float:
        text = HEAD + "".join(f"      e{i}: {entry.format(i)}\n" for i in range(count))
        start = time.process_time()
        assert len(check(Source("spec.yaml", text)).diagnostics) >= count - 1
        return time.process_time() - start

    seconds(100)
    assert seconds(4000) < 8 * seconds(1000) + 0.5


def test_rules_of_init_from_the_most_specific_to_the_least() -> None:
    layers = "      a: conv(4, 3)\n      b: conv(4, 3)\n      out: flatten -> linear(2)\n"
    rules = "    init: {weight: zeros, conv.weight: ones, b.weight: constant(2)}\n"
    text = HEAD.replace("[N, 8]", "[N, 1, 8, 8]") + layers + rules
    checked = check(Source("spec.yaml", text)).require()
    inits = {key: str(item.init) for key, item in owned_parameters(checked.networks["net"]) if key.endswith("weight")}
    assert checked.diagnostics == ()
    assert list(inits) == ["a.weight", "b.weight", "out.weight"]
    assert [name.split("(")[0] for name in inits.values()] == ["Ones", "Constant", "Zeros"]
