"""Draws specs from the grammar of the language, valid ones and hostile ones, and spoils them as typing does."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, final

from hypothesis import strategies as st

from compiler.front.binding import choices_of
from compiler.ir.initializers import INITIALIZERS
from compiler.ir.signature import Signature, signature_of
from compiler.ir.training import OPTIMIZERS, SCHEDULES
from compiler.ops import OPS
from netlang.data import READERS

Item = TypeVar("Item")
Draw = Callable[[st.SearchStrategy[Any]], Any]

HOSTILE: Final = (
    "0", "-1", "-9223372036854775808", "9223372036854775807", "9223372036854775808", "2147483647", "2147483648", "4611686018427387904",
    f"1{'0' * 30}", "1e308", "1e309", "-1e-320", "0.0", "true", '""', '"\\n"', "[]", "[[]]", "[1, [2]]", "9 ** 64", "-(2 ** 63)",
    "2 ** 62", "1 // 0", "1 % 0", "0 ** -1", "(-8) ** 0.5", "1 / 3", "x", "N", "None", "relu", "-N", "N ** 8", "H // 0", "5 // N",
)  # fmt: skip
SHAPES: Final = (
    "[N, 8]", "[N, 3, 8, 8]", "[N, 3, H, W]", "[N, 6, 16*H, 16]", "[N, T, 8]", '"i64[N, T]"', '"i64[N]"', '"bool[N, 8]"', "[8]", '"f32"',
    "[N, 4, 4, 4, 4]", "[2*H + 1, H]", "[N, 2147483647]", "[N, H*W]", "[N, 1, 8, 8]", "[N, 2]", "[N, 8, 2]",
)  # fmt: skip
SIGNS: Final = (
    *"()[]{},:;->+*/@%=.'\"#&|!?<>\\^~`$ \n\t", ": ", " #", "->", "**", "//", "- ", "\n  ", "...", "é", "漢", "\u202e", "\0",
)  # fmt: skip
NAMED: Final = tuple(name for name, op in sorted(OPS.items()) if not op.internal)
EASY: Final = (
    *(
        name for name, op in sorted(OPS.items())
        if op.operands == ("x",) and op.family in ("elementwise", "activation") and "logical" not in name
        and not any(item.required for item in signature_of(op).attributes)
    ),
    "linear(8)", "linear(4, bias=false)", "conv(4, 3, pad=1)", "conv(2, 1) -> batch_norm -> relu", "max_pool(2)", "flatten -> linear(8)",
)  # fmt: skip
"""Stages that need nothing but what comes down the pipeline."""
TOKEN: Final = re.compile(r"\w+|\s+|[^\w\s]")
WORDS: Final = (
    "netlang", "use", "let", "blocks", "networks", "data", "train", "assert", "inputs", "layers", "outputs", "steps", "update", "minimize",
    "with", "keys", "init", "draw", "if", "else", "and", "not", "true", "repeat", "params", "flops", "shape", "net", "x", "forward",
)  # fmt: skip


@final
@dataclass
class Writer:
    """Draws texts; `names` are tensors within reach, `functions` blocks and networks."""

    draw: Draw
    names: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    hostility: int = 0
    """Of a hundred numbers and ops, how many are not chosen to fit."""

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.draw(st.integers(0, len(items) - 1))]

    def chance(self, percent: int) -> bool:
        return bool(self.draw(st.integers(0, 99)) < percent)

    def few(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def number(self) -> str:
        if self.chance(self.hostility):
            return self.pick(HOSTILE)
        if self.constants and self.chance(15):
            return self.pick(self.constants)
        return self.pick(("1", "2", "3", "4", "8", "0.5", "1 + 1", "2 * 2", "8 // 2"))

    def odd(self) -> bool:
        """Whether to choose what may not fit."""
        return self.chance(2 * self.hostility)

    def value(self, annotation: Any) -> str:
        """A constant that an attribute of that annotation may take, or not."""
        if self.chance(self.hostility):
            return self.pick(HOSTILE)
        choices = choices_of(annotation)
        if choices and self.chance(60):
            return self.pick(choices)
        if "tuple" in str(annotation) and self.chance(40):
            return f"[{', '.join(self.number() for _ in range(self.few(0, 4)))}]"
        if annotation is bool:
            return self.pick(("true", "false", "1"))
        if annotation is not int and "float" in str(annotation) and not self.odd():
            return self.pick(("0.5", "1", "0.25", "1 / 2"))
        if annotation is str:
            return self.pick(('"a"', '"../a"', '"/dev/null"', '"\\\\"', "a", '"rows.csv"'))
        return self.number()

    def arguments(self, signature: Signature, operands: Sequence[str]) -> str:
        given: list[str] = list(operands)
        named: list[str] = []
        for attribute in signature.attributes:
            if attribute.required or self.chance(30):
                value = self.value(attribute.annotation)
                if named or not attribute.required or self.chance(20):
                    named.append(f"{attribute.name}={value}")
                else:
                    given.append(value)
        return ", ".join([*given, *named])

    def record(self, registry: dict[str, type[Any]]) -> str:
        name = self.pick(sorted(registry))
        arguments = self.arguments(signature_of(registry[name]), ())
        return f"{name}({arguments})" if arguments or self.chance(50) else name

    def stage(self, takes_incoming: bool) -> str:
        """A call of an op, a block, a network or a construct of the language."""
        if self.functions and self.chance(15):
            function = self.pick(self.functions)
            if self.odd():
                return f"{function}({self.pick(('', 'x', '2', 'C=3', 'x, x', 'relu'))})"
            return function if function in self.networks else f"{function}({self.pick(('2', '4'))})"
        if self.chance(5):
            return f"repeat({self.number() if self.odd() else self.few(0, 3)}, {self.stage(True)})"
        if takes_incoming and not self.chance(10 + self.hostility):
            return self.pick(EASY)
        op = OPS[self.pick(NAMED)]
        signature = signature_of(op)
        count = len(signature.operands) - (1 if takes_incoming else 0)
        operands = [self.operand() for _ in range(max(count, 0))]
        text = self.arguments(signature, operands)
        return f"{op.name}({text})" if text or self.chance(30) else op.name

    def operand(self) -> str:
        if self.names and not self.chance(self.hostility):
            return self.pick(self.names)
        return self.number()

    def expression(self, depth: int = 2) -> str:
        kind = self.few(0, 15)
        if kind <= 3 or kind > 9 or depth == 0:
            return self.stage(True)
        if kind == 4:
            return f"{self.operand()} {self.pick(('+', '-', '*', '/', '//', '@', '**', '%', '<', '=='))} {self.expression(depth - 1)}"
        if kind == 5:
            items = [self.pick(("...", "-1", "::2", "1:", self.number())) for _ in range(self.few(1, 4))] if self.odd() else [":", "0"]
            return f"{self.operand()}[{', '.join(items)}]"
        if kind == 6:
            return f"{self.expression(depth - 1)} if {self.number()} == {self.number()} else {self.expression(depth - 1)}"
        if kind == 7:
            return f"({self.expression(depth - 1)}, {self.expression(depth - 1)})[{self.number() if self.odd() else '0'}]"
        stages = [self.operand() if self.chance(50) else self.stage(True), *(self.stage(True) for _ in range(self.few(1, 3)))]
        return " -> ".join(stages)


@st.composite
def specs(draw: Draw, most_spoils: int = 5) -> str:
    """The text of a spec, spoilt up to `most_spoils` times."""
    text = write_spec(Writer(draw, hostility=draw(st.sampled_from((0, 0, 1, 5, 20)))))
    for _ in range(draw(st.integers(0, most_spoils))):
        text = spoil(Writer(draw), text)
    return text


def write_spec(writer: Writer) -> str:
    lines = ["netlang: 1"]
    if writer.chance(15):
        used, brought = writer.pick((("std/resnet", "residual"), ("std/conv", "double_conv"), ("std/mobile", "inverted_residual")))
        lines.append(f"use: [{used}]")
        writer.functions.append(brought)
    if writer.chance(50):
        lines.append("let:")
        for name in ("width", "depth", "ratio")[: writer.few(1, 3)]:
            lines.append(f"  {name}: {writer.number()}")
            writer.constants.append(name)
    if writer.chance(40):
        lines += ["blocks:", *write_block(writer)]
    lines.append("networks:")
    for name in ("net", "other", "third")[: writer.few(1, 3)]:
        lines += write_network(writer, name)
        writer.functions.append(name)
        writer.networks.append(name)
    if writer.chance(50):
        lines += write_program(writer)
    if writer.chance(30):
        lines.append("assert:")
        fact = writer.pick(("params(net)", "flops(net)", "shape(net(x))", "flops(net, x=[1, 8])", writer.number()))
        sides = f"{fact} {writer.pick(('==', '<', '!='))} {writer.pick((writer.number(), '[N, 8]'))}"
        lines.append(f"  - {sides if writer.odd() else 'params(net) >= 0'}")
    return "\n".join(lines) + "\n"


def write_block(writer: Writer) -> list[str]:
    writer.names = ["x"]
    inner = list(writer.constants)
    writer.constants = [*inner, "C", "stride"]
    lines = ["  block(C, stride=1):"]
    if writer.chance(50):
        lines.append(f"    inputs: {{x: {writer.pick(SHAPES)}}}")
    lines.append("    layers:")
    lines += [f"      - {quoted(writer.expression())}" for _ in range(writer.few(1, 3))]
    writer.constants = inner
    writer.functions.append("block")
    return lines


def write_network(writer: Writer, name: str) -> list[str]:
    inputs = ["x", "y"][: 1 if writer.chance(80) else 2]
    writer.names = list(inputs)
    lines = [f"  {name}:", f"    inputs: {{{', '.join(f'{item}: {writer.pick(SHAPES)}' for item in inputs)}}}", "    layers:"]
    is_list = writer.chance(20)
    for index in range(writer.few(1, 5)):
        entry = f"e{index}"
        text = f"x -> {writer.stage(True)}" if index == 0 and not writer.odd() else writer.expression()
        lines.append(f"      - {quoted(text)}" if is_list else f"      {entry}: {quoted(text)}")
        if not is_list:
            writer.names.append(entry)
    if writer.chance(10):
        shown = writer.pick(("[]", "e0 + x", "[e9]") if writer.odd() else ("x", "[x]", "{a: x, b: 2 * x}"))
        lines.append(f"    outputs: {shown}")
    if writer.chance(15):
        lines.append(f"    init: {{{writer.pick(('weight', 'conv.weight', 'e0.bias'))}: {quoted(writer.record(INITIALIZERS))}}}")
    if writer.chance(10):
        keyed = writer.pick(("e0", "e9")) if writer.odd() else "0" if is_list else "e0"
        lines.append(f"    keys: {{{keyed}: {writer.pick(('features.0', '..', 'x y'))}}}")
    return lines


def write_program(writer: Writer) -> list[str]:
    reader = writer.record(READERS) if writer.chance(2 * writer.hostility) else writer.pick(("digits", "moons(samples=8)", "adding(8)"))
    lines = [
        "data:",
        f"  train: {quoted(reader)}",
        "train:",
        f"  {writer.pick(('epochs', 'iterations'))}: {writer.number() if writer.odd() else 3}",
    ]
    if writer.odd():
        lines.append(f"  draw: {{z: {quoted(writer.pick(('normal(N, 8)', 'uniform(N)', 'normal(N, -1)', 'randint(N, high=10)')))}}}")
    fields = ("image", "label") if reader == "digits" else ("row", "target") if reader == "adding(8)" else ("point", "label")
    writer.names = [*fields, *(f"{name}({fields[0]})" for name in writer.networks)]
    if writer.chance(writer.hostility):
        writer.names += ["z", "other(net(z))", "net(z).e0"]
    lines.append("  steps:")
    for _ in range(writer.few(1, 2)):
        lines.append(f"    - update: {writer.pick((*writer.networks, '[net, other]')) if writer.odd() else 'net'}")
        objective = f"mean({writer.expression()})" if writer.chance(2 * writer.hostility) else f"mean(net({fields[0]}) ** 2)"
        lines.append(f"      {writer.pick(('minimize', 'maximize'))}: {quoted(objective)}")
        optimizer = writer.record(dict(OPTIMIZERS)) if writer.chance(70) else f"sgd(lr={writer.record(dict(SCHEDULES))})"
        lines.append(f"      with: {quoted(optimizer)}")
        if writer.chance(20):
            lines.append(
                f"      {writer.pick(('repeat', 'every', 'clip_norm', 'after', 'clamp'))}: {writer.number() if writer.odd() else 2}"
            )
    if writer.chance(40):
        lines.append(f"  metrics: {{m: {quoted(f'mean({writer.expression()})')}}}")
    return lines


def quoted(text: str) -> str:
    """As a YAML value: in single quotes where the plain text would be read otherwise."""
    is_plain = not set(text) & set("{}[],:#\"'&*!|>%@`") and text.strip() == text
    return text if is_plain else "'" + text.replace("'", "''") + "'"


def spoil(writer: Writer, text: str) -> str:
    """The text with one token, line or character left out, doubled, moved or replaced."""
    kind = writer.few(0, 7)
    if kind <= 3:
        tokens = TOKEN.findall(text)
        return "".join(_spoil_items(writer, tokens, kind, (*SIGNS, *WORDS, *HOSTILE))) if tokens else text
    if kind == 4:
        lines = text.splitlines(keepends=True)
        return "".join(_spoil_items(writer, lines, writer.few(0, 3), ("  \n", "\tx: 1\n", "  - x\n", "x: y: z\n"))) if lines else text
    at = writer.few(0, len(text))
    if kind == 5:
        return f"{text[:at]}{writer.pick(SIGNS)}{text[at:]}"
    return text[:at] + text[at + writer.few(1, 4 if kind == 6 else 40) :]


def _spoil_items(writer: Writer, items: list[str], kind: int, others: Sequence[str]) -> list[str]:
    at, to = writer.few(0, len(items) - 1), writer.few(0, len(items) - 1)
    if kind == 0:
        return [*items[:at], *items[at + 1 :]]
    if kind == 1:
        return [*items[:at], items[at], *items[at:]]
    if kind == 2:
        items[at], items[to] = items[to], items[at]
        return items
    return [*items[:at], writer.pick(others), *items[at + 1 :]]
