"""Arithmetic against exact Python integers, fractions and float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    Budget,
    OverBudgetError,
    abs_,
    add,
    div,
    max_,
    mean,
    min_,
    mod,
    mul,
    neg,
    pow_,
    reciprocal,
    sign,
    spending,
    sqrt,
    sub,
    sum_,
)
from tests.assertions import assert_close, assert_equal
from tests.oracles import elementwise
from tests.strategies import (
    BFLOAT16,
    FLOATS,
    HALVES,
    INTEGERS,
    NUMBERS,
    SIGNED,
    UNSIGNED,
    DType,
    operands,
    tensors,
)

BINARY = [add, sub, mul, div, mod, max_, min_, sum_, mean]


def wrapped(value: int, dtype: DType) -> int:
    """An integer of any size as the dtype's bits hold it."""
    bits = 8 * dtype.itemsize
    low = value % 2**bits
    return low - 2**bits if dtype.kind == "i" and low >= 2 ** (bits - 1) else low


def exactly(function: Callable[..., int], *arrays: Array) -> Array:
    """An integer function of the broadcast elements, computed without limit, then wrapped."""
    dtype = arrays[0].dtype
    return elementwise(lambda *row: wrapped(function(*row), dtype), *arrays, dtype=dtype)


@pytest.mark.parametrize(
    ("op", "exact"),
    [(add, int.__add__), (sub, int.__sub__), (mul, int.__mul__), (max_, max), (min_, min)],
)
@given(operands(INTEGERS))
def test_integers_are_exact_and_wrap_around(
    op: Callable[..., Array], exact: Callable[..., int], ab: tuple[Array, ...]
) -> None:
    assert_equal(op(*ab), exactly(exact, *ab))


@pytest.mark.parametrize(
    ("op", "exact"),
    [
        (div, lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)),
        (mod, lambda a, b: a % b),
        (lambda a, b: mod(a, b, fmod=1), lambda a, b: a - b * math.trunc(Fraction(a, b))),
    ],
    ids=["div truncates", "mod has the divisor's sign", "fmod has the dividend's sign"],
)
@given(operands(INTEGERS))
@np.errstate(over="ignore")  # NumPy warns of the smallest integer over -1
def test_integer_division_and_remainders(
    op: Callable[..., Array], exact: Callable[..., int], ab: tuple[Array, ...]
) -> None:
    a, b = ab
    divisor = np.where(b == 0, np.ones((), b.dtype), b)
    assert_equal(op(a, divisor), exactly(exact, a, divisor))


@given(operands(SIGNED))
def test_div_and_fmod_give_the_dividend_back(ab: tuple[Array, ...]) -> None:
    a, b = ab
    divisor = np.where(b == 0, np.ones((), b.dtype), b)
    with np.errstate(over="ignore"):
        whole = mul(div(a, divisor), divisor)
    assert_equal(add(whole, mod(a, divisor, fmod=1)), np.broadcast_to(a, whole.shape).copy())


@pytest.mark.parametrize("op", [div, mod, lambda a, b: mod(a, b, fmod=1)])
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integers_are_not_divided_by_zero(op: Callable[..., Array], dtype: DType) -> None:
    with pytest.raises(ZeroDivisionError, match="integer is divided by zero"):
        op(np.array([1, 2], dtype), np.array([1, 0], dtype))


def test_the_smallest_integer_over_minus_one_wraps() -> None:
    with np.errstate(over="ignore"):
        assert_equal(
            div(np.array([-128], np.int8), np.array([-1], np.int8)), np.array([-128], np.int8)
        )


def test_division_of_large_integers_keeps_every_digit() -> None:
    # Through float64 this would be 3074457345618258602.
    assert int(div(np.array(2**63 - 1), np.array(3))) == 3074457345618258602
    assert int(div(np.array(-(2**62) - 1), np.array(1))) == -(2**62) - 1


@np.errstate(all="ignore")
def test_float_division_by_zero_follows_ieee() -> None:
    found = div(np.array([1.0, -1.0, 0.0]), np.array(0.0))
    assert_equal(found, np.array([np.inf, -np.inf, np.nan]))
    assert_equal(reciprocal(np.array([-0.0, 0.0])), np.array([-np.inf, np.inf]))


@pytest.mark.parametrize(
    ("op", "exact"),
    [
        (add, lambda a, b: a + b),
        (sub, lambda a, b: a - b),
        (mul, lambda a, b: a * b),
        (div, lambda a, b: a / b if b else a * math.copysign(math.inf, b)),
        (sum_, lambda a, b: a + b),
        (mean, lambda a, b: (a + b) / 2),
    ],
)
@given(operands(FLOATS, low=-100, high=100))
@np.errstate(all="ignore")
def test_floats_are_rounded_once(
    op: Callable[..., Array], exact: Callable[..., float], ab: tuple[Array, ...]
) -> None:
    dtype = ab[0].dtype
    assert_close(op(*ab), elementwise(exact, *ab), dtype, ulps=0.5 if dtype.itemsize < 8 else 1)


