"""Convolutions against loops, SciPy and each other; whole numbers make every sum exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from embedx.ops import (
    Array,
    Budget,
    OverBudgetError,
    col2im,
    conv,
    conv_transpose,
    deform_conv,
    spending,
)
from embedx.ops.conv import convolve
from tests.assertions import assert_close, assert_equal
from tests.ops.windows import ALL, Geometry, at, geometries, whole
from tests.strategies import FLOATS, HALVES, DType

X = np.arange(1.0, 6).reshape(1, 1, 5)
ONES = np.ones((1, 1, 3))


def conv_in_loops(x: Array, w: Array, group: int, g: Geometry) -> Array:
    y = np.zeros((len(x), len(w), *g.counts))
    shared, share = w.shape[1], len(w) // group
    for place, tap, seen in g.views():
        for m in range(len(w)) if g.holds(seen) else ():
            first = m // share * shared
            pixel = x[at(ALL, slice(first, first + shared), *seen)].astype(np.float64)
            y[at(ALL, m, *place)] += pixel @ w[at(m, ALL, *tap)]
    return y


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Array, Array, int, Geometry]:
    g = draw(geometries())
    group, shared, share = (draw(st.integers(1, 2)) for _ in range(3))
    x = whole(draw, draw(st.integers(0, 2)), group * shared, *g.size)
    return x, whole(draw, group * share, shared, *g.kernel), group, g


@given(convolutions(), st.sampled_from(FLOATS))
def test_conv_is_the_sum_over_each_window(
    drawn: tuple[Array, Array, int, Geometry], dtype: DType
) -> None:
    x, w, group, g = drawn
    bias = np.arange(len(w)).astype(dtype)
    found = conv(x.astype(dtype), w.astype(dtype), bias, group=group, **g.attributes)
    expected = conv_in_loops(x, w, group, g) + np.arange(len(w)).reshape(-1, *[1] * g.rank)
    assert_equal(found, expected.astype(dtype))


@given(st.data())
def test_conv_of_one_channel_is_scipys_correlation(data: st.DataObject) -> None:
    size = data.draw(st.tuples(st.integers(3, 6), st.integers(3, 6), st.integers(3, 5)))
    kernel = data.draw(st.tuples(*[st.integers(1, 3)] * 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x, w = rng.standard_normal(size), rng.standard_normal(kernel)
    expected = signal.correlate(x, w, mode="valid", method="direct")
    assert_close(conv(x[None, None], w[None, None])[0, 0], expected, x.dtype, floor=64)


def transposed(y: Array, w: Array, group: int, g: Geometry) -> Array:
    """ConvTranspose back to the size of the image, of whose end Conv may not have seen all."""
    before, after = g.pads[: g.rank], g.pads[g.rank :]
    axes = zip(g.size, g.counts, g.strides, g.kernel, g.dilations, before, after, strict=True)
    unseen = tuple(n + b + a - (c - 1) * s - (k - 1) * d - 1 for n, c, s, k, d, b, a in axes)
    return conv_transpose(y, w, group=group, output_padding=unseen, **g.attributes)


@given(convolutions())
def test_conv_transpose_is_the_transpose_of_conv(
    drawn: tuple[Array, Array, int, Geometry],
) -> None:
    x, w, group, g = drawn
    y = conv(x, w, group=group, **g.attributes)
    weights = np.arange(y.size, dtype=np.float32).reshape(y.shape) % 5 - 2
    back = transposed(weights, w, group, g)
    assert back.shape == x.shape
    assert (y * weights).sum() == (x * back).sum()


@given(convolutions())
def test_conv_transpose_stamps_the_filters(drawn: tuple[Array, Array, int, Geometry]) -> None:
    x, w, group, g = drawn
    y = conv(x, w, group=group, **g.attributes)
    image = transposed(y, w, group, g)
    expected = np.zeros(image.shape)
    shared, share = w.shape[1], len(w) // group
    for place, tap, seen in g.views():
        for m in range(len(w)) if g.holds(seen) else ():
            first = m // share * shared
            stamp = np.outer(y[at(ALL, m, *place)], w[at(m, ALL, *tap)])
            expected[at(ALL, slice(first, first + shared), *seen)] += stamp
    assert_equal(image, expected.astype(np.float32))


@given(st.data())
def test_col2im_adds_up_what_blocks_share(data: st.DataObject) -> None:
    g = data.draw(geometries())
    columns = whole(data.draw, 2, 3, *g.kernel, *g.counts)
    expected = np.zeros((2, 3, *g.size), np.float32)
    for place, tap, seen in g.views():
        if g.holds(seen):
            expected[at(ALL, ALL, *seen)] += columns[at(..., *tap, *place)]
    flat = columns.reshape(2, 3 * int(np.prod(g.kernel)), -1)
    found = col2im(flat, np.array(g.size), np.array(g.kernel), **g.attributes)
    assert_equal(found, expected)


@given(convolutions())
def test_deform_conv_without_offsets_is_conv(drawn: tuple[Array, Array, int, Geometry]) -> None:
    x, w, group, g = drawn
    offset = np.zeros((len(x), int(np.prod(g.kernel)) * g.rank, *g.counts), np.float32)
    found = deform_conv(x, w, offset, group=group, **g.attributes)
    assert_equal(found, conv(x, w, group=group, **g.attributes))


@given(st.data())
def test_deform_conv_samples_linearly(data: st.DataObject) -> None:
    g = data.draw(geometries())
    taps = int(np.prod(g.kernel))
    x, w = whole(data.draw, 1, 2, *g.size), whole(data.draw, 1, 2, *g.kernel)
    # Quarters of a pixel are exact; each channel has offsets of its own.
    offset = whole(data.draw, 1, 2 * taps * g.rank, *g.counts) / np.float32(4)
    mask = whole(data.draw, 1, 2 * taps, *g.counts)
    expected = np.zeros((1, 1, *g.counts))
    moves = offset[0].reshape(2, *g.kernel, g.rank, *g.counts)
    masks = mask[0].reshape(2, *g.kernel, *g.counts)
    for place, tap, seen in g.views():
        for c in range(2):
            point = np.array(seen) + moves[at(c, *tap, ALL, *place)]
            value = interpolated(x[0, c], point) * masks[at(c, *tap, *place)]
            expected[at(0, 0, *place)] += value * w[at(0, c, *tap)]
    found = deform_conv(x, w, offset, None, mask, offset_group=2, **g.attributes)
    assert_close(found, expected, np.dtype(np.float32), floor=32)


def interpolated(image: Array, point: Array) -> float:
    """The sum over all pixels of value times tent: slow, and hard to get wrong."""
    total = 0.0
    for pixel in np.ndindex(image.shape):
        total += image[pixel] * np.prod(np.maximum(1 - np.abs(point - pixel), 0))
    return float(total)


@pytest.mark.parametrize("half", HALVES, ids=str)
def test_halves_accumulate_in_float32(half: DType) -> None:
    x = np.full((1, 4096, 1), 1, half)  # in float16 the sum would stop at 2048
    assert_equal(conv(x, x.reshape(1, 4096, 1)), np.array([[[4096]]], half))


def test_integers_in_float64_are_exact_beyond_float32() -> None:
    x = np.array([[[2.0**40 + 1, 1.0]]])
    assert_equal(convolve(x, np.array([[[1.0, -1.0]]])), np.array([[[2.0**40]]]))


@pytest.mark.parametrize(
    ("auto_pad", "expected"),
    [("SAME_UPPER", [3, 7, 5]), ("SAME_LOWER", [1, 5, 9]), ("VALID", [3, 7])],
)
def test_the_odd_padding_lies_behind_or_in_front(auto_pad: str, expected: list[float]) -> None:
    found = conv(X, np.ones((1, 1, 2)), auto_pad=auto_pad, strides=(2,))
    assert_equal(found, np.array([[expected]], float))


def test_conv_transpose_same_makes_stride_times_the_size() -> None:
    found = conv_transpose(X[..., :2], np.ones((1, 1, 1)), auto_pad="SAME_UPPER", strides=(3,))
    assert_equal(found, np.array([[[1.0, 0, 0, 2, 0, 0]]]))


@pytest.mark.parametrize(("auto_pad", "first"), [("SAME_UPPER", 1.0), ("NOTSET", 3.0)])
def test_conv_transpose_cuts_an_odd_excess_by_auto_pad(auto_pad: str, first: float) -> None:
    # Five numbers, of which two or three go in front.
    found = conv_transpose(X[..., :2], X, auto_pad=auto_pad, output_shape=(3,))
    whole_image = np.array([1.0, 4, 7, 10, 13, 10])
    begin = {1.0: 1, 3.0: 2}[first]
    assert_equal(found[0, 0], whole_image[begin : begin + 3])


def test_output_padding_shows_more_of_the_image() -> None:
    plain = conv_transpose(X, ONES, strides=(2,), pads=(1, 1))
    padded = conv_transpose(X, ONES, strides=(2,), pads=(1, 1), output_padding=(1,))
    assert_equal(padded[..., :-1], plain)
    assert padded[0, 0, -1] == 5


W = np.ones((2, 1, 2))


@pytest.mark.parametrize(
    ("inputs", "attributes", "message"),
    [
        ((X, W), {"group": 2}, "do not fit 1 channels"),
        ((X, W), {"group": 0}, "do not fit"),
        ((X, W[0]), {}, "filters of shape"),
        ((X, W), {"kernel_shape": (3,)}, "the filters have"),
        ((X, W, np.ones(3)), {}, "one number per channel"),
        ((X, W), {"pads": (1,)}, "expected 2 numbers"),
        ((X, W), {"pads": (-1, 0)}, "at least 0"),
        ((X, W), {"strides": (0,)}, "at least 1"),
        ((X, W), {"dilations": (9,)}, "does not fit"),
        ((X, W), {"auto_pad": "SAME"}, "auto_pad is one of"),
        ((X, W), {"auto_pad": "VALID", "pads": (0, 1)}, "cannot be used together"),
    ],
)
def test_what_does_not_fit_is_refused(
    inputs: tuple[Array, ...], attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        conv(*inputs, **attributes)


def test_other_refusals() -> None:
    with pytest.raises(TypeError, match="insert a Cast"):
        conv(X, W.astype(np.float32))
    with pytest.raises(ValueError, match="output_padding"):
        conv_transpose(X, ONES, output_padding=(1,))
    with pytest.raises(ValueError, match="more than an image"):
        conv_transpose(X, ONES, pads=(5, 5))
    with pytest.raises(ValueError, match="do not make up an image"):
        col2im(np.ones((1, 2, 3)), np.array([3]), np.array([2]))


def test_columns_are_held_to_the_budget() -> None:
    x = np.ones((1, 1, 100, 100))
    with spending(Budget(max_bytes=100_000)), pytest.raises(OverBudgetError):
        conv(x, np.ones((1, 1, 50, 50)), pads=(25, 25, 25, 25))
