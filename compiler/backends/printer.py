"""Prints the body of a graph as Python statements; what both back ends share.

A graph is cut into units, each one expression: a node, or a chain of nodes that one call does. Results that are used once
and stay inside their entry are nested into the user's expression while the line stays short; every other result is a
variable called after its entry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, final

from compiler.backends.carrying import MARK, Statement, carry, plain, strip
from compiler.backends.names import Names
from compiler.backends.pieces import Line, Piece, Pieces, SizeNote
from compiler.backends.sizes import Sizes
from compiler.ir.dims import Dim
from compiler.ir.graph import Graph, Node, Value
from compiler.ir.op import Code, Lowering
from compiler.ir.types import DType, TensorType

LONGEST: Final = 100
SHORT: Final = 16
DEEPEST: Final = 4

LETTERS: Final = {1: "D", 2: "ND", 3: "NCL", 4: "NCHW", 5: "NCDHW"}

Render = Callable[[tuple[Code, ...]], str]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """One expression: from operands to results, printed by `render`; one that is `alone` is not nested into another.

    One that `stands` is nested into none.
    """

    operands: tuple[Value, ...]
    results: tuple[Value, ...]
    entry: str
    render: Render
    random: bool = False
    alone: bool = False
    stands: bool = False

    @property
    def is_scalar(self) -> bool:
        """Whether it is a constant, which is written out wherever it is used."""
        return not self.operands and not self.random and len(self.results) == 1 and self.results[0].type.rank == 0


@final
class PrintedLowering(Lowering):
    """What an op may ask while it is printed."""

    def __init__(self, node: Node, sizes: Sizes, used: dict[str, Callable[..., Any]]) -> None:
        self.operand_types: tuple[TensorType, ...] = node.operand_types
        self.result_types: tuple[TensorType, ...] = node.result_types
        self._sizes = sizes
        self._used = used

    def dim(self, dim: Dim) -> str:
        return self._sizes.text(dim)

    def use(self, function: Callable[..., Any]) -> str:
        self._used[function.__name__] = function
        return function.__name__


def tensor_operands(node: Node, arguments: tuple[Code, ...], make: Callable[[Code, DType], str]) -> tuple[Code, ...]:
    """Operands as an op needs them: a number stands as it is beside a tensor in arithmetic, and is made a tensor elsewhere."""
    numbers = [
        not type.shape and re.fullmatch(r"-?[\d.]+(e-?\d+)?|True|False", code)
        for type, code in zip(node.operand_types, arguments, strict=True)
    ]
    if not any(numbers) or (node.op.family in ("elementwise", "loss") and not all(numbers)):
        return arguments
    pairs = zip(arguments, numbers, node.operand_types, strict=True)
    return tuple(Code(make(code, type.dtype)) if number else code for code, number, type in pairs)


def shape_note(type: TensorType, sizes: Sizes) -> Pieces:
    """`# [N, 64, H, W]`, in pieces; nothing for a scalar."""
    if not type.shape:
        return ()
    prefix = "" if type.dtype is DType.f32 else str(type.dtype)
    letters = LETTERS.get(type.rank, "ABCDEFGH")
    pieces: list[Piece] = [f"# {prefix}["]
    for index, dim in enumerate(type.shape):
        pieces += [", "] * (index > 0)
        pieces.append(SizeNote(sizes.note(dim), letters[index]))
    return (*pieces, "]")


def inputs_note(inputs: dict[Value, str], sizes: Sizes) -> Pieces:
    """`# image [N, 3, H, W]`: the types of a function's inputs."""
    note: list[Piece] = []
    for value, name in inputs.items():
        shape = shape_note(value.type, sizes)
        if shape:
            note += [", " if note else "# ", f"{name} ", str(shape[0]).removeprefix("# "), *shape[1:]]
    return tuple(note)


def size_lines(inputs: dict[Value, str], sizes: Sizes) -> Iterator[str]:
    """`N, _, H, W = image.shape` where several sizes of one input are needed, `N = image.shape[0]` for one."""
    used = dict(sizes.used)
    for value, input_name in inputs.items():
        axes = {name: text for name, text in used.items() if re.fullmatch(rf"{re.escape(input_name)}\.shape\[\d+\]", text)}
        if len(axes) > 1:
            names = {text: name for name, text in axes.items()}
            yield f"{', '.join(names.get(f'{input_name}.shape[{axis}]', '_') for axis in range(value.type.rank))} = {input_name}.shape"
            used = {name: text for name, text in used.items() if name not in axes}
    yield from (f"{name} = {text}" for name, text in used.items())