@given(operands(FLOATS, count=3, low=-1e4, high=1e4))
def test_sums_and_means_of_several_inputs(inputs: tuple[Array, ...]) -> None:
    total = elementwise(lambda *row: math.fsum(row), *inputs)
    dtype = inputs[0].dtype
    # Rounding each partial sum costs up to one unit of the largest of them.
    assert_close(sum_(*inputs), total, dtype, ulps=1, floor=0 if dtype in HALVES else 3e4)
    assert_close(mean(*inputs), total / 3, dtype, ulps=1, floor=0 if dtype in HALVES else 3e4)


@pytest.mark.parametrize("op", BINARY)
def test_mixed_types_are_refused(op: Callable[..., Array]) -> None:
    with pytest.raises(TypeError, match="one type, they have float32, float64"):
        op(np.ones(2, np.float32), np.ones(2))


@pytest.mark.parametrize("op", BINARY)
def test_shapes_that_do_not_broadcast_are_refused(op: Callable[..., Array]) -> None:
    with pytest.raises(ValueError, match="broadcast"):
        op(np.ones(2), np.ones(3))


@pytest.mark.parametrize("op", BINARY)
def test_outer_products_are_held_to_the_budget(op: Callable[..., Array]) -> None:
    column, row = np.ones((100, 1), np.float32), np.ones((1, 10), np.float32)
    with spending(Budget(max_bytes=4000)):
        assert op(column, row).shape == (100, 10)
    with spending(Budget(max_bytes=3999)), pytest.raises(OverBudgetError, match="4000 bytes"):
        op(column, row)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_halves_accumulate_in_float32(dtype: DType) -> None:
    ones = np.ones(1, dtype)
    # Added one after the other, fp16 stops at 2048 and bfloat16 at 256.
    assert float(sum_(*[ones] * 4096)[0]) == 4096
    assert float(sum_(*[ones] * 4097)[0]) == 4096  # a tie in fp16, which goes to the even one


def test_sums_beyond_the_largest_half_come_back() -> None:
    big = np.array([60000], np.float16)
    assert_equal(sum_(big, big, -big), big)
    assert_equal(mean(big, big), big)


@pytest.mark.parametrize("op", [max_, min_])
@given(operands(FLOATS))
def test_extremes_pass_nan_on(op: Callable[..., Array], ab: tuple[Array, ...]) -> None:
    choose: Any = max if op is max_ else min

    def exact(a: float, b: float) -> float:
        return math.nan if math.isnan(a) or math.isnan(b) else choose(a, b)

    assert_equal(op(*ab), elementwise(exact, *ab).astype(ab[0].dtype))


@pytest.mark.parametrize("op", [max_, min_, sum_, mean])
def test_one_input_is_enough_and_none_is_too_few(op: Callable[..., Array]) -> None:
    assert_equal(op(np.array([2.0])), np.array([2.0]))
    with pytest.raises((TypeError, IndexError)):
        op()


@given(operands(FLOATS, low=-1000, high=1000))
def test_float_fmod_is_exact(ab: tuple[Array, ...]) -> None:
    a, b = ab[0], np.where(ab[1] == 0, np.ones((), ab[1].dtype), ab[1])
    assert_equal(mod(a, b, fmod=1), elementwise(math.fmod, a, b).astype(a.dtype))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_float_mod_follows_the_divisors_sign(dtype: DType) -> None:
    found = mod(np.array([-4.5, 4.5, -4.5, 4.5], dtype), np.array([2, -2, -2, 2], dtype))
    assert_equal(found, np.array([1.5, -1.5, -0.5, 0.5], dtype))


@np.errstate(invalid="ignore")
def test_mod_special_cases() -> None:
    inf, nan = math.inf, math.nan
    a, b = np.array([inf, 1, 3, -3, nan]), np.array([2, 0, inf, inf, 2])
    assert_equal(mod(a, b, fmod=1), np.array([nan, nan, 3, -3, nan]))
    assert_equal(mod(a, b), np.array([nan, nan, 3, inf, nan]))


# -- Pow ------------------------------------------------------------------------------------------


@given(st.sampled_from(INTEGERS).flatmap(tensors), st.sampled_from(INTEGERS), st.integers(0, 2**64))
def test_integer_powers_are_exact_modulo_the_width(x: Array, kind: DType, power: int) -> None:
    power = min(power, int(np.iinfo(kind).max))
    width = 2 ** (8 * x.dtype.itemsize)
    wanted = exactly(lambda base: pow(base, power, width), x)
    assert_equal(pow_(x, np.array(power, kind)), wanted)


