"""Recognises recurrences that PyTorch has a kernel for: LSTM, GRU with the reset gate after the product, RNN with tanh or relu.

A cell is one of them where its next states are, as polynomials, what the kernel computes with weights made of the cell's own: sums of
them, with signs and numbers. Names, order, brackets, one bias or two, numbers beside biases, 1 - z, and which of z and 1 - z keeps the
state make no difference; nor does one parameter in two gates. The equations are those of torch.nn.LSTM, GRU and RNN.

Contract: what is recognised is equal for all weights and inputs, to rounding. Whether the kernel is faster is not asked here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, final

from compiler.ir.cell import BATCH, Cell
from compiler.ir.dims import Dim
from compiler.ir.graph import Value
from compiler.ir.types import DType
from compiler.passes.cse import merge_equal_nodes
from compiler.passes.inline import inline
from compiler.passes.scan_polynomials import Algebra, Atom, Polynomial, factor_of, scaled
from compiler.passes.scan_steps import Unsupported, cut_steps

Kind: TypeAlias = Literal["lstm", "gru", "rnn_tanh", "rnn_relu"]

GATES: Final[dict[Kind, str]] = {"lstm": "ifgo", "gru": "rzn", "rnn_tanh": "h", "rnn_relu": "h"}
"""The order in which PyTorch stacks the rows of weights."""


@final
@dataclass(frozen=True, slots=True)
class Weight:
    """A sum of parameters times numbers, and a number: `terms` are keys with their factors, `turned` those that are transposed."""

    terms: tuple[tuple[str, float], ...] = ()
    number: float = 0.0
    turned: frozenset[str] = frozenset()


@final
@dataclass(frozen=True, slots=True)
class VendorCell:
    """A cell as a kernel's: weights by gate, in the kernel's order. `recurrent_biases` are apart from `input_biases` in a GRU alone.

    Input weights are [H, D], recurrent ones [H, H], biases [H]. `states` are the cell's in the kernel's order: hidden, then cell state.
    """

    kind: Kind
    states: tuple[str, ...]
    input_weights: tuple[Weight, ...]
    recurrent_weights: tuple[Weight, ...]
    input_biases: tuple[Weight, ...]
    recurrent_biases: tuple[Weight, ...]


@final
class NotVendor(Exception):
    """Why a cell is none of PyTorch's; `reason` is for the reader of the spec."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def recognize(cell: Cell) -> VendorCell:
    """The kernel that a cell is; raises NotVendor."""
    return _Reader(cell).run()


@final
@dataclass(slots=True)
class _Affine:
    """What goes into a gate: weights of the input, of the hidden state, and a bias."""

    inward: dict[str, float] = field(default_factory=dict)
    recurrent: dict[str, float] = field(default_factory=dict)
    bias: dict[str, float] = field(default_factory=dict)
    number: float = 0.0
    turned: set[str] = field(default_factory=set)


