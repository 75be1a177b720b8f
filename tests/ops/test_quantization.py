"""Quantization against its formula in exact fractions, and against hand-made values."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    code_of,
    dequantize_linear,
    dynamic_quantize_linear,
    quantize_linear,
)
from tests.assertions import assert_close, assert_equal
from tests.strategies import FLOATS, HALVES, DType, Shape, shapes, tensors

INTEGER_TYPES: list[DType] = [
    *(np.dtype(name) for name in ("uint8", "int8", "uint16", "int16")),
    *(np.dtype(getattr(ml_dtypes, name)) for name in ("uint4", "int4", "uint2", "int2")),
]
FLOAT8 = ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"]
UINT8, INT8 = INTEGER_TYPES[:2]


def f32(*values: Any) -> Array:
    return np.array(values, np.float32)


def one(value: float, dtype: Any = np.float32) -> Array:
    return np.array(value, dtype)


def limits(dtype: DType) -> tuple[int, int]:
    info: Any = ml_dtypes.iinfo(dtype)
    return int(info.min), int(info.max)


@st.composite
def granularities(draw: st.DrawFn, shape: Shape) -> tuple[Shape, dict[str, int], list[int]]:
    """The shape of a scale, the attributes, and how many elements of each axis share one."""
    kind = draw(st.sampled_from(["tensor", "tensor of rank 1", "axis", "block"]))
    axis = draw(st.integers(-len(shape), len(shape) - 1)) if shape else 0
    everything = [max(n, 1) for n in shape]
    if kind.startswith("tensor") or not shape:
        return ((1,) if kind == "tensor of rank 1" else ()), {}, everything
    along = axis % len(shape)
    if kind == "axis":
        shared = [1 if i == along else n for i, n in enumerate(everything)]
        return (shape[along],), {"axis": axis}, shared
    block = draw(st.integers(1, 4))
    scales = tuple(math.ceil(n / block) if i == along else n for i, n in enumerate(shape))
    shared = [block if i == along else 1 for i in range(len(shape))]
    return scales, {"axis": axis, "block_size": block}, shared


def spread(value: Array, shape: Shape, shared: list[int]) -> Array:
    """One number an element: that of the group to which the element belongs."""
    found = np.empty(shape, object)
    for place in np.ndindex(*shape):
        group = [i // n for i, n in zip(place, shared, strict=True)]
        flat = value.reshape([math.ceil(n / s) for n, s in zip(shape, shared, strict=True)])
        found[place] = flat[tuple(group)]
    return found


@given(shapes(min_side=1), st.sampled_from(INTEGER_TYPES), st.data())
def test_numbers_are_divided_rounded_shifted_and_saturated(
    shape: Shape, dtype: DType, data: st.DataObject
) -> None:
    source = data.draw(st.sampled_from(FLOATS[2:]))
    low, high = limits(dtype)
    scale_shape, attributes, shared = data.draw(granularities(shape))
    x = data.draw(tensors(source, shape, low=-2.0 * high, high=2.0 * high))
    # By these division is exact.
    powers = st.sampled_from([sign * 2.0**n for n in range(-3, 4) for sign in (1, -1)])
    count = math.prod(scale_shape)
    scale = np.array([data.draw(powers) for _ in range(count)], np.float32).reshape(scale_shape)
    zeros = [data.draw(st.integers(low, high)) for _ in range(count)]
    zero = np.array(zeros, np.int32).reshape(scale_shape).astype(dtype)
    found = quantize_linear(x, scale, zero, **attributes)
    scales, offsets = spread(scale, shape, shared), spread(zero.astype(int), shape, shared)
    expected = np.zeros(shape, np.int32)
    for place in np.ndindex(*shape):
        quotient = Fraction(float(np.float32(x[place]))) / Fraction(float(scales[place]))
        expected[place] = min(max(round(quotient) + int(offsets[place]), low), high)
    assert_equal(found, expected.astype(dtype))


@given(shapes(min_side=1), st.sampled_from(INTEGER_TYPES), st.data())
def test_dequantized_numbers_are_exact_products(
    shape: Shape, dtype: DType, data: st.DataObject
) -> None:
    low, high = limits(dtype)
    scale_shape, attributes, shared = data.draw(granularities(shape))
    whole = st.integers(low, high)
    numbers = [data.draw(whole) for _ in range(math.prod(shape))]
    zeros = [data.draw(whole) for _ in range(math.prod(scale_shape))]
    x = np.array(numbers, np.int32).reshape(shape).astype(dtype)
    zero = np.array(zeros, np.int32).reshape(scale_shape).astype(dtype)
    kind = data.draw(st.sampled_from(FLOATS))
    scale = data.draw(tensors(kind, scale_shape, low=-4, high=4))
    with np.errstate(over="ignore"):
        found = dequantize_linear(x, scale, zero, **attributes)
    scales, offsets = spread(scale, shape, shared), spread(zero.astype(int), shape, shared)
    wide = x.astype(int)
    exact = [(int(wide[p]) - int(offsets[p])) * float(scales[p]) for p in np.ndindex(*shape)]
    assert_close(found, np.array(exact).reshape(shape), kind, ulps=0.51)


@given(shapes(min_side=1), st.sampled_from(INTEGER_TYPES), st.data())
def test_quantization_undoes_dequantization(
    shape: Shape, dtype: DType, data: st.DataObject
) -> None:
    low, high = limits(dtype)
    scale_shape, attributes, _ = data.draw(granularities(shape))
    numbers = [data.draw(st.integers(low, high)) for _ in range(math.prod(shape))]
    x = np.array(numbers, np.int32).reshape(shape).astype(dtype)
    scale = data.draw(tensors(np.dtype(np.float32), scale_shape, low=2.0**-6, high=4))
    scale = scale * np.float32(data.draw(st.sampled_from([1, -1])))
    zero = np.zeros(scale_shape, dtype)
    real = dequantize_linear(x, scale, zero, **attributes)
    assert_equal(quantize_linear(real, scale, zero, **attributes), x)


# -- QuantizeLinear -------------------------------------------------------------------------------


def test_rounding_comes_before_the_zero_point() -> None:
    # 0.5 rounds to 0, then 1 is added; 1.5 would round to 2.
    found = quantize_linear(f32(0.5, 1.5, 2.5, -0.5), one(1), one(1, np.uint8))
    assert found.tolist() == [1, 3, 3, 1]


@pytest.mark.parametrize("dtype", INTEGER_TYPES, ids=str)
@np.errstate(over="ignore", invalid="ignore")
def test_large_numbers_saturate(dtype: DType) -> None:
    # Cast to int32 before they are clipped, they would come out as 0 or the smallest.
    low, high = limits(dtype)
    x = f32(1e10, np.inf, -1e10, -np.inf, 3e38)
    found = quantize_linear(x, one(0.5), np.zeros((), dtype))
    assert found.astype(int).tolist() == [high, high, low, low, high]


def test_nan_becomes_the_same_number_everywhere() -> None:
    found = quantize_linear(f32(np.nan), one(1), one(7, np.int8))
    assert_equal(found, np.zeros(1, np.int8))


def test_the_division_is_no_product_with_the_reciprocal() -> None:
    # In float32 the quotient is 11.5, the product with the reciprocal 11.499999.
    assert int(quantize_linear(f32(0.115), one(0.01))[0]) == 12


def test_the_scale_sets_the_precision_of_the_division() -> None:
    x, scale = np.array([1.05], np.float16), np.array(0.1, np.float16)
    assert int(quantize_linear(x, scale)[0]) == 10  # in fp16 the quotient is 10.5
    assert int(quantize_linear(x, scale, precision=1)[0]) == 11  # in float32 it is 10.503
    assert int(quantize_linear(x, scale.astype(np.float32))[0]) == 11


def test_the_output_type_is_that_of_the_zero_point_or_the_attribute_or_uint8() -> None:
    x = f32(-3)
    assert_equal(quantize_linear(x, one(1)), np.zeros(1, np.uint8))
    assert_equal(quantize_linear(x, one(1), output_dtype=3), np.array([-3], np.int8))
    assert_equal(quantize_linear(x, one(1), one(0, np.int16)), np.array([-3], np.int16))
    agreeing = quantize_linear(x, one(1), one(0, np.int8), output_dtype=3)
    assert_equal(agreeing, np.array([-3], np.int8))
    with pytest.raises(TypeError, match="y_zero_point is int8, output_dtype is uint8"):
        quantize_linear(x, one(1), one(0, np.int8), output_dtype=2)


def test_the_default_axis_1_does_not_matter_for_rank_1() -> None:
    assert_equal(quantize_linear(f32(1, 2, 3), f32(1, 2, 3)), np.array([1, 1, 1], np.uint8))
    assert_equal(
        dequantize_linear(np.array([1, 2], np.uint8), f32(3, 4), np.array([0, 1], np.uint8)),
        f32(3, 4),
    )


def test_integers_can_be_quantized() -> None:
    assert_equal(quantize_linear(np.array([3, -5], np.int32), one(2), one(0, np.int8)),
                 np.array([2, -2], np.int8))  # fmt: skip


def test_scales_without_quotients_of_their_own_divide_in_float32() -> None:
    x = f32(2.5, 3.9)
    assert quantize_linear(x, np.array(2, np.int32)).tolist() == [1, 2]  # 1.25 and 1.95
    power = one(0.5).astype(ml_dtypes.float8_e8m0fnu)
    assert quantize_linear(x, power).tolist() == [5, 8]


@pytest.mark.parametrize("name", FLOAT8)
def test_float8_saturates_if_asked_to(name: str) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name))
    largest = float(ml_dtypes.finfo(dtype).max)
    x = f32(1e6, np.inf, -np.inf, 1)
    found = quantize_linear(x, one(1), output_dtype=code_of(dtype))
    assert_equal(found, np.array([largest, largest, -largest, 1]).astype(dtype))
    loose = quantize_linear(x, one(1), output_dtype=code_of(dtype), saturate=0).astype(float)
    outside = np.inf if name == "float8_e5m2" else np.nan
    np.testing.assert_array_equal(loose, [outside, outside, -outside, 1])


def test_500_in_float8_e4m3fn() -> None:
    assert float(quantize_linear(f32(500), one(1), output_dtype=17)[0]) == 448
    assert math.isnan(quantize_linear(f32(500), one(1), output_dtype=17, saturate=0)[0])


def test_float4_saturates_whatever_is_asked() -> None:
    for saturate in (0, 1):
        found = quantize_linear(f32(100, -np.inf, 2.4), one(1), output_dtype=23, saturate=saturate)
        assert found.astype(float).tolist() == [6, -6, 2]


@pytest.mark.parametrize("bad", [0.0, -0.0, np.nan, np.inf, -np.inf])
def test_scales_are_finite_and_not_zero(bad: float) -> None:
    with pytest.raises(ValueError, match=r"scale .*must"):
        quantize_linear(f32(1), one(bad))
    with pytest.raises(ValueError, match=r"scale .*must"):
        quantize_linear(f32(1, 2), f32(1, bad))


@pytest.mark.parametrize(
    ("scale", "attributes"),
    [
        ((2,), {}),  # axis 1 has 3 elements
        ((4,), {"axis": 0}),
        ((2, 3), {}),  # blocks without their size
        ((2, 3), {"axis": 1, "block_size": 2}),  # two blocks, the second short
        ((2, 1), {"axis": 1, "block_size": 2}),
        ((2, 2, 1), {"axis": 1, "block_size": 2}),
    ],
)
def test_scales_of_another_shape_are_refused(scale: Shape, attributes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        quantize_linear(np.ones((2, 3), np.float32), np.ones(scale, np.float32), **attributes)
    with pytest.raises(ValueError, match="does not fit"):
        dequantize_linear(np.ones((2, 3), np.uint8), np.ones(scale, np.float32), **attributes)


@pytest.mark.parametrize("axis", [2, -3])
def test_axes_out_of_range_are_refused(axis: int) -> None:
    with pytest.raises(ValueError, match=f"axis {axis} does not exist"):
        quantize_linear(np.ones((2, 3), np.float32), f32(1, 1), axis=axis)
    with pytest.raises(ValueError, match=f"axis {axis} does not exist"):
        dequantize_linear(np.ones((2, 3), np.uint8), f32(1, 1), axis=axis)


# -- DequantizeLinear -----------------------------------------------------------------------------


def test_zero_points_are_subtracted_in_more_than_8_bits() -> None:
    found = dequantize_linear(np.array([0, 255], np.uint8), one(2), one(200, np.uint8))
    assert_equal(found, f32(-400, 110))
    signed = dequantize_linear(np.array([-128], np.int8), one(1), one(127, np.int8))
    assert_equal(signed, f32(-255))


def test_int32_has_no_zero_point_and_may_have_a_scale_an_axis() -> None:
    x = np.array([[1, 2], [3, 2**24 + 1]], np.int32)
    found = dequantize_linear(x, f32(1, 0.5))
    assert_equal(found, f32([1, 1], [3, 2**23]))  # 2 ** 24 + 1 rounds to even in float32


def test_the_output_type_is_that_of_the_scale_or_the_attribute() -> None:
    x = np.array([3], np.uint8)
    for dtype in FLOATS:
        assert_equal(dequantize_linear(x, one(2, dtype)), np.array([6], dtype))
        named = dequantize_linear(x, one(2), output_dtype=code_of(dtype))
        assert_equal(named, np.array([6], dtype))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_large_differences_times_a_half_do_not_overflow_before_the_product(dtype: DType) -> None:
    # 65535 is beyond the largest fp16, a quarter of it is not.
    found = dequantize_linear(np.array([65535], np.uint16), one(0.25, dtype))
    assert_equal(found, np.array([65535 / 4], np.float32).astype(dtype))


@pytest.mark.parametrize("name", FLOAT8)
def test_float8_is_multiplied_as_it_is(name: str) -> None:
    x = np.array([1.5, -2], np.float32).astype(getattr(ml_dtypes, name))
    assert_equal(dequantize_linear(x, one(2)), f32(3, -4))


def test_zero_points_of_another_type_are_refused() -> None:
    with pytest.raises(TypeError, match="x is uint8, x_zero_point is int8"):
        dequantize_linear(np.ones(1, np.uint8), one(1), one(0, np.int8))


@pytest.mark.parametrize("scale", [0.0, np.nan, np.inf, -np.inf])
def test_floats_show_what_their_scale_was(scale: float) -> None:
    found = dequantize_linear(np.array([5, 1], np.uint8), one(scale), one(3, np.uint8))
    assert_equal(found, f32(2 * scale, -2 * scale))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.uint32, bool, object])
def test_what_has_no_scale_is_refused(dtype: Any) -> None:
    with pytest.raises(TypeError, match="is not a type of quantized numbers"):
        dequantize_linear(np.ones(1).astype(dtype), one(1))
    with pytest.raises(TypeError, match="is not a type of quantized numbers"):
        quantize_linear(f32(1), one(1), np.ones(()).astype(dtype))
    with pytest.raises(TypeError, match="is not a type of quantized numbers"):
        quantize_linear(f32(1), one(1), one(0, np.int32))
    with pytest.raises(TypeError, match="expected floats"):
        dynamic_quantize_linear(np.ones(1, np.int32))


# -- DynamicQuantizeLinear ------------------------------------------------------------------------


@given(tensors(np.dtype(np.float32), low=-1000, high=1000))
def test_dynamic_quantization_by_its_formulas_in_float32(x: Array) -> None:
    low = np.float32(min(0.0, *x.reshape(-1).tolist(), 0.0))
    high = np.float32(max(0.0, *x.reshape(-1).tolist(), 0.0))
    scale = (high - low) / np.float32(255)
    scale = np.float32(1) if scale == 0 else scale
    zero = min(max(round(float(np.float32(0) - low / scale)), 0), 255)
    values = [
        min(max(round(float(np.float32(v) / scale)) + zero, 0), 255) for v in x.reshape(-1).tolist()
    ]
    found = dynamic_quantize_linear(x)
    assert_equal(found.y_scale, np.array(scale))
    assert_equal(found.y_zero_point, np.array(zero, np.uint8))
    assert_equal(found.y, np.array(values, np.uint8).reshape(x.shape))


def test_the_range_includes_zero() -> None:
    above = dynamic_quantize_linear(f32(51, 255))
    assert (above.y.tolist(), int(above.y_zero_point)) == ([51, 255], 0)
    below = dynamic_quantize_linear(f32(-51, -255))
    assert (below.y.tolist(), int(below.y_zero_point)) == ([204, 0], 255)


def test_all_arithmetic_is_in_float32() -> None:
    # -2.5 / (5 / 255) is -127.49999 in float32 and -127.5 in float64: another bucket.
    found = dynamic_quantize_linear(f32(-2.5, 2.5))
    assert int(found.y_zero_point) == 127
    assert found.y.tolist() == [0, 254]


@pytest.mark.parametrize("x", [f32(), f32(0, 0), np.zeros((2, 0), np.float32), f32(1e-45)])
def test_what_has_no_range_has_the_scale_1(x: Array) -> None:
    found = dynamic_quantize_linear(x)
    assert_equal(found.y, np.zeros(x.shape, np.uint8))
    assert_equal(found.y_scale, np.array(1, np.float32))
    assert_equal(found.y_zero_point, np.array(0, np.uint8))


@np.errstate(invalid="ignore")
def test_nan_and_infinity_give_the_same_bytes_everywhere() -> None:
    for value in (np.nan, np.inf, -np.inf):
        found = dynamic_quantize_linear(f32(value, 1))
        assert found.y.dtype == found.y_zero_point.dtype == UINT8
        assert int(found.y_zero_point) == 0
