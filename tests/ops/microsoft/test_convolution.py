"""Fused convolutions as their parts, quantized pooling in exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx import ops
from embedx.ops.microsoft import (
    fused_conv,
    qlinear_average_pool,
    qlinear_conv,
    qlinear_global_average_pool,
)
from tests.assertions import assert_equal
from tests.ops.microsoft.values import BYTES, f32, octets, points, quantized, real, u8
from tests.strategies import DType, generators, tensors

Rng = np.random.Generator


@given(generators(), st.booleans(), st.sampled_from([None, "Relu", "LeakyRelu", "Clip"]))
def test_fused_conv_is_conv_sum_and_activation(rng: Rng, added: bool, name: str | None) -> None:
    shapes = (1, 2, 4, 3), (2, 1, 2, 2), (2,)
    x, w, b = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    y = ops.conv(x, w, b, group=2, pads=(1, 0, 0, 1), strides=(2, 1))
    z = rng.standard_normal(y.shape).astype(np.float32) if added else None
    found = fused_conv(
        x, w, b, z, group=2, pads=(1, 0, 0, 1), strides=(2, 1), activation=name,
        activation_params=(-0.5, 0.25) if name == "Clip" else None,
    )  # fmt: skip
    y = y if z is None else ops.add(y, z)
    if name == "Clip":
        y = ops.clip(y, f32(-0.5), f32(0.25))
    elif name is not None:
        y = {"Relu": ops.relu, "LeakyRelu": ops.leaky_relu}[name](y)
    assert_equal(found, y)


@given(generators(), st.sampled_from(BYTES), st.sampled_from(BYTES), st.booleans())
def test_channels_may_be_the_last_axis_of_a_convolution(
    rng: Rng, dtype: DType, weights: DType, biased: bool
) -> None:
    x, w = octets(rng, dtype, 2, 3, 4, 4), octets(rng, weights, 2, 3, 2, 2)
    b = rng.integers(-999, 999, 2).astype(np.int32) if biased else None
    scale = f32(0.5), octets(rng, dtype)
    point = np.array([0.25, 2], np.float32), octets(rng, weights, 2)
    result = f32(64), octets(rng, dtype)
    plain = qlinear_conv(x, *scale, w, *point, *result, b, pads=(1, 1, 0, 0))
    assert_equal(plain, ops.qlinear_conv(x, *scale, w, *point, *result, b, pads=(1, 1, 0, 0)))
    last = qlinear_conv(
        x.transpose(0, 2, 3, 1), *scale, w, *point, *result, b, pads=(1, 1, 0, 0), channels_last=1
    )
    assert_equal(last, plain.transpose(0, 2, 3, 1))


@given(generators(), st.sampled_from(BYTES), st.data())
def test_average_pool_rounds_the_mean_with_its_zero_point(
    rng: Rng, dtype: DType, data: st.DataObject
) -> None:
    channels, length = data.draw(st.integers(1, 2)), data.draw(st.integers(2, 6))
    before, after = data.draw(st.integers(0, 1)), data.draw(st.integers(0, 1))
    counted, last = data.draw(st.booleans()), data.draw(st.booleans())
    x = octets(rng, dtype, 1, channels, length)
    zero = octets(rng, dtype) if data.draw(st.booleans()) else None
    y_zero = octets(rng, dtype) if data.draw(st.booleans()) else None
    # Powers of two, by which a float divides exactly: ties are frequent.
    scale, y_scale = (2.0 ** data.draw(st.integers(-2, 2)) for _ in range(2))
    found = qlinear_average_pool(
        x.swapaxes(1, 2) if last else x, f32(scale), zero, f32(y_scale), y_zero, kernel_shape=(2,),
        pads=(before, after), count_include_pad=int(counted), channels_last=int(last),
    )  # fmt: skip
    info = np.iinfo(dtype)
    rows = []
    for row in x[0]:
        centred = [int(v) - (0 if zero is None else int(zero)) for v in row]
        padded: list[int | None] = [None] * before + [*centred] + [None] * after
        sums = []
        for pair in pairwise(padded):
            real = [v for v in pair if v is not None]
            mean = Fraction(sum(real), 2 if counted else len(real)) * Fraction(scale / y_scale)
            shifted = mean + (0 if y_zero is None else int(y_zero))
            sums.append(min(max(round(shifted), int(info.min)), int(info.max)))
        rows.append(sums)
    expected = np.array([rows], dtype)
    assert_equal(found, expected.swapaxes(1, 2) if last else expected)


@given(st.sampled_from(BYTES), st.booleans(), st.data())
def test_global_average_pool(dtype: DType, last: bool, data: st.DataObject) -> None:
    batch, channels = (data.draw(st.integers(1, 2)) for _ in range(2))
    image = data.draw(st.sampled_from([(2,), (4, 2), (8,), (1, 2, 2)]))
    x = data.draw(tensors(dtype, (batch, channels, *image)))
    point, result = (data.draw(points(dtype, optional=False)) for _ in range(2))
    axes = tuple(range(2, x.ndim))
    mean = real(x, point).sum(axis=axes, keepdims=True) / Fraction(math.prod(image))
    expected = quantized(mean, result, dtype)
    if last:
        x, expected = np.moveaxis(x, 1, -1), np.moveaxis(expected, 1, -1)
    found = qlinear_global_average_pool(x, *point, *result, channels_last=int(last))
    assert_equal(found, expected)


def test_pools_take_8_bits() -> None:
    x, one, zero = f32([[[1, 2]]]), f32(1), u8(0)
    with pytest.raises(TypeError, match="expected int8 or uint8"):
        qlinear_average_pool(x, one, zero, one, zero, kernel_shape=(2,))
    with pytest.raises(TypeError, match="expected int8 or uint8"):
        qlinear_global_average_pool(x, one, zero, one, zero)


@pytest.mark.parametrize(("x_scale", "y_scale"), [(math.nan, 1), (math.inf, 1), (1, 0)])
def test_pools_refuse_what_no_scale_is(x_scale: float, y_scale: float) -> None:
    x, zero = u8([[[1, 2]]]), u8(0)
    with pytest.raises(ValueError, match=r"scale .*must"):
        qlinear_average_pool(x, f32(x_scale), zero, f32(y_scale), zero, kernel_shape=(2,))
    with pytest.raises(ValueError, match=r"scale .*must"):
        qlinear_global_average_pool(x, f32(x_scale), zero, f32(y_scale), zero)


def test_an_unknown_activation_is_refused() -> None:
    one = np.ones((1, 1, 1), np.float32)
    with pytest.raises(ValueError, match="not 'Gelu'"):
        fused_conv(one, one, activation="Gelu")
