"""Sizes of tensors as integer polynomials with floor division, kept in a normal form.

A `Dim` is a sum of integer multiples of products of atoms; an atom is a symbol or a floor division that does not simplify further.
Symbols stand for sizes, so every fact holds for all symbol values of at least 1. `H - H//2` and `(H + 1)//2` have two normal forms
though they are equal: `==` compares normal forms, `compare` also tries all residues of the symbols that are divided.
Non-goals: maxima, minima, negative symbols, rational coefficients, factored printing.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias, final

MAXIMUM_TERMS: Final = 200
MAXIMUM_COEFFICIENT: Final = 2**63
MAXIMUM_DEGREE: Final = 64
MAXIMUM_DEPTH: Final = 32
MAXIMUM_ATOM_TEXT: Final = 4000
MAXIMUM_CASES: Final = 256

Atom: TypeAlias = "str | FloorDivision"
Monomial: TypeAlias = "tuple[tuple[Atom, int], ...]"
Terms: TypeAlias = "dict[Monomial, int]"


class DimOverflow(ValueError):
    """A size grew past the limits of this module: too many terms, too large a coefficient or degree, too deep a nesting."""


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
        return _polynomial({((name, 1),): 1})

    @staticmethod
    def of(value: Dim | int) -> Dim:
        """The constant `value`; a `Dim` is returned as it is."""
        return value if isinstance(value, Dim) else _number(operator.index(value))

    @property
    def constant(self) -> int | None:
        """The value where no symbol is left."""
        return self._constant

    @property
    def symbols(self) -> frozenset[str]:
        """The names this size depends on, those inside floor divisions included."""
        if self._constant is not None:
            return frozenset()
        return frozenset().union(*(_atom_symbols(atom) for monomial in self._terms for atom, _ in monomial))

    def __add__(self, other: Dim | int) -> Dim:
        right = other._constant if type(other) is Dim else other
        if type(right) is int and self._constant is not None:
            return _number(self._constant + right)
        return _add(self, other, 1) if isinstance(other, Dim | int) else NotImplemented

    def __sub__(self, other: Dim | int) -> Dim:
        right = other._constant if type(other) is Dim else other
        if type(right) is int and self._constant is not None:
            return _number(self._constant - right)
        return _add(self, other, -1) if isinstance(other, Dim | int) else NotImplemented

    def __mul__(self, other: Dim | int) -> Dim:
        right = other._constant if type(other) is Dim else other
        if type(right) is int and self._constant is not None:
            return _number(self._constant * right)
        return _multiply(self, Dim.of(other)) if isinstance(other, Dim | int) else NotImplemented

    def __floordiv__(self, other: Dim | int) -> Dim:
        right = other._constant if type(other) is Dim else other
        if type(right) is int and self._constant is not None:
            return _number(self._constant // right)
        return _divide(self, Dim.of(other)) if isinstance(other, Dim | int) else NotImplemented

    def __mod__(self, other: Dim | int) -> Dim:
        return self - Dim.of(other) * (self // other) if isinstance(other, Dim | int) else NotImplemented

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

    def __repr__(self) -> str:
        return f"Dim({self})"

    def __str__(self) -> str:
        return str(self._constant) if self._constant is not None else _render(self._terms, None)

    def python(self, names: Mapping[str, str]) -> str:
        """Python source of this size; `names` gives for each symbol an expression that binds tighter than `*`."""
        return str(self._constant) if self._constant is not None else _render(self._terms, names)

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
        if self._constant is not None:
            return self._constant
        return sum(
            coefficient * math.prod(_evaluate_atom(atom, values) ** power for atom, power in monomial)
            for monomial, coefficient in self._terms.items()
        )

    def lower_bound(self) -> int | None:
        """A value this size never falls below, not always the largest such; None where none was found."""
        return self._constant if self._constant is not None else _lower_bound(self)

    def upper_bound(self) -> int | None:
        """A value this size never exceeds, not always the smallest such; None where none was found."""
        bound = (-self).lower_bound()
        return -bound if bound is not None else None


@final
class FloorDivision:
    """An irreducible `numerator // divisor` with its bounds; equal where the texts are, since texts name normal forms."""

    __slots__ = ("depth", "divisor", "high", "low", "numerator", "symbols", "text")

    def __init__(self, numerator: Dim, divisor: Dim, low: int | None, high: int | None) -> None:
        self.numerator: Final = numerator
        self.divisor: Final = divisor
        self.symbols: Final = numerator.symbols | divisor.symbols
        self.depth: Final[int] = 1 + max((atom.depth for atom in _divisions(numerator) + _divisions(divisor)), default=0)
        self.text: Final = _render_division(_terms(numerator), divisor, None)
        if self.depth > MAXIMUM_DEPTH or len(self.text) > MAXIMUM_ATOM_TEXT:
            raise DimOverflow(f"a size nests more than {MAXIMUM_DEPTH} floor divisions or is longer than {MAXIMUM_ATOM_TEXT} characters")
        self.low: Final = low
        self.high: Final = high

    def __eq__(self, other: object) -> bool:
        return type(other) is FloorDivision and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


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
    offset, slope = pattern.substitute({name: 0}), pattern.substitute({name: 1})
    slope = slope - offset
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


def _offset(dim: Dim) -> int:
    return _terms(dim).get((), 0)


def _divisions(dim: Dim) -> list[FloorDivision]:
    return [atom for monomial in _terms(dim) for atom, _ in monomial if type(atom) is FloorDivision]


def _atom_key(atom: Atom) -> tuple[bool, str]:
    return (False, atom) if isinstance(atom, str) else (True, atom.text)


def _atom_symbols(atom: Atom) -> frozenset[str]:
    return frozenset((atom,)) if isinstance(atom, str) else atom.symbols


def _evaluate_atom(atom: Atom, values: Mapping[str, int]) -> int:
    return values[atom] if isinstance(atom, str) else atom.numerator.evaluate(values) // atom.divisor.evaluate(values)


def _replace(atom: Atom, values: Mapping[str, Dim | int]) -> Dim:
    if isinstance(atom, str):
        return Dim.of(values[atom]) if atom in values else Dim.symbol(atom)
    return atom.numerator.substitute(values) // atom.divisor.substitute(values)


def _add(left: Dim, right: Dim | int, factor: int) -> Dim:
    terms = dict(_terms(left))
    for monomial, coefficient in _terms(Dim.of(right)).items():
        terms[monomial] = terms.get(monomial, 0) + factor * coefficient
    return _polynomial(terms)


def _multiply(left: Dim, right: Dim) -> Dim:
    terms: Terms = {}
    for first, coefficient in _terms(left).items():
        for second, other in _terms(right).items():
            monomial = _join(first, second)
            terms[monomial] = terms.get(monomial, 0) + coefficient * other
    return _polynomial(terms)


def _join(left: Monomial, right: Monomial) -> Monomial:
    if not left or not right:
        return left or right
    powers = dict(left)
    for atom, power in right:
        powers[atom] = powers.get(atom, 0) + power
    if sum(powers.values()) > MAXIMUM_DEGREE:
        raise DimOverflow(f"a size has a degree above {MAXIMUM_DEGREE}")
    return tuple(sorted(powers.items(), key=lambda factor: _atom_key(factor[0])))


def _split(monomial: Monomial, divisor: Monomial) -> Monomial | None:
    """The quotient of two monomials, None where it is not one."""
    powers = dict(monomial)
    for atom, power in divisor:
        powers[atom] = powers.get(atom, 0) - power
    if min(powers.values(), default=0) < 0:
        return None
    return tuple((atom, power) for atom, power in powers.items() if power > 0)


def _divide(numerator: Dim, divisor: Dim) -> Dim:
    """Floor division in sound steps: take out multiples of the divisor, cancel, join nested divisions, fold what is bounded to a point."""
    if divisor._constant == 1:
        return numerator
    if divisor._constant == 0:
        raise ZeroDivisionError("floor division of a size by zero")
    if _terms(divisor)[max(_terms(divisor), key=_order(divisor))] < 0:
        numerator, divisor = -numerator, -divisor
    quotient, rest = _take_multiples(numerator, divisor)
    if rest == 0:
        return quotient
    positive = at_least(divisor, 1) is True
    cancelled, smaller = _cancel(rest, divisor, positive)
    if smaller != divisor:
        return quotient + _divide(cancelled, smaller)
    inner = [atom for atom in _divisions(rest) if positive and _terms(rest).get(((atom, 1),)) == 1]
    if inner:
        atom = min(inner, key=_atom_key)
        others = rest - _polynomial({((atom, 1),): 1})
        return quotient + _divide(atom.numerator + atom.divisor * others, atom.divisor * divisor)
    low, high = _quotient_bounds(rest, divisor)
    if low is not None and low == high:
        return quotient + low
    return quotient + _polynomial({((FloorDivision(rest, divisor, low, high), 1),): 1})


def _order(*dims: Dim) -> Callable[[Monomial], tuple[int, tuple[int, ...]]]:
    atoms = sorted({atom for dim in dims for monomial in _terms(dim) for atom, _ in monomial}, key=_atom_key)

    def key(monomial: Monomial) -> tuple[int, tuple[int, ...]]:
        powers = dict(monomial)
        return sum(powers.values()), tuple(powers.get(atom, 0) for atom in atoms)

    return key


def _take_multiples(numerator: Dim, divisor: Dim) -> tuple[Dim, Dim]:
    """Quotient and remainder; a remainder's coefficient lies nearest to zero, its constant below a constant divisor."""
    order = _order(divisor, numerator)
    lead = max(_terms(divisor), key=order)
    size = _terms(divisor)[lead]
    quotient, rest, done = _number(0), numerator, set[Monomial]()
    while True:
        open_terms = [monomial for monomial in _terms(rest) if monomial not in done and _split(monomial, lead) is not None]
        if not open_terms:
            return quotient, rest
        monomial = max(open_terms, key=order)
        coefficient = _terms(rest)[monomial]
        count = coefficient // size if monomial == () else -((size - 2 * coefficient) // (2 * size))
        done.add(monomial)
        if count != 0:
            part = _polynomial({_split(monomial, lead) or (): count})
            quotient, rest = quotient + part, rest - part * divisor


