"""Shapes: the elements stay in order, or move where an index formula says."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embedx.ops import (
    Array,
    Budget,
    OverBudgetError,
    depth_to_space,
    expand,
    flatten,
    identity,
    reshape,
    reshape_1,
    shape,
    size,
    space_to_depth,
    spending,
    squeeze,
    squeeze_1,
    transpose,
    unsqueeze,
    unsqueeze_1,
)
from tests.assertions import assert_equal
from tests.strategies import ANYTHING, DType, Shape, shapes, tensors

anything = st.sampled_from(ANYTHING).flatmap(tensors)


def rearranged(x: Array, into: Shape) -> Array:
    """The elements in row-major order in another shape."""
    return np.array(x.reshape(-1).tolist(), object).reshape(into).astype(x.dtype)


# -- Shape, Size, Identity ------------------------------------------------------------------------


@given(anything, st.integers(-5, 5), st.none() | st.integers(-5, 5))
def test_shape_moves_start_and_end_into_the_rank(x: Array, start: int, end: int | None) -> None:
    def moved(place: int) -> int:
        return min(max(place + x.ndim if place < 0 else place, 0), x.ndim)

    stop = x.ndim if end is None else moved(end)
    expected = [x.shape[i] for i in range(moved(start), stop)]
    assert_equal(shape(x, start=start, end=end), np.array(expected, np.int64))


@given(anything)
def test_size_and_identity(x: Array) -> None:
    assert_equal(size(x), np.array(math.prod(x.shape), np.int64))
    assert identity(x) is x


def test_identity_of_sequences_and_optionals() -> None:
    sequence: Any = [np.ones(2)]
    assert identity(sequence) is sequence
    assert identity(None) is None  # type: ignore[arg-type]


# -- Reshape, Flatten -----------------------------------------------------------------------------


@given(anything, st.data())
def test_reshape_keeps_the_order_of_the_elements(x: Array, data: st.DataObject) -> None:
    sizes = [n for n in range(1, x.size + 1) if x.size % n == 0] or [0]
    first = data.draw(st.sampled_from(sizes))
    target = [first, x.size // first] if first else [0, 3]
    found = reshape(x, np.array(target), allowzero=1)
    assert_equal(found, rearranged(x, tuple(target)))
    assert_equal(reshape_1(found, shape=x.shape) if x.size else x, x)


@given(anything.filter(lambda x: x.ndim > 0), st.data())
def test_reshape_copies_dimensions_and_fills_one_in(x: Array, data: st.DataObject) -> None:
    kept = data.draw(st.integers(0, x.ndim - 1))
    assume(math.prod(x.shape[:kept]) > 0)
    expected = (*x.shape[:kept], math.prod(x.shape[kept:]))
    assert_equal(reshape(x, np.array([0] * kept + [-1])), rearranged(x, expected))
    assert_equal(reshape_1(x, shape=(*[0] * kept, -1)), rearranged(x, expected))


def test_reshape_with_allowzero_takes_zero_at_its_word() -> None:
    empty = np.zeros((0, 3))
    assert reshape(empty, np.array([3, 0]), allowzero=1).shape == (3, 0)
    assert reshape(empty, np.array([0, 3])).shape == (0, 3)  # the input's own 0
    assert reshape(np.zeros((2, 3)), np.array([0, 3])).shape == (2, 3)
    with pytest.raises(ValueError, match="reshape"):
        reshape(np.zeros((2, 3)), np.array([0, 3]), allowzero=1)


@pytest.mark.parametrize(
    ("target", "allowzero", "message"),
    [
        ([-2, 3], 0, "below -1"),
        ([-1, -1], 0, "more than one -1"),
        ([2, 3, 0], 0, "copies a dimension"),
        ([0, -1], 1, "leaves -1 undefined"),
        ([4, 2], 0, "reshape"),
        ([4, -1], 0, "reshape"),
        ([2**40, 2**40], 0, "reshape|array is too big|too large"),
        ([[2, 3]], 0, "list of integers"),
    ],
)
def test_reshape_refuses(target: list[Any], allowzero: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reshape(np.zeros((2, 3)), np.array(target), allowzero=allowzero)


def test_reshape_cannot_divide_nothing_among_nothing() -> None:
    with pytest.raises(ValueError, match="reshape"):
        reshape(np.zeros((0, 3)), np.array([0, -1]))


def test_reshape_to_a_scalar() -> None:
    assert_equal(reshape(np.ones((1, 1)), np.zeros(0, np.int64)), np.array(1.0))
    assert_equal(reshape_1(np.ones((1, 1))), np.array(1.0))


@given(anything, st.data())
def test_flatten_multiplies_the_dimensions_on_both_sides(x: Array, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim))
    cut = axis if axis >= 0 else axis + x.ndim
    expected = (math.prod(x.shape[:cut]), math.prod(x.shape[cut:]))
    assert_equal(flatten(x, axis=axis), rearranged(x, expected))


def test_flatten_takes_the_rank_as_its_axis_and_no_more() -> None:
    assert flatten(np.zeros((2, 3)), axis=2).shape == (6, 1)
    assert flatten(np.array(1.0), axis=0).shape == (1, 1)
    for axis in (3, -3):
        with pytest.raises(ValueError, match=f"axis {axis} does not exist"):
            flatten(np.zeros((2, 3)), axis=axis)


# -- Transpose ------------------------------------------------------------------------------------


@given(anything, st.data())
def test_transpose_moves_each_index(x: Array, data: st.DataObject) -> None:
    perm = tuple(data.draw(st.permutations(range(x.ndim))))
    found = transpose(x, perm=perm)
    assert found.shape == tuple(x.shape[p] for p in perm)
    for place in np.ndindex(*found.shape):
        source = tuple(place[perm.index(axis)] for axis in range(x.ndim))
        assert_equal(np.asarray(found[place]), np.asarray(x[source]))
    assert_equal(transpose(found, perm=tuple(np.argsort(perm).tolist())), x)


@given(anything)
def test_transpose_reverses_unless_told_otherwise(x: Array) -> None:
    assert_equal(transpose(x), transpose(x, perm=tuple(reversed(range(x.ndim)))))


@pytest.mark.parametrize("perm", [(0,), (0, 0), (0, 2), (-1, 0), (0, 1, 2)])
def test_transpose_refuses_what_is_no_order_of_the_axes(perm: Shape) -> None:
    with pytest.raises(ValueError, match="does not permute 2 axes"):
        transpose(np.zeros((2, 3)), perm=perm)


# -- Squeeze, Unsqueeze ---------------------------------------------------------------------------


@given(anything, st.data())
def test_squeeze_undoes_unsqueeze(x: Array, data: st.DataObject) -> None:
    rank = x.ndim + data.draw(st.integers(0, 2))
    places = data.draw(st.permutations(range(rank)))[: rank - x.ndim]
    counted = [p - rank if data.draw(st.booleans()) else p for p in places]
    left = list(x.shape)
    expected = tuple(1 if i in places else left.pop(0) for i in range(rank))
    wide = unsqueeze(x, np.array(counted, np.int64))
    assert_equal(wide, rearranged(x, expected))
    assert_equal(unsqueeze_1(x, axes=tuple(counted)), wide)
    assert_equal(squeeze(wide, np.array(counted, np.int64)), x)
    assert_equal(squeeze_1(wide, axes=tuple(counted)), x)


@given(anything)
def test_squeeze_without_axes_removes_every_one(x: Array) -> None:
    expected = rearranged(x, tuple(n for n in x.shape if n != 1))
    assert_equal(squeeze(x), expected)
    assert_equal(squeeze_1(x), expected)


def test_squeeze_refuses_axes_whose_size_is_not_1() -> None:
    with pytest.raises(ValueError, match="size not equal to one"):
        squeeze(np.zeros((1, 3)), np.array([1]))
    with pytest.raises(ValueError, match="axis 2 does not exist"):
        squeeze(np.zeros((1, 3)), np.array([2]))
    with pytest.raises(ValueError, match="one axis twice"):
        squeeze(np.zeros((1, 3)), np.array([0, -2]))


def test_unsqueeze_refuses_places_outside_of_the_result() -> None:
    assert unsqueeze(np.zeros(3), np.array([2, 0])).shape == (1, 3, 1)  # in any order
    for place in (2, -3):
        with pytest.raises(ValueError, match=f"axis {place} does not exist in a tensor of rank 2"):
            unsqueeze(np.zeros(3), np.array([place]))
    with pytest.raises(ValueError, match="one axis twice"):
        unsqueeze(np.zeros(3), np.array([0, -3]))


# -- Expand ---------------------------------------------------------------------------------------


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=3), st.data())
def test_expand_broadcasts_either_way(
    several: hnp.BroadcastableShapes, data: st.DataObject
) -> None:
    x = data.draw(st.sampled_from(ANYTHING).flatmap(lambda d: tensors(d, several.input_shapes[0])))
    found = expand(x, np.array(several.input_shapes[1], np.int64))
    assert found.shape == several.result_shape
    for place in np.ndindex(*found.shape):
        tail = place[len(place) - x.ndim :]
        source = tuple(0 if n == 1 else i for i, n in zip(tail, x.shape, strict=True))
        assert_equal(np.asarray(found[place]), np.asarray(x[source]))


def test_expand_to_a_smaller_shape_keeps_the_input() -> None:
    assert_equal(expand(np.ones((2, 3)), np.array([1])), np.ones((2, 3)))
    assert_equal(expand(np.ones((2, 3)), np.zeros(0, np.int64)), np.ones((2, 3)))


@pytest.mark.parametrize("target", [[2], [-1], [3, -1]])
def test_expand_refuses_shapes_that_do_not_fit(target: list[int]) -> None:
    with pytest.raises(ValueError, match=r"broadcast|negative"):
        expand(np.ones(3), np.array(target))


def test_expand_is_held_to_the_budget() -> None:
    with spending(Budget(max_bytes=80)):
        assert expand(np.ones(1), np.array([10])).shape == (10,)
    with spending(Budget(max_bytes=79)), pytest.raises(OverBudgetError, match="80 bytes"):
        expand(np.ones(1), np.array([10]))
    # In int64 the number of these bytes would be negative.
    with spending(Budget(max_bytes=2**40)), pytest.raises(OverBudgetError):
        expand(np.ones(1), np.array([2**20, 2**20, 2**20]))


# -- DepthToSpace, SpaceToDepth -------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@given(st.sampled_from(ANYTHING), st.data())
def test_depth_to_space_puts_each_channel_of_a_block_at_its_pixel(
    mode: str, dtype: DType, data: st.DataObject
) -> None:
    batch, depth, height, width = data.draw(shapes(min_rank=4, max_rank=4, max_side=2))
    block = data.draw(st.integers(1, 2))
    x = data.draw(tensors(dtype, (batch, depth * block**2, height, width)))
    found = depth_to_space(x, blocksize=block, mode=mode)
    assert found.shape == (batch, depth, height * block, width * block)
    places = itertools.product(*map(range, (batch, depth, height, width, block, block)))
    for n, c, h, w, i, j in places:
        part = i * block + j
        channel = part * depth + c if mode == "DCR" else c * block**2 + part
        pixel = found[n, c, h * block + i, w * block + j]
        assert_equal(np.asarray(pixel), np.asarray(x[n, channel, h, w]))
    assert_equal(space_to_depth(found, blocksize=block, mode=mode), x)


@pytest.mark.parametrize("op", [depth_to_space, space_to_depth])
def test_blocks_that_do_not_divide_are_refused(op: Callable[..., Array]) -> None:
    for image, block in (((1, 3, 3, 3), 2), ((1, 4, 2), 2), ((1, 4, 2, 2), 0), ((1, 4, 2, 2), -1)):
        with pytest.raises(ValueError, match="blocks of"):
            op(np.zeros(image), blocksize=block)
    with pytest.raises(ValueError, match="mode 'RCD'"):
        op(np.zeros((1, 4, 2, 2)), blocksize=2, mode="RCD")
