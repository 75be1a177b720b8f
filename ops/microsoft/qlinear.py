"""Operators on 8-bit tensors whose results are quantized again.

Missing zero points are 0. Unless a docstring says otherwise, the result is that of the float
operator on the dequantized input, quantized with the output's scale and zero point. A scale that is
NaN or infinite is refused (ValueError), and so is an output's scale of 0; and so are tensors of
other types than int8 and uint8 (TypeError).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import activation, reduction, softmax
from .._checks import one_type
from .._registry import op
from .._typing import Array
from ..integer import aligned, eight_bits, matmul_integer, requantized
from ..quantization import check_scales, dequantize_linear, quantize_linear, to_range


def _zero(zero_point: Array | None, like: Array) -> Array:
    return np.zeros((), like.dtype) if zero_point is None else zero_point.reshape(())


def rounded_last(shifted: Array, dtype: np.dtype[Any]) -> Array:
    """Numbers to which the zero point is already added, rounded to even and saturated.

    The kernels of a few operators do so: where a number lies between two integers, an odd zero
    point then makes the other one of them the even one.

    >>> rounded_last(np.float32([2.5, 3.5, 999.0]), np.dtype(np.uint8))
    array([  2,   4, 255], dtype=uint8)
    """
    return to_range(np.rint(shifted), np.zeros(()), dtype)


@op("QGemm", since=1, domain="com.microsoft")
def qgemm(
    a: Array,
    a_scale: Array,
    a_zero_point: Array,
    b: Array,
    b_scale: Array,
    b_zero_point: Array,
    c: Array | None = None,
    y_scale: Array | None = None,
    y_zero_point: Array | None = None,
    /,
    *,
    alpha: float = 1.0,
    transA: int = 0,  # noqa: N803 (the schema's spelling)
    transB: int = 0,  # noqa: N803
) -> Array:
    """``alpha * A' @ B' + C`` of 8-bit matrices, with C int32 at the scale of the product.

    With ``y_scale`` the result is quantized again, else it is float32. ``b_scale`` and
    ``b_zero_point`` are one number, or one a column.

    >>> one, zero = np.float32(1), np.uint8(0)
    >>> qgemm(np.uint8([[2]]), one, zero, np.uint8([[3]]), one / 2, zero, np.int32([1]))
    array([[3.5]], dtype=float32)

    Spec: com.microsoft.QGemm-1.
    """
    a, b = (a.T if transA else a), (b.T if transB else b)
    total = matmul_integer(a, b, a_zero_point, b_zero_point)
    if c is not None:
        one_type(total, c)
        total = total + c
    scale = np.float32(alpha) * a_scale * aligned(b_scale, b, -1)
    if y_scale is None or y_zero_point is None:
        return np.asarray(total.astype(np.float32) * scale)
    check_scales(a_scale, b_scale, divisor=y_scale)
    return requantized(total, np.asarray(scale / y_scale), y_zero_point)


@op("QLinearAdd", since=1, domain="com.microsoft")
def qlinear_add(
    a: Array,
    a_scale: Array,
    a_zero_point: Array | None,
    b: Array,
    b_scale: Array,
    b_zero_point: Array | None,
    c_scale: Array,
    c_zero_point: Array | None = None,
    /,
) -> Array:
    """The sum of two 8-bit tensors, broadcast, in the steps of onnxruntime's kernel.

    ``fma(a, ra, fma(b, rb, k))`` with ``ra = a_scale / c_scale``, ``rb`` likewise, and k what the
    zero points add up to, each fused multiply-add rounded once to float32.

    >>> one = np.float32(1)
    >>> qlinear_add(np.uint8([3]), one, None, np.uint8([5]), one, None, 2 * one)
    array([4], dtype=uint8)

    Spec: com.microsoft.QLinearAdd-1.
    """
    eight_bits(a, b)
    check_scales(a_scale, b_scale, divisor=c_scale)
    ra, rb = np.asarray(a_scale / c_scale), np.asarray(b_scale / c_scale)
    za, zb, zc = (
        _zero(z, a).astype(np.float32) for z in (a_zero_point, b_zero_point, c_zero_point)
    )
    offset = zc - (ra * za + rb * zb)

    def fma(x: Array, y: Array, z: Array) -> Array:
        # A float64 holds the product of a byte and a float32 exactly, and all but ties of the sum.
        return (x.astype(np.float64) * y + z).astype(np.float32)

    return rounded_last(fma(a, ra, fma(b, rb, np.asarray(offset))), a.dtype)


@op("QLinearMul", since=1, domain="com.microsoft")
def qlinear_mul(
    a: Array,
    a_scale: Array,
    a_zero_point: Array | None,
    b: Array,
    b_scale: Array,
    b_zero_point: Array | None,
    c_scale: Array,
    c_zero_point: Array | None = None,
    /,
) -> Array:
    """The product of two 8-bit tensors, broadcast; exact until it is scaled in float32.

    It is rounded with the zero point added: of 2.5 and the zero point 1 come 4, not 3.

    >>> one = np.float32(1)
    >>> qlinear_mul(np.uint8([3]), one, None, np.uint8([5]), one, None, 2 * one)
    array([8], dtype=uint8)

    Spec: com.microsoft.QLinearMul-1.
    """
    eight_bits(a, b)
    check_scales(a_scale, b_scale, divisor=c_scale)
    x = a.astype(np.int32) - _zero(a_zero_point, a).astype(np.int32)
    y = b.astype(np.int32) - _zero(b_zero_point, b).astype(np.int32)
    scaled = (x * y).astype(np.float32) * (a_scale * b_scale / c_scale)
    return rounded_last(scaled + _zero(c_zero_point, a).astype(np.float32), a.dtype)


@op("QLinearSigmoid", since=1, domain="com.microsoft")
def qlinear_sigmoid(
    x: Array,
    x_scale: Array,
    x_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array | None = None,
    /,
) -> Array:
    """The Sigmoid of an 8-bit tensor.

    >>> qlinear_sigmoid(np.uint8([0]), np.float32(1), None, np.float32(1 / 256))
    array([128], dtype=uint8)

    Spec: com.microsoft.QLinearSigmoid-1.
    """
    eight_bits(x)
    check_scales(x_scale, divisor=y_scale)
    y = activation.sigmoid(dequantize_linear(x, x_scale, x_zero_point))
    return quantize_linear(y, y_scale, _zero(y_zero_point, x))


@op("QLinearLeakyRelu", since=1, domain="com.microsoft")
def qlinear_leaky_relu(
    x: Array,
    x_scale: Array,
    x_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array | None = None,
    /,
    *,
    alpha: float = 0.01,
) -> Array:
    """The LeakyRelu of an 8-bit tensor.

    >>> qlinear_leaky_relu(np.int8([-4, 4]), np.float32(1), None, np.float32(1), alpha=0.5)
    array([-2,  4], dtype=int8)

    Spec: com.microsoft.QLinearLeakyRelu-1.
    """
    eight_bits(x)
    check_scales(x_scale, divisor=y_scale)
    y = activation.leaky_relu(dequantize_linear(x, x_scale, x_zero_point), alpha=alpha)
    return quantize_linear(y, y_scale, _zero(y_zero_point, x))


@op("QLinearSoftmax", since=1, domain="com.microsoft")
def qlinear_softmax(
    x: Array,
    x_scale: Array,
    x_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array,
    /,
    *,
    axis: int = -1,
    opset: int,
) -> Array:
    """The Softmax of an 8-bit tensor, by the rules of the standard's ``opset``.

    >>> one = np.float32(1)
    >>> qlinear_softmax(np.uint8([7, 7]), one, None, one / 256, np.uint8(0), opset=13)
    array([128, 128], dtype=uint8)

    Spec: com.microsoft.QLinearSoftmax-1.
    """
    eight_bits(x)
    check_scales(x_scale, divisor=y_scale)
    function = softmax.softmax if opset >= 13 else softmax.softmax_1
    y = function(dequantize_linear(x, x_scale, x_zero_point), axis=axis)
    return quantize_linear(y, y_scale, y_zero_point)


@op("QLinearConcat", since=1, domain="com.microsoft")
def qlinear_concat(y_scale: Array, y_zero_point: Array, /, *inputs: Array, axis: int) -> Array:
    """8-bit tensors one behind the other; each brings its scale and zero point in the inputs.

    >>> one, zero = np.float32(1), np.uint8(0)
    >>> qlinear_concat(one, zero, np.uint8([3]), one, zero, np.uint8([3]), 2 * one, zero, axis=0)
    array([3, 6], dtype=uint8)

    Spec: com.microsoft.QLinearConcat-1.
    """
    eight_bits(*inputs[::3])
    check_scales(*inputs[1::3], divisor=y_scale)
    parts = [
        quantize_linear(dequantize_linear(*inputs[i : i + 3]), y_scale, y_zero_point)
        for i in range(0, len(inputs), 3)
    ]
    return np.concatenate(parts, axis=axis)


@op("QLinearReduceMean", since=1, domain="com.microsoft")
def qlinear_reduce_mean(
    data: Array,
    data_scale: Array,
    data_zero_point: Array | None,
    reduced_scale: Array,
    reduced_zero_point: Array | None = None,
    /,
    *,
    axes: tuple[int, ...],
    keepdims: int,
) -> Array:
    """The ReduceMean of an 8-bit tensor over ``axes``.

    >>> one = np.float32(1)
    >>> qlinear_reduce_mean(np.uint8([[2, 4]]), one, None, one, axes=(1,), keepdims=0)
    array([3], dtype=uint8)

    Spec: com.microsoft.QLinearReduceMean-1.
    """
    eight_bits(data)
    check_scales(data_scale, divisor=reduced_scale)
    x = dequantize_linear(data, data_scale, data_zero_point)
    mean = reduction.reduce_mean(x, np.array(axes), keepdims=keepdims)
    return quantize_linear(mean, reduced_scale, _zero(reduced_zero_point, data))


@op("QLinearWhere", since=1, domain="com.microsoft")
def qlinear_where(
    condition: Array,
    x: Array,
    x_scale: Array,
    x_zero_point: Array,
    y: Array,
    y_scale: Array,
    y_zero_point: Array,
    z_scale: Array,
    z_zero_point: Array,
    /,
) -> Array:
    """``X`` where the condition is True, else ``Y``, both requantized to the scale of the result.

    >>> one, zero = np.float32(1), np.uint8(0)
    >>> x, y = np.uint8([6]), np.uint8([3])
    >>> qlinear_where(np.array([True, False]), x, one, zero, y, 2 * one, zero, one, zero)
    array([6, 6], dtype=uint8)

    Spec: com.microsoft.QLinearWhere-1.
    """
    eight_bits(x, y)
    check_scales(x_scale, y_scale, divisor=z_scale)
    left = quantize_linear(dequantize_linear(x, x_scale, x_zero_point), z_scale, z_zero_point)
    right = quantize_linear(dequantize_linear(y, y_scale, y_zero_point), z_scale, z_zero_point)
    return np.where(condition, left, right)