def _cancel(numerator: Dim, divisor: Dim, positive: bool) -> tuple[Dim, Dim]:
    """Numerator and divisor without their common factors; under a positive divisor the numerator's constant may be rounded down."""
    terms = [*_terms(numerator).items(), *_terms(divisor).items()]
    kept = [*(coefficient for monomial, coefficient in _terms(numerator).items() if monomial or not positive), *_terms(divisor).values()]
    factor = math.gcd(*kept)
    common = {atom: min(dict(monomial).get(atom, 0) for monomial, _ in terms) for atom, _ in terms[0][0]}
    shared = tuple((atom, power) for atom, power in common.items() if power > 0)
    if factor == 1 and not shared:
        return numerator, divisor
    return _scale_down(numerator, factor, shared), _scale_down(divisor, factor, shared)


def _scale_down(dim: Dim, factor: int, shared: Monomial) -> Dim:
    return _polynomial({_split(monomial, shared) or (): coefficient // factor for monomial, coefficient in _terms(dim).items()})


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
            distance = _polynomial({((atom, 1),): 1})
            if low is None and high is None:
                return None
            product = product * (low + distance if low is not None else Dim.of(high or 0) - distance) ** power
        shifted = shifted + product
    total = 0
    for monomial, coefficient in _terms(shifted).items():
        spans = [
            None if isinstance(atom, str) or None in (atom.low, atom.high) else (atom.high or 0) - (atom.low or 0) for atom, _ in monomial
        ]
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
        if len(divisions) == 1 and divisions[0][1] == 1 and divisions[0][0].divisor._constant is not None:
            found[monomial] = divisions[0][0], divisions[0][0].divisor._constant
    if not found:
        return None
    scale = math.lcm(*(divisor for _, divisor in found.values()))
    total = _number(0)
    for monomial, coefficient in _terms(dim).items():
        if monomial in found:
            atom, divisor = found[monomial]
            others = _polynomial({_split(monomial, ((atom, 1),)) or (): coefficient * (scale // divisor)})
            total = total + others * (atom.numerator - (divisor - 1 if coefficient > 0 else 0))
        else:
            total = total + _polynomial({monomial: coefficient * scale})
    bound = total.lower_bound()
    return -(-bound // scale) if bound is not None else None


def _is_zero(dim: Dim) -> bool | None:
    if dim._constant is not None:
        return dim._constant == 0
    step = math.gcd(*(coefficient for monomial, coefficient in _terms(dim).items() if monomial))
    if _offset(dim) % step != 0 or (dim.lower_bound() or 0) > 0 or (dim.upper_bound() or 0) < 0:
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
    except DimOverflow:
        return None
    return answers.pop() if len(answers) == 1 else None


def _cases(dim: Dim) -> Iterator[Dim]:
    """The size with each divided symbol written as period times a symbol plus a residue; the size itself where that is too many cases."""
    periods: dict[str, int] = {}
    for atom in _divisions(dim):
        for name in atom.symbols:
            periods[name] = math.lcm(periods.get(name, 1), _period(atom))
    names = [name for name, period in periods.items() if period > 1]
    if math.prod(periods[name] for name in names) > MAXIMUM_CASES:
        names = []
    for residues in itertools.product(*(range(periods[name]) for name in names)):
        yield dim.substitute({name: periods[name] * Dim.symbol(name) - residue for name, residue in zip(names, residues, strict=True)})


def _period(atom: FloorDivision) -> int:
    return abs(atom.divisor._constant or 1) * math.lcm(*(_period(inner) for inner in _divisions(atom.numerator) + _divisions(atom.divisor)))


def _render(terms: Terms, names: Mapping[str, str] | None) -> str:
    """Terms by falling degree, then by name; one strided window reads `(H - 3)//2 + 1`, not `(H + 1)//2 - 1`."""
    texts: dict[Monomial, str] = {}
    offset = terms.get((), 0)
    windows = [
        (monomial, atom, atom.divisor._constant)
        for monomial, coefficient in terms.items()
        for atom, power in monomial
        if coefficient == 1 and len(monomial) == 1 and power == 1 and isinstance(atom, FloorDivision) and _offset(atom.numerator) != 0
    ]
    if offset < 0 and len(windows) == 1 and windows[0][2] is not None:
        monomial, atom, divisor = windows[0]
        inner = _offset(atom.numerator) + divisor * (offset - 1)
        texts[monomial] = _render_division({**_terms(atom.numerator), (): inner}, atom.divisor, names)
        offset = 1
    signed = {**terms, (): offset}
    order = sorted((monomial for monomial in signed if signed[monomial] != 0), key=_print_order)
    first = next((monomial for monomial in order if signed[monomial] > 0), order[0])
    order.remove(first)
    text = texts.get(first, _render_term(first, abs(signed[first]), names))
    if signed[first] < 0:
        text = f"-({text})" if "//" in text and len(first) == 1 and signed[first] == -1 else f"-{text}"
    for monomial in order:
        text += (" + " if signed[monomial] > 0 else " - ") + texts.get(monomial, _render_term(monomial, abs(signed[monomial]), names))
    return text


def _print_order(monomial: Monomial) -> tuple[int, list[tuple[bool, str]]]:
    return -sum(power for _, power in monomial), [_atom_key(atom) for atom, power in monomial for _ in range(power)]


def _render_term(monomial: Monomial, coefficient: int, names: Mapping[str, str] | None) -> str:
    factors = [] if coefficient == 1 and monomial else [str(coefficient)]
    alone = not factors and len(monomial) == 1 and monomial[0][1] == 1
    for atom, power in monomial:
        text = _render_atom(atom, names)
        if isinstance(atom, FloorDivision) and not alone:
            text = f"({text})"
        factors += [text] * power if power <= 3 else [f"{text}**{power}"]
    return "*".join(factors)


def _render_atom(atom: Atom, names: Mapping[str, str] | None) -> str:
    if isinstance(atom, str):
        return atom if names is None else names[atom]
    return atom.text if names is None else _render_division(_terms(atom.numerator), atom.divisor, names)


def _render_division(numerator: Terms, divisor: Dim, names: Mapping[str, str] | None) -> str:
    sides = [_render(numerator, names), _render(_terms(divisor), names)]
    single = [len(terms) == 1 and _is_plain(*next(iter(terms.items()))) for terms in (numerator, _terms(divisor))]
    return "//".join(text if plain else f"({text})" for text, plain in zip(sides, single, strict=True))


def _is_plain(monomial: Monomial, coefficient: int) -> bool:
    """Whether the term prints as a name or a natural number."""
    if not monomial:
        return coefficient > 0
    return coefficient == 1 and len(monomial) == 1 and monomial[0][1] == 1 and isinstance(monomial[0][0], str)
