"""The values of a step as polynomials, so that equations that differ in order, brackets and names alone become equal.

An indeterminate (`Atom`) is an input, a state, a parameter, a product of two others by `@`, or a function of polynomials. tanh is
odd, and a leading sign is taken out of it: with sigmoid(x) = 0.5 tanh(0.5 x) + 0.5, which is how steps write it, 1 - sigmoid(x) and
sigmoid(-x) become one. Factors are rounded to 12 digits.

Non-goals: identities of other functions; shapes, which whoever reads a polynomial checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from compiler.ir.graph import Value
from compiler.passes.scan_steps import Operand, Step

LARGEST: Final = 256
"""How many monomials a polynomial may have; a larger one is an indeterminate."""
DIGITS: Final = 12
ODD: Final = frozenset({"tanh"})
COMMUTATIVE: Final = frozenset({"maximum", "minimum"})

Monomial: TypeAlias = tuple[int, ...]
"""Numbers of atoms that are multiplied element by element, in order, each as often as it stands there; the empty one is 1."""
Polynomial: TypeAlias = tuple[tuple[Monomial, float], ...]
"""Monomials with their factors, in order."""


@final
@dataclass(frozen=True, slots=True)
class Atom:
    """`function` is "" for a given value, "matmul" for a product, "transpose" for a matrix turned, else that of a step."""

    function: str
    value: Value | None = None
    operands: tuple[Polynomial, ...] = ()


def polynomial(terms: Mapping[Monomial, float]) -> Polynomial:
    """The sum of monomials times factors."""
    rounded = {monomial: round(factor, DIGITS) for monomial, factor in terms.items()}
    return tuple(sorted((monomial, factor) for monomial, factor in rounded.items() if factor != 0))


def scaled(terms: Polynomial, number: float) -> Polynomial:
    return polynomial({monomial: factor * number for monomial, factor in terms})


def factor_of(terms: Polynomial, *atoms: int) -> float:
    """The factor of the product of `atoms`; 0 where it is not there."""
    return dict(terms).get(tuple(sorted(atoms)), 0.0)


@final
class Algebra:
    """Polynomials by value; an atom is known by its number, the same for equal ones."""

    def __init__(self, same: Mapping[Value, Operand]) -> None:
        self._same = same
        self._atoms: list[Atom] = []
        self._numbers: dict[Atom, int] = {}
        self._known: dict[Value, Polynomial] = {}

    def atom(self, number: int) -> Atom:
        return self._atoms[number]

    def number(self, atom: Atom) -> int:
        if atom not in self._numbers:
            self._numbers[atom] = len(self._atoms)
            self._atoms.append(atom)
        return self._numbers[atom]

    def of(self, operand: Operand) -> Polynomial:
        """The polynomial of a value that was learnt, or is given."""
        operand = self._same.get(operand, operand) if isinstance(operand, Value) else operand
        if not isinstance(operand, Value):
            return polynomial({(): operand})
        if operand not in self._known:
            self._known[operand] = self._single(Atom("", operand))
        return self._known[operand]

    def learn(self, steps: Iterable[Step]) -> None:
        for step in steps:
            self._known[step.result] = self._learnt(step)

    def _learnt(self, step: Step) -> Polynomial:
        operands = [self.of(item) for item in step.operands]
        match step.function:
            case "add":
                return self._sum(*operands)
            case "subtract":
                return self._sum(operands[0], scaled(operands[1], -1.0))
            case "negative":
                return scaled(operands[0], -1.0)
            case "multiply":
                return self._product(operands, step)
            case "square":
                return self._product([operands[0], operands[0]], step)
            case "divide" if [monomial for monomial, _ in operands[1]] == [()]:
                return scaled(operands[0], 1.0 / operands[1][0][1])
            case "transpose":
                return self._transposed(operands[0])
            case "matmul":
                return self._matmul(operands[0], operands[1], step)
            case "text" | "where":
                return self._single(Atom("", step.result))
        return self._applied(step.function, operands)

    def _single(self, atom: Atom) -> Polynomial:
        return (((self.number(atom),), 1.0),)

    @staticmethod
    def _sum(*parts: Polynomial) -> Polynomial:
        total: dict[Monomial, float] = {}
        for part in parts:
            for monomial, factor in part:
                total[monomial] = total.get(monomial, 0.0) + factor
        return polynomial(total)

    def _product(self, operands: list[Polynomial], step: Step) -> Polynomial:
        a, b = operands
        if len(a) * len(b) > LARGEST:
            return self._single(Atom("", step.result))
        total: dict[Monomial, float] = {}
        for first, one in a:
            for second, other in b:
                monomial = tuple(sorted((*first, *second)))
                total[monomial] = total.get(monomial, 0.0) + one * other
        return polynomial(total)

    def _transposed(self, terms: Polynomial) -> Polynomial:
        total: dict[Monomial, float] = {}
        for monomial, factor in terms:
            turned = tuple(sorted(self._turned(item) for item in monomial))
            total[turned] = total.get(turned, 0.0) + factor
        return polynomial(total)

    def _turned(self, number: int) -> int:
        atom = self.atom(number)
        if atom.function == "transpose":
            ((monomial, _),) = atom.operands[0]
            return monomial[0]
        return self.number(Atom("transpose", None, ((((number,), 1.0),),)))

    def _matmul(self, left: Polynomial, right: Polynomial, step: Step) -> Polynomial:
        """Linear in both; a number is no operand of `@`, so that each monomial has atoms."""
        if len(left) * len(right) > LARGEST or any(monomial == () for monomial, _ in (*left, *right)):
            return self._single(Atom("", step.result))
        total: dict[Monomial, float] = {}
        for first, one in left:
            for second, other in right:
                made = (self.number(Atom("matmul", None, (((first, 1.0),), ((second, 1.0),)))),)
                total[made] = total.get(made, 0.0) + one * other
        return polynomial(total)

    def _applied(self, function: str, operands: list[Polynomial]) -> Polynomial:
        if function in COMMUTATIVE:
            operands = sorted(operands)
        sign = 1.0
        if function in ODD and operands[0] and operands[0][0][1] < 0:
            sign, operands = -1.0, [scaled(operands[0], -1.0)]
        return scaled(self._single(Atom(function, None, tuple(operands))), sign)