@final
class BodyPrinter:
    """Prints units in order; `finish` prints what is returned and gives the statements, without the function's head.

    `single` says that one tensor is returned; `carries` that results may share a variable (see carrying.py).
    """

    def __init__(
        self,
        graph: Graph,
        units: list[Unit],
        names: Names,
        inputs: dict[Value, str],
        sizes: Sizes,
        depth: int,
        *,
        single: bool,
        carries: bool = False,
    ) -> None:
        self._graph = graph
        self._names = names
        self._sizes = sizes
        self._depth = depth
        self._units = units
        self._carries = carries
        self._codes: dict[Value, Code] = {value: Code(name + MARK) for value, name in inputs.items()}
        self._nested: dict[Value, int] = {}
        self._statements: list[Statement] = []
        self._uses: dict[Value, list[Unit]] = {}
        self._entry_of: dict[Value, str] = {}
        outputs = set(graph.outputs.values())
        for unit in units:
            for value in unit.operands:
                self._uses.setdefault(value, []).append(unit)
        self._outputs = outputs
        self._alone = next(iter(outputs)) if single else None
        self._inputs = inputs
        made = {value for unit in units for value in unit.results}
        for entry, value in graph.entries.items():
            if value in made:
                self._entry_of.setdefault(value, entry)
        self._targets = {value: self._claim_entry(value, entry) for value, entry in self._entry_of.items()}
        self._find_spines()

    def _claim_entry(self, value: Value, entry: str) -> str:
        if value is self._alone and not self._uses.get(value):
            return ""
        return self._names.claim(entry) + MARK

    def _find_spines(self) -> None:
        """Steps on the way to an entry's value carry its name, should they need one."""
        makers = {value: unit for unit in self._units for value in unit.results}
        for value, entry in self._entry_of.items():
            name = self._targets[value] or self._names.claim(entry) + MARK
            unit = makers[value]
            while unit.operands:
                step = unit.operands[0]
                before = makers.get(step)
                if before is None or before.entry != entry or step in self._targets or step in self._outputs:
                    break
                if len(self._uses[step]) != 1 or len(before.results) != 1:
                    break
                self._targets[step] = name
                unit = before

    def print(self) -> None:
        for unit in self._units:
            text = self._expression(unit)
            if len(unit.results) != 1:
                targets = [self._target(value) if self._is_read(value) else "_" for value in unit.results]
                self._statements.append(Statement(tuple(targets), text))
                for value, name in zip(unit.results, targets, strict=True):
                    self._bind(value, name)
                continue
            (value,) = unit.results
            self._codes[value] = text
            self._nested[value] = self._nesting(unit, text)
            if not self._may_nest(unit, value):
                self._materialise(value)

    def _is_read(self, value: Value) -> bool:
        return value in self._outputs or value in self._uses

    def _may_nest(self, unit: Unit, value: Value) -> bool:
        if unit.is_scalar:
            return True
        if unit.stands:
            return False
        uses = self._uses.get(value, [])
        if value in self._outputs:
            return value is self._alone and not uses
        if len(uses) != 1 or value in self._entry_of or (unit.alone and uses[0].alone):
            return False
        return uses[0].entry == unit.entry or not unit.entry

    def _nesting(self, unit: Unit, text: Code) -> int:
        inner = max((self._nested.get(value, 0) for value in unit.operands), default=0)
        return inner + (text.level == Code(text).level and "(" in text)

    def _expression(self, unit: Unit) -> Code:
        """The unit's text; operands that are nested become variables where it gets too long, too deep, or repeats them."""
        for value in unit.operands:
            if self._is_open(value) and self._repeats(unit, value):
                self._materialise(value)
        while True:
            made = unit.render(tuple(self._codes[value] for value in unit.operands))
            text = made if isinstance(made, Code) else Code(made)
            open_values = [value for value in unit.operands if self._is_open(value)]
            length = 4 * self._depth + max((len(self._targets.get(value, "")) for value in unit.results), default=0) + 3 + len(plain(text))
            deep = [value for value in open_values if self._nested[value] >= DEEPEST]
            long = [value for value in open_values if length > LONGEST and len(self._codes[value]) >= SHORT]
            if not deep and not long:
                return text
            self._materialise(max(deep or long, key=lambda value: len(self._codes[value])))

    def _is_open(self, value: Value) -> bool:
        """Whether a value is an expression still, and more than a number."""
        return self._nested.get(value, 0) > 0 or (value in self._nested and not re.fullmatch(r"-?[\w.]+", self._codes[value]))

    def _repeats(self, unit: Unit, value: Value) -> bool:
        """Whether the unit's text holds the operand more than once, so that nesting would compute it again."""
        probe = "operand_probe"
        text = unit.render(tuple(Code(probe) if item is value else self._codes[item] for item in unit.operands))
        return len(re.findall(rf"\b{probe}\b", text)) != 1

    def _target(self, value: Value) -> str:
        return self._targets.get(value) or self._names.claim(value.name) + MARK

    def _materialise(self, value: Value) -> None:
        name = self._target(value)
        comment = shape_note(value.type, self._sizes)
        self._statements.append(Statement((name,), self._codes[value], comment, self._entry_of.get(value, "")))
        self._bind(value, name)

    def _bind(self, value: Value, name: str) -> None:
        self._codes[value] = Code(name)
        self._nested.pop(value, None)
        self._sizes.remember(value, name)

    def finish(self, result: Callable[[dict[str, str]], str]) -> list[Line]:
        """The statements, with sizes at their head and `return` at their end; `result` prints several outputs."""
        body = self.finish_body(result)
        return [*(Line(self._depth, (text,)) for text in size_lines(self._inputs, self._sizes)), *body]

    def finish_body(self, result: Callable[[dict[str, str]], str]) -> list[Line]:
        """`finish` without sizes."""
        note: Pieces = ()
        if self._alone is not None:
            last = str(self._codes[self._alone])
            note = shape_note(self._alone.type, self._sizes) if self._alone in self._nested else ()
        else:
            codes = {name: str(self._codes[value]) for name, value in self._graph.outputs.items()}
            last = result(codes if self._carries else {name: plain(code) for name, code in codes.items()})
        if self._carries:
            inputs = {name + MARK for name in self._inputs.values()}
            statements, last = carry(self._statements, last, inputs, self._names.taken)
        else:
            statements, last = strip(self._statements, last)
        body = [Line(self._depth, (f"{', '.join(item.targets)} = {item.text}",), item.comment) for item in statements]
        return [*body, Line(self._depth, (f"return {last}",), note)]
