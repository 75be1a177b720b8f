"""Reductions against Python's sums, products and extremes of the elements that fall together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    Budget,
    OverBudgetError,
    reduce_l1,
    reduce_l2,
    reduce_log_sum,
    reduce_log_sum_exp,
    reduce_max,
    reduce_mean,
    reduce_min,
    reduce_prod,
    reduce_sum,
    reduce_sum_square,
    spending,
)
from tests.assertions import assert_close, assert_equal
from tests.oracles import elementwise
from tests.strategies import BOOL, FLOATS, HALVES, INTEGERS, DType, tensors

Reduction = Callable[..., Array]

EVERY: list[Reduction] = [
    reduce_l1,
    reduce_l2,
    reduce_log_sum,
    reduce_log_sum_exp,
    reduce_max,
    reduce_mean,
    reduce_min,
    reduce_prod,
    reduce_sum,
    reduce_sum_square,
]


def grouped(function: Callable[[list[Any]], Any], x: Array, over: Iterable[int]) -> Array:
    """A function of the list of elements that a reduction over the axes puts together."""
    axes = sorted(axis % x.ndim for axis in over)
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    wide = x.astype(np.float64) if x.dtype in FLOATS else x.astype(object)
    rows = wide.transpose(*kept, *axes).reshape(
        math.prod(x.shape[i] for i in kept), math.prod(x.shape[i] for i in axes)
    )
    result = np.empty(len(rows), object)
    for place, row in enumerate(rows.tolist()):
        result[place] = function(row)
    return result.reshape([1 if i in axes else n for i, n in enumerate(x.shape)])


@st.composite
def axes_of(draw: st.DrawFn, x: Array) -> list[int]:
    """Some axes, each at most once, in any order and counted from either end."""
    chosen = draw(st.lists(st.integers(0, x.ndim - 1), unique=True)) if x.ndim else []
    return [axis - x.ndim if draw(st.booleans()) else axis for axis in chosen]


def norm(values: list[float]) -> float:
    return math.sqrt(math.fsum(v * v for v in values))


@pytest.mark.parametrize(
    ("op", "exact"),
    [
        (reduce_sum, math.fsum),
        (reduce_l1, lambda v: math.fsum(map(abs, v))),
        (reduce_sum_square, lambda v: math.fsum(x * x for x in v)),
        (reduce_l2, norm),
        (reduce_mean, lambda v: math.fsum(v) / len(v)),
        (reduce_prod, math.prod),
        (reduce_log_sum, lambda v: math.log(math.fsum(v))),
        (reduce_log_sum_exp, lambda v: math.log(math.fsum(map(math.exp, v)))),
    ],
)
@given(data=st.data())
@np.errstate(over="ignore")
def test_floats(op: Reduction, exact: Callable[[list[float]], float], data: st.DataObject) -> None:
    low = 0.25 if op is reduce_log_sum else -4
    x = data.draw(st.sampled_from(FLOATS).flatmap(lambda d: tensors(d, low=low, high=4)))
    axes = data.draw(axes_of(x))
    if x.size == 0:
        return  # see test_reductions_of_nothing
    over = axes or range(x.ndim)
    wanted = grouped(exact, x, over).astype(np.float64)
    # The terms may cancel; halves are rounded from a float32 that has that error.
    ulps, floor = (1, 0.01) if x.dtype in HALVES else (16, 64)
    for keepdims in (0, 1):
        found = op(x, np.array(axes, np.int64), keepdims=keepdims)
        shaped = wanted if keepdims else wanted.squeeze(tuple(a % x.ndim for a in over))
        assert_close(found, shaped, x.dtype, ulps=ulps, floor=floor)


@pytest.mark.parametrize(
    ("op", "exact"),
    [
        (reduce_sum, sum),
        (reduce_prod, math.prod),
        (reduce_l1, lambda v: sum(map(abs, v))),
        (reduce_sum_square, lambda v: sum(x * x for x in v)),
        (reduce_max, max),
        (reduce_min, min),
        (reduce_mean, lambda v: abs(sum(v)) // len(v) * (1 if sum(v) > 0 else -1)),
    ],
)
@given(data=st.data())
def test_integers_are_exact_modulo_the_width(
    op: Reduction, exact: Callable[[list[int]], int], data: st.DataObject
) -> None:
    x = data.draw(st.sampled_from(INTEGERS).flatmap(tensors))
    axes = data.draw(axes_of(x))
    if x.size == 0:
        return
    wanted = grouped(exact, x, axes or range(x.ndim))
    bits = 8 * x.dtype.itemsize
    wrapped = elementwise(lambda v: v % 2**bits, wanted, dtype=f"uint{bits}").astype(x.dtype)
    assert_equal(op(x, np.array(axes, np.int64)), wrapped)


@pytest.mark.parametrize(("op", "exact"), [(reduce_max, max), (reduce_min, min)])
@given(data=st.data())
def test_extremes(op: Reduction, exact: Callable[[list[Any]], Any], data: st.DataObject) -> None:
    x = data.draw(st.sampled_from([*FLOATS, BOOL]).flatmap(tensors))
    axes = data.draw(axes_of(x))
    if x.size == 0:
        return

    def chosen(values: list[Any]) -> Any:
        return math.nan if any(map(math.isnan, values)) else exact(values)

    wanted = grouped(chosen, x, axes or range(x.ndim))
    assert_equal(op(x, np.array(axes, np.int64)), wanted.astype(x.dtype))


# -- axes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", EVERY)
def test_without_axes_everything_is_reduced(op: Reduction) -> None:
    x = np.arange(1.0, 7.0).reshape(1, 2, 3)
    every = np.array([0, 1, 2])
    for axes in (None, np.zeros(0, np.int64)):
        assert_equal(op(x, axes), op(x, every))
        assert_equal(op(x, axes, keepdims=0), op(x, every).reshape(()))


@pytest.mark.parametrize(
    ("op", "each"),
    [
        (reduce_sum, lambda v: v),
        (reduce_max, lambda v: v),
        (reduce_min, lambda v: v),
        (reduce_prod, lambda v: v),
        (reduce_mean, lambda v: v),
        (reduce_l1, abs),
        (reduce_l2, abs),
        (reduce_sum_square, lambda v: v * v),
        (reduce_log_sum, lambda v: math.log(v) if v > 0 else math.nan),
        (reduce_log_sum_exp, lambda v: v),
    ],
)
@np.errstate(invalid="ignore")
def test_noop_still_computes_on_each_element(op: Reduction, each: Callable[[float], float]) -> None:
    x = np.array([[-3.0, 2.0], [0.5, 1.0]])
    for axes in (None, np.zeros(0, np.int64)):
        found = op(x, axes, noop_with_empty_axes=1, keepdims=0)
        assert_close(found, elementwise(each, x), x.dtype, ulps=2)
    assert_equal(op(x, np.array([0]), noop_with_empty_axes=1), op(x, np.array([0])))


@pytest.mark.parametrize("op", EVERY)
def test_axes_out_of_range_or_named_twice_are_refused(op: Reduction) -> None:
    x = np.ones((2, 3))
    for axis in (2, -3):
        with pytest.raises(ValueError, match=f"axis {axis} does not exist in a tensor of rank 2"):
            op(x, np.array([axis]))
    with pytest.raises(ValueError, match="one axis twice"):
        op(x, np.array([1, -1]))
    with pytest.raises(ValueError, match="list of integers"):
        op(x, np.array([[0]]))


@pytest.mark.parametrize("op", EVERY)
def test_scalars_reduce_to_scalars(op: Reduction) -> None:
    found = op(np.array(1.0))
    assert type(found) is np.ndarray
    assert found.shape == ()


# -- nothing to reduce ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "identity"),
    [
        (reduce_sum, 0),
        (reduce_l1, 0),
        (reduce_l2, 0),
        (reduce_sum_square, 0),
        (reduce_prod, 1),
        (reduce_max, -np.inf),
        (reduce_min, np.inf),
        (reduce_log_sum, -np.inf),
        (reduce_log_sum_exp, -np.inf),
        (reduce_mean, np.nan),
    ],
)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@np.errstate(divide="ignore", invalid="ignore")
def test_reductions_of_nothing(op: Reduction, identity: float, dtype: DType) -> None:
    x = np.zeros((2, 0), dtype)
    assert_equal(op(x, np.array([1])), np.full((2, 1), identity, dtype))
    assert_equal(op(x, np.array([0])), np.zeros((1, 0), dtype))


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_reductions_of_no_integers(dtype: DType) -> None:
    x, info = np.zeros(0, dtype), np.iinfo(dtype)
    assert_equal(reduce_sum(x), np.zeros(1, dtype))
    assert_equal(reduce_prod(x), np.ones(1, dtype))
    assert_equal(reduce_max(x), np.array([info.min], dtype))
    assert_equal(reduce_min(x), np.array([info.max], dtype))
    with pytest.raises(ZeroDivisionError, match="mean of no integers"):
        reduce_mean(x)


def test_reductions_of_no_bools() -> None:
    x = np.zeros(0, bool)
    assert_equal(reduce_max(x), np.array([False]))
    assert_equal(reduce_min(x), np.array([True]))


def test_a_large_result_of_nothing_is_held_to_the_budget() -> None:
    x = np.zeros((1000, 0), np.float32)
    with spending(Budget(max_bytes=4000)):
        assert reduce_sum(x, np.array([1])).shape == (1000, 1)
    with spending(Budget(max_bytes=3999)), pytest.raises(OverBudgetError, match="4000 bytes"):
        reduce_sum(x, np.array([1]))


# -- precision ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_halves_accumulate_in_float32(dtype: DType) -> None:
    ones = np.ones((4097, 2), dtype)
    # Added one after the other, fp16 stops at 2048 and bfloat16 at 256.
    assert_equal(reduce_sum(ones, np.array([0]), keepdims=0), np.array([4096, 4096], dtype))
    assert_equal(reduce_sum(ones[:, 0]), np.array([4096], dtype))


def test_the_mean_of_70000_halves_does_not_overflow() -> None:
    twos = np.full(70_000, 2, np.float16)  # their sum is beyond the largest fp16
    assert_equal(reduce_mean(twos), np.array([2], np.float16))


def test_the_norm_of_large_halves_does_not_overflow() -> None:
    found = reduce_l2(np.array([300, 300], np.float16))  # 300 ** 2 is beyond the largest fp16
    assert_equal(found, np.array([424.264], np.float16))


def test_int32_sums_wrap_in_int32() -> None:
    assert_equal(reduce_sum(np.array([2**31 - 1, 1], np.int32)), np.array([-(2**31)], np.int32))


def test_integer_means_truncate_and_keep_every_digit() -> None:
    assert_equal(reduce_mean(np.array([-3, -4])), np.array([-3]))
    assert_equal(reduce_mean(np.array([2**62 + 1, 2**62 + 1])), np.array([2**62 + 1]))
    # The sum of these is beyond int64.
    assert_equal(reduce_mean(np.array([2**63 - 1, 2**63 - 3])), np.array([2**63 - 2]))
    largest = np.array([2**64 - 1, 2**64 - 1], np.uint64)
    assert_equal(reduce_mean(largest), largest[:1])


def test_log_sum_exp_does_not_overflow() -> None:
    assert_equal(reduce_log_sum_exp(np.array([1000.0, 1000.0])), np.array([1000 + math.log(2)]))
    assert_equal(reduce_log_sum_exp(np.array([-1000.0])), np.array([-1000.0]))


def test_log_sum_exp_of_infinities() -> None:
    with np.errstate(divide="ignore"):
        assert_equal(reduce_log_sum_exp(np.array([-np.inf, -np.inf])), np.array([-np.inf]))
    with np.errstate(over="ignore"):
        assert_equal(reduce_log_sum_exp(np.array([np.inf, 1.0])), np.array([np.inf]))
    assert_equal(reduce_log_sum_exp(np.array([np.nan, 1.0])), np.array([np.nan]))


def test_nan_wins_every_extreme() -> None:
    x = np.array([1.0, np.nan, 2.0])
    assert_equal(reduce_max(x), np.array([np.nan]))
    assert_equal(reduce_min(x), np.array([np.nan]))