@given(operands(SIGNED, low=-200, high=-1))
def test_negative_powers_of_integers_truncate(xy: tuple[Array, ...]) -> None:
    x, y = xy
    wanted = exactly(lambda base, power: {1: 1, -1: (-1) ** (power % 2)}.get(base, 0), x, y)
    assert_equal(pow_(x, y), wanted)


def test_the_smallest_exponent_is_a_power_like_any_other() -> None:
    # |-128| does not fit into int8.
    found = pow_(np.array([-1, 1, 2], np.int8), np.array(-128, np.int8))
    assert_equal(found, np.array([1, 1, 0], np.int8))


def test_exponents_wider_than_the_base_keep_their_size() -> None:
    assert_equal(
        pow_(np.array([2, 3], np.int8), np.array(256)), np.array([0, 1], np.int8)
    )  # not 2 ** 0


def test_zero_has_no_negative_power() -> None:
    with pytest.raises(ZeroDivisionError, match="negative power"):
        pow_(np.array([1, 0]), np.array(-1))


@pytest.mark.parametrize("exponent", NUMBERS, ids=str)
@pytest.mark.parametrize("base", NUMBERS, ids=str)
def test_powers_have_the_type_of_the_base(base: DType, exponent: DType) -> None:
    assert_equal(pow_(np.array([3, 2], base), np.array([[2], [3]], exponent)),
                 np.array([[9, 4], [27, 8]], base))  # fmt: skip


def test_fractional_powers_of_integers_truncate() -> None:
    assert_equal(
        pow_(np.array([10, 99], np.int32), np.array(0.5, np.float32)), np.array([3, 9], np.int32)
    )


@np.errstate(all="ignore")
def test_powers_that_are_no_integers_become_what_cast_makes_of_them() -> None:
    found = pow_(np.array([-1, 10], np.int32), np.array([0.5, 20.0]))  # NaN and 1e20
    assert_equal(found, np.array([-(2**31), -(2**31)], np.int32))


@given(operands(FLOATS, low=0.125, high=8))
@np.errstate(over="ignore")
def test_float_powers(xy: tuple[Array, ...]) -> None:
    assert_close(pow_(*xy), elementwise(math.pow, *xy), xy[0].dtype, ulps=4)


def test_powers_are_held_to_the_budget() -> None:
    with spending(Budget(max_bytes=79)), pytest.raises(OverBudgetError, match="80 bytes"):
        pow_(np.ones((5, 1)), np.ones((1, 2)))


# -- one input ------------------------------------------------------------------------------------


@given(st.sampled_from(SIGNED).flatmap(tensors))
def test_sign_and_size_of_integers(x: Array) -> None:
    assert_equal(neg(x), exactly(int.__neg__, x))
    assert_equal(abs_(x), exactly(abs, x))
    assert_equal(sign(x), exactly(lambda v: (v > 0) - (v < 0), x))
    assert_equal(mul(sign(x), abs_(x)), x.copy())


@pytest.mark.parametrize("dtype", UNSIGNED, ids=str)
def test_unsigned_integers_have_a_sign_and_a_size(dtype: DType) -> None:
    x = np.array([0, 1, np.iinfo(dtype).max], dtype)
    assert_equal(abs_(x), x)
    assert_equal(sign(x), np.array([0, 1, 1], dtype))


@given(st.sampled_from(FLOATS).flatmap(tensors))
def test_sign_and_size_of_floats(x: Array) -> None:
    def sign_of(v: float) -> float:
        return v if math.isnan(v) else (v > 0) - (v < 0)

    assert_equal(neg(x), elementwise(lambda v: -v, x).astype(x.dtype))
    assert_equal(abs_(x), elementwise(abs, x).astype(x.dtype))
    assert_equal(sign(x), elementwise(sign_of, x).astype(x.dtype))


@given(st.sampled_from(FLOATS).flatmap(lambda dtype: tensors(dtype, low=2**-10, high=60000)))
def test_reciprocals_and_roots(x: Array) -> None:
    assert_close(reciprocal(x), elementwise(lambda v: 1 / v, x), x.dtype, ulps=0.5)
    assert_close(sqrt(x), elementwise(math.sqrt, x), x.dtype, ulps=0.5)


@np.errstate(invalid="ignore")
def test_the_root_of_a_negative_number_is_nan() -> None:
    assert_equal(sqrt(np.array([-1.0, 0.0, np.inf])), np.array([np.nan, 0.0, np.inf]))
    assert np.isnan(sqrt(np.array([-1], BFLOAT16)).astype(float)).all()
