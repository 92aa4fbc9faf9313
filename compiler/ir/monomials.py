"""What sizes are made of: atoms, monomials and sums of them, and how they are written.

An atom is a symbol's name or a `FloorDivision`; a monomial is a product of powers of atoms, in the order of `atom_key`; terms map each
monomial to its coefficient, none of them zero. `compiler.ir.dims` builds sizes out of these; nothing else should need this module.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, Union, final

MAXIMUM_TERMS: Final = 200
MAXIMUM_DEGREE: Final = 64
MAXIMUM_DEPTH: Final = 32
MAXIMUM_TEXT: Final = 4000

Atom: TypeAlias = Union[str, "FloorDivision"]
Monomial: TypeAlias = tuple[tuple[Atom, int], ...]
Terms: TypeAlias = dict[Monomial, int]
Names: TypeAlias = Mapping[str, str] | None


@final
class DimOverflow(ValueError):
    """A size grew past the limits: too many terms, too large a coefficient or degree, too deep a nesting."""


@final
class FloorDivision:
    """An irreducible `numerator // divisor` and its bounds; equal where the texts are, since a text names a normal form."""

    __slots__ = ("depth", "divisor", "high", "low", "numerator", "symbols", "text")

    def __init__(self, numerator: Terms, divisor: Terms, low: int | None, high: int | None) -> None:
        self.numerator: Final = numerator
        self.divisor: Final = divisor
        self.low: Final = low
        self.high: Final = high
        self.symbols: Final = symbols_of(numerator) | symbols_of(divisor)
        self.depth: Final[int] = 1 + max((atom.depth for atom in divisions_of(numerator) + divisions_of(divisor)), default=0)
        if self.depth > MAXIMUM_DEPTH:
            raise DimOverflow(f"a size nests more than {MAXIMUM_DEPTH} floor divisions")
        self.text: Final = _render_division(numerator, divisor, None)
        if len(self.text) > MAXIMUM_TEXT:
            raise DimOverflow(f"a floor division is longer than {MAXIMUM_TEXT} characters")

    @property
    def constant_divisor(self) -> int | None:
        """The divisor where it has no symbols; it is positive."""
        return self.divisor[()] if self.divisor.keys() == {()} else None

    @property
    def span(self) -> int | None:
        """The distance of the bounds, None where one is missing."""
        return self.high - self.low if self.high is not None and self.low is not None else None

    def __eq__(self, other: object) -> bool:
        return type(other) is FloorDivision and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def atom_key(atom: Atom) -> tuple[bool, str]:
    """The order of atoms: names, then floor divisions by their texts."""
    return (False, atom) if isinstance(atom, str) else (True, atom.text)


def divisions_of(terms: Terms) -> list[FloorDivision]:
    """The floor divisions in these terms, not those inside others."""
    return [atom for monomial in terms for atom, _ in monomial if isinstance(atom, FloorDivision)]


def symbols_of(terms: Terms) -> frozenset[str]:
    """The names these terms depend on, those inside floor divisions included."""
    names: set[str] = set()
    for monomial in terms:
        for atom, _ in monomial:
            names.update((atom,) if isinstance(atom, str) else atom.symbols)
    return frozenset(names)


def periods_of(terms: Terms) -> dict[str, int]:
    """How far to move each symbol for every floor division to change by a polynomial, symbols of period 1 left out."""
    periods: dict[str, int] = {}
    for division in divisions_of(terms):
        period = _period_of(division)
        for name in sorted(division.symbols) if period > 1 else ():
            periods[name] = math.lcm(periods.get(name, 1), period)
    return periods


def _period_of(division: FloorDivision) -> int:
    inner = divisions_of(division.numerator) + divisions_of(division.divisor)
    return (division.constant_divisor or 1) * math.lcm(*map(_period_of, inner))


def evaluate_terms(terms: Terms, values: Mapping[str, int]) -> int:
    """The integer at these symbol values; KeyError for a missing symbol, ZeroDivisionError as in Python."""
    return sum(
        coefficient * math.prod(_evaluate_atom(atom, values) ** power for atom, power in monomial)
        for monomial, coefficient in terms.items()
    )


def _evaluate_atom(atom: Atom, values: Mapping[str, int]) -> int:
    return values[atom] if isinstance(atom, str) else evaluate_terms(atom.numerator, values) // evaluate_terms(atom.divisor, values)


def multiply_monomials(left: Monomial, right: Monomial) -> Monomial:
    """The product; raises DimOverflow above the largest degree."""
    if not left or not right:
        return left or right
    powers = dict(left)
    for atom, power in right:
        powers[atom] = powers.get(atom, 0) + power
    if sum(powers.values()) > MAXIMUM_DEGREE:
        raise DimOverflow(f"a size has a degree above {MAXIMUM_DEGREE}")
    return tuple(sorted(powers.items(), key=lambda factor: atom_key(factor[0])))


def divide_monomials(monomial: Monomial, divisor: Monomial) -> Monomial | None:
    """The quotient; None where the divisor is no factor."""
    powers = dict(monomial)
    for atom, power in divisor:
        powers[atom] = powers.get(atom, 0) - power
    if min(powers.values(), default=0) < 0:
        return None
    return tuple((atom, power) for atom, power in powers.items() if power > 0)


def leading_coefficient(terms: Terms) -> int:
    """The coefficient of the largest monomial."""
    return terms[max(terms, key=_graded_order(terms))]


def take_multiples(numerator: Terms, divisor: Terms) -> tuple[Terms, Terms]:
    """Quotient and remainder, zeros left in; the divisor's leading coefficient must be positive.

    Each remainder is unique: a coefficient that the leading one could reduce lies nearest to zero, a constant under a constant divisor
    from zero up.
    """
    order = _graded_order(divisor, numerator)
    lead = max(divisor, key=order)
    size = divisor[lead]
    quotient: Terms = {}
    rest, done = dict(numerator), set[Monomial]()
    while True:
        reducible = [monomial for monomial in rest if monomial not in done and divide_monomials(monomial, lead) is not None]
        if not reducible:
            return quotient, rest
        monomial = max(reducible, key=order)
        done.add(monomial)
        count = rest[monomial] // size if monomial == () else -((size - 2 * rest[monomial]) // (2 * size))
        factor = divide_monomials(monomial, lead)
        if count == 0 or factor is None:
            continue
        quotient[factor] = count
        for other, coefficient in divisor.items():
            product = multiply_monomials(factor, other)
            rest[product] = rest.get(product, 0) - count * coefficient
        if len(rest) > 2 * MAXIMUM_TERMS:
            raise DimOverflow(f"a floor division needs more than {2 * MAXIMUM_TERMS} terms")


def cancel(numerator: Terms, divisor: Terms, positive: bool) -> tuple[Terms, Terms] | None:
    """Both without their common factors, None where there are none; under a positive divisor the numerator's constant is rounded down."""
    kept = [coefficient for monomial, coefficient in numerator.items() if monomial or not positive]
    factor = math.gcd(*kept, *divisor.values())
    powers = [dict(monomial) for monomial in (*numerator, *divisor)]
    common = [(atom, min(power.get(atom, 0) for power in powers)) for atom, _ in next(iter(divisor))]
    shared = tuple((atom, power) for atom, power in common if power > 0)
    if factor == 1 and not shared:
        return None
    return _scale_down(numerator, factor, shared), _scale_down(divisor, factor, shared)


