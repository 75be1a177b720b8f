"""Tensors cut into pieces and put together, against Python's lists."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    Budget,
    OverBudgetError,
    concat,
    concat_1,
    spending,
    split,
    split_2,
    split_13,
)
from tests.assertions import assert_equal
from tests.ops.rows import column, i64, slices
from tests.strategies import ANYTHING, with_axis


@given(with_axis(ANYTHING), st.data())
def test_concat_undoes_split(x_axis: tuple[Array, int], data: st.DataObject) -> None:
    x, axis = x_axis
    cuts = sorted(data.draw(st.lists(st.integers(0, x.shape[axis]), max_size=3)))
    lengths = [b - a for a, b in zip([0, *cuts], [*cuts, x.shape[axis]], strict=True)]
    pieces = split(x, i64(*lengths), axis=axis)
    assert [piece.shape[axis] for piece in pieces] == lengths
    assert_equal(concat(*pieces, axis=axis), x)
    assert_equal(concat_1(*pieces, axis=axis), x)
    for older in (
        split_13(x, i64(*lengths), axis=axis),
        split_2(x, split=tuple(lengths), axis=axis),
    ):
        for piece, legacy in zip(pieces, older, strict=True):
            assert_equal(legacy, piece)


@given(with_axis(ANYTHING), st.integers(1, 5))
def test_split_into_equal_pieces_the_last_being_smaller(
    x_axis: tuple[Array, int], count: int
) -> None:
    x, axis = x_axis
    rows = slices(x, axis)
    length = math.ceil(len(rows) / count)
    found = split(x, axis=axis, num_outputs=count)
    assert len(found) == count
    for i, piece in enumerate(found):
        assert_equal(piece, column(rows[i * length : (i + 1) * length], x, axis))


@given(with_axis(ANYTHING), st.integers(1, 5))
def test_before_opset_18_equal_pieces_were_equal(x_axis: tuple[Array, int], count: int) -> None:
    x, axis = x_axis
    x = np.concatenate([x] * count, axis=axis)
    for found in (
        split_13(x, axis=axis, num_outputs=count), split_2(x, axis=axis, num_outputs=count)
    ):  # fmt: skip
        for piece, newer in zip(found, split(x, axis=axis, num_outputs=count), strict=True):
            assert_equal(piece, newer)
    for older in (split_13, split_2):
        with pytest.raises(ValueError, match="an axis of size 7 cannot be cut into 3 equal"):
            older(np.arange(7), num_outputs=3)


def test_seven_in_three_is_3_3_1() -> None:
    # Not 3, 2, 2 as in numpy.array_split.
    assert [len(piece) for piece in split(np.arange(7), num_outputs=3)] == [3, 3, 1]
    assert [len(piece) for piece in split(np.arange(5), num_outputs=4)] == [2, 2, 1, 0]


@pytest.mark.parametrize(
    ("lengths", "attributes", "message"),
    [
        ([1, 2], {}, "do not make up an axis of size 4"),
        ([5, -1], {}, "do not make up"),
        ([2, 2], {"num_outputs": 3}, "2 lengths for 3 outputs"),
        (None, {}, "neither the lengths nor the number"),
        ([2, 2], {"axis": 1}, "axis 1 does not exist"),
        ([2, 2], {"axis": -2}, "axis -2 does not exist"),
    ],
)
def test_split_refuses(lengths: list[int] | None, attributes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split(np.arange(4), None if lengths is None else np.array(lengths), **attributes)
    with pytest.raises(ValueError, match=message):
        split_2(np.arange(4), split=None if lengths is None else tuple(lengths), **attributes)


@pytest.mark.parametrize("count", [2**20, 2**31, 2**62])
def test_pieces_are_reserved_and_timed(count: int) -> None:
    with spending(Budget(max_bytes=10**6)), pytest.raises(OverBudgetError, match="takes"):
        split(np.arange(4), num_outputs=count)
    with spending(Budget(deadline=0.0)), pytest.raises(OverBudgetError, match="time limit"):
        split(np.arange(4), num_outputs=count)


def test_concat_of_strings_and_empty_tensors() -> None:
    a, none = np.array(["a"], object), np.zeros(0, object)
    assert_equal(concat(none, a, a, axis=0), np.array(["a", "a"], object))


def test_concat_refuses() -> None:
    with pytest.raises(TypeError, match="float32, int64"):
        concat(np.zeros(0, np.float32), np.arange(2), axis=0)  # an empty one has a type, too
    for axis in (1, -2):
        with pytest.raises(ValueError, match=f"axis {axis} does not exist"):
            concat(np.ones(2), np.ones(2), axis=axis)
    with pytest.raises(ValueError, match="axis 0 does not exist in a tensor of rank 0"):
        concat(np.array(1), np.array(2), axis=0)
    with pytest.raises(ValueError, match="match exactly"):
        concat(np.ones((2, 3)), np.ones((3, 2)), axis=0)
    with pytest.raises(ValueError, match="same number of dimensions"):
        concat(np.ones((2, 3)), np.ones(3), axis=0)


def test_concat_had_the_default_axis_1() -> None:
    assert_equal(concat_1(np.ones((1, 1)), np.ones((1, 2))), np.ones((1, 3)))


def test_concat_is_held_to_the_budget() -> None:
    halves = [np.ones(5, np.float32)] * 2
    with spending(Budget(max_bytes=40)):
        assert concat(*halves, axis=0).shape == (10,)
    with spending(Budget(max_bytes=39)), pytest.raises(OverBudgetError, match="40 bytes"):
        concat(*halves, axis=0)
