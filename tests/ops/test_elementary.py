"""Elementary functions against Python's math module, which works in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atanh,
    ceil,
    clip,
    clip_6,
    cos,
    cosh,
    erf,
    exp,
    floor,
    log,
    round_,
    sin,
    sinh,
    tan,
    tanh,
)
from tests.assertions import assert_close, assert_equal
from tests.oracles import elementwise
from tests.strategies import FLOATS, NUMBERS, DType, tensors

Unary = Callable[[Array], Array]

FUNCTIONS: list[tuple[Unary, Callable[[float], float], float, float]] = [
    (exp, math.exp, -10, 10),
    (log, math.log, 2**-14, 60000),
    (erf, math.erf, -6, 6),
    (tanh, math.tanh, -20, 20),
    (sin, math.sin, -100, 100),
    (cos, math.cos, -100, 100),
    (tan, math.tan, -1.5, 1.5),
    (asin, math.asin, -1, 1),
    (acos, math.acos, -1, 1),
    (atan, math.atan, -60000, 60000),
    (sinh, math.sinh, -10, 10),
    (cosh, math.cosh, -10, 10),
    (asinh, math.asinh, -60000, 60000),
    (acosh, math.acosh, 1, 60000),
    (atanh, math.atanh, -0.875, 0.875),
]


@pytest.mark.parametrize(
    ("op", "exact", "low", "high"), FUNCTIONS, ids=[op.__name__ for op, *_ in FUNCTIONS]
)
@given(data=st.data())
def test_functions_of_one_variable(
    op: Unary, exact: Callable[[float], float], low: float, high: float, data: st.DataObject
) -> None:
    x = data.draw(st.sampled_from(FLOATS).flatmap(lambda d: tensors(d, low=low, high=high)))
    assert_close(op(x), elementwise(exact, x), x.dtype, ulps=4, floor=1)


@pytest.mark.parametrize(
    ("op", "outside"), [(log, -1), (asin, 1.5), (acos, -1.5), (acosh, 0.5), (atanh, 2)]
)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@np.errstate(invalid="ignore")
def test_outside_of_the_domain_lies_nan(op: Unary, outside: float, dtype: DType) -> None:
    assert_equal(op(np.array(outside, dtype)), np.array(np.nan, dtype))


@pytest.mark.parametrize(
    ("op", "x", "limit"),
    [
        (exp, -np.inf, 0),
        (exp, np.inf, np.inf),
        (log, 0, -np.inf),
        (log, np.inf, np.inf),
        (erf, -np.inf, -1),
        (tanh, np.inf, 1),
        (atanh, 1, np.inf),
    ],
)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@np.errstate(divide="ignore")
def test_limits(op: Unary, x: float, limit: float, dtype: DType) -> None:
    assert_equal(op(np.array([x], dtype)), np.array([limit], dtype))


def test_erf_in_float64_has_all_of_its_digits() -> None:
    # Other implementations go through float32 tables.
    points = [1e-300, 1e-9, 0.1, 0.5, 1.0, 2.5, 4.0]
    expected = [float(mpmath.erf(p)) for p in points]
    assert_close(erf(np.array(points)), expected, np.dtype(np.float64), ulps=2)


def test_an_overflow_of_exp_is_inf() -> None:
    with np.errstate(over="ignore"):
        assert_equal(exp(np.array([12], np.float16)), np.array([np.inf], np.float16))


@pytest.mark.parametrize(("op", "exact"), [(floor, math.floor), (ceil, math.ceil), (round_, round)])
@given(st.sampled_from(FLOATS).flatmap(lambda d: tensors(d, low=-60000, high=60000)))
def test_rounding_to_whole_numbers(op: Unary, exact: Callable[[float], int], x: Array) -> None:
    assert_equal(op(x), elementwise(exact, x).astype(x.dtype))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_round_goes_to_the_even_one_of_two(dtype: DType) -> None:
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, np.nan, -np.inf], dtype)
    assert_equal(round_(x), np.array([-2, -2, 0, 0, 2, 2, np.nan, -np.inf], dtype))


# -- Clip -----------------------------------------------------------------------------------------


@given(st.sampled_from(NUMBERS), st.data())
def test_clip_is_the_minimum_of_max_and_the_maximum_of_min_and_x(
    dtype: DType, data: st.DataObject
) -> None:
    x = data.draw(tensors(dtype, low=-100, high=100))
    bound = st.none() | tensors(dtype, (), low=-100, high=100)
    low, high = data.draw(bound), data.draw(bound)

    def exact(value: float) -> float:
        value = value if low is None else max(value, low.item())
        return value if high is None else min(value, high.item())

    assert_equal(clip(x, low, high), elementwise(exact, x).astype(dtype))


def test_clip_with_bounds_in_the_wrong_order_gives_the_upper() -> None:
    assert_equal(clip(np.array([0, 5, 9]), np.array(7), np.array(3)), np.array([3, 3, 3]))


def test_clip_keeps_nan() -> None:
    x = np.array([np.nan, -9, 9])
    assert_equal(clip(x, np.array(-1.0), np.array(1.0)), np.array([np.nan, -1, 1]))
    assert_equal(clip_6(x, min=-1, max=1), np.array([np.nan, -1, 1]))


def test_clip_takes_a_bound_of_one_element() -> None:
    assert_equal(clip(np.array([5.0]), None, np.array([2.0])), np.array([2.0]))


@pytest.mark.parametrize("bound", [np.zeros(2), np.zeros((1, 1)), np.zeros(0)])
def test_clip_refuses_bounds_that_are_no_scalars(bound: Array) -> None:
    with pytest.raises(ValueError, match="a bound is a scalar"):
        clip(np.zeros(2), bound)


def test_clip_refuses_bounds_of_another_type() -> None:
    with pytest.raises(TypeError, match="int32, float32"):
        clip(np.array([1, 2], np.int32), np.array(1, np.float32))


@given(st.sampled_from(FLOATS).flatmap(lambda d: tensors(d, low=-100, high=100)))
def test_clip_with_attributes(x: Array) -> None:
    expected = elementwise(lambda v: min(max(v, -1), 2.5), x).astype(x.dtype)
    assert_equal(clip_6(x, min=-1.0, max=2.5), expected)
    assert_equal(
        clip_6(x, min=-1.0, max=2.5), clip(x, np.array(-1, x.dtype), np.array(2.5, x.dtype))
    )


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_clip_without_attributes_changes_no_finite_float32(dtype: DType) -> None:
    x = np.array([-60000, 0, 60000], dtype)
    assert_equal(clip_6(x), x)
