"""Pooling against loops over windows; whole numbers make every sum exact."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    average_pool,
    global_average_pool,
    global_lp_pool,
    global_lp_pool_1,
    global_max_pool,
    lp_pool,
    lp_pool_1,
    max_pool,
    max_unpool,
)
from tests.assertions import assert_close, assert_equal
from tests.ops.windows import ALL, Geometry, at, geometries, whole
from tests.strategies import FLOATS, Shape

F32 = np.dtype(np.float32)
LINE = np.array([[[1.0, 5, 2, 4, 3]]])


@st.composite
def images(draw: st.DrawFn) -> tuple[Array, Geometry]:
    g = draw(geometries(pads_below_kernel=True))
    reached = {place for place, _, seen in g.views() if g.holds(seen)}
    assume(len(reached) == math.prod(g.counts))  # no window lies in the padding alone
    return whole(draw, 1, draw(st.integers(1, 2)), *g.size), g


def windows_of(x: Array, g: Geometry) -> dict[Shape, list[tuple[Shape, Array]]]:
    """For each place the elements of the image, with theirs, that its window holds."""
    found: dict[Shape, list[tuple[Shape, Array]]] = {}
    for place, _, seen in g.views():
        entry = found.setdefault(place, [])
        if g.holds(seen):
            entry.append((seen, x[at(ALL, ALL, *seen)]))
    return found


def pooled(x: Array, g: Geometry, function: Callable[[Array], Any]) -> Array:
    """A function of each window's elements, which lie on the last axis."""
    y = np.zeros((*x.shape[:2], *g.counts))
    for place, entries in windows_of(x, g).items():
        y[at(ALL, ALL, *place)] = function(np.stack([v for _, v in entries], -1))
    return y


@given(images(), st.sampled_from([*FLOATS, np.dtype(np.int8)]))
def test_max_pool_takes_the_largest(drawn: tuple[Array, Geometry], dtype: np.dtype[Any]) -> None:
    x, g = drawn
    found = max_pool(x.astype(dtype), kernel_shape=g.kernel, **g.attributes)
    assert_equal(found.y, pooled(x, g, lambda v: v.max(-1)).astype(dtype))


@given(images())
def test_max_pool_says_where_the_first_of_the_largest_stands(
    drawn: tuple[Array, Geometry],
) -> None:
    x, g = drawn
    found = max_pool(x, kernel_shape=g.kernel, **g.attributes)
    assert_equal(x.reshape(-1)[found.indices], found.y)
    for place, entries in windows_of(x, g).items():
        for c in range(x.shape[1]):
            flat = int(found.indices[at(0, c, *place)]) - c * math.prod(g.size)
            largest = [seen for seen, v in entries if v[0, c] == found.y[at(0, c, *place)]]
            assert np.unravel_index(flat, g.size) == largest[0]


def test_column_major_indices_count_along_the_first_axis() -> None:
    x = np.zeros((1, 1, 2, 3))
    x[0, 0, 1, 2] = 1
    row = max_pool(x, kernel_shape=(2, 3)).indices
    column = max_pool(x, kernel_shape=(2, 3), storage_order=1).indices
    assert (row.item(), column.item()) == (5, 5)
    x[0, 0, 1, 0] = 2
    row = max_pool(x, kernel_shape=(2, 3)).indices
    column = max_pool(x, kernel_shape=(2, 3), storage_order=1).indices
    assert (row.item(), column.item()) == (3, 1)


def test_max_pool_finds_nan_and_minus_inf() -> None:
    x = np.array([[[1, np.nan, 2, -np.inf, -np.inf]]])
    found = max_pool(x, kernel_shape=(2,), pads=(1, 1))
    assert_equal(found.y, np.array([[[1, np.nan, np.nan, 2, -np.inf, -np.inf]]]))
    assert found.indices.tolist() == [[[0, 1, 1, 2, 3, 4]]]


@given(images(), st.sampled_from([0, 1]))
def test_average_pool_divides_by_what_counts(drawn: tuple[Array, Geometry], pads: int) -> None:
    x, g = drawn
    count = math.prod(g.kernel)
    expected = pooled(x, g, lambda v: v.sum(-1) / (count if pads else v.shape[-1]))
    found = average_pool(x, kernel_shape=g.kernel, count_include_pad=pads, **g.attributes)
    assert_close(found, expected, F32, ulps=1)


@given(images(), st.integers(1, 3))
def test_lp_pool_is_the_norm(drawn: tuple[Array, Geometry], p: int) -> None:
    x, g = drawn
    expected = pooled(x, g, lambda v: (np.abs(v.astype(float)) ** p).sum(-1) ** (1 / p))
    assert_close(lp_pool(x, kernel_shape=g.kernel, p=p, **g.attributes), expected, F32)
    del (old := g.attributes)["dilations"]
    if set(g.dilations) == {1}:
        found = lp_pool_1(x, kernel_shape=g.kernel, p=float(p), **old)
        assert_close(found, expected, F32)


