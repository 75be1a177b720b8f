"""Operators that ONNX removed at opset 10, element by element."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    affine,
    crop,
    dynamic_slice,
    image_scaler,
    parametric_softplus,
    resolve,
    scale,
    scaled_tanh,
)
from tests.assertions import assert_close, assert_equal
from tests.oracles import elementwise
from tests.strategies import FLOATS, DType, tensors

factors = st.sampled_from([-2.0, 0.5, 3.0])


@given(st.sampled_from(FLOATS), factors, factors, st.data())
def test_elements_are_scaled(dtype: DType, alpha: float, beta: float, data: st.DataObject) -> None:
    x = data.draw(tensors(dtype, low=-8, high=8))
    wide = x.astype(np.float64)
    assert_close(affine(x, alpha=alpha, beta=beta), alpha * wide + beta, dtype, floor=32)
    assert_close(scale(x, scale=alpha), alpha * wide, dtype, ulps=0.5)
    curve = elementwise(lambda v: alpha * math.tanh(beta * v), x)
    assert_close(scaled_tanh(x, alpha=alpha, beta=beta), curve, dtype)
    exact = elementwise(lambda v: alpha * math.log1p(math.exp(beta * v)), x)
    assert_close(parametric_softplus(x, alpha=alpha, beta=beta), exact, dtype, floor=8)


def test_softplus_does_not_overflow() -> None:
    x = np.array([-1e4, 1e4], np.float32)
    found = parametric_softplus(x, alpha=2.0, beta=1.0)
    assert_equal(found, np.array([0, 2e4], np.float32))


@given(st.sampled_from(FLOATS), st.integers(1, 3), st.data())
def test_image_scaler_shifts_each_channel(dtype: DType, channels: int, data: st.DataObject) -> None:
    x = data.draw(tensors(dtype, (2, channels, 2, 3), low=-8, high=8))
    bias = tuple(0.5 * n for n in range(channels))
    exact = np.stack([2.0 * x[:, c].astype(np.float64) + bias[c] for c in range(channels)], axis=1)
    assert_close(image_scaler(x, bias=bias, scale=2.0), exact, dtype, floor=16)


IMAGE = np.arange(24).reshape(1, 2, 3, 4)


@given(*[st.integers(0, 2)] * 4, st.booleans())
def test_crop_keeps_what_lies_within_the_border(
    left: int, top: int, right: int, bottom: int, sized: bool
) -> None:
    rows = [r for r in range(3) if r >= top and r < 3 - bottom]
    columns = [c for c in range(4) if c >= left and c < 4 - right]
    if not rows or not columns:
        with pytest.raises(ValueError, match="nothing lies from"):
            crop(IMAGE, border=(left, top, right, bottom))
        return
    expected = IMAGE[:, :, rows][:, :, :, columns]
    if sized:
        found = crop(IMAGE, border=(left, top, 9, 9), scale=(len(rows), len(columns)))
    else:
        found = crop(IMAGE, border=(left, top, right, bottom))
    assert_equal(found.copy(), expected)


@given(st.data())
def test_dynamic_slice_is_slice(data: st.DataObject) -> None:
    x: Array = np.arange(20).reshape(4, 5)
    begin, end = data.draw(st.integers(-9, 9)), data.draw(st.integers(-9, 9))
    for axis, expected in ((0, x[begin:end]), (1, x[:, begin:end])):
        found = dynamic_slice(x, np.array([begin]), np.array([end]), np.array([axis]))
        assert_equal(found.copy(), expected.copy())
    assert_equal(dynamic_slice(x, np.array([begin]), np.array([end])).copy(), x[begin:end].copy())


X = np.ones((1, 2, 3, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scaled_tanh(X, alpha=1.0), "alpha and beta must be given"),
        (lambda: parametric_softplus(X, beta=1.0), "alpha and beta must be given"),
        (lambda: image_scaler(X, bias=(1.0,)), "1 biases for images of shape"),
        (lambda: image_scaler(X), "0 biases for images of shape"),
        (lambda: image_scaler(X[0], bias=(1.0, 2.0)), "2 biases for images of shape"),
        (lambda: crop(X), "border None"),
        (lambda: crop(X, border=(1, 0)), r"border \(1, 0\)"),
        (lambda: crop(X, border=(0, 0, 0, 0), scale=(1,)), r"scale \(1,\)"),
        (lambda: crop(X, border=(-1, 0, 0, 0)), "nothing lies from -1"),
        (lambda: crop(X, border=(0, 0, 0, 0), scale=(4, 1)), "nothing lies from 0 to 4"),
    ],
)
def test_refusals(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", ["Affine", "Crop", "ImageScaler", "Scale", "ScaledTanh"])
def test_they_end_at_opset_10(name: str) -> None:
    assert resolve(name, 9).until == 10
    with pytest.raises(LookupError, match="was removed at opset 10"):
        resolve(name, 10)
