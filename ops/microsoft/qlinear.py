"""Operators on 8-bit tensors (int8, uint8) whose results are requantized.

Missing zero points are 0. Unless a docstring says otherwise, the result is that of the float
operator on the dequantized input, quantized with the output's scale and zero point. No scale may be
NaN or infinite, nor an output's scale 0.
"""

from __future__ import annotations

import numpy as np

from .. import activation, reduction, softmax
from .._checks import one_type
from .._registry import op
from .._typing import Array
from ..integer import aligned, eight_bits, matmul_integer, requantized, rounded_last
from ..quantization import check_scales, dequantize_linear, quantize_linear


def _zero(zero_point: Array | None, like: Array) -> Array:
    return np.zeros((), like.dtype) if zero_point is None else zero_point.reshape(())


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

    With ``y_scale`` the result is requantized, else it is float32. ``b_scale`` and ``b_zero_point``
    are scalars, or one per column. Raises ValueError for a scale that is NaN or infinite, a
    ``y_scale`` of 0, and shapes that do not fit, TypeError for other dtypes.

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

    It is ``fma(a, ra, fma(b, rb, k))`` with ``ra = a_scale / c_scale``, rb likewise, and the
    constant k of the zero points, each fused multiply-add rounded once to float32. Raises
    ValueError for a bad scale or shape, TypeError for other dtypes.

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
        # Float64 holds a byte times a float32 exactly; only ties of the sum may differ.
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

    It is rounded after the zero point is added: 2.5 and a zero point of 1 give 4, not 3. Raises
    ValueError for a bad scale or shape, TypeError for other dtypes.

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

    Raises ValueError for a bad scale or shape, TypeError for other dtypes.

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

    Raises ValueError for a bad scale or shape, TypeError for other dtypes.

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

    Raises ValueError for a bad scale or shape, TypeError for other dtypes.

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
    """8-bit tensors concatenated; in the inputs each is followed by its scale and zero point.

    Raises ValueError for a bad scale or shape, TypeError for other dtypes.

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

    Raises ValueError for a bad scale or shape, TypeError for other dtypes.

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

    Raises ValueError for a bad scale or shape, TypeError for other dtypes.

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
