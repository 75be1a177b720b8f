"""Softmax, LogSoftmax and Hardmax against their definitions, now and before opset 13."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    hardmax,
    hardmax_1,
    log_softmax,
    log_softmax_1,
    softmax,
    softmax_1,
)
from tests.assertions import assert_close, assert_equal
from tests.strategies import FLOATS, HALVES, DType, axes, tensors, with_axis

Rows = Callable[[list[float]], list[float]]


def softmax_row(row: list[float]) -> list[float]:
    weights = [math.exp(v - max(row)) for v in row]
    return [w / math.fsum(weights) for w in weights]


def log_softmax_row(row: list[float]) -> list[float]:
    total = math.log(math.fsum(math.exp(v - max(row)) for v in row))
    return [v - max(row) - total for v in row]


def hardmax_row(row: list[float]) -> list[float]:
    return [float(i == row.index(max(row))) for i in range(len(row))]


def along(function: Rows, x: Array, axis: int) -> Array:
    """A function of lists applied to each row of the tensor along an axis."""
    rows = np.moveaxis(x.astype(np.float64), axis, -1)
    found = [function(row) for row in rows.reshape(-1, rows.shape[-1]).tolist()]
    return np.moveaxis(np.array(found).reshape(rows.shape), -1, axis)


CASES = [(softmax, softmax_row), (log_softmax, log_softmax_row), (hardmax, hardmax_row)]
LEGACY = [(softmax_1, softmax_row), (log_softmax_1, log_softmax_row), (hardmax_1, hardmax_row)]


@pytest.mark.parametrize(("op", "row"), CASES)
@given(x_axis=with_axis(FLOATS, min_side=1, low=-100, high=100))
def test_each_row_along_the_axis(
    op: Callable[..., Array], row: Rows, x_axis: tuple[Array, int]
) -> None:
    x, axis = x_axis
    half = x.dtype in HALVES
    wanted = along(row, x, axis)
    assert_close(
        op(x, axis=axis), wanted, x.dtype, ulps=1 if half else 8, floor=0.01 if half else 100
    )


@pytest.mark.parametrize(("op", "row"), LEGACY)
@given(st.sampled_from(FLOATS), st.data())
def test_before_opset_13_the_axis_cuts_the_shape_in_two(
    op: Callable[..., Array], row: Rows, dtype: DType, data: st.DataObject
) -> None:
    shape = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    x = data.draw(tensors(dtype, tuple(shape), low=-100, high=100))
    axis = data.draw(axes(x.ndim))
    cut = axis % x.ndim
    matrix = x.reshape(math.prod(shape[:cut]), math.prod(shape[cut:]))
    half = dtype in HALVES
    wanted = along(row, matrix, 1).reshape(shape)
    assert_close(
        op(x, axis=axis), wanted, dtype, ulps=1 if half else 8, floor=0.01 if half else 100
    )


def test_the_old_default_axis_is_1_and_spans_the_rest() -> None:
    # Read with today's semantics each row of two would get [0.5, 0.5].
    assert_equal(softmax_1(np.zeros((1, 2, 2))), np.full((1, 2, 2), 0.25))
    assert_equal(softmax(np.zeros((1, 2, 2))), np.full((1, 2, 2), 0.5))
    assert_equal(hardmax_1(np.arange(4.0).reshape(1, 2, 2)), np.array([[[0.0, 0], [0, 1]]]))


def test_the_old_axis_may_stand_behind_the_last_dimension() -> None:
    assert_equal(softmax_1(np.array([3.0, 5.0]), axis=1), np.array([1.0, 1.0]))


@pytest.mark.parametrize("op", [op for op, _ in CASES + LEGACY])
def test_axes_out_of_range_are_refused(op: Callable[..., Array]) -> None:
    for axis in (3, -3):
        with pytest.raises(ValueError, match=f"axis {axis} does not exist in a tensor of rank 2"):
            op(np.ones((2, 2)), axis=axis)


def test_log_softmax_keeps_tiny_probabilities_finite() -> None:
    # The logarithm of the Softmax would be -inf here, since exp(-200) * 2 ** 126 is 0 in float32.
    assert_equal(log_softmax(np.array([0, -200], np.float32)), np.array([0, -200], np.float32))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@np.errstate(invalid="ignore")
def test_a_row_of_minus_infinity_is_nan(dtype: DType) -> None:
    x = np.array([[-np.inf, -np.inf], [0, -np.inf]], dtype)
    assert_equal(softmax(x), np.array([[np.nan, np.nan], [1, 0]], dtype))
    assert_equal(log_softmax(x)[0], np.array([np.nan, np.nan], dtype))


def test_large_scores_do_not_overflow() -> None:
    assert_equal(softmax(np.array([1e30, 1e30], np.float32)), np.array([0.5, 0.5], np.float32))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_halves_sum_in_float32(dtype: DType) -> None:
    # One after the other 8192 ones would sum to 2048 in fp16, to 256 in bfloat16.
    found = softmax(np.zeros((8192, 1), dtype), axis=0)
    assert_equal(found, np.full((8192, 1), 2.0**-13, dtype))


def test_hardmax_takes_the_first_of_equal_maxima() -> None:
    assert_equal(hardmax(np.array([1.0, 3.0, 3.0])), np.array([0.0, 1.0, 0.0]))


@pytest.mark.parametrize("op", [op for op, _ in CASES + LEGACY])
@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 2)])
@np.errstate(invalid="ignore", divide="ignore")
def test_empty_tensors_stay_empty(op: Callable[..., Array], shape: tuple[int, ...]) -> None:
    assert_equal(op(np.zeros(shape), axis=len(shape) - 1), np.zeros(shape))