@final
class _Reader:
    """Reads one cell."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        graph = self._graph = merge_equal_nodes(inline(cell.graph))
        self._count = len(cell.inputs)
        self._keys = {item.value: item.key for item in graph.parameters}
        try:
            cut = cut_steps(graph)
        except Unsupported as error:
            raise NotVendor(f"a step of it is {error}") from error
        self._algebra = Algebra(cut.same)
        self._algebra.learn(cut.steps)
        self._states = dict(zip(cell.states, graph.inputs[self._count :], strict=True))
        self._next = {name: self._algebra.of(graph.outputs[name]) for name in cell.states}

    def run(self) -> VendorCell:
        self._check_types()
        output = self._algebra.of(self._graph.outputs[""])
        hidden = next((name for name, made in self._next.items() if made == output), None)
        if hidden is None:
            raise NotVendor("its output is not one of its next states")
        if len(self._states) == 2:
            (carried,) = [name for name in self._states if name != hidden]
            return self._lstm(hidden, carried)
        made = self._next[hidden]
        if len(made) == 1:
            return self._rnn(hidden, made)
        return self._gru(hidden, made)

    def _check_types(self) -> None:
        inputs, states = self._graph.inputs[: self._count], list(self._states.values())
        if len(inputs) != 1 or len(states) > 2:
            raise NotVendor(f"it has {len(inputs)} inputs and {len(states)} states")
        (x,) = inputs
        (shape, *others) = [value.type.shape for value in states]
        if any(other != shape for other in others) or len(shape) != 2 or x.type.rank != 2:
            raise NotVendor("its input and its states are not one vector each, of one size")
        if any(value.type.dtype is not DType.f32 for value in (x, *states, *self._keys)):
            raise NotVendor("it has tensors that are not f32")
        self._size, self._width = shape[1], x.type.shape[1]
        assert shape[0] == Dim.symbol(BATCH)

    # the three kernels --------------------------------------------------------------------------------------------------

    def _rnn(self, hidden: str, made: Polynomial) -> VendorCell:
        (((*atoms,), sign),) = made
        atom = self._algebra.atom(atoms[0]) if len(atoms) == 1 else None
        if atom is not None and atom.function == "tanh" and abs(sign) == 1:
            gate, kind = self._affine(scaled(atom.operands[0], sign), hidden), "rnn_tanh"
        elif atom is not None and atom.function == "maximum" and sign == 1 and () in atom.operands:
            gate, kind = self._affine(next(item for item in atom.operands if item), hidden), "rnn_relu"
        else:
            raise NotVendor("its next state is neither tanh nor relu of weighted sums")
        return self._cell_of("rnn_tanh" if kind == "rnn_tanh" else "rnn_relu", (hidden,), [gate])

    def _lstm(self, hidden: str, carried: str) -> VendorCell:
        """c' = f c + i g and h' = o tanh(c'), with f = 0.5 + 0.5 tanh(…), and so the others."""
        c = self._number(self._states[carried])
        following, made = self._next[carried], self._next[hidden]
        alone = [item for item in self._functions(following, 1) if item != c]
        pairs = [monomial for monomial, _ in following if len(monomial) == 2]
        if factor_of(following, c) != 0.5 or len(alone) != 1 or len(pairs) != 2 or len(following) != 4:
            raise NotVendor(f"`{carried}'` is not f * {carried} + i * g")
        g = alone[0]
        sign = self._sign(factor_of(following, g), carried)
        forget, write = self._partner(pairs, c), self._partner(pairs, g)
        if forget is None or write is None:
            raise NotVendor(f"`{carried}'` is not f * {carried} + i * g")
        keeps = self._sign(factor_of(following, forget, c), carried)
        writes = self._sign(factor_of(following, write, g), carried) * sign
        outer = [item for item in self._functions(made, 1) if self._is_tanh_of(item, following)]
        rest = [monomial for monomial, _ in made if len(monomial) == 2]
        if len(outer) != 1 or len(rest) != 1 or len(made) != 2 or (gate := self._partner(rest, outer[0])) is None:
            raise NotVendor(f"`{hidden}'` is not o * tanh({carried}')")
        straight = self._sign(factor_of(made, outer[0]), hidden)
        if straight != self._orientation(outer[0], following):
            raise NotVendor(f"`{hidden}'` is not o * tanh({carried}')")
        opens = self._sign(factor_of(made, gate, outer[0]), hidden) * straight
        gates = [
            self._affine(self._argument(write, 2 * writes), hidden),
            self._affine(self._argument(forget, 2 * keeps), hidden),
            self._affine(self._argument(g, sign), hidden),
            self._affine(self._argument(gate, 2 * opens), hidden),
        ]
        return self._cell_of("lstm", (hidden, carried), gates)

    def _gru(self, hidden: str, made: Polynomial) -> VendorCell:
        """h' = (1 - z) n + z h with z = 0.5 + 0.5 tanh(…); n = tanh(a + r b), where b is what h gives."""
        h = self._number(self._states[hidden])
        alone = [item for item in self._functions(made, 1) if item != h]
        pairs = [monomial for monomial, _ in made if len(monomial) == 2]
        if factor_of(made, h) != 0.5 or len(alone) != 1 or len(pairs) != 2 or len(made) != 4:
            raise NotVendor(f"`{hidden}'` is not (1 - z) * n + z * {hidden}")
        n = alone[0]
        z = self._partner(pairs, h)
        sign = self._sign(factor_of(made, n), hidden)
        if z is None or factor_of(made, z, n) != -factor_of(made, z, h) * sign:
            raise NotVendor(f"`{hidden}'` is not (1 - z) * n + z * {hidden}")
        keeps = self._sign(factor_of(made, z, h), hidden)
        reset, inside, outside = self._split_reset(self._argument(n, sign), hidden)
        gates = [self._affine(reset, hidden), self._affine(self._argument(z, 2 * keeps), hidden), self._affine(outside, hidden)]
        recurrent = self._affine(inside, hidden)
        if recurrent.inward or gates[2].recurrent:
            raise NotVendor(f"its reset gate does not stand before what `{hidden}` gives alone")
        return self._cell_of("gru", (hidden,), gates, recurrent)

    def _split_reset(self, terms: Polynomial, hidden: str) -> tuple[Polynomial, Polynomial, Polynomial]:
        """a + r b as what is inside r, b, and a."""
        gates = {item for monomial, _ in terms if len(monomial) > 1 for item in monomial if self._algebra.atom(item).function == "tanh"}
        if len(gates) != 1:
            raise NotVendor("it has no reset gate, or one inside the product")
        (r,) = gates
        gated = {tuple(item for item in monomial if item != r): factor for monomial, factor in terms if r in monomial}
        plain = {monomial: factor for monomial, factor in terms if r not in monomial}
        ratios = {round(plain.get(monomial, 0.0) / factor, 9) for monomial, factor in gated.items() if self._is_product(monomial, hidden)}
        if len(ratios) != 1 or not ratios <= {1.0, -1.0}:
            raise NotVendor("it has no reset gate as GRU has it")
        (sign,) = ratios
        inside = tuple(sorted((monomial, 2 * sign * factor) for monomial, factor in gated.items()))
        for monomial, factor in gated.items():
            plain[monomial] = round(plain.get(monomial, 0.0) - sign * factor, 12)
        outside = tuple(sorted((monomial, factor) for monomial, factor in plain.items() if factor))
        return self._argument(r, 2 * sign), inside, outside

    # parts --------------------------------------------------------------------------------------------------------------

    def _number(self, value: Value) -> int:
        return self._algebra.number(Atom("", value))

    def _functions(self, terms: Polynomial, size: int) -> list[int]:
        """The atoms of monomials of one atom."""
        return [monomial[0] for monomial, _ in terms if len(monomial) == size]

    def _partner(self, pairs: Sequence[tuple[int, ...]], atom: int) -> int | None:
        """The tanh that one of the pairs multiplies `atom` with; it is another's where that is the only way."""
        found = [pair[1] if pair[0] == atom else pair[0] for pair in pairs if atom in pair]
        made = [item for item in found if self._algebra.atom(item).function == "tanh"]
        return made[0] if len(made) == 1 else None

    @staticmethod
    def _sign(factor: float, state: str) -> float:
        if abs(factor) != 0.5:
            raise NotVendor(f"`{state}'` is weighted by {factor!r}")
        return 1.0 if factor > 0 else -1.0

    def _argument(self, atom: int, factor: float) -> Polynomial:
        known = self._algebra.atom(atom)
        if known.function != "tanh":
            raise NotVendor("a gate of it is neither sigmoid nor tanh")
        return scaled(known.operands[0], factor)

    def _is_tanh_of(self, atom: int, terms: Polynomial) -> bool:
        known = self._algebra.atom(atom)
        return known.function == "tanh" and known.operands[0] in (terms, scaled(terms, -1.0))

    def _orientation(self, atom: int, terms: Polynomial) -> float:
        return 1.0 if self._algebra.atom(atom).operands[0] == terms else -1.0

    def _is_product(self, monomial: tuple[int, ...], hidden: str) -> bool:
        if len(monomial) != 1 or self._algebra.atom(monomial[0]).function != "matmul":
            return False
        left = self._algebra.atom(monomial[0]).operands[0]
        return left == (((self._number(self._states[hidden]),), 1.0),)

    def _affine(self, terms: Polynomial, hidden: str) -> _Affine:
        """A gate's input as weighted sums of the step's input and the hidden state; NotVendor where it is more."""
        made = _Affine()
        given = {self._number(self._graph.inputs[0]): made.inward, self._number(self._states[hidden]): made.recurrent}
        widths = {self._number(self._graph.inputs[0]): self._width, self._number(self._states[hidden]): self._size}
        for monomial, factor in terms:
            if not monomial:
                made.number = factor
                continue
            atom = self._algebra.atom(monomial[0])
            if len(monomial) == 1 and atom.value in self._keys and atom.value is not None and atom.value.type.shape == (self._size,):
                made.bias[self._keys[atom.value]] = factor
                continue
            ((left, _),) = atom.operands[0] if atom.function == "matmul" else (((), 0.0),)
            if len(monomial) != 1 or len(left) != 1 or left[0] not in given:
                raise NotVendor(f"a gate of it has a part that is neither a bias nor a weight times the input or `{hidden}`")
            key = self._matrix(atom.operands[1], widths[left[0]], made)
            given[left[0]][key] = factor
        return made

    def _matrix(self, right: Polynomial, width: Dim, made: _Affine) -> str:
        """The parameter that is the right operand of a product, as it stands in the kernel's: [H, width]."""
        ((monomial, _),) = right
        atom = self._algebra.atom(monomial[0])
        turned = atom.function == "transpose"
        if turned:
            ((monomial, _),) = (*atom.operands[0], *right[1:])
            atom = self._algebra.atom(monomial[0])
        if len(monomial) != 1 or atom.value is None or atom.value not in self._keys:
            raise NotVendor("a weight of it is not a parameter")
        shape = atom.value.type.shape
        if shape != ((self._size, width) if turned else (width, self._size)):
            raise NotVendor("a weight of it does not lead to every unit")
        key = self._keys[atom.value]
        if not turned:
            made.turned.add(key)
        return key

    def _cell_of(self, kind: Kind, states: tuple[str, ...], gates: list[_Affine], recurrent: _Affine | None = None) -> VendorCell:
        lasts = [*gates[:-1], recurrent] if recurrent is not None else gates
        if not all(gate.inward for gate in gates) or not all(gate.recurrent for gate in lasts):
            raise NotVendor("a gate of it does not see both the input and the state")
        return VendorCell(
            kind,
            states,
            tuple(_weight(gate.inward, gate) for gate in gates),
            tuple(_weight(gate.recurrent, gate) for gate in lasts),
            tuple(_weight(gate.bias, dataclasses.replace(gate, turned=set()), gate.number) for gate in gates),
            (*(Weight() for _ in gates[:-1]), Weight() if recurrent is None else _weight(recurrent.bias, recurrent, recurrent.number)),
        )


def _weight(terms: dict[str, float], gate: _Affine, number: float = 0.0) -> Weight:
    return Weight(tuple(terms.items()), number, frozenset(gate.turned & terms.keys()))
