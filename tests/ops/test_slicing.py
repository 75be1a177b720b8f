"""Tensors cut, padded and repeated, against Python's lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    Budget,
    OverBudgetError,
    center_crop_pad,
    pad,
    pad_2,
    slice_,
    slice_1,
    spending,
    tile,
    tile_1,
)
from tests.assertions import assert_equal
from tests.ops.rows import column, i64, slices
from tests.strategies import ANYTHING, BOOL, FLOATS, STRING, DType, tensors, with_axis

MAX, MIN = 2**63 - 1, -(2**63)
ends = st.integers(-6, 6) | st.sampled_from([MIN, MIN + 1, MAX])


def blank_slice(x: Array, axis: int) -> Array:
    """A slice of zeros or empty strings."""
    shape = [1 if i == axis % x.ndim else n for i, n in enumerate(x.shape)]
    return np.full(shape, "" if x.dtype == STRING else 0).astype(x.dtype)


# -- Slice ----------------------------------------------------------------------------------------


@given(with_axis(ANYTHING), ends, ends, st.integers(-4, 4).filter(bool))
def test_slice_is_pythons_slice(x_axis: tuple[Array, int], start: int, end: int, step: int) -> None:
    x, axis = x_axis
    expected = column(slices(x, axis)[start:end:step], x, axis)
    assert_equal(slice_(x, i64(start), i64(end), i64(axis), i64(step)), expected)
    if step == 1:
        assert_equal(slice_(x, i64(start), i64(end), i64(axis)), expected)
        assert_equal(slice_1(x, starts=(start,), ends=(end,), axes=(axis,)), expected)


def test_slice_of_the_first_axes() -> None:
    x = np.arange(24).reshape(2, 3, 4)
    assert_equal(slice_(x, i64(1, -2), i64(MAX, MAX)), x[1:, -2:])
    assert_equal(slice_1(x, starts=(1, -2), ends=(MAX, MAX)), x[1:, -2:])


def test_slice_backwards_to_the_beginning() -> None:
    x = np.arange(5)
    assert_equal(slice_(x, i64(-1), i64(MIN), None, i64(-1)), np.array([4, 3, 2, 1, 0]))
    assert_equal(slice_(x, i64(MAX), i64(-6), None, i64(-2)), np.array([4, 2, 0]))
    assert_equal(slice_(x, i64(3), i64(-1), None, i64(-1)), x[:0])  # -1 is the last element


def test_slice_takes_int32_and_scalars() -> None:
    x = np.arange(5)
    assert_equal(
        slice_(x, np.array([1], np.int32), np.array([2**31 - 1], np.int32)), np.array([1, 2, 3, 4])
    )
    assert_equal(slice_(np.array(7), i64(), i64()), np.array(7))


@pytest.mark.parametrize(
    ("starts", "ends_", "axes_", "steps", "message"),
    [
        ([0], [1], [0], [0], "step cannot be zero"),
        ([0, 0], [1], [0], [1], "one length"),
        ([0], [1], [0, 1], [1], "one length"),
        ([0], [1], [2], [1], "axis 2 does not exist"),
        ([0], [1], [-3], [1], "axis -3 does not exist"),
        ([0, 0], [1, 1], [1, -1], [1, 1], "one axis twice"),
        ([0, 0, 0], [1, 1, 1], None, None, "axis 2 does not exist"),
        ([[0]], [[1]], None, None, "list of integers"),
    ],
)
def test_slice_refuses(starts: Any, ends_: Any, axes_: Any, steps: Any, message: str) -> None:
    optional = [None if v is None else np.array(v) for v in (axes_, steps)]
    with pytest.raises(ValueError, match=message):
        slice_(np.zeros((2, 3)), np.array(starts), np.array(ends_), *optional)


# -- Pad ------------------------------------------------------------------------------------------


def padded(row: list[Any], before: int, after: int, mode: str, fill: Any) -> list[Any]:
    """Element by element what a mode puts beyond the ends of a row that is cropped already."""
    n = len(row)

    def at(i: int) -> Any:
        if mode == "constant":
            return row[i] if 0 <= i < n else fill
        if mode == "edge":
            return row[min(max(i, 0), n - 1)]
        if mode == "wrap":
            return row[i % n]
        period = max(2 * n - 2, 1)  # reflect: there and back without the ends
        return row[min(i % period, period - i % period) if n > 1 else 0]

    return [at(i) for i in range(-before, n + after)]


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@given(x_axis=with_axis(ANYTHING, min_side=1), before=st.integers(-2, 5), after=st.integers(-2, 5))
def test_pad_in_every_mode(mode: str, x_axis: tuple[Array, int], before: int, after: int) -> None:
    x, axis = x_axis
    n = x.shape[axis]
    begin, end = max(-before, 0), n - max(-after, 0)
    if begin > end:
        with pytest.raises(ValueError, match="remove more than an axis"):
            pad(x, i64(before, after), None, i64(axis), mode=mode)
        return
    rows = slices(x, axis)[begin:end]
    if not rows and (mode != "constant" and max(before, after) > 0):
        with pytest.raises(ValueError, match="empty axis"):
            pad(x, i64(before, after), None, i64(axis), mode=mode)
        return
    blank = blank_slice(x, axis)
    expected = column(padded(rows, max(before, 0), max(after, 0), mode, blank), x, axis)
    assert_equal(pad(x, i64(before, after), None, i64(axis), mode=mode), expected)


@given(st.sampled_from(FLOATS).flatmap(lambda d: tensors(d, low=-8, high=8)), st.data())
def test_pad_of_every_axis_is_pad_of_one_after_the_other(x: Array, data: st.DataObject) -> None:
    counts = [data.draw(st.integers(0, 2)) for _ in range(2 * x.ndim)]
    value = np.array(7, x.dtype)
    expected = x
    for axis in range(x.ndim):
        one = i64(counts[axis], counts[axis + x.ndim])
        expected = pad(expected, one, value, i64(axis - x.ndim))
    assert_equal(pad(x, i64(*counts), value), expected.copy())
    assert_equal(pad_2(x, pads=tuple(counts), value=7.0), expected.copy())


@pytest.mark.parametrize(
    ("dtype", "fill"), [(STRING, ""), (BOOL, False), (np.dtype(np.int8), 0)], ids=str
)
def test_pad_without_a_value_takes_the_types_own_zero(dtype: DType, fill: Any) -> None:
    one = "a" if dtype == STRING else 1
    found = pad(np.array([one], dtype), i64(1, 1))
    assert_equal(found, np.array([fill, one, fill], dtype))
    assert type(found.tolist()[0]) is type(fill)


def test_negative_pads_remove_before_others_add() -> None:
    # [1, 2, 3] loses its last element, then [1, 2] is reflected.
    assert_equal(pad(np.array([1, 2, 3]), i64(2, -1), mode="reflect"), np.array([1, 2, 1, 2]))


def test_pad_of_named_axes() -> None:
    x = np.ones((1, 1, 1))
    assert pad(x, i64(1, 2, 3, 4), None, i64(-1, 0)).shape == (7, 1, 5)


@pytest.mark.parametrize(
    ("pads", "axes_", "mode", "message"),
    [
        ([1, 1], None, "mirror", "mode is one of constant, reflect, edge, wrap"),
        ([1, 1, 1], None, "constant", "3 pads for 2 axes"),
        ([1, 1], [2], "constant", "axis 2 does not exist"),
        ([1, 1], [-3], "constant", "axis -3 does not exist"),
        ([1, 1, 1, 1], [0, -2], "constant", "one axis twice"),
        ([-2, 0, -1, 0], None, "constant", "remove more than an axis of size 2"),
    ],
)
def test_pad_refuses(pads: list[int], axes_: list[int] | None, mode: str, message: str) -> None:
    chosen = None if axes_ is None else np.array(axes_)
    with pytest.raises(ValueError, match=message):
        pad(np.zeros((2, 3)), np.array(pads), None, chosen, mode=mode)


def test_pad_refuses_a_value_of_another_type() -> None:
    with pytest.raises(TypeError, match="float64, int64"):
        pad(np.zeros(1), i64(1, 1), np.array(1))


# -- Tile, CenterCropPad --------------------------------------------------------------------------


@given(st.sampled_from(ANYTHING).flatmap(tensors), st.data())
def test_tile_repeats_with_the_period_of_the_input(x: Array, data: st.DataObject) -> None:
    counts = [data.draw(st.integers(0, 2)) for _ in range(x.ndim)]
    found = tile(x, i64(*counts))
    assert found.shape == tuple(n * count for n, count in zip(x.shape, counts, strict=True))
    for place in np.ndindex(*found.shape):
        source = tuple(i % n for i, n in zip(place, x.shape, strict=True))
        assert_equal(np.asarray(found[place]), np.asarray(x[source]))


@given(with_axis(ANYTHING), st.integers(0, 3))
def test_tile_of_one_axis(x_axis: tuple[Array, int], count: int) -> None:
    x, axis = x_axis
    expected = column(slices(x, axis) * count, x, axis)
    assert_equal(tile_1(x, np.array(count), np.array(axis)), expected)


def test_tile_refuses() -> None:
    for repeats in ([2], [2, 2, 2], [2, -1]):
        with pytest.raises(ValueError, match="one count per axis"):
            tile(np.zeros((2, 2)), np.array(repeats))
    with pytest.raises(ValueError, match="axis 2 does not exist"):
        tile_1(np.zeros((2, 2)), np.array(1), np.array(2))


@given(with_axis(ANYTHING), st.integers(0, 7))
def test_center_crop_pad_of_one_axis(x_axis: tuple[Array, int], wanted: int) -> None:
    x, axis = x_axis
    rows = slices(x, axis)
    blank = blank_slice(x, axis)
    if wanted <= len(rows):
        start = (len(rows) - wanted) // 2
        kept = rows[start : start + wanted]
    else:
        front = (wanted - len(rows)) // 2
        kept = [blank] * front + rows + [blank] * (wanted - len(rows) - front)
    found = center_crop_pad(x, i64(wanted), axes=(axis,))
    assert_equal(found, column(kept, x, axis))


def test_center_crop_pad_of_every_axis() -> None:
    found = center_crop_pad(np.arange(6).reshape(2, 3), i64(3, 2))
    assert_equal(found, np.array([[0, 1], [3, 4], [0, 0]]))
    with pytest.raises(ValueError, match="zip"):
        center_crop_pad(np.zeros((2, 3)), i64(3))


# -- budgets --------------------------------------------------------------------------------------

BOMBS: list[Callable[[], Array]] = [
    lambda: tile(np.ones(1, np.float32), i64(10)),
    lambda: tile_1(np.ones(1, np.float32), np.array(10), np.array(0)),
    lambda: pad(np.ones(1, np.float32), i64(4, 5)),
    lambda: pad(np.ones(1, np.float32), i64(4, 5), mode="edge"),
    lambda: pad_2(np.ones(1, np.float32), pads=(4, 5)),
    lambda: center_crop_pad(np.ones(1, np.float32), i64(10)),
]


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_grows_is_held_to_the_budget(bomb: Callable[[], Array]) -> None:
    with spending(Budget(max_bytes=40)):
        assert bomb().shape == (10,)
    with spending(Budget(max_bytes=39)), pytest.raises(OverBudgetError, match="40 bytes"):
        bomb()
