"""Gathering and scattering, index by index in Python loops."""

from __future__ import annotations

import math
import operator
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
    compress,
    gather,
    gather_elements,
    gather_nd,
    reverse_sequence,
    scatter,
    scatter_elements,
    scatter_nd,
    spending,
    tensor_scatter,
)
from tests.assertions import assert_equal
from tests.strategies import (
    ANYTHING,
    BFLOAT16,
    BOOL,
    FLOATS,
    HALVES,
    INTEGERS,
    DType,
    Shape,
    shapes,
    tensors,
    with_axis,
)

INDEX_TYPES: list[DType] = [np.dtype(np.int32), np.dtype(np.int64)]


@st.composite
def indices_into(draw: st.DrawFn, sizes: Shape, shape: Shape, *, tuples: bool = False) -> Array:
    """Valid indices: into one axis, or (``tuples``) on the last axis one for each axis."""
    kind = draw(st.sampled_from(INDEX_TYPES))
    if not tuples:
        return draw(tensors(kind, shape, low=-sizes[0], high=sizes[0] - 1))
    columns = [draw(tensors(kind, shape, low=-n, high=n - 1)) for n in sizes]
    return np.stack(columns, axis=-1)


# -- Gather ---------------------------------------------------------------------------------------


@given(with_axis(ANYTHING, min_side=1), st.data())
def test_gather_takes_slices(x_axis: tuple[Array, int], data: st.DataObject) -> None:
    x, axis = x_axis
    along = axis % x.ndim
    indices = data.draw(indices_into((x.shape[along],), data.draw(shapes(max_rank=2))))
    found = gather(x, indices, axis=axis)
    assert type(found) is np.ndarray
    assert found.dtype == x.dtype
    assert found.shape == (*x.shape[:along], *indices.shape, *x.shape[along + 1 :])
    for place in np.ndindex(*indices.shape):
        here = (slice(None),) * along + place
        taken = np.take(x, int(indices[place]), axis=along)
        assert_equal(np.asarray(found[here]), np.asarray(taken))


@given(with_axis(ANYTHING, min_side=1), st.data())
def test_gather_elements_moves_along_the_axis_only(
    x_axis: tuple[Array, int], data: st.DataObject
) -> None:
    x, axis = x_axis
    along = axis % x.ndim
    smaller = [data.draw(st.integers(0, 4 if i == along else n)) for i, n in enumerate(x.shape)]
    indices = data.draw(indices_into((x.shape[along],), tuple(smaller)))
    found = gather_elements(x, indices, axis=axis)
    assert (found.dtype, found.shape) == (x.dtype, indices.shape)
    for place in np.ndindex(*indices.shape):
        source = (*place[:along], int(indices[place]), *place[along + 1 :])
        assert_equal(np.asarray(found[place]), np.asarray(x[source]))


def test_gather_elements_of_a_long_axis() -> None:
    # NumPy's choose, which others use, takes at most 64 alternatives.
    x = np.arange(1000).reshape(1, 1000)
    assert_equal(gather_elements(x, np.array([[999, -1000]]), axis=1), np.array([[999, 0]]))


def test_scalar_indices_drop_the_axis() -> None:
    x = np.arange(6).reshape(2, 3)
    assert_equal(gather(x, np.array(-1), axis=1), np.array([2, 5]))
    assert_equal(gather(np.array(["a", "b"], object), np.array(1)), np.array("b", object))


@given(st.sampled_from(ANYTHING), shapes(min_rank=1, min_side=1), st.data())
def test_gather_nd_takes_elements_or_slices(
    dtype: DType, shape: Shape, data: st.DataObject
) -> None:
    x = data.draw(tensors(dtype, shape))
    batch = data.draw(st.integers(0, x.ndim - 1))
    depth = data.draw(st.integers(1, x.ndim - batch))
    lead = (*shape[:batch], *data.draw(shapes(max_rank=2, max_side=2)))
    indices = data.draw(indices_into(shape[batch : batch + depth], lead, tuples=True))
    found = gather_nd(x, indices, batch_dims=batch)
    assert (found.dtype, found.shape) == (dtype, (*lead, *shape[batch + depth :]))
    for place in np.ndindex(*lead):
        source = (*place[:batch], *(int(i) for i in indices[place]))
        assert_equal(np.asarray(found[place]), np.asarray(x[source]))


