"""Matrix products and convolutions of 8-bit integers, exact to the last bit.

The products are computed in float64 by BLAS, where sums of integers are exact below 2**53 in any
order: for 8-bit factors up to 10**11 of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._checks import one_type, per_channel
from ._registry import op
from ._typing import Array, is_float8, is_floating
from .casting import to_saturated
from .conv import convolve
from .matmul import check_product
from .quantization import check_scales, to_range


@op("MatMulInteger", since=10)
def matmul_integer(
    a: Array,
    b: Array,
    a_zero_point: Array | None = None,
    b_zero_point: Array | None = None,
    /,
) -> Array:
    """``(A - a_zero_point) @ (B - b_zero_point)``, accumulated in int32.

    A and B are int8 or uint8 in any combination. A zero point has the dtype of its matrix and is a
    scalar, or one per row of A, or one per column of B. Nothing saturates; only a sum beyond 32
    bits would wrap around. Raises TypeError for other dtypes, ValueError for shapes that do not
    fit.

    >>> matmul_integer(np.uint8([[255, 255]]), np.int8([[127], [127]]))
    array([[64770]], dtype=int32)

    Spec: MatMulInteger-10.
    """
    eight_bits(a, b)
    product = exact_matmul(centred(a, a_zero_point, -2), centred(b, b_zero_point, -1))
    return to_int32(product)


def eight_bits(*arrays: Array) -> None:
    """Raise TypeError unless all arrays are int8 or uint8."""
    for array in arrays:
        if array.dtype not in (np.int8, np.uint8):
            raise TypeError(f"expected int8 or uint8, got {array.dtype}")


def centred(x: Array, zero_point: Array | None, axis: int) -> Array:
    """``x - zero_point`` in float64; a vector has one zero point per slice along ``axis``.

    Raises TypeError for a zero point of another dtype.

    >>> centred(np.uint8([[1, 2], [3, 4]]), np.uint8([1, 3]), -2)
    array([[0., 1.],
           [0., 1.]])
    """
    wide = x.astype(np.float64)
    if zero_point is None:
        return wide
    one_type(x, zero_point)
    return wide - aligned(zero_point, x, axis).astype(np.float64)


def aligned(value: Array, x: Array, axis: int) -> Array:
    """A scale or zero point reshaped to broadcast to ``x``: a vector lies along ``axis``.

    Raises ValueError unless it has one element, or one per slice along ``axis`` (of each matrix).

    >>> aligned(np.array([1, 2]), np.zeros((2, 5)), -2).shape
    (2, 1)
    """
    if value.size == 1:
        return value.reshape(())
    if value.ndim == 1 and x.ndim > 1 and len(value) == x.shape[axis]:
        return value[:, None] if axis == -2 else value
    across = -3 - axis  # the other one of the last two axes
    if value.ndim != x.ndim or value.ndim < 2 or value.shape[across] != 1:
        raise ValueError(
            f"scales or zero points of shape {value.shape} for shape {x.shape}, axis {axis}"
        )
    return value


def exact_matmul(a: Array, b: Array) -> Array:
    """The matrix product of two float64 arrays of integers, exact below 2**53.

    >>> exact_matmul(np.array([[2.0**52]]), np.array([[1.0]])) == 2.0**52
    array([[ True]])
    """
    check_product(a, b)
    return np.asarray(np.matmul(a, b))


def to_int32(x: Array) -> Array:
    """Integers in float64 as int32, those beyond 32 bits wrapped around.

    >>> to_int32(np.array([2.0**31]))
    array([-2147483648], dtype=int32)
    """
    return x.astype(np.int64).astype(np.int32)


@op("QLinearMatMul", since=10)
def qlinear_matmul(
    a: Array,
    a_scale: Array,
    a_zero_point: Array,
    b: Array,
    b_scale: Array,
    b_zero_point: Array,
    y_scale: Array,
    y_zero_point: Array,
    /,
) -> Array:
    """The product of two quantized matrices, requantized to the dtype of ``y_zero_point``.

    The matrices are int8, uint8 or float8 in any combination. The sums are exact, their scale
    ``a_scale * b_scale / y_scale`` is computed in float32. Scales and zero points are scalars, or
    one per row of A, or one per column of B. Raises ValueError for a scale that is NaN or infinite,
    a ``y_scale`` of 0, and shapes that do not fit, TypeError for other dtypes.

    >>> one = np.float32(1)
    >>> a, b = np.uint8([[5]]), np.uint8([[1]])
    >>> qlinear_matmul(a, one, np.uint8(0), b, one, np.uint8(0), np.float32(2), np.uint8(1))
    array([[3]], dtype=uint8)

    Spec: QLinearMatMul-21.
    """
    eight_bits(*(x for x in (a, b, y_zero_point) if not is_float8(x.dtype)))
    check_scales(a_scale, b_scale, divisor=y_scale)
    product = exact_matmul(centred(a, a_zero_point, -2), centred(b, b_zero_point, -1))
    if not is_floating(a.dtype):
        product = to_int32(product)
    scale = aligned(a_scale, a, -2).astype(np.float32) * aligned(b_scale, b, -1).astype(np.float32)
    return requantized(product, scale / y_scale.astype(np.float32), y_zero_point)


def requantized(total: Array, scale: Array, zero_point: Array) -> Array:
    """Sums times a float32 scale, rounded to even, plus a zero point, saturated.

    >>> requantized(np.int32([1, 3]), np.float32(0.5), np.int8(1))
    array([1, 3], dtype=int8)
    """
    dtype: np.dtype[Any] = zero_point.dtype
    scaled = total.astype(np.float32) * scale
    if is_floating(dtype):
        return to_saturated(scaled + zero_point.astype(np.float32), dtype)
    return to_range(np.rint(scaled), zero_point, dtype)


def rounded_last(shifted: Array, dtype: np.dtype[Any]) -> Array:
    """Numbers that include the zero point, rounded to even and saturated.

    The kernels of a few operators add the zero point before they round: if it is odd, a tie is
    rounded to the other one of its neighbours.

    >>> rounded_last(np.float32([2.5, 3.5, 999.0]), np.dtype(np.uint8))
    array([  2,   4, 255], dtype=uint8)
    """
    return to_range(np.rint(shifted), np.zeros(()), dtype)


@op("ConvInteger", since=10)
def conv_integer(
    x: Array,
    w: Array,
    x_zero_point: Array | None = None,
    w_zero_point: Array | None = None,
    /,
    *,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """The Conv of ``X - x_zero_point`` with ``W - w_zero_point``, accumulated in int32.

    X and W are int8 or uint8; ``w_zero_point`` is a scalar, or one per filter. X is padded with its
    zero point. Raises TypeError for other dtypes, ValueError for shapes and attributes that do not
    fit.

    >>> conv_integer(np.uint8([[[3, 5]]]), np.uint8([[[2]]]), np.uint8(1), pads=(1, 0))
    array([[[0, 4, 8]]], dtype=int32)

    Spec: ConvInteger-10.
    """
    eight_bits(x, w)
    image = centred(x, x_zero_point, -1)
    filters = w.astype(np.float64)
    if w_zero_point is not None:
        one_type(w, w_zero_point)
        filters = filters - per_filter(w_zero_point, w).astype(np.float64)
    product = convolve(
        image, filters, auto_pad=auto_pad, dilations=dilations, group=group,
        kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip
    return to_int32(product)


def per_filter(value: Array, w: Array) -> Array:
    """A scale or zero point, one for all or one per filter, reshaped to broadcast to ``w``.

    Raises ValueError for another number.

    >>> per_filter(np.array([1, 2]), np.zeros((2, 3, 5))).shape
    (2, 1, 1)
    """
    if value.size == 1:
        return value.reshape(())
    if value.shape != w.shape[:1]:
        raise ValueError(f"scales or zero points of shape {value.shape} for {len(w)} filters")
    return value.reshape(-1, *[1] * (w.ndim - 1))


@op("QLinearConv", since=10)
def qlinear_conv(
    x: Array,
    x_scale: Array,
    x_zero_point: Array,
    w: Array,
    w_scale: Array,
    w_zero_point: Array,
    y_scale: Array,
    y_zero_point: Array,
    b: Array | None = None,
    /,
    *,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """The Conv of quantized X and W, requantized to the dtype of ``y_zero_point``.

    The sums and the int32 bias ``B`` (of scale ``x_scale * w_scale``) are exact, the scale is
    computed in float32. ``w_scale`` and ``w_zero_point`` are scalars, or one per filter. Raises
    ValueError for a scale that is NaN or infinite, a ``y_scale`` of 0, and shapes that do not fit,
    TypeError for other dtypes.

    >>> one, zero = np.float32(1), np.uint8(0)
    >>> x, w = np.uint8([[[5]]]), np.uint8([[[1]]])
    >>> qlinear_conv(x, one, zero, w, one, zero, np.float32(2), np.uint8(1))
    array([[[3]]], dtype=uint8)

    Spec: QLinearConv-10.
    """
    eight_bits(y_zero_point)
    check_scales(x_scale, w_scale, divisor=y_scale)
    total = conv_integer(
        x, w, x_zero_point, w_zero_point, auto_pad=auto_pad, dilations=dilations, group=group,
        kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip
    if b is not None:
        total = total + per_channel(b, total)
    scale = np.asarray(x_scale.reshape(()) * per_filter(w_scale, w) / y_scale.reshape(()))
    return requantized(total, scale[:, 0] if scale.ndim else scale, y_zero_point)
