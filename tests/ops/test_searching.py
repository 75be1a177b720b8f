"""Places of extremes, order and distinct elements, against Python's lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array, argmax, argmin, top_k, top_k_1, unique
from tests.assertions import assert_equal
from tests.ops.rows import along
from tests.strategies import (
    ANYTHING,
    BFLOAT16,
    FLOATS,
    INTEGERS,
    NUMBERS,
    STRING,
    DType,
    tensors,
    with_axis,
)

# -- ArgMax, ArgMin -------------------------------------------------------------------------------


@pytest.mark.parametrize(("op", "choose"), [(argmax, max), (argmin, min)])
@given(x_axis=with_axis(NUMBERS, min_side=1, low=-2, high=2))
def test_places_of_extremes(
    op: Callable[..., Array], choose: Callable[[list[Any]], Any], x_axis: tuple[Array, int]
) -> None:
    x, axis = x_axis
    first = along(lambda row: [row.index(choose(row))], x, axis, np.int64)
    last = along(lambda row: [len(row) - 1 - row[::-1].index(choose(row))], x, axis, np.int64)
    assert_equal(op(x, axis=axis), first)
    assert_equal(op(x, axis=axis, select_last_index=1), last)
    assert_equal(op(x, axis=axis, keepdims=0), first.squeeze(axis))
    assert_equal(op(x, axis=axis, keepdims=0, select_last_index=1), last.squeeze(axis))


@pytest.mark.parametrize("op", [argmax, argmin])
def test_places_are_refused_where_there_are_none(op: Callable[..., Array]) -> None:
    for axis in (2, -3):
        with pytest.raises(ValueError, match=f"axis {axis} does not exist in a tensor of rank 2"):
            op(np.ones((2, 3)), axis=axis)
    with pytest.raises(ValueError, match="empty"):
        op(np.ones((2, 0)), axis=1)
    assert_equal(op(np.ones((2, 0)), axis=0), np.zeros((1, 0), np.int64))


# -- TopK -----------------------------------------------------------------------------------------


@given(with_axis(NUMBERS, min_side=1, low=-2, high=2), st.integers(0, 1), st.data())
def test_top_k_is_a_stable_sort_cut_off(
    x_axis: tuple[Array, int], largest: int, data: st.DataObject
) -> None:
    x, axis = x_axis
    k = data.draw(st.integers(0, x.shape[axis]))

    def places(row: list[Any]) -> list[int]:
        sign = -1 if largest else 1
        return sorted(range(len(row)), key=lambda i: (sign * row[i], i))[:k]

    found = top_k(x, np.array([k]), axis=axis, largest=largest)
    if k:
        assert_equal(found.indices, along(places, x, axis, np.int64))
        assert_equal(found.values, np.take_along_axis(x, found.indices, axis))
        unsorted = top_k(x, np.array([k]), axis=axis, largest=largest, sorted=0)
        assert_equal(np.sort(unsorted.indices, axis), np.sort(found.indices, axis))
    else:
        assert found.indices.size == found.values.size == 0
        assert found.values.dtype == x.dtype
        assert found.indices.dtype == np.int64
    if largest:
        assert_equal(top_k_1(x, k=k, axis=axis).indices, found.indices)


def test_of_equal_elements_the_first_comes_first() -> None:
    x = np.array([1, 4, 4, 2, 4])
    assert top_k(x, np.array([3])).indices.tolist() == [1, 2, 4]
    assert top_k(-x, np.array([3]), largest=0).indices.tolist() == [1, 2, 4]


def test_top_k_of_uint64_does_not_negate() -> None:
    x = np.array([2**64 - 1, 0, 2**63], np.uint64)
    assert top_k(x, np.array([2])).indices.tolist() == [0, 2]


@pytest.mark.parametrize("k", [4, -1])
def test_top_k_refuses_more_than_there_is(k: int) -> None:
    with pytest.raises(ValueError, match=f"k is {k}, axis 0 has 3 elements"):
        top_k(np.arange(3), np.array([k]))
    with pytest.raises(ValueError, match=f"k is {k}"):
        top_k_1(np.arange(3), k=k)


def test_top_k_refuses_other_axes_and_several_ks() -> None:
    with pytest.raises(ValueError, match="axis 1 does not exist"):
        top_k(np.arange(3), np.array([1]), axis=1)
    with pytest.raises(ValueError, match="expected one integer"):
        top_k(np.arange(3), np.array([1, 2]))


# -- Unique ---------------------------------------------------------------------------------------


def distinct(keys: list[Any], *, in_order: bool) -> tuple[list[int], list[int], list[int]]:
    """First places, inverse and counts of the distinct keys."""
    order = list(dict.fromkeys(keys))
    order = sorted(order) if in_order else order
    return [keys.index(k) for k in order], [order.index(k) for k in keys], [*map(keys.count, order)]


@pytest.mark.parametrize("in_order", [0, 1])
@given(st.sampled_from(ANYTHING), st.data())
def test_distinct_elements(in_order: int, dtype: DType, data: st.DataObject) -> None:
    x = data.draw(tensors(dtype) if dtype == STRING else tensors(dtype, low=-2, high=2))
    found = unique(x, sorted=in_order)
    keys = (x.astype(np.float64) if dtype in FLOATS else x).reshape(-1).tolist()
    first, inverse, counts = distinct(keys, in_order=bool(in_order))
    assert_equal(found.y, x.reshape(-1)[np.array(first, np.int64)])
    for array, expected in zip(found[1:], (first, inverse, counts), strict=True):
        assert_equal(array, np.array(expected, np.int64))


@pytest.mark.parametrize("in_order", [0, 1])
@given(x_axis=with_axis([*INTEGERS, STRING], min_side=1, low=0, high=1))
def test_distinct_slices(in_order: int, x_axis: tuple[Array, int]) -> None:
    x, axis = x_axis
    keys = [tuple(np.take(x, [i], axis).reshape(-1).tolist()) for i in range(x.shape[axis])]
    first, inverse, counts = distinct(keys, in_order=bool(in_order))
    found = unique(x, axis=axis, sorted=in_order)
    assert_equal(found.y, np.take(x, first, axis=axis))
    for array, expected in zip(found[1:], (first, inverse, counts), strict=True):
        assert_equal(array, np.array(expected, np.int64))


def test_unique_by_the_examples_of_the_specification() -> None:
    found = unique(np.array([2, 1, 1, 3, 4, 3]), sorted=0)
    assert [v.tolist() for v in found] == [
        [2, 1, 3, 4], [0, 1, 3, 4], [0, 1, 1, 2, 3, 2], [1, 2, 2, 1],
    ]  # fmt: skip


def test_unique_refuses_other_axes() -> None:
    with pytest.raises(ValueError, match="out of bounds"):
        unique(np.arange(3), axis=1)


def test_bfloat16_is_ordered_like_other_floats() -> None:
    x = np.array([0.5, -2, 3], BFLOAT16)
    assert int(argmax(x)[0]) == 2
    assert top_k(x, np.array([2])).indices.tolist() == [2, 0]
