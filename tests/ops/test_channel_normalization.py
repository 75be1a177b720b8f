"""Normalisation of images against statistics that are taken apart from it, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    batch_normalization,
    batch_normalization_1,
    batch_normalization_7,
    batch_normalization_9,
    group_normalization,
    group_normalization_18,
    instance_normalization,
    layer_normalization,
    lrn,
    mean_variance_normalization,
    mean_variance_normalization_1,
)
from tests.assertions import assert_close, assert_equal
from tests.ops.windows import whole
from tests.strategies import BFLOAT16, FLOATS, HALVES, DType

F32 = np.dtype(np.float32)


@st.composite
def images(draw: st.DrawFn, channels: int = 4) -> Array:
    size = draw(st.lists(st.integers(1, 3), min_size=1, max_size=2))
    x = whole(draw, draw(st.integers(1, 3)), channels, *size)
    x[0, 0].flat[0] += 1  # not everything equal
    return x


def vectors(draw: st.DataObject, count: int = 4) -> tuple[Array, Array]:
    return whole(draw.draw, count), whole(draw.draw, count)


def along(values: Array, x: Array) -> Array:
    """One number per channel, spread over the image."""
    return np.moveaxis(np.broadcast_to(values, (*np.delete(x.shape, 1), x.shape[1])), -1, 1)


def standardised(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    wide = x.astype(np.float64)
    mean = wide.mean(axis=axes, keepdims=True)
    return (wide - mean) / np.sqrt(((wide - mean) ** 2).mean(axis=axes, keepdims=True) + epsilon)


def batch_normalized(x: Array, scale: Array, b: Array, mean: Array, var: Array) -> Array:
    return (x - along(mean, x)) / np.sqrt(along(var, x) + 0.5) * along(scale, x) + along(b, x)


@given(images(), st.data(), st.sampled_from(FLOATS))
def test_batch_normalization_uses_given_statistics(
    x: Array, data: st.DataObject, dtype: DType
) -> None:
    scale, b = vectors(data)
    mean, var = whole(data.draw, 4), np.abs(whole(data.draw, 4))
    wide = [v.astype(np.float64) for v in (x, scale, b, mean, var)]
    exact = batch_normalized(*wide)
    inputs = [v.astype(dtype) for v in (x, scale, b, mean, var)]
    y = batch_normalization(*inputs, epsilon=0.5).y
    assert_close(y, exact, dtype, floor=64 if dtype.itemsize > 2 else 0, ulps=1)
    assert_equal(batch_normalization_9(*inputs, epsilon=0.5), y)
    assert_equal(batch_normalization_7(*inputs, epsilon=0.5), y)
    assert_equal(batch_normalization_1(*inputs, epsilon=0.5, is_test=1), y)


@given(images(), st.data())
def test_batch_normalization_trains(x: Array, data: st.DataObject) -> None:
    scale, b = vectors(data)
    mean, var = whole(data.draw, 4), np.abs(whole(data.draw, 4))
    axes = (0, *range(2, x.ndim))
    found = batch_normalization(x, scale, b, mean, var, epsilon=0.5, momentum=0.75, training_mode=1)
    exact = standardised(x, axes, 0.5) * along(scale, x) + along(b, x)
    assert_close(found.y, exact, F32, floor=64)
    assert_close(found.running_mean, 0.75 * mean + 0.25 * x.mean(axis=axes, dtype=float), F32)
    trained = 0.75 * var + 0.25 * x.var(axis=axes, dtype=float)
    assert_close(found.running_var, trained, F32, floor=16)
    assert_equal(batch_normalization_1(x, scale, b, mean, var, epsilon=0.5), found.y)


def test_batch_normalization_of_other_types_than_its_parameters() -> None:
    x = np.array([[1.0], [3.0]], np.float16)
    half, wide = np.ones(1, np.float16), np.ones(1, np.float32)
    found = batch_normalization(x, half, half, wide, wide, training_mode=1)
    assert [v.dtype.name for v in found] == ["float16", "float32", "float32"]
    found = batch_normalization(
        x.astype(np.float64), wide, wide, half, wide.astype(BFLOAT16), training_mode=1
    )
    assert [v.dtype.name for v in found] == ["float64", "float16", "bfloat16"]


@given(images())
def test_every_element_has_statistics_of_its_own_without_spatial(x: Array) -> None:
    shape = x.shape[1:]
    mean, var = np.full(shape, 2, np.float32), np.full(shape, 4, np.float32)
    found = batch_normalization_7(x, var, mean, mean, var, epsilon=0.0, spatial=0)
    assert_equal(found, (x - 2) / 2 * 4 + 2)
    trained = batch_normalization_1(x, var, mean, mean, var, epsilon=0.5, spatial=0)
    assert_close(trained, standardised(x, (0,), 0.5) * 4 + 2, F32, floor=64)


@given(images(), st.data())
def test_instance_normalization_is_one_group_a_channel(x: Array, data: st.DataObject) -> None:
    scale, b = vectors(data)
    exact = standardised(x, tuple(range(2, x.ndim)), 0.5) * along(scale, x) + along(b, x)
    assert_close(instance_normalization(x, scale, b, epsilon=0.5), exact, F32, floor=64)
    grouped = group_normalization(x, scale, b, epsilon=0.5, num_groups=4)
    assert_close(grouped, exact, F32, floor=64)


@given(images(), st.data())
def test_group_normalization_of_one_group_is_a_layers(x: Array, data: st.DataObject) -> None:
    scale, b = vectors(data)
    layer = layer_normalization(x, np.ones(1, x.dtype), axis=1, epsilon=0.5).y
    found = group_normalization(x, scale, b, epsilon=0.5, num_groups=1)
    assert_close(found, layer * along(scale, x) + along(b, x), F32, floor=64)


@given(images(), st.data())
def test_groups_share_scale_and_bias_at_opset_18(x: Array, data: st.DataObject) -> None:
    scale, b = vectors(data, 2)
    found = group_normalization_18(x, scale, b, num_groups=2)
    each = [v[[0, 0, 1, 1]] for v in (scale, b)]
    assert_equal(found, group_normalization(x, *each, num_groups=2))


@pytest.mark.parametrize("half", HALVES, ids=str)
def test_large_halves_do_not_overflow(half: DType) -> None:
    x = np.array([[[300.0], [-300]]]).astype(half)
    one = np.ones(2, half)
    assert_equal(group_normalization(x, one, 0 * one, num_groups=1), (x / 300).astype(half))


@given(images(), st.integers(1, 9))
def test_lrn_sums_over_neighbouring_channels(x: Array, size: int) -> None:
    expected = np.zeros(x.shape)
    for c in range(4):
        first, last = max(0, c - (size - 1) // 2), min(3, c + -(-(size - 1) // 2))
        squares = (x[:, first : last + 1].astype(float) ** 2).sum(axis=1)
        expected[:, c] = x[:, c] / (2 + 0.5 / size * squares) ** 0.75
    assert_close(lrn(x, alpha=0.5, beta=0.75, bias=2.0, size=size), expected, F32)


@given(images())
def test_mean_variance_normalization_standardises(x: Array) -> None:
    axes = (0, *range(2, x.ndim))
    found = mean_variance_normalization(x, axes=axes)
    with np.errstate(invalid="ignore"):
        exact = standardised(x, axes, 0)
    assert_close(found, np.nan_to_num(exact), F32, floor=64)


@given(images().filter(lambda x: x.ndim == 4), st.booleans(), st.booleans())
def test_mean_variance_normalization_1_knows_channels(
    x: Array, across: bool, divided: bool
) -> None:
    axes = (0, 1, 2, 3) if across else (0, 2, 3)
    found = mean_variance_normalization_1(
        x, across_channels=int(across), normalize_variance=int(divided)
    )
    wide = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        exact = standardised(x, axes, 0) if divided else wide - wide.mean(axis=axes, keepdims=True)
    assert_close(found, np.nan_to_num(exact), F32, floor=64)


STATISTICS = [np.ones(2)] * 4


def test_refusals() -> None:
    with pytest.raises(ValueError, match="one number per channel"):
        batch_normalization(np.ones((1, 3)), *STATISTICS)
    with pytest.raises(ValueError, match="without spatial"):
        batch_normalization_7(np.ones((1, 2, 2)), *STATISTICS, spatial=0)
    with pytest.raises(ValueError, match="cannot be split into 3 groups"):
        group_normalization(np.ones((1, 2, 1)), *STATISTICS[:2], num_groups=3)
    with pytest.raises(ValueError, match="for 1 groups"):
        group_normalization_18(np.ones((1, 2, 1)), *STATISTICS[:2], num_groups=1)
    with pytest.raises(ValueError, match="does not exist"):
        mean_variance_normalization(np.ones((2, 2)))