@pytest.mark.parametrize("index", [3, -4, 2**31 - 1, 2**63 - 1, -(2**63)])
def test_indices_out_of_range_never_wrap(index: int) -> None:
    x, message = np.arange(3), f"index {index} at position \\(1,.*outside an axis of size 3"
    places, update = np.array([0, index]), np.array([7, 8])
    with pytest.raises(IndexError, match=message):
        gather(x, places)
    with pytest.raises(IndexError, match=message):
        gather_elements(x, places)
    with pytest.raises(IndexError, match=message):
        gather_nd(x, places[:, None])
    with pytest.raises(IndexError, match=message):
        scatter_elements(x, places, update)
    with pytest.raises(IndexError, match=message):
        scatter(x, places, update)
    with pytest.raises(IndexError, match=message):
        scatter_nd(x, places[:, None], update)


def test_nothing_can_be_gathered_from_an_empty_axis() -> None:
    empty = np.zeros((0, 3))
    assert_equal(gather(empty, np.zeros(0, np.int64)), empty)
    with pytest.raises(IndexError):
        gather(empty, np.array([0]))
    with pytest.raises(IndexError):
        gather_elements(empty, np.array([[0, 0, 0]]))


@pytest.mark.parametrize("op", [gather, gather_elements])
def test_axes_out_of_range_are_refused(op: Callable[..., Array]) -> None:
    for axis in (1, -2):
        with pytest.raises(ValueError, match=f"axis {axis} does not exist in a tensor of rank 1"):
            op(np.arange(3), np.array([0]), axis=axis)


def test_gather_elements_refuses_indices_of_the_wrong_shape() -> None:
    with pytest.raises(ValueError, match="indices have rank 1, data has rank 2"):
        gather_elements(np.ones((2, 2)), np.array([0]))
    with pytest.raises(ValueError, match="exceed data"):
        gather_elements(np.ones((2, 2)), np.zeros((1, 3), np.int64))


@pytest.mark.parametrize(
    ("shape", "batch_dims", "message"),
    [
        ((2, 3), 0, "index tuples of length 3"),
        ((2, 0), 0, "index tuples of length 0"),
        ((3, 1), 1, "batch axes of .* differ"),
        ((2, 1), 2, "2 batch axes"),
        ((2, 1), -1, "-1 batch axes"),
        ((), 0, "index tuples of length 0|0 batch axes"),
    ],
)
def test_gather_nd_refuses(shape: Shape, batch_dims: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gather_nd(np.ones((2, 2)), np.zeros(shape, np.int64), batch_dims=batch_dims)


def test_gathering_is_held_to_the_budget() -> None:
    row = np.ones((1, 10), np.float32)
    many = np.zeros(10, np.int64)
    with spending(Budget(max_bytes=400)):
        assert gather(row, many).shape == gather_nd(row, many[:, None]).shape == (10, 10)
    with spending(Budget(max_bytes=399)):
        with pytest.raises(OverBudgetError, match="400 bytes"):
            gather(row, many)
        with pytest.raises(OverBudgetError, match="400 bytes"):
            gather_nd(row, many[:, None])


# -- Scatter --------------------------------------------------------------------------------------

REDUCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "none": lambda old, new: new,
    "add": operator.add,
    "mul": operator.mul,
    "max": max,
    "min": min,
}
REDUCED = [*INTEGERS, np.dtype(np.float64)]


def wide(x: Array) -> Array:
    """Elements that Python computes with exactly."""
    return x.astype(np.float64) if x.dtype in FLOATS else x.astype(object)


