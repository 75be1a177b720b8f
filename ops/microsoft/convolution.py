"""Convolutions and pooling as onnxruntime fuses and quantizes them."""

from __future__ import annotations

import numpy as np

from .. import conv, integer, pool
from .._registry import op
from .._typing import Array
from ..quantization import check_scales, dequantize_linear
from .activation import activated


@op("FusedConv", since=1, domain="com.microsoft", rounds=True)
def fused_conv(
    x: Array,
    w: Array,
    b: Array | None = None,
    z: Array | None = None,
    /,
    *,
    activation: str | None = None,
    activation_params: tuple[float, ...] | None = None,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """Conv, plus ``Z`` of the result's shape, followed by ``activation``.

    ``activation_params`` are its alpha and beta. Raises ValueError for shapes and attributes that
    do not fit, and an unknown activation, TypeError for different dtypes.

    >>> fused_conv(np.array([[[1.0]]]), np.array([[[-3.0]]]), activation="Relu")
    array([[[0.]]])

    Spec: com.microsoft.FusedConv-1.
    """
    y = conv.conv(
        x, w, b, auto_pad=auto_pad, dilations=dilations, group=group,
        kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip
    alpha, beta = (*(activation_params or ()), None, None)[:2]
    return activated(y if z is None else y + z, activation, alpha, beta)


@op("QLinearConv", since=1, domain="com.microsoft")
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
    channels_last: int = 0,
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """QLinearConv of the standard; with ``channels_last`` X and Y are (batch, *size, channels).

    Raises ValueError for a scale that is NaN or infinite, a ``y_scale`` of 0, and shapes and
    attributes that do not fit, TypeError for other dtypes.

    >>> one, zero = np.float32(1), np.uint8(0)
    >>> x, w = np.uint8([[[5]]]), np.uint8([[[1]]])
    >>> qlinear_conv(x, one, zero, w, one, zero, np.float32(2), np.uint8(1), channels_last=1)
    array([[[3]]], dtype=uint8)

    Spec: com.microsoft.QLinearConv-1.
    """
    image = np.moveaxis(x, -1, 1) if channels_last else x
    y = integer.qlinear_conv(
        image, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, b,
        auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape,
        pads=pads, strides=strides,
    )  # fmt: skip
    return np.moveaxis(y, 1, -1) if channels_last else y


@op("QLinearAveragePool", since=1, domain="com.microsoft")
def qlinear_average_pool(
    x: Array,
    x_scale: Array,
    x_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array | None = None,
    /,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    channels_last: int = 0,
    count_include_pad: int = 0,
    kernel_shape: tuple[int, ...],
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """The AveragePool of an 8-bit image, requantized; rounded with the zero point added.

    With ``channels_last`` X and Y are (batch, *size, channels). Raises ValueError for a scale that
    is NaN or infinite, a ``y_scale`` of 0, and shapes and attributes that do not fit, TypeError for
    other dtypes.

    >>> one = np.float32(1)
    >>> qlinear_average_pool(np.uint8([[[2, 4]]]), one, None, one, kernel_shape=(2,))
    array([[[3]]], dtype=uint8)

    Spec: com.microsoft.QLinearAveragePool-1.
    """
    integer.eight_bits(x)
    check_scales(x_scale, divisor=y_scale)
    image = dequantize_linear(x, x_scale, x_zero_point)
    y = pool.average_pool(
        np.moveaxis(image, -1, 1) if channels_last else image, auto_pad=auto_pad,
        ceil_mode=ceil_mode, count_include_pad=count_include_pad, kernel_shape=kernel_shape,
        pads=pads, strides=strides,
    )  # fmt: skip
    zero = 0 if y_zero_point is None else y_zero_point.astype(np.float32)
    result = integer.rounded_last(y / y_scale + zero, x.dtype)
    return np.moveaxis(result, 1, -1) if channels_last else result


@op("QLinearGlobalAveragePool", since=1, domain="com.microsoft")
def qlinear_global_average_pool(
    x: Array,
    x_scale: Array,
    x_zero_point: Array,
    y_scale: Array,
    y_zero_point: Array,
    /,
    *,
    channels_last: int = 0,
) -> Array:
    """The mean of each channel of an 8-bit image, requantized; the sums are exact.

    With ``channels_last`` X and Y are (batch, *size, channels). Raises ValueError for a scale that
    is NaN or infinite and a ``y_scale`` of 0, TypeError for other dtypes.

    >>> one, zero = np.float32(1), np.uint8(0)
    >>> qlinear_global_average_pool(np.uint8([[[2, 4]]]), one, zero, one, zero)
    array([[[3]]], dtype=uint8)

    Spec: com.microsoft.QLinearGlobalAveragePool-1.
    """
    integer.eight_bits(x)
    check_scales(x_scale, divisor=y_scale)
    axes = tuple(range(1, x.ndim - 1) if channels_last else range(2, x.ndim))
    wide = x.astype(np.int32) - x_zero_point.astype(np.int32)
    total = wide.sum(axis=axes, keepdims=True, dtype=np.int64)
    count = np.float32(wide.size // max(total.size, 1))
    return integer.requantized(total, np.asarray(x_scale / (y_scale * count)), y_zero_point)
