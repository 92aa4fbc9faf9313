"""Sizes against Python integers: normalisation never changes a value, and no fact is claimed that some size refutes."""

from __future__ import annotations

import copy
import functools
import pickle
import time
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from compiler.ir.dims import Dim, DimOverflow, at_least, compare, divisible, solve

C, H, K, N, W = map(Dim.symbol, "CHKNW")
NAMES = ("C", "H", "W")
Oracle = Callable[[dict[str, int]], int]
Pair = tuple[Dim, Oracle]

sizes = st.fixed_dictionaries({name: st.one_of(st.integers(1, 12), st.integers(1, 10_000)) for name in NAMES})


def _symbol(name: str) -> Pair:
    return Dim.symbol(name), lambda values: values[name]


def _number(value: int) -> Pair:
    return Dim.of(value), lambda _: value


def _combine(left: Pair, right: Pair, operation: str) -> Pair:
    (a, f), (b, g) = left, right
    try:
        match operation:
            case "+":
                return a + b, lambda values: f(values) + g(values)
            case "-":
                return a - b, lambda values: f(values) - g(values)
            case "*":
                return a * b, lambda values: f(values) * g(values)
            case "//":
                return a // b, lambda values: f(values) // g(values)
            case _:
                return a % b, lambda values: f(values) % g(values)
    except (ZeroDivisionError, DimOverflow):
        return left


_leaves = st.one_of(st.sampled_from(NAMES).map(_symbol), st.integers(-9, 9).map(_number))


def _extend(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    operators = st.sampled_from(["+", "-", "*", "//", "//", "%"])
    constants = st.integers(-9, 9).map(_number)
    return st.builds(_combine, inner, st.one_of(inner, constants), operators)


pairs = st.recursive(_leaves, _extend, max_leaves=8)


def _expected(oracle: Oracle, values: dict[str, int]) -> int:
    try:
        return oracle(values)
    except ZeroDivisionError:
        assume(False)
        raise


@settings(max_examples=600, deadline=None)
@given(pairs, sizes)
def test_every_way_of_reading_a_size_agrees_with_python(pair: Pair, values: dict[str, int]) -> None:
    dim, oracle = pair
    expected = _expected(oracle, values)
    assert dim.evaluate(values) == expected
    assert eval(str(dim), {}, dict(values)) == expected  # noqa: S307
    source = dim.python({name: f"x[{name!r}]" for name in NAMES})
    assert eval(source, {"x": values}) == expected  # noqa: S307
    assert dim.substitute(values).constant == expected


@settings(max_examples=400, deadline=None)
@given(pairs)
def test_the_text_of_a_size_reads_back_as_the_same_normal_form(pair: Pair) -> None:
    dim = pair[0]
    again = eval(str(dim), {}, {name: Dim.symbol(name) for name in NAMES})  # noqa: S307
    assert again == dim
    if isinstance(again, Dim):
        assert hash(again) == hash(dim)
        assert str(again) == str(dim)


@settings(max_examples=400, deadline=None)
@given(pairs, sizes)
def test_bounds_hold(pair: Pair, values: dict[str, int]) -> None:
    dim, oracle = pair
    expected = _expected(oracle, values)
    low, high = dim.lower_bound(), dim.upper_bound()
    assert low is None or low <= expected
    assert high is None or expected <= high


@settings(max_examples=400, deadline=None)
@given(pairs, pairs, st.integers(-5, 9), sizes)
def test_no_fact_is_refuted_by_a_size(left: Pair, right: Pair, number: int, values: dict[str, int]) -> None:
    a, b = _expected(left[1], values), _expected(right[1], values)
    try:
        difference = left[0] - right[0]
        equal, enough = compare(left[0], right[0]), at_least(difference, number)
    except DimOverflow:
        assume(False)
        raise
    assert equal in (None, a == b)
    assert enough in (None, a - b >= number)
    if number != 0:
        assert divisible(left[0], number) in (None, a % number == 0)


@settings(max_examples=300, deadline=None)
@given(pairs, pairs, pairs, sizes)
def test_substitution_commutes_with_evaluation(outer: Pair, first: Pair, second: Pair, values: dict[str, int]) -> None:
    inner = {"C": _expected(first[1], values), "H": _expected(second[1], values), "W": values["W"]}
    assume(min(inner.values()) >= 1)
    expected = _expected(outer[1], inner)
    try:
        replaced = outer[0].substitute({"C": first[0], "H": second[0]})
    except (DimOverflow, ZeroDivisionError):
        assume(False)
        raise
    assert replaced.evaluate(values) == expected


@settings(max_examples=200, deadline=None)
@given(pairs, pairs, pairs, st.integers(1, 40))
def test_equal_forms_by_another_way_compare_equal(x: Pair, y: Pair, z: Pair, k: int) -> None:
    a, b, c = x[0], y[0], z[0]
    try:
        assert (a + b) * c == c * b + a * c
        assert (a + k * b) // k == a // k + b
        assert (a * k + b) - b == k * a
        assert (a * k + k - 1) // k == a
        assert a % k + k * (a // k) == a
        assert (a + b) - a == b
    except DimOverflow:
        assume(False)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 9), st.integers(-9, 9), pairs)