def narrowed(x: Array, dtype: DType) -> Array:
    if dtype not in INTEGERS:
        return x.astype(dtype)
    bits = 8 * dtype.itemsize
    return np.array(x % 2**bits, f"uint{bits}").astype(dtype)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@given(st.sampled_from(REDUCED), st.data())
def test_scatter_elements(reduction: str, dtype: DType, data: st.DataObject) -> None:
    x = data.draw(tensors(dtype, shapes(min_rank=1, min_side=1), low=-4, high=4))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    along = axis % x.ndim
    shape = tuple(data.draw(st.integers(0, 4 if i == along else n)) for i, n in enumerate(x.shape))
    indices = data.draw(indices_into((x.shape[along],), shape))
    updates = data.draw(tensors(dtype, shape, low=-4, high=4))
    expected = wide(x)
    for place in np.ndindex(*shape):
        target = (*place[:along], int(indices[place]), *place[along + 1 :])
        expected[target] = REDUCTIONS[reduction](expected[target], wide(updates)[place])
    found = scatter_elements(x, indices, updates, axis=axis, reduction=reduction)
    assert_equal(found, narrowed(expected, dtype))
    if reduction == "none":
        assert_equal(scatter(x, indices, updates, axis=axis), found)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@given(st.sampled_from(REDUCED), st.data())
def test_scatter_nd(reduction: str, dtype: DType, data: st.DataObject) -> None:
    x = data.draw(tensors(dtype, shapes(min_rank=1, min_side=1), low=-4, high=4))
    depth = data.draw(st.integers(1, x.ndim))
    lead = data.draw(shapes(max_rank=2, max_side=3))
    indices = data.draw(indices_into(x.shape[:depth], lead, tuples=True))
    updates = data.draw(tensors(dtype, (*lead, *x.shape[depth:]), low=-4, high=4))
    expected = wide(x)
    for place in np.ndindex(*updates.shape):
        target = (*(int(i) for i in indices[place[: len(lead)]]), *place[len(lead) :])
        expected[target] = REDUCTIONS[reduction](expected[target], wide(updates)[place])
    assert_equal(scatter_nd(x, indices, updates, reduction=reduction), narrowed(expected, dtype))


@given(with_axis(ANYTHING, min_side=1), st.data())
def test_scatter_undoes_gather(x_axis: tuple[Array, int], data: st.DataObject) -> None:
    x, axis = x_axis
    order = np.array(data.draw(st.permutations(range(x.shape[axis]))))
    shape = [1] * x.ndim
    shape[axis] = -1
    indices = np.broadcast_to(order.reshape(shape), x.shape)
    mixed = gather_elements(x, indices, axis=axis)
    assert_equal(scatter_elements(np.empty_like(x), indices, mixed, axis=axis), x)


def test_the_last_update_of_a_place_stays() -> None:
    twice, updates = np.array([1, 1]), np.array([5, 6])
    assert_equal(scatter_elements(np.zeros(2, np.int64), twice, updates), np.array([0, 6]))
    assert_equal(scatter_nd(np.zeros(2, np.int64), twice[:, None], updates), np.array([0, 6]))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_half_updates_accumulate_in_float32(dtype: DType) -> None:
    # Added one after the other, fp16 stops at 2048 and bfloat16 at 256.
    zero, ones, places = np.zeros(1, dtype), np.ones(4096, dtype), np.zeros(4096, np.int64)
    expected = np.array([4096], dtype)
    assert_equal(scatter_elements(zero, places, ones, reduction="add"), expected)
    assert_equal(scatter_nd(zero, places[:, None], ones, reduction="add"), expected)


def test_extreme_updates_pass_nan_on() -> None:
    nan = np.array([np.nan, 1])
    with np.errstate(invalid="ignore"):
        found = scatter_elements(np.zeros(1), np.array([0, 0]), nan, reduction="max")
    assert_equal(found, np.array([np.nan]))


def test_the_result_of_a_scatter_is_a_copy() -> None:
    x, none = np.zeros(2), np.zeros(0, np.int64)
    assert scatter_elements(x, none, np.zeros(0)) is not x
    assert not np.shares_memory(scatter_nd(x, none.reshape(0, 1), np.zeros(0)), x)


