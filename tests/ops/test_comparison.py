"""Comparisons, logic and choice against Python's operators."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    Budget,
    OverBudgetError,
    and_,
    equal,
    greater,
    greater_or_equal,
    isinf,
    isnan,
    less,
    less_or_equal,
    not_,
    or_,
    spending,
    where,
    xor,
)
from tests.assertions import assert_equal
from tests.oracles import elementwise
from tests.strategies import ANYTHING, BOOL, FLOATS, NUMBERS, STRING, DType, operands, tensors

ORDER: list[tuple[Callable[..., Array], Callable[..., bool]]] = [
    (greater, operator.gt),
    (greater_or_equal, operator.ge),
    (less, operator.lt),
    (less_or_equal, operator.le),
]


@pytest.mark.parametrize(("op", "exact"), [(equal, operator.eq), *ORDER])
@given(operands(NUMBERS))
def test_numbers_compare_as_in_python(
    op: Callable[..., Array], exact: Callable[..., bool], ab: tuple[Array, ...]
) -> None:
    assert_equal(op(*ab), elementwise(exact, *ab, dtype=bool))


@given(operands([BOOL, STRING]))
def test_bools_and_strings_are_equal_or_not(ab: tuple[Array, ...]) -> None:
    assert_equal(equal(*ab), elementwise(operator.eq, *ab, dtype=bool))


@pytest.mark.parametrize(
    ("op", "exact"), [(and_, operator.and_), (or_, operator.or_), (xor, operator.xor)]
)
@given(operands([BOOL]))
def test_logic(op: Callable[..., Array], exact: Callable[..., bool], ab: tuple[Array, ...]) -> None:
    assert_equal(op(*ab), elementwise(exact, *ab, dtype=bool))


@given(tensors(BOOL))
def test_not_is_its_own_inverse(x: Array) -> None:
    assert_equal(not_(x), elementwise(operator.not_, x, dtype=bool))
    assert_equal(not_(not_(x)), x.copy())


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@np.errstate(invalid="ignore")  # of which ml_dtypes warns
def test_nan_is_neither_equal_nor_in_order(dtype: DType) -> None:
    nan = np.array([np.nan], dtype)
    for op in (equal, greater, greater_or_equal, less, less_or_equal):
        assert_equal(op(nan, nan), np.array([False]))


def test_large_integers_are_not_compared_as_floats() -> None:
    a, b = np.array([2**53 + 1]), np.array([2**53])
    assert_equal(equal(a, b), np.array([False]))
    assert_equal(greater(a, b), np.array([True]))


@pytest.mark.parametrize("op", [equal, greater, greater_or_equal, less, less_or_equal])
def test_mixed_types_are_refused(op: Callable[..., Array]) -> None:
    with pytest.raises(TypeError, match="int64, float64; insert a Cast"):
        op(np.array([1]), np.array([1.0]))


@pytest.mark.parametrize("op", [and_, or_, xor, lambda a, b: not_(b), where])
def test_logic_is_for_bools(op: Callable[..., Array]) -> None:
    condition = np.array([1])
    arguments = (condition, condition, condition) if op is where else (np.array([True]), condition)
    with pytest.raises(TypeError, match="expected bool, got int64"):
        op(*arguments)


# -- Where ----------------------------------------------------------------------------------------


@given(operands(ANYTHING, count=3), st.data())
def test_where_chooses_element_by_element(inputs: tuple[Array, ...], data: st.DataObject) -> None:
    mould, x, y = inputs
    condition = data.draw(tensors(BOOL, mould.shape))
    expected = elementwise(lambda c, a, b: a if c else b, condition, x, y, dtype=object)
    assert_equal(where(condition, x, y), expected.astype(x.dtype))


def test_where_refuses_mixed_types() -> None:
    with pytest.raises(TypeError, match="float32, float64"):
        where(np.array(True), np.ones(1, np.float32), np.ones(1))


def test_where_is_held_to_the_budget_by_all_of_its_inputs() -> None:
    column, row = np.ones((100, 1), bool), np.ones((1, 10), np.float32)
    with spending(Budget(max_bytes=4000)):
        assert where(column, row, row).shape == (100, 10)
    with spending(Budget(max_bytes=3999)), pytest.raises(OverBudgetError, match="4000 bytes"):
        where(column, row, row)


# -- IsNaN, IsInf ---------------------------------------------------------------------------------


@given(st.sampled_from(FLOATS).flatmap(tensors))
def test_isnan_and_isinf_of_every_float(x: Array) -> None:
    assert_equal(isnan(x), elementwise(math.isnan, x, dtype=bool))
    assert_equal(isinf(x), elementwise(math.isinf, x, dtype=bool))


@pytest.mark.parametrize(
    ("negative", "positive", "expected"),
    [
        (1, 1, [True, True, False, False]),
        (1, 0, [True, False, False, False]),
        (0, 1, [False, True, False, False]),
        (0, 0, [False, False, False, False]),
    ],
)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_isinf_of_the_signs_asked_for(
    negative: int, positive: int, expected: list[bool], dtype: DType
) -> None:
    x = np.array([-np.inf, np.inf, np.nan, 1], dtype)
    found = isinf(x, detect_negative=negative, detect_positive=positive)
    assert_equal(found, np.array(expected))


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "float8_e5m2fnuz"])
def test_isnan_and_isinf_of_float8(name: str) -> None:
    x = np.array([np.nan, 1.0, 0.0]).astype(getattr(ml_dtypes, name))
    assert_equal(isnan(x), np.array([True, False, False]))
    assert_equal(isinf(x), np.array([False, False, False]))