def _scale_down(terms: Terms, factor: int, shared: Monomial) -> Terms:
    return {divide_monomials(monomial, shared) or (): coefficient // factor for monomial, coefficient in terms.items()}


def _graded_order(*sums: Terms) -> Callable[[Monomial], tuple[int, tuple[int, ...]]]:
    """A sort key for the monomials of these sums that respects products: by degree, then lexicographically."""
    atoms = sorted({atom for terms in sums for monomial in terms for atom, _ in monomial}, key=atom_key)

    def key(monomial: Monomial) -> tuple[int, tuple[int, ...]]:
        powers = dict(monomial)
        return sum(powers.values()), tuple(powers.get(atom, 0) for atom in atoms)

    return key


def render(terms: Terms, names: Names) -> str:
    """Terms by falling degree, then by name; a strided window reads `(H - 3)//2 + 1`, not `(H + 1)//2 - 1`."""
    texts = {monomial: _render_term(monomial, abs(coefficient), names) for monomial, coefficient in terms.items()}
    offset = terms.get((), 0)
    windows = [
        (monomial, monomial[0][0], monomial[0][0].constant_divisor or 0)
        for monomial, coefficient in terms.items()
        if coefficient == 1 and len(monomial) == 1 and monomial[0][1] == 1
        if isinstance(monomial[0][0], FloorDivision) and () in monomial[0][0].numerator
    ]
    signed = dict(terms)
    if offset < 0 and len(windows) == 1 and windows[0][2] > 0:
        monomial, window, divisor = windows[0]
        shifted = {**window.numerator, (): window.numerator[()] + divisor * (offset - 1)}
        texts[monomial], texts[()], signed[()] = _render_division(shifted, window.divisor, names), "1", 1
    order = sorted(signed, key=_print_order)
    first = next((monomial for monomial in order if signed[monomial] > 0), order[0])
    order.remove(first)
    text = texts[first]
    if signed[first] < 0:
        bare = signed[first] == -1 and len(first) == 1 and first[0][1] == 1 and isinstance(first[0][0], FloorDivision)
        text = f"-({text})" if bare else f"-{text}"
    return text + "".join((" + " if signed[monomial] > 0 else " - ") + texts[monomial] for monomial in order)


def _print_order(monomial: Monomial) -> tuple[int, list[tuple[bool, str]]]:
    return -sum(power for _, power in monomial), [atom_key(atom) for atom, power in monomial for _ in range(power)]


def _render_term(monomial: Monomial, coefficient: int, names: Names) -> str:
    factors = [] if coefficient == 1 and monomial else [str(coefficient)]
    alone = not factors and len(monomial) == 1 and monomial[0][1] == 1
    for atom, power in monomial:
        text = _render_atom(atom, names)
        if isinstance(atom, FloorDivision) and not alone:
            text = f"({text})"
        factors += [text] * power if power <= 3 else [f"{text}**{power}"]
    return "*".join(factors)


def _render_atom(atom: Atom, names: Names) -> str:
    if isinstance(atom, str):
        return atom if names is None else names[atom]
    return atom.text if names is None else _render_division(atom.numerator, atom.divisor, names)


def _render_division(numerator: Terms, divisor: Terms, names: Names) -> str:
    return "//".join(render(terms, names) if _is_plain(terms) else f"({render(terms, names)})" for terms in (numerator, divisor))


def _is_plain(terms: Terms) -> bool:
    """Whether the terms print as one name or one natural number."""
    if len(terms) != 1:
        return False
    ((monomial, coefficient),) = terms.items()
    if not monomial:
        return coefficient > 0
    return coefficient == 1 and len(monomial) == 1 and monomial[0][1] == 1 and isinstance(monomial[0][0], str)