def test_solve_inverts_a_linear_pattern(slope: int, offset: int, pair: Pair) -> None:
    value = pair[0]
    assume(at_least(value, 1) is not False)
    assert solve(slope * K + offset, slope * value + offset) == {"K": value}


@pytest.mark.parametrize(
    ("dim", "text"),
    [
        ((H - 3) // 2 + 1, "(H - 3)//2 + 1"),
        (2 * (H // 2), "2*(H//2)"),
        (N * 16, "16*N"),
        (H - 1, "H - 1"),
        (W * H * 4, "4*H*W"),
        (K * C * K, "C*K*K"),
        (K**4, "K**4"),
        ((4 * H + 6) // 4, "H + 1"),
        ((2 * H + 4) // 2, "H + 2"),
        (2 * H // 4, "H//2"),
        ((2 * H + 1) // 4, "H//2"),
        (H // 2 // 3, "H//6"),
        (((H - 3) // 2 + 1 - 3) // 2 + 1, "(H - 7)//4 + 1"),
        (C * K // K, "C"),
        (C * K // (K * W), "C//W"),
        ((H - 1) * (W - 1) // (H - 1), "W - 1"),
        ((H * H - 1) // (H + 1), "H - 1"),
        ((K - 1) // K, "0"),
        (3 - H, "3 - H"),
        (-(H // 2), "-(H//2)"),
        (H // 2 - H, "H//2 - H"),
        (H // -2, "H//2 - H"),
        (H // -3, "(-H)//3"),
        (H % 2, "H - 2*(H//2)"),
        (7 // H, "7//H"),
        (1 - H + W * 2, "2*W - H + 1"),
        (-H - 1, "-H - 1"),
        ((H * W + 1) // 3 * (C // 2) * 5, "5*((H*W + 1)//3)*(C//2)"),
        (Dim.of(-7) // 2, "-4"),
    ],
)
def test_text(dim: Dim, text: str) -> None:
    assert str(dim) == text


def test_a_divisor_that_may_be_negative_rounds_nothing_away() -> None:
    dim = (2 * H + 1) // (2 * W - 2 * C)
    assert dim.evaluate({"H": 1, "W": 1, "C": 2}) == 3 // -2
    assert dim.evaluate({"H": 1, "W": 2, "C": 1}) == 3 // 2


def test_constants_are_integers() -> None:
    assert Dim.of(5) == 5
    assert hash(Dim.of(5)) == hash(5)
    assert Dim.of(5) != 6
    assert H != 5
    assert H - H == 0
    assert (H - H).constant == 0
    assert H.constant is None
    assert Dim.of(H) is H
    assert 7 - Dim.of(2) == 5
    assert 7 // Dim.of(2) == 3
    assert 7 % Dim.of(2) == 1
    with pytest.raises(TypeError):
        Dim.of(1.5)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        _ = H // 0
    with pytest.raises(ZeroDivisionError):
        _ = Dim.of(3) // 0


@pytest.mark.parametrize("name", ["", "2H", "H W", "H; import os"])
def test_a_symbol_is_an_identifier(name: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        Dim.symbol(name)


def test_symbols_include_those_inside_divisions() -> None:
    assert ((H - 3) // K + N).symbols == {"H", "K", "N"}
    assert Dim.of(3).symbols == frozenset()


@pytest.mark.parametrize(
    ("a", "b", "answer"),
    [
        (H - H // 2, (H + 1) // 2, True),
        (H // 3 + (H + 1) // 3 + (H + 2) // 3, H, True),
        (2 * (H // 2), H, None),
        (2 * H, 2 * W + 1, False),
        (H, H + 1, False),
        (H, H // 2, False),
        (H + W, 1, False),
        (H, 1, None),
        (H * W, H, None),
        (H, W, None),
        (4 * (H // 2), 4 * (W // 3) + 2, False),
    ],
)
def test_compare(a: Dim, b: Dim, answer: bool | None) -> None:
    assert compare(a, b) is answer


def test_bounds() -> None:
    assert (H * W - H).lower_bound() == 0
    assert (H - H // 2).lower_bound() == 1
    assert (H % 4).lower_bound() == 0
    assert (H % 4).upper_bound() == 3
    assert (3 - H).upper_bound() == 2
    assert at_least(H - 3, 0) is None
    assert at_least(H - H // 2, 1) is True
    assert at_least(1 - H, 1) is False


def test_divisible() -> None:
    assert divisible(4 * H + 8, 4) is True
    assert divisible(4 * H + 2, 8) is False
    assert divisible(H * (H + 1), 2) is True
    assert divisible(H, 2) is None
    assert divisible(C * K, K) is True
    assert divisible(Dim.of(7), 2) is False


def test_solve() -> None:
    assert solve(16 * H, 256) == {"H": Dim.of(16)}
    assert solve(16 * H, 32 * K) == {"H": 2 * K}
    assert solve(H + 1, 5) == {"H": Dim.of(4)}
    assert solve(H + 1, 1) is None
    assert solve(2 * H, 5) is None
    assert solve(2 * H, K) is None
    assert solve(H * H, 4) is None
    assert solve(H // 2, 4) is None
    assert solve(H * W, 4) is None
    assert solve(C * H, C * K, unknown="H") == {"H": K}
    assert solve(H + 1, H) == {"H": H - 1}
    assert solve(C * H, 4, unknown="W") is None
    assert solve(Dim.of(3), 3) == {}
    assert solve(Dim.of(3), H) is None


def test_growth_is_refused() -> None:
    many = sum((Dim.symbol(f"a{index}") for index in range(30)), start=Dim.of(0))
    with pytest.raises(DimOverflow, match="200 terms"):
        _ = many * many
    with pytest.raises(DimOverflow, match="2\\*\\*63"):
        _ = Dim.of(2**40) * 2**40
    with pytest.raises(DimOverflow, match="2\\*\\*63"):
        _ = H * 2**40 * 2**40
    with pytest.raises(DimOverflow, match="exponent"):
        _ = H**1000
    with pytest.raises(DimOverflow, match="degree"):
        _ = H**60 * H**60
    with pytest.raises(DimOverflow, match="nests"):
        functools.reduce(lambda dim, _: (2 * dim + W) // 7, range(100), H)
    with pytest.raises(DimOverflow, match="longer"):
        functools.reduce(lambda dim, _: (3 * dim * dim + dim * W) // 7, range(100), H)
    with pytest.raises(ValueError, match="negative exponent"):
        _ = H**-1


def test_copies_are_equal() -> None:
    dim = (H - 3) // 2 * W + C
    for twin in (copy.deepcopy(dim), pickle.loads(pickle.dumps(dim)), copy.copy(dim)):
        assert twin == dim
        assert hash(twin) == hash(dim)


@pytest.mark.bench
def test_constant_arithmetic_is_cheap() -> None:
    a, b = Dim.of(123_457), Dim.of(7)
    for operation in (Dim.__add__, Dim.__mul__, Dim.__floordiv__):
        begin = time.perf_counter()
        for _ in range(100_000):
            operation(a, b)
        assert time.perf_counter() - begin < 0.15