def test_scatter_refuses() -> None:
    x, place = np.zeros((2, 2)), np.zeros((1, 1), np.int64)
    with pytest.raises(TypeError, match="float64, int64"):
        scatter_elements(x, place, np.zeros((1, 1), np.int64))
    with pytest.raises(TypeError, match="float64, int64"):
        scatter_nd(x, place, np.zeros((1, 2), np.int64))
    with pytest.raises(ValueError, match="differ in shape"):
        scatter_elements(x, place, np.zeros((1, 2)))
    with pytest.raises(ValueError, match="the indices ask for \\(1, 2\\)"):
        scatter_nd(x, place, np.zeros((1, 1)))
    with pytest.raises(ValueError, match="axis 2 does not exist"):
        scatter_elements(x, place, np.zeros((1, 1)), axis=2)
    with pytest.raises(ValueError, match="not 'sub'"):
        scatter_elements(x, place, np.zeros((1, 1)), reduction="sub")
    with pytest.raises(ValueError, match="not 'sub'"):
        scatter_nd(x, place, np.zeros((1, 2)), reduction="sub")


# -- TensorScatter --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["linear", "circular"])
@given(st.sampled_from(ANYTHING), st.data())
def test_tensor_scatter_writes_rows_into_a_cache(
    mode: str, dtype: DType, data: st.DataObject
) -> None:
    shape = data.draw(shapes(min_rank=2, min_side=1))
    axis = data.draw(st.integers(1, len(shape) - 1))
    size = shape[axis]
    count = data.draw(st.integers(0, size))
    cache = data.draw(tensors(dtype, shape))
    update = data.draw(tensors(dtype, (*shape[:axis], count, *shape[axis + 1 :])))
    last = size - count if mode == "linear" else 2 * size
    first = [data.draw(st.integers(0, last)) for _ in range(shape[0])]
    expected = cache.copy()
    for place in np.ndindex(*update.shape):
        row = first[place[0]] + place[axis]
        row = row % size if mode == "circular" else row
        expected[(*place[:axis], row, *place[axis + 1 :])] = update[place]
    found = tensor_scatter(cache, update, np.array(first), axis=axis - len(shape), mode=mode)
    assert_equal(found, expected)
    if first == [0] * shape[0]:
        assert_equal(tensor_scatter(cache, update, axis=axis, mode=mode), expected)


@pytest.mark.parametrize("first", [2, -1])
def test_tensor_scatter_does_not_leave_a_linear_cache(first: int) -> None:
    with pytest.raises(IndexError, match="do not fit a cache of 3"):
        tensor_scatter(np.zeros((1, 3, 1)), np.ones((1, 2, 1)), np.array([first]))


