"""Sizes of tensors as integer polynomials with floor division, kept in a normal form.

A `Dim` is a sum of integer multiples of products of atoms; an atom is a symbol or a floor division that does not simplify further.
Symbols stand for sizes, so every fact holds for all symbol values of at least 1. `H - H//2` and `(H + 1)//2` have two normal forms
though they are equal: `==` compares normal forms, `compare` also tries all residues of the symbols that are divided.
Non-goals: maxima, minima, negative symbols, rational coefficients, factored printing.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Final, final

from compiler.ir.monomials import (
    MAXIMUM_DEGREE,
    MAXIMUM_TERMS,
    Atom,
    DimOverflow,
    FloorDivision,
    Monomial,
    Terms,
    atom_key,
    cancel,
    divide_monomials,
    divisions_of,
    evaluate_terms,
    leading_coefficient,
    multiply_monomials,
    periods_of,
    render,
    symbols_of,
    take_multiples,
)

__all__ = ["Dim", "DimOverflow", "at_least", "compare", "divisible", "solve"]

MAXIMUM_COEFFICIENT: Final = 2**63
MAXIMUM_CASES: Final = 256


@final
class Dim:
    """An immutable polynomial; `==` and `hash` go by normal form, and a constant equals the plain integer."""

    __slots__ = ("_constant", "_hash", "_terms")
    _constant: int | None
    _terms: Terms
    _hash: int

    @staticmethod
    def symbol(name: str) -> Dim:
        """The size called `name`, at least 1; raises ValueError where the name is not an identifier."""
        if not name.isidentifier():
            raise ValueError(f"`{name}` is not a name")
        return _atom(name)

    @staticmethod
    def of(value: Dim | int) -> Dim:
        """The constant `value`; a `Dim` is returned as it is."""
        return value if isinstance(value, Dim) else _number(int(operator.index(value)))

    @property
    def constant(self) -> int | None:
        """The value where no symbol is left."""
        return self._constant

    @property
    def symbols(self) -> frozenset[str]:
        """The names this size depends on, those inside floor divisions included."""
        return symbols_of(_terms(self))

    def __add__(self, other: Dim | int) -> Dim:
        right = other._constant if type(other) is Dim else other
        if type(right) is int and self._constant is not None:
            return _number(self._constant + right)
        return _add(self, Dim.of(other), 1)

    def __sub__(self, other: Dim | int) -> Dim:
        right = other._constant if type(other) is Dim else other
        if type(right) is int and self._constant is not None:
            return _number(self._constant - right)
        return _add(self, Dim.of(other), -1)

    def __mul__(self, other: Dim | int) -> Dim:
        right = other._constant if type(other) is Dim else other
        if type(right) is int and self._constant is not None:
            return _number(self._constant * right)
        return _multiply(self, Dim.of(other))

    def __floordiv__(self, other: Dim | int) -> Dim:
        right = other._constant if type(other) is Dim else other
        if type(right) is int and self._constant is not None:
            return _number(self._constant // right)
        return _divide(self, Dim.of(other))

    def __mod__(self, other: Dim | int) -> Dim:
        return self - self // other * other

    def __radd__(self, other: int) -> Dim:
        return self + other

    def __rsub__(self, other: int) -> Dim:
        return -self + other

    def __rmul__(self, other: int) -> Dim:
        return self * other

    def __rfloordiv__(self, other: int) -> Dim:
        return Dim.of(other) // self

    def __rmod__(self, other: int) -> Dim:
        return Dim.of(other) % self

    def __neg__(self) -> Dim:
        return self * -1

    def __pow__(self, exponent: int) -> Dim:
        if exponent < 0:
            raise ValueError(f"negative exponent {exponent}")
        if exponent > MAXIMUM_DEGREE:
            raise DimOverflow(f"exponent {exponent} is above {MAXIMUM_DEGREE}")
        return math.prod([self] * exponent, start=_number(1))

    def __eq__(self, other: object) -> bool:
        if type(other) is Dim:
            return self._constant == other._constant and (self._constant is not None or self._terms == other._terms)
        return self._constant is not None and isinstance(other, int) and self._constant == other

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Callable[[Terms], Dim], tuple[Terms]]:
        return _polynomial, (_terms(self),)

    def __repr__(self) -> str:
        return f"Dim({self})"

    def __str__(self) -> str:
        return str(self._constant) if self._constant is not None else render(self._terms, None)

    def python(self, names: Mapping[str, str]) -> str:
        """Python source of this size; `names` gives for each symbol an expression that binds tighter than `*`."""
        return str(self._constant) if self._constant is not None else render(self._terms, names)

    def substitute(self, values: Mapping[str, Dim | int]) -> Dim:
        """This size with symbols replaced, all at once; symbols without a value stay."""
        if self._constant is not None or values.keys().isdisjoint(self.symbols):
            return self
        total = _number(0)
        for monomial, coefficient in self._terms.items():
            product = _number(coefficient)
            for atom, power in monomial:
                product = product * _replace(atom, values) ** power
            total = total + product
        return total

    def evaluate(self, values: Mapping[str, int]) -> int:
        """The integer at these symbol values; KeyError for a missing symbol, ZeroDivisionError as in Python."""
        return self._constant if self._constant is not None else evaluate_terms(self._terms, values)

    def lower_bound(self) -> int | None:
        """A value this size never falls below, not always the largest such; None where none was found."""
        return self._constant if self._constant is not None else _lower_bound(self)

    def upper_bound(self) -> int | None:
        """A value this size never exceeds, not always the smallest such; None where none was found."""
        bound = (-self).lower_bound()
        return None if bound is None else -bound


def compare(a: Dim | int, b: Dim | int) -> bool | None:
    """Whether the sizes are equal: True or False only where that holds for all sizes of at least 1, else None."""
    return _decide(Dim.of(a) - b, _is_zero)


def at_least(a: Dim | int, k: Dim | int) -> bool | None:
    """Whether `a >= k`: True or False only where that holds for all sizes of at least 1, else None."""
    return _decide(Dim.of(a) - k, _is_not_negative)


def divisible(a: Dim | int, k: Dim | int) -> bool | None:
    """Whether `k` divides `a`: True or False only where that holds for all sizes of at least 1, else None."""
    return compare(Dim.of(a) % k, 0)


def solve(pattern: Dim, value: Dim | int, unknown: str | None = None) -> dict[str, Dim] | None:
    """The value of the pattern's unknown that makes it equal `value`; None where there is none, or none that can be proved integer.

    The unknown must occur linearly and outside floor divisions. Left out, it is the pattern's only symbol; a constant pattern that
    equals `value` needs no unknown and gives an empty dictionary.
    """
    if pattern.constant is not None:
        return {} if pattern == value else None
    name = unknown if unknown is not None else min(pattern.symbols)
    if unknown is None and len(pattern.symbols) > 1:
        return None
    offset = pattern.substitute({name: 0})
    slope = pattern.substitute({name: 1}) - offset
    if slope == 0 or slope * Dim.symbol(name) + offset != pattern:
        return None
    rest = Dim.of(value) - offset
    solution = rest // slope
    return {name: solution} if solution * slope == rest and at_least(solution, 1) is not False else None


def _make_number(value: int) -> Dim:
    if not -MAXIMUM_COEFFICIENT <= value <= MAXIMUM_COEFFICIENT:
        raise DimOverflow("a size is beyond 2**63")
    dim = object.__new__(Dim)
    dim._constant, dim._hash = value, hash(value)
    return dim


_NUMBERS: Final = {value: _make_number(value) for value in range(-64, 4097)}


def _number(value: int) -> Dim:
    known = _NUMBERS.get(value)
    return known if known is not None else _make_number(value)


def _polynomial(terms: Terms) -> Dim:
    """The normal form of these terms, which it takes over."""
    if 0 in terms.values():
        terms = {monomial: coefficient for monomial, coefficient in terms.items() if coefficient != 0}
    if not terms or (len(terms) == 1 and () in terms):
        return _number(terms.get((), 0))
    if len(terms) > MAXIMUM_TERMS:
        raise DimOverflow(f"a size has more than {MAXIMUM_TERMS} terms")
    if max(terms.values()) > MAXIMUM_COEFFICIENT or min(terms.values()) < -MAXIMUM_COEFFICIENT:
        raise DimOverflow("a coefficient of a size is beyond 2**63")
    dim = object.__new__(Dim)
    dim._constant, dim._terms, dim._hash = None, terms, hash(frozenset(terms.items()))
    return dim


def _terms(dim: Dim) -> Terms:
    """The terms, to be read only."""
    if dim._constant is None:
        return dim._terms
    return {(): dim._constant} if dim._constant != 0 else {}


def _atom(atom: Atom) -> Dim:
    return _polynomial({((atom, 1),): 1})


def _replace(atom: Atom, values: Mapping[str, Dim | int]) -> Dim:
    if isinstance(atom, str):
        return Dim.of(values[atom]) if atom in values else _atom(atom)
    return _polynomial(atom.numerator).substitute(values) // _polynomial(atom.divisor).substitute(values)


def _add(left: Dim, right: Dim, factor: int) -> Dim:
    terms = dict(_terms(left))
    for monomial, coefficient in _terms(right).items():
        terms[monomial] = terms.get(monomial, 0) + factor * coefficient
    return _polynomial(terms)


def _multiply(left: Dim, right: Dim) -> Dim:
    terms: Terms = {}
    for first, coefficient in _terms(left).items():
        for second, other in _terms(right).items():
            monomial = multiply_monomials(first, second)
            terms[monomial] = terms.get(monomial, 0) + coefficient * other
    return _polynomial(terms)


@functools.lru_cache(maxsize=4096)
def _divide(numerator: Dim, divisor: Dim) -> Dim:
    """Floor division in sound steps: take out multiples of the divisor, cancel, join nested divisions, fold what is bounded to a point."""
    if divisor._constant == 1:
        return numerator
    if divisor._constant == 0:
        raise ZeroDivisionError("floor division of a size by zero")
    if leading_coefficient(_terms(divisor)) < 0:
        numerator, divisor = -numerator, -divisor
    multiple, remainder = take_multiples(_terms(numerator), _terms(divisor))
    quotient, rest = _polynomial(multiple), _polynomial(remainder)
    if rest == 0:
        return quotient
    positive = (divisor.lower_bound() or 0) >= 1
    reduced = cancel(_terms(rest), _terms(divisor), positive)
    if reduced is not None:
        return quotient + _divide(_polynomial(reduced[0]), _polynomial(reduced[1]))
    inner = [atom for atom in divisions_of(_terms(rest)) if positive and _terms(rest).get(((atom, 1),)) == 1]
    if inner:
        atom = min(inner, key=atom_key)
        bound, others = _polynomial(atom.divisor), rest - _atom(atom)
        return quotient + _divide(_polynomial(atom.numerator) + bound * others, bound * divisor)
    low, high = _quotient_bounds(rest, divisor)
    if low is not None and low == high:
        return quotient + low
    return quotient + _atom(FloorDivision(_terms(rest), _terms(divisor), low, high))


def _quotient_bounds(numerator: Dim, divisor: Dim) -> tuple[int | None, int | None]:
    least, most = divisor.lower_bound(), divisor.upper_bound()
    if least is None or least < 1:
        return None, None
    low, high = numerator.lower_bound(), numerator.upper_bound()
    if low is not None:
        low = low // least if low < 0 else low // most if most is not None else 0
    if high is not None:
        high = high // least if high >= 0 else high // most if most is not None else -1
    return low, high


@functools.lru_cache(maxsize=4096)
def _lower_bound(dim: Dim) -> int | None:
    try:
        bounds = [_bound_by_shift(dim), _bound_by_relaxation(dim)]
    except DimOverflow:
        return None
    return max((bound for bound in bounds if bound is not None), default=None)


def _bound_by_shift(dim: Dim) -> int | None:
    """The bound seen once each atom is written as its own bound plus or minus something not negative."""
    shifted = _number(0)
    for monomial, coefficient in _terms(dim).items():
        product = _number(coefficient)
        for atom, power in monomial:
            low, high = (1, None) if isinstance(atom, str) else (atom.low, atom.high)
            distance = _atom(atom)
            if low is None and high is None:
                return None
            product = product * (low + distance if low is not None else Dim.of(high or 0) - distance) ** power
        shifted = shifted + product
    total = 0
    for monomial, coefficient in _terms(shifted).items():
        spans = [None if isinstance(atom, str) else atom.span for atom, _ in monomial]
        if coefficient < 0 and None in spans:
            return None
        if coefficient < 0 or not monomial:
            total += coefficient * math.prod((span or 0) ** power for span, (_, power) in zip(spans, monomial, strict=True))
    return total


def _bound_by_relaxation(dim: Dim) -> int | None:
    """The bound seen once `k*(n//k)` is replaced by `n - k + 1` or, under a minus, by `n`; for constant k, times symbols at most."""
    found: dict[Monomial, tuple[FloorDivision, int]] = {}
    for monomial in _terms(dim):
        divisions = [(atom, power) for atom, power in monomial if isinstance(atom, FloorDivision)]
        if len(divisions) == 1 and divisions[0][1] == 1 and divisions[0][0].constant_divisor is not None:
            found[monomial] = divisions[0][0], divisions[0][0].constant_divisor
    if not found:
        return None
    scale = math.lcm(*(divisor for _, divisor in found.values()))
    total = _number(0)
    for monomial, coefficient in _terms(dim).items():
        if monomial in found:
            atom, divisor = found[monomial]
            others = _polynomial({divide_monomials(monomial, ((atom, 1),)) or (): coefficient * (scale // divisor)})
            total = total + others * (_polynomial(atom.numerator) - (divisor - 1 if coefficient > 0 else 0))
        else:
            total = total + _polynomial({monomial: coefficient * scale})
    bound = total.lower_bound()
    return -(-bound // scale) if bound is not None else None


def _is_zero(dim: Dim) -> bool | None:
    if dim._constant is not None:
        return dim._constant == 0
    step = math.gcd(*(coefficient for monomial, coefficient in _terms(dim).items() if monomial))
    if _terms(dim).get((), 0) % step != 0 or (dim.lower_bound() or 0) > 0 or (dim.upper_bound() or 0) < 0:
        return False
    return None


def _is_not_negative(dim: Dim) -> bool | None:
    low, high = dim.lower_bound(), dim.upper_bound()
    return True if low is not None and low >= 0 else False if high is not None and high < 0 else None


def _decide(dim: Dim, question: Callable[[Dim], bool | None]) -> bool | None:
    """The answer, for the whole or else the one that all residues of the divided symbols agree on."""
    answer = question(dim)
    if answer is not None:
        return answer
    try:
        answers = {question(case) for case in _cases(dim)}
    except (DimOverflow, ZeroDivisionError):
        return None
    return answers.pop() if len(answers) == 1 else None


def _cases(dim: Dim) -> Iterator[Dim]:
    """The size with each divided symbol written as period times a symbol plus a residue; the size itself where that is too many cases."""
    periods = periods_of(_terms(dim))
    if math.prod(periods.values()) > MAXIMUM_CASES:
        periods = {}
    for residues in itertools.product(*map(range, periods.values())):
        yield dim.substitute({name: periods[name] * Dim.symbol(name) - residue for name, residue in zip(periods, residues, strict=True)})
