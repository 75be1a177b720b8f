"""8-bit products with float results against exact integers, and as several standard operators."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx import ops
from embedx.ops import Array, dynamic_quantize_linear
from embedx.ops.microsoft import (
    attention,
    dequantize_linear,
    dynamic_quantize_matmul,
    matmul_integer16,
    matmul_integer_to_float,
    qattention,
    quantize_linear,
)
from tests.assertions import assert_close, assert_equal
from tests.ops.microsoft.values import BYTES, F32, f32, numbers, octets, u8
from tests.ops.test_integer import exact_product
from tests.strategies import DType, generators, shapes, tensors

Rng = np.random.Generator
bytes_ = st.sampled_from(BYTES)
SHORTS: list[DType] = [np.dtype(np.uint16), np.dtype(np.int16)]


@st.composite
def weights(draw: st.DrawFn, rng: Rng, inner: int, columns: int) -> tuple[Array, Array, Any]:
    """B with one scale and zero point, or one per column; the zero point may be missing."""
    dtype, shape = draw(bytes_), draw(st.sampled_from([(), (1,), (columns,)]))
    zero = draw(st.sampled_from([None, octets(rng, dtype, *shape)]))
    return octets(rng, dtype, inner, columns), np.abs(numbers(rng, *shape)) / 9, zero


def expected_floats(
    a: Array, a_scale: Array, a_zero: Any, b: Array, b_scale: Array, b_zero: Any
) -> Array:
    """The exact sums in float32, times the product of the scales."""
    wide_a = a.astype(int) - (0 if a_zero is None else a_zero.astype(int))
    wide_b = b.astype(int) - (0 if b_zero is None else b_zero.astype(int))
    total = exact_product(wide_a, wide_b).astype(np.float32)
    return total * np.asarray(a_scale * b_scale)


@given(generators(), bytes_, st.data())
def test_matmul_integer_to_float(rng: Rng, dtype: DType, data: st.DataObject) -> None:
    rows, inner, columns = (data.draw(st.integers(1, 3)) for _ in range(3))
    a, scale = octets(rng, dtype, rows, inner), np.asarray(np.abs(numbers(rng)))
    zero = data.draw(st.sampled_from([None, octets(rng, dtype)]))
    b, b_scale, b_zero = data.draw(weights(rng, inner, columns))
    bias = data.draw(st.sampled_from([None, numbers(rng, columns)]))
    expected = expected_floats(a, scale, zero, b, b_scale, b_zero)
    expected = expected if bias is None else expected + bias
    assert_equal(matmul_integer_to_float(a, b, scale, b_scale, zero, b_zero, bias), expected)


@pytest.mark.parametrize("inner", [384, 1536, 4096])
def test_no_product_of_uint8_by_int8_saturates(inner: int) -> None:
    # Runtimes on AVX2 add two products in a saturating int16.
    a, one = np.full((1, inner), 255, np.uint8), f32(1)
    for extreme in (-128, 127):
        b = np.full((inner, 1), extreme, np.int8)
        exact = np.array([[255 * extreme * inner]], np.float32)
        assert_equal(matmul_integer_to_float(a, b, one, one), exact)
        quantized = dynamic_quantize_matmul(a.astype(np.float32), b, one)
        assert_equal(quantized, exact)
        gated = qattention(a[None], np.tile(b, 3), np.zeros(3, np.float32), one, one, num_heads=1)
        assert_equal(gated.output, exact[None])


@given(generators(), st.data())
def test_dynamic_quantize_matmul_quantizes_the_whole_of_a(rng: Rng, data: st.DataObject) -> None:
    stack, rows, inner, columns = (data.draw(st.integers(1, 3)) for _ in range(4))
    a = numbers(rng, stack, rows, inner)
    b, b_scale, b_zero = data.draw(weights(rng, inner, columns))
    bias = data.draw(st.sampled_from([None, numbers(rng, columns)]))
    found = dynamic_quantize_matmul(a, b, b_scale, b_zero, bias)
    q, scale, zero = dynamic_quantize_linear(a)
    for part, matrix in zip(found, q, strict=True):
        expected = expected_floats(matrix, scale, zero, b, b_scale, b_zero)
        assert_equal(part, expected if bias is None else expected + bias)


@given(generators(), bytes_, bytes_, st.data())
def test_qattention_is_attention_of_what_the_integers_mean(
    rng: Rng, left: DType, right: DType, data: st.DataObject
) -> None:
    batch, length, hidden, heads = (data.draw(st.integers(1, 2)) for _ in range(4))
    width = 3 * 2 * heads
    x, w = octets(rng, left, batch, length, hidden), octets(rng, right, hidden, width)
    b = numbers(rng, width)
    x_scale, shape = f32(0.01), data.draw(st.sampled_from([(), (width,)]))
    w_scale = np.abs(numbers(rng, *shape)) / 100
    x_zero, w_zero = octets(rng, left), octets(rng, right, *shape)
    mask = data.draw(st.sampled_from([None, rng.integers(0, 2, (batch, length)).astype(np.int32)]))
    causal = data.draw(st.integers(0, 1))
    found = qattention(
        x, w, b, x_scale, w_scale, mask, x_zero, w_zero, num_heads=heads, unidirectional=causal,
        scale=0.5,
    )  # fmt: skip
    real_x = ops.dequantize_linear(x, x_scale, x_zero)
    real_w = ops.dequantize_linear(w, w_scale, w_zero, axis=-1)
    wanted = attention(
        real_x, real_w, b, mask, num_heads=heads, unidirectional=causal, scale=0.5
    )  # fmt: skip
    floor = 64 if mask is None else 20_000  # -10000 is added to masked scores
    assert_close(found.output, wanted.output.astype(np.float64), F32, floor=floor)
    assert_close(found.present, wanted.present.astype(np.float64), F32, floor=64)


@given(st.sampled_from(SHORTS), st.sampled_from(SHORTS), st.data())
def test_products_of_16_bits_wrap_around_in_32(
    left: DType, right: DType, data: st.DataObject
) -> None:
    rows, inner, columns = (data.draw(st.integers(1, 3)) for _ in range(3))
    a, b = data.draw(tensors(left, (rows, inner))), data.draw(tensors(right, (inner, columns)))
    unsigned = left.kind == right.kind == "u"
    exact = exact_product(a.astype(int), b.astype(int))
    assert_equal(matmul_integer16(a, b), exact.astype(np.uint32 if unsigned else np.int32))


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.float32])
def test_products_of_16_bits_refuse_other_types(dtype: Any) -> None:
    x, y = np.ones((1, 1), np.int16), np.ones((1, 1), dtype)
    for a, b in ((x, y), (y, x)):
        with pytest.raises(TypeError, match="expected int16 or uint16"):
            matmul_integer16(a, b)


# -- QuantizeLinear, DequantizeLinear -------------------------------------------------------------


@given(generators(), shapes(min_rank=1, min_side=1), st.sampled_from(BYTES + SHORTS), st.data())
def test_an_axis_is_named_or_there_is_one_scale(
    rng: Rng, shape: tuple[int, ...], dtype: DType, data: st.DataObject
) -> None:
    axis = data.draw(st.sampled_from([None, *range(-len(shape), len(shape))]))
    each = () if axis is None else (shape[axis],)
    scale, zero = np.abs(numbers(rng, *each)) + f32(0.1), octets(rng, dtype, *each)
    x = np.asarray(numbers(rng, *shape) * 9)
    y = quantize_linear(x, scale, zero, axis=axis)
    along = (-1, *[1] * (-1 - range(-len(shape), 0)[axis])) if axis is not None else ()
    spread = (scale.reshape(along), zero.reshape(along).astype(np.int64))
    info = np.iinfo(dtype)
    expected = np.clip(np.rint(x / spread[0]) + spread[1], info.min, info.max)
    assert_equal(y, expected.astype(dtype))
    back = dequantize_linear(y, scale, zero, axis=axis)
    assert_equal(back, (y - spread[1]).astype(np.float32) * spread[0])


@pytest.mark.parametrize("name", ["int4", "uint4"])
def test_four_bits_at_any_opset(name: str) -> None:
    dtype: Any = getattr(ml_dtypes, name)
    zero, scale = np.array(1, dtype), f32(0.5)
    y = quantize_linear(f32([1, 99]), scale, zero)
    assert y.astype(int).tolist() == [3, int(ml_dtypes.iinfo(dtype).max)]
    assert dequantize_linear(y[:1], scale, zero).tolist() == [1.0]


def test_zero_points_may_be_missing() -> None:
    assert_equal(quantize_linear(f32([3]), f32(2)), u8([2]))
    assert_equal(dequantize_linear(u8([3]), f32(2)), f32([6]))
