"""Quantization of floats to integers (or narrow floats), and back.

Scales and zero points are scalars (per tensor), vectors (per slice along an axis), or have the
tensor's rank (per block of ``block_size`` elements along an axis).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ._checks import axis_in
from ._registry import op
from ._typing import Array, dtype_of, is_floating, native
from .casting import to_saturated


@op("QuantizeLinear", since=10)
def quantize_linear(
    x: Array,
    y_scale: Array,
    y_zero_point: Array | None = None,
    /,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
) -> Array:
    """``X / y_scale`` rounded to even, plus ``y_zero_point``, saturated.

    The division is in element type ``precision``, or else in that of ``y_scale`` (float32 for int32
    and float8e8m0, which have no quotients). The result has the dtype of ``y_zero_point``, or else
    ``output_dtype``, or else uint8; NaN becomes 0. For float8 nothing is rounded to integers;
    numbers out of range become the largest one, or with ``saturate=0`` NaN or inf.

    Raises ValueError for a scale that is 0, NaN or infinite, or of the wrong shape, TypeError for a
    result that is not float8, float4 or an integer of at most 16 bits.

    >>> quantize_linear(np.float32([1.25, 999.0]), np.float32(0.5), np.uint8(1))
    array([  3, 255], dtype=uint8)

    Spec: QuantizeLinear-28.
    """
    dtype = _output_type(y_zero_point, output_dtype)
    _check_quantized(dtype, 2)
    scale = _scales(y_scale, x.shape, axis, block_size)
    check_scales(divisor=scale)
    zero = np.zeros((), dtype) if y_zero_point is None else y_zero_point
    work = dtype_of(precision) if precision else y_scale.dtype
    if work.name in ("int32", "float8_e8m0fnu"):
        work = np.dtype(np.float32)
    quotient = x.astype(work, copy=False) / scale.astype(work, copy=False)
    offset = _scales(zero, x.shape, axis, block_size)
    if is_floating(dtype):
        shifted = quotient.astype(np.float32) + offset.astype(np.float32)
        return to_saturated(shifted, dtype) if saturate else shifted.astype(dtype)
    return to_range(np.rint(quotient), offset, dtype)


def _check_quantized(dtype: np.dtype[Any], most_bytes: int) -> None:
    whole = dtype.kind in "iuV" and not is_floating(dtype) and dtype != np.uint32
    if dtype.itemsize > (most_bytes if whole else 1) or dtype == bool:
        raise TypeError(f"{dtype} is not a type of quantized numbers")


def check_scales(*factors: Array, divisor: Array) -> None:
    """Raise ValueError for a scale that is NaN or infinite, and for a divisor of 0.

    The quantized result could not show either.
    """
    divides = native(divisor)  # float8_e8m0fnu, which has no 0, compares wrongly
    if not all(np.isfinite(native(scale)).all() for scale in (*factors, divides)):
        raise ValueError("a scale must be finite")
    if (divides == 0).any():
        raise ValueError("the scale of a quantized result must not be 0")


def to_range(whole: Array, offset: Array, dtype: np.dtype[Any]) -> Array:
    """Integers (held as floats) plus a zero point, saturated to an integer type; NaN becomes 0.

    >>> to_range(np.array([1e10, -3.0, np.nan]), np.uint8(1), np.dtype(np.uint8))
    array([255,   0,   0], dtype=uint8)
    """
    # In float64: a float beyond int32 must saturate, not wrap around.
    low, high = _range(dtype)
    total = np.clip(whole.astype(np.float64) + offset.astype(np.float64), low, high)
    return np.asarray(np.where(np.isnan(total), 0, total)).astype(np.int32).astype(dtype)


def _range(dtype: np.dtype[Any]) -> tuple[int, int]:
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    import ml_dtypes

    return int(ml_dtypes.iinfo(dtype).min), int(ml_dtypes.iinfo(dtype).max)


def _output_type(zero_point: Array | None, output_dtype: int) -> np.dtype[Any]:
    named = dtype_of(output_dtype) if output_dtype else None
    if zero_point is None:
        return named or np.dtype(np.uint8)
    if named not in (None, zero_point.dtype):
        raise TypeError(f"y_zero_point is {zero_point.dtype}, output_dtype is {named}")
    return zero_point.dtype


def _scales(value: Array, shape: tuple[int, ...], axis: int, block_size: int) -> Array:
    """A scale or zero point, broadcastable to a tensor of ``shape``."""
    if value.size == 1 and value.ndim < 2:
        return value.reshape(())
    along = 0 if len(shape) == 1 else axis_in(axis, len(shape))
    if value.ndim == 1 and len(value) == shape[along] and not (block_size and len(shape) == 1):
        return value.reshape([-1 if i == along else 1 for i in range(len(shape))])
    blocks = tuple(
        math.ceil(n / block_size) if block_size and i == along else n for i, n in enumerate(shape)
    )
    if not block_size or value.shape != blocks:
        raise ValueError(
            f"a scale or zero point of shape {value.shape} does not fit shape {shape}, "
            f"axis {axis}, block_size {block_size}"
        )
    return np.repeat(value, block_size, along).take(range(shape[along]), along)


@op("DequantizeLinear", since=10)
def dequantize_linear(
    x: Array,
    x_scale: Array,
    x_zero_point: Array | None = None,
    /,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Array:
    """``(X - x_zero_point) * x_scale``, in the dtype of the scale or in ``output_dtype``.

    The difference is exact; the product is computed in float32 and rounded once.

    Raises ValueError for a scale of the wrong shape, TypeError for a zero point of another dtype
    than X, and for an X that is not float8, float4 or an integer of at most 32 bits.

    >>> dequantize_linear(np.uint8([3, 255]), np.float32(0.5), np.uint8(1))
    array([  1., 127.], dtype=float32)

    Spec: DequantizeLinear-28.
    """
    _check_quantized(x.dtype, 4)
    if x_zero_point is not None and x_zero_point.dtype != x.dtype:
        raise TypeError(f"x is {x.dtype}, x_zero_point is {x_zero_point.dtype}")
    dtype = dtype_of(output_dtype) if output_dtype else x_scale.dtype
    work = np.promote_types(dtype, np.float32)
    scale = _scales(x_scale, x.shape, axis, block_size).astype(work)
    wide = work if is_floating(x.dtype) else np.dtype(np.int64)
    centred = x.astype(wide)
    if x_zero_point is not None:
        centred = centred - _scales(x_zero_point, x.shape, axis, block_size).astype(wide)
    return np.asarray(centred.astype(work, copy=False) * scale).astype(dtype, copy=False)


class DynamicQuantizeLinear(NamedTuple):
    """What DynamicQuantizeLinear returns."""

    y: Array
    y_scale: Array
    y_zero_point: Array


@op("DynamicQuantizeLinear", since=11)
def dynamic_quantize_linear(x: Array, /) -> DynamicQuantizeLinear:
    """``X`` as uint8, with the scale and zero point that cover its range and 0.

    The arithmetic is in the dtype of X, float32, so that every machine gets the same integers. The
    scale of zeros, or of no elements, is 1. Raises TypeError for other dtypes than floats.

    >>> y, scale, zero_point = dynamic_quantize_linear(np.float32([-1.0, 0.0, 1.55]))
    >>> y, float(scale).__round__(6), zero_point
    (array([  0, 100, 255], dtype=uint8), 0.01, array(100, dtype=uint8))

    Spec: DynamicQuantizeLinear-11.
    """
    if not is_floating(x.dtype):
        raise TypeError(f"expected floats, got {x.dtype}")
    low, high = x.min(initial=0), x.max(initial=0)
    scale = np.asarray((high - low) / x.dtype.type(255))
    if scale == 0:
        scale = np.ones((), x.dtype)
    zero_point = to_range(np.rint(0 - low / scale), np.zeros(()), np.dtype(np.uint8))
    y = to_range(np.rint(x / scale), zero_point, np.dtype(np.uint8))
    return DynamicQuantizeLinear(y, scale, zero_point)