@given(images())
def test_global_pools_are_pools_over_everything(drawn: tuple[Array, Geometry]) -> None:
    x, g = drawn
    assert_equal(global_max_pool(x), max_pool(x, kernel_shape=g.size).y)
    mean, norm = average_pool(x, kernel_shape=g.size), lp_pool(x, kernel_shape=g.size)
    assert_close(global_average_pool(x), mean, F32, ulps=1)
    assert_close(global_lp_pool(x), norm, F32)
    assert_close(global_lp_pool_1(x), norm, F32)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"strides": (2,)}, [5, 4]),
        ({"strides": (2,), "ceil_mode": 1}, [5, 4, 3]),
        # A third window would begin in the padding behind.
        ({"strides": (3,), "ceil_mode": 1, "pads": (0, 1)}, [5, 4]),
        ({"strides": (2,), "ceil_mode": 1, "auto_pad": "VALID"}, [5, 4]),
        ({"strides": (2,), "auto_pad": "SAME_UPPER"}, [5, 4, 3]),
        ({"strides": (2,), "auto_pad": "SAME_LOWER"}, [1, 5, 4]),
        ({"dilations": (3,)}, [4, 5]),
    ],
)
def test_number_of_windows(attributes: dict[str, Any], expected: list[float]) -> None:
    assert_equal(max_pool(LINE, kernel_shape=(2,), **attributes).y, np.array([[expected]], float))


@pytest.mark.parametrize(("include", "last"), [(0, 3.0), (1, 1.5)])
def test_what_hangs_over_the_padding_never_counts(include: int, last: float) -> None:
    # The last of the windows holds 3, a padding, and something beyond.
    found = average_pool(
        LINE, kernel_shape=(3,), strides=(2,), pads=(0, 1), ceil_mode=1, count_include_pad=include
    )
    assert found[0, 0].tolist() == pytest.approx([8 / 3, 3, last])


def test_a_window_that_sees_padding_only() -> None:
    attributes: dict[str, Any] = {"kernel_shape": (2,), "dilations": (2,), "pads": (1, 1)}
    one = np.full((1, 1, 1), 5.0)
    assert average_pool(one, **attributes) == lp_pool(one, **attributes) == 0
    assert max_pool(one, **attributes).y == -np.inf


@given(st.data())
def test_max_unpool_brings_the_largest_back(data: st.DataObject) -> None:
    size = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    x = whole(data.draw, 1, 2, 2 * size[0], 2 * size[1]) + np.float32(5)
    found = max_pool(x, kernel_shape=(2, 2), strides=(2, 2))
    image = max_unpool(found.y, found.indices, kernel_shape=(2, 2), strides=(2, 2))
    assert image.shape == x.shape
    assert_equal(image[image != 0], x[image != 0])
    again = max_pool(image, kernel_shape=(2, 2), strides=(2, 2))
    assert_equal(again.y, found.y)


def test_max_unpool_into_a_larger_image_keeps_the_corner() -> None:
    # The suite's maxunpool_export_with_output_shape: indices count in 4 x 4, not in 5 x 5.
    x, i = np.array([[[[5, 6], [7, 8]]]]), np.array([[[[5, 7], [13, 15]]]])
    found = max_unpool(x, i, np.array([1, 1, 5, 5]), kernel_shape=(2, 2), strides=(2, 2))
    expected = np.zeros((1, 1, 5, 5), int)
    expected[0, 0, 1, 1], expected[0, 0, 1, 3] = 5, 6
    expected[0, 0, 3, 1], expected[0, 0, 3, 3] = 7, 8
    assert_equal(found, expected)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        max_pool(LINE, kernel_shape=(6,))
    with pytest.raises(ValueError, match="kernel_shape"):
        max_pool(LINE, kernel_shape=(2, 2))
    with pytest.raises(ValueError, match="cannot be used together"):
        average_pool(LINE, kernel_shape=(2,), pads=(1, 0), auto_pad="SAME_UPPER")
    for index in (-1, 2):
        with pytest.raises(IndexError, match="must lie in"):
            max_unpool(LINE[..., :1], np.array([[[index]]]), kernel_shape=(2,))
    with pytest.raises(ValueError, match="does not hold"):
        max_unpool(LINE, np.zeros((1, 1, 5), int), np.array([1, 1, 3]), kernel_shape=(2,))
    with pytest.raises(ValueError, match=r"expected \(batch, channels"):
        global_average_pool(LINE[0, 0])
