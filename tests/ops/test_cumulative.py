"""Running sums and products against Python's own."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array, cumprod, cumsum
from tests.assertions import assert_close, assert_equal
from tests.ops.rows import Listed, along
from tests.strategies import FLOATS, HALVES, INTEGERS, DType, with_axis


def running(
    function: Callable[[Any, Any], Any], start: int, exclusive: int, reverse: int
) -> Listed:
    def compute(row: list[Any]) -> list[Any]:
        row = row[::-1] if reverse else row
        totals = list(itertools.accumulate(row, function, initial=start))
        found = totals[:-1] if exclusive else totals[1:]
        return found[::-1] if reverse else found

    return compute


@pytest.mark.parametrize(
    ("op", "function", "start"), [(cumsum, operator.add, 0), (cumprod, operator.mul, 1)]
)
@given(
    x_axis=with_axis([*FLOATS, *INTEGERS], low=-4, high=4),
    exclusive=st.integers(0, 1),
    reverse=st.integers(0, 1),
    axis_shape=st.sampled_from([(), (1,)]),
)
def test_running_sums_and_products(
    op: Callable[..., Array], function: Callable[[Any, Any], Any], start: int,
    x_axis: tuple[Array, int], exclusive: int, reverse: int, axis_shape: tuple[int, ...],
) -> None:  # fmt: skip
    x, axis = x_axis
    found = op(x, np.full(axis_shape, axis, np.int64), exclusive=exclusive, reverse=reverse)
    if x.size == 0:
        assert_equal(found, x)
    elif x.dtype in FLOATS:
        exact = along(running(function, start, exclusive, reverse), x, axis, np.float64)
        half = x.dtype in HALVES
        assert_close(found, exact, x.dtype, ulps=1 if half else 4, floor=0.01 if half else 32)
    else:
        bits = 8 * x.dtype.itemsize
        exact = along(running(function, start, exclusive, reverse), x, axis, object)
        assert_equal(found, np.array(exact % 2**bits, f"uint{bits}").astype(x.dtype))


def test_running_sums_of_nothing_are_nothing() -> None:
    for exclusive in (0, 1):
        found = cumsum(np.zeros((2, 0)), np.array(1), exclusive=exclusive)
        assert_equal(found, np.zeros((2, 0)))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_halves_accumulate_in_float32(dtype: DType) -> None:
    found = cumsum(np.ones(4097, dtype), np.array(0))
    assert float(found[-1]) == 4096
    assert float(found[2047]) == 2048


def test_integers_wrap_around() -> None:
    assert_equal(cumsum(np.array([127, 1], np.int8), np.array(0)), np.array([127, -128], np.int8))
    assert_equal(cumprod(np.array([16, 16], np.uint8), np.array(0)), np.array([16, 0], np.uint8))


@pytest.mark.parametrize("op", [cumsum, cumprod])
def test_running_axes_out_of_range_are_refused(op: Callable[..., Array]) -> None:
    for axis in (1, -2):
        with pytest.raises(ValueError, match=f"axis {axis} does not exist"):
            op(np.ones(3), np.array(axis))
    with pytest.raises(ValueError, match="expected one integer"):
        op(np.ones(3), np.array([0, 0]))