@pytest.mark.parametrize(
    ("update", "attributes", "error", "message"),
    [
        (np.ones((1, 2, 1)), {}, ValueError, "does not fit a cache"),  # would be broadcast
        (np.ones((2, 4, 4)), {"mode": "circular"}, ValueError, "does not fit a cache"),
        (np.ones((2, 2)), {}, ValueError, "does not fit a cache"),
        (np.ones((2, 2, 4), np.float32), {}, TypeError, "float64, float32"),
        (np.ones((2, 2, 4)), {"axis": 0}, ValueError, "expected a later axis"),
        (np.ones((2, 2, 4)), {"axis": -3}, ValueError, "expected a later axis"),
        (np.ones((2, 2, 4)), {"axis": 3}, ValueError, "axis 3 does not exist"),
        (np.ones((2, 2, 4)), {"mode": "spiral"}, ValueError, "linear or circular"),
    ],
)
def test_tensor_scatter_refuses(
    update: Array, attributes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        tensor_scatter(np.zeros((2, 3, 4)), update, np.array([0, 0]), **attributes)


# -- ReverseSequence, Compress --------------------------------------------------------------------


@pytest.mark.parametrize("time_axis", [0, 1])
@given(st.sampled_from(ANYTHING), shapes(min_rank=2), st.data())
def test_reverse_sequence(time_axis: int, dtype: DType, shape: Shape, data: st.DataObject) -> None:
    x = data.draw(tensors(dtype, shape))
    steps, batch = shape[time_axis], shape[1 - time_axis]
    lengths = [data.draw(st.integers(0, steps)) for _ in range(batch)]
    found = reverse_sequence(
        x, np.array(lengths, np.int64), batch_axis=1 - time_axis, time_axis=time_axis
    )
    assert (found.dtype, found.shape) == (x.dtype, x.shape)
    before, after = (v.swapaxes(0, time_axis) for v in (x, found))  # time first
    for b, length in enumerate(lengths):
        for t in range(steps):
            source = length - 1 - t if t < length else t
            assert_equal(np.asarray(after[t, b]), np.asarray(before[source, b]))


@pytest.mark.parametrize("lengths", [[1], [1, 3], [1, -1], [1, 1, 1]])
def test_reverse_sequence_refuses_lengths_that_do_not_fit(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        reverse_sequence(np.ones((2, 2)), np.array(lengths))


@pytest.mark.parametrize(("batch_axis", "time_axis"), [(0, 0), (-1, 0), (1, -2), (2, 1), (0, 2)])
def test_reverse_sequence_has_axes_0_and_1(batch_axis: int, time_axis: int) -> None:
    with pytest.raises(ValueError, match="are not 0 and 1"):
        reverse_sequence(
            np.ones((2, 2, 2)), np.array([1, 1]), batch_axis=batch_axis, time_axis=time_axis
        )


@given(with_axis(ANYTHING), st.data())
def test_compress_keeps_what_is_true(x_axis: tuple[Array, int], data: st.DataObject) -> None:
    x, axis = x_axis
    condition = data.draw(tensors(BOOL, shapes(1, 1, max_side=x.shape[axis])))
    chosen = [i for i, keep in enumerate(condition.tolist()) if keep]
    expected = np.take(x, np.array(chosen, np.int64), axis=axis)
    assert_equal(compress(x, condition, axis=axis), expected)
    flat = data.draw(tensors(BOOL, shapes(1, 1, max_side=x.size)))
    kept = [v for v, keep in zip(x.reshape(-1).tolist(), flat.tolist(), strict=False) if keep]
    assert_equal(compress(x, flat), np.array(kept, object).astype(x.dtype))


@pytest.mark.parametrize("dtype", [bool, np.float32])
def test_indices_are_integers(dtype: Any) -> None:
    x, indices = np.arange(6.0).reshape(2, 3), np.zeros((2, 3), dtype)
    calls: list[Callable[[], Array]] = [
        lambda: gather(x, indices),
        lambda: gather_elements(x, indices),
        lambda: gather_nd(x, indices[:, :1]),
        lambda: scatter(x, indices, x),
        lambda: scatter_elements(x, indices, x),
        lambda: scatter_nd(x, indices[:, :1], x),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="expected integers"):
            call()
    unaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float64)
    with pytest.raises(TypeError, match="expected integers"):
        gather(unaligned, np.ones(6, bool))


def test_conditions_are_bools() -> None:
    with pytest.raises(TypeError, match="a condition is bool, not int64"):
        compress(np.arange(2), np.array([0, 1]))


def test_compress_refuses() -> None:
    with pytest.raises(IndexError):
        compress(np.arange(2), np.array([False, False, True]))
    with pytest.raises(ValueError, match="out of bounds"):
        compress(np.arange(2), np.array([True]), axis=1)


def test_every_dtype_moves_unchanged_through_gather_and_scatter() -> None:
    x = np.array([1, np.nan, -0.0], BFLOAT16)
    assert_equal(gather(x, np.array([1, 2])), x[1:])
    assert math.copysign(1, float(scatter_elements(x, np.array([0]), x[2:])[0])) == -1
