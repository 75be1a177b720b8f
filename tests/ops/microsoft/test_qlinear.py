"""Quantized operators in exact fractions; scales are powers of two, so that ties are frequent.

Most round and then add the zero point; QLinearAdd, QLinearMul (and QLinearAveragePool) round last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx import ops
from embedx.ops import Array
from embedx.ops.microsoft import (
    qgemm,
    qlinear_add,
    qlinear_concat,
    qlinear_leaky_relu,
    qlinear_mul,
    qlinear_reduce_mean,
    qlinear_sigmoid,
    qlinear_softmax,
    qlinear_where,
)
from tests.assertions import assert_close, assert_equal
from tests.ops.microsoft.values import BYTES, f32, points, quantized, real, s8, u8
from tests.oracles import elementwise
from tests.strategies import DType, Shape, shapes, tensors

bytes_ = st.sampled_from(BYTES)


@st.composite
def broadcast_pair(draw: st.DrawFn, dtype: DType) -> tuple[Array, Array]:
    shape = draw(shapes())
    cut = draw(st.integers(0, len(shape)))
    pair = (draw(tensors(dtype, shape)), draw(tensors(dtype, shape[cut:])))
    return pair if draw(st.booleans()) else pair[::-1]


@pytest.mark.parametrize(
    ("op", "formula"), [(qlinear_add, np.add), (qlinear_mul, np.multiply)], ids=["add", "mul"]
)
@given(dtype=bytes_, data=st.data())
def test_sums_and_products_are_rounded_last(
    op: Callable[..., Array], formula: Callable[..., Array], dtype: DType, data: st.DataObject
) -> None:
    a, b = data.draw(broadcast_pair(dtype))
    pa, pb, pc = (data.draw(points(dtype)) for _ in range(3))
    exact = np.asarray(formula(real(a, pa), real(b, pb)), object)
    assert_equal(op(a, *pa, b, *pb, *pc), quantized(exact, pc, dtype, rounded_last=True))


def test_an_odd_zero_point_decides_between_two_integers() -> None:
    one, two, odd = f32(1), f32(2), u8(1)
    x, unit = u8([1, 3, 5]), u8(1)
    added = qlinear_add(x, one, None, unit * 0, one, None, two, odd)
    assert added.tolist() == [2, 2, 4]  # 0.5, 1.5 and 2.5, plus 1, rounded to even
    assert qlinear_mul(x, one, None, unit, one, None, two, odd).tolist() == [2, 2, 4]
    kept = qlinear_leaky_relu(x, one, None, two, odd)
    assert kept.tolist() == [1, 3, 3]  # rounded to even, plus 1


def test_sums_take_the_steps_of_fused_multiply_add() -> None:
    # By the textbook, dequantized and added, these are other integers.
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 100_000)).astype(np.uint8)
    three = [f32(s) for s in (0.103, 0.047, 0.211)]
    zeros = [u8(z) for z in (120, 7, 100)]
    found = qlinear_add(a, three[0], zeros[0], b, three[1], zeros[1], three[2], zeros[2])
    ra, rb = (np.float64(s / three[2]) for s in three[:2])
    k = f32(100) - (f32(ra) * f32(120) + f32(rb) * f32(7))
    inner = (b * rb + np.float64(k)).astype(np.float32)
    total = np.rint((a * ra + inner).astype(np.float32))
    assert_equal(found, np.clip(total, 0, 255).astype(np.uint8))


# -- one input ------------------------------------------------------------------------------------


@given(bytes_, st.data())
def test_leaky_relu(dtype: DType, data: st.DataObject) -> None:
    x, point, result = data.draw(tensors(dtype)), *(data.draw(points(dtype)) for _ in range(2))
    exact = elementwise(lambda v: v if v > 0 else v / 4, real(x, point), dtype=object)
    found = qlinear_leaky_relu(x, *point, *result, alpha=0.25)
    assert_equal(found, quantized(exact, result, dtype))


def off_by_one(found: Array, exact: Array) -> None:
    """Where the true quotient lies between two integers, float32 may take either."""
    down, up = np.floor(exact - 1e-4 + 0.5), np.floor(exact + 1e-4 + 0.5)
    info = np.iinfo(found.dtype)
    near = [np.clip(v, info.min, info.max) == found for v in (down, up)]
    assert (near[0] | near[1]).all(), (found, exact)


@given(bytes_, st.data())
def test_sigmoid(dtype: DType, data: st.DataObject) -> None:
    x, point = data.draw(tensors(dtype)), data.draw(points(dtype))
    zero = data.draw(tensors(dtype, ()))
    found = qlinear_sigmoid(x, *point, f32(1 / 256), zero)
    assert (found.dtype, found.shape) == (dtype, x.shape)
    exact = elementwise(lambda v: 256 / (1 + math.exp(min(-v, 700))), real(x, point))
    off_by_one(found, exact + int(zero))


@given(bytes_, shapes(min_rank=1, min_side=1), st.sampled_from([12, 13]), st.data())
def test_softmax(dtype: DType, shape: Shape, opset: int, data: st.DataObject) -> None:
    x, point = data.draw(tensors(dtype, shape)), data.draw(points(dtype))
    axis, zero = data.draw(st.integers(-len(shape), len(shape) - 1)), data.draw(tensors(dtype, ()))
    found = qlinear_softmax(x, *point, f32(1 / 256), zero, axis=axis, opset=opset)
    wide = real(x, point).astype(np.float64)
    # Before opset 13 everything from the axis on was one axis.
    summed = (axis,) if opset >= 13 else tuple(range(axis % len(shape), len(shape)))
    e = np.exp(wide - wide.max(axis=summed, keepdims=True))
    assert (found.dtype, found.shape) == (dtype, shape)
    off_by_one(found, 256 * e / e.sum(axis=summed, keepdims=True) + int(zero))


@given(bytes_, shapes(min_rank=1, min_side=1), st.booleans(), st.data())
def test_reduce_mean(dtype: DType, shape: Shape, kept: bool, data: st.DataObject) -> None:
    x, point, result = data.draw(tensors(dtype, shape)), *(data.draw(points(dtype)) for _ in "ab")
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    found = qlinear_reduce_mean(x, *point, *result, axes=(axis,), keepdims=int(kept))
    mean = real(x, point).sum(axis=axis, keepdims=kept) / Fraction(shape[axis])
    zero = 0 if result[1] is None else int(result[1])
    assert found.dtype == dtype
    if shape[axis] == 3:  # thirds are rounded, and so never lie between two integers
        off_by_one(found, np.asarray(mean, np.float64) / float(result[0]) + zero)
    else:
        assert_equal(found, quantized(np.asarray(mean, object), result, dtype))


# -- several inputs -------------------------------------------------------------------------------


@given(bytes_, st.integers(1, 3), st.data())
def test_concat(dtype: DType, count: int, data: st.DataObject) -> None:
    result = data.draw(points(dtype, optional=False))
    parts = [data.draw(tensors(dtype, (2, data.draw(st.integers(0, 3))))) for _ in range(count)]
    each = [data.draw(points(dtype, optional=False)) for _ in parts]
    inputs = [v for part, point in zip(parts, each, strict=True) for v in (part, *point)]
    exact = [real(part, point) for part, point in zip(parts, each, strict=True)]
    expected = quantized(np.concatenate(exact, axis=1), result, dtype)
    assert_equal(qlinear_concat(*result, *inputs, axis=1), expected)


@given(bytes_, st.data())
def test_where(dtype: DType, data: st.DataObject) -> None:
    x, y = data.draw(broadcast_pair(dtype))
    condition = data.draw(tensors(np.dtype(bool), np.broadcast_shapes(x.shape, y.shape)))
    px, py, pz = (data.draw(points(dtype, optional=False)) for _ in range(3))
    exact = np.where(condition, real(x, px), real(y, py))
    found = qlinear_where(condition, x, *px, y, *py, *pz)
    assert_equal(found, quantized(np.asarray(exact, object), pz, dtype))


@given(bytes_, bytes_, bytes_, st.booleans(), st.data())
def test_gemm(left: DType, right: DType, out: DType, again: bool, data: st.DataObject) -> None:
    rows, inner, columns = (data.draw(st.integers(1, 3)) for _ in range(3))
    swap_a, swap_b = data.draw(st.booleans()), data.draw(st.booleans())
    a, b = data.draw(tensors(left, (rows, inner))), data.draw(tensors(right, (inner, columns)))
    pa = data.draw(points(left, optional=False))
    shape = data.draw(st.sampled_from([(), (columns,)]))  # one scale, or one per column
    powers = [2.0 ** data.draw(st.integers(-3, 3)) for _ in range(math.prod(shape))]
    pb = f32(powers).reshape(shape), data.draw(tensors(right, shape))
    c = data.draw(st.sampled_from([None, (1,), (columns,), (rows, columns)]))
    bias = None if c is None else data.draw(tensors(np.dtype(np.int32), c, low=-999, high=999))
    result = data.draw(points(out, optional=False)) if again else (None, None)
    found = qgemm(
        a.T if swap_a else a, *pa, b.T if swap_b else b, *pb, bias, *result, alpha=0.5,
        transA=int(swap_a), transB=int(swap_b),
    )  # fmt: skip
    total = (a.astype(object) - int(pa[1])) @ (b.astype(object) - pb[1].astype(object))
    total = total + (0 if bias is None else bias.astype(object))
    alpha = Fraction(float(pa[0])) / 2
    exact = total * elementwise(lambda s: alpha * Fraction(s), pb[0], dtype=object)
    if again:
        assert_equal(found, quantized(exact, result, out))
    else:
        assert_close(found, exact.astype(np.float64), np.dtype(np.float32), ulps=0)


def test_gemm_does_not_saturate_pairs_of_products() -> None:
    a, b = np.full((1, 2), 255, np.uint8), np.full((2, 1), 127, np.int8)
    one = f32(1)
    found = qgemm(a, one, u8(0), b, one, s8(0))
    assert_equal(found, np.array([[64770]], np.float32))


def test_scales_that_are_no_power_of_two_are_multiplied_in_float32() -> None:
    x, y = np.arange(256, dtype=np.uint8)[:, None], np.arange(256, dtype=np.uint8)
    scales = [f32(s) for s in (0.0117, 0.031, 0.05)]
    zero = u8(33)
    found = qlinear_mul(x, scales[0], zero, y, scales[1], zero, scales[2], zero)
    product = (x.astype(np.int32) - 33) * (y.astype(np.int32) - 33)
    scaled = product.astype(np.float32) * (scales[0] * scales[1] / scales[2])
    expected = ops.cast(np.clip(np.rint(scaled + f32(33)), 0, 255), to=2)
    assert_equal(found, expected)


BAD = [("input", math.nan), ("input", math.inf), ("output", math.nan), ("output", -math.inf)]


@pytest.mark.parametrize(("which", "scale"), [*BAD, ("output", 0.0)])
@pytest.mark.parametrize(
    "op",
    [
        lambda x, y: qgemm(u8([[1]]), x[0], x[1], u8([[1]]), f32(1), u8(0), None, y[0], y[1]),
        lambda x, y: qlinear_add(u8([1]), x[0], None, u8([1]), f32(1), None, *y),
        lambda x, y: qlinear_mul(u8([1]), f32(1), None, u8([1]), *x, *y),
        lambda x, y: qlinear_sigmoid(u8([1]), *x, *y),
        lambda x, y: qlinear_leaky_relu(u8([1]), *x, *y),
        lambda x, y: qlinear_softmax(u8([1]), *x, *y, opset=13),
        lambda x, y: qlinear_concat(*y, u8([1]), f32(1), u8(0), u8([1]), *x, axis=0),
        lambda x, y: qlinear_reduce_mean(u8([1]), *x, *y, axes=(0,), keepdims=1),
        lambda x, y: qlinear_where(np.array([True]), u8([1]), f32(1), u8(0), u8([1]), *x, *y),
    ],
)
def test_scales_are_finite_and_do_not_divide_by_zero(
    op: Callable[[Any, Any], Array], which: str, scale: float
) -> None:
    fine, bad = (f32(0.5), u8(0)), (f32(scale), u8(0))
    with pytest.raises(ValueError, match=r"scale .*must"):
        op(*((bad, fine) if which == "input" else (fine, bad)))


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.int32])
def test_tensors_have_8_bits(dtype: Any) -> None:
    bad, one, zero = np.ones(1, dtype), f32(1), None
    calls: list[Callable[[], Array]] = [
        lambda: qgemm(bad[None], one, u8(0), u8([[1]]), one, u8(0)),
        lambda: qlinear_add(bad, one, zero, u8([1]), one, zero, one),
        lambda: qlinear_mul(u8([1]), one, zero, bad, one, zero, one),
        lambda: qlinear_sigmoid(bad, one, zero, one),
        lambda: qlinear_leaky_relu(bad, one, zero, one),
        lambda: qlinear_softmax(bad, one, zero, one, u8(0), opset=13),
        lambda: qlinear_concat(one, u8(0), bad, one, u8(0), axis=0),
        lambda: qlinear_reduce_mean(bad, one, zero, one, axes=(0,), keepdims=1),
        lambda: qlinear_where(np.array([True]), bad, one, u8(0), u8([1]), one, u8(0), one, u8(0)),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="expected int8 or uint8"):
            call()
    with pytest.raises(TypeError, match="must have one type"):
        qgemm(u8([[1]]), one, u8(0), u8([[1]]), one, u8(0), np.ones(1, np.float32))
