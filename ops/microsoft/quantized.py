"""Products of 8-bit integers as floats, attention on top of them, and quantization."""

from __future__ import annotations

import numpy as np

from .. import quantization
from .._registry import op
from .._typing import Array
from ..integer import aligned, exact_matmul, matmul_integer, to_int32
from .attention import Attention, attend


@op("MatMulIntegerToFloat", since=1, domain="com.microsoft")
def matmul_integer_to_float(
    a: Array,
    b: Array,
    a_scale: Array,
    b_scale: Array,
    a_zero_point: Array | None = None,
    b_zero_point: Array | None = None,
    bias: Array | None = None,
    /,
) -> Array:
    """MatMulInteger times ``a_scale * b_scale``, plus ``bias``, in the dtype of the scales.

    The sums are exact; the product of the scales is computed first. A scale is a scalar, or one per
    row of A, or one per column of B. Raises ValueError for shapes that do not fit, TypeError for
    other dtypes.

    >>> one = np.float32(1)
    >>> matmul_integer_to_float(np.uint8([[3]]), np.int8([[-2]]), one, one / 2)
    array([[-3.]], dtype=float32)

    Spec: com.microsoft.MatMulIntegerToFloat-1.
    """
    total = matmul_integer(a, b, a_zero_point, b_zero_point)
    scale = aligned(a_scale, a, -2) * aligned(b_scale, b, -1)
    y = total.astype(scale.dtype) * scale
    return np.asarray(y if bias is None else y + bias)


@op("DynamicQuantizeMatMul", since=1, domain="com.microsoft")
def dynamic_quantize_matmul(
    a: Array,
    b: Array,
    b_scale: Array,
    b_zero_point: Array | None = None,
    bias: Array | None = None,
    /,
) -> Array:
    """A float A, quantized over its whole range, times an 8-bit B, as floats.

    ``b_scale`` and ``b_zero_point`` are scalars, or one per column. Raises ValueError for shapes
    that do not fit, TypeError for other dtypes.

    >>> dynamic_quantize_matmul(np.float32([[255.0]]), np.int8([[-2]]), np.float32(1))
    array([[-510.]], dtype=float32)

    Spec: com.microsoft.DynamicQuantizeMatMul-1.
    """
    quantized, scale, zero_point = quantization.dynamic_quantize_linear(a)
    return matmul_integer_to_float(quantized, b, scale, b_scale, zero_point, b_zero_point, bias)


@op("QAttention", since=1, domain="com.microsoft")
def qattention(
    input: Array,
    weight: Array,
    bias: Array,
    input_scale: Array,
    weight_scale: Array,
    mask_index: Array | None = None,
    input_zero_point: Array | None = None,
    weight_zero_point: Array | None = None,
    past: Array | None = None,
    /,
    *,
    do_rotary: int | None = None,
    mask_filter_value: float | None = None,
    num_heads: int,
    past_present_share_buffer: int | None = None,
    scale: float | None = None,
    unidirectional: int = 0,
) -> Attention:
    """Attention whose projections of Q, K and V are one 8-bit product.

    Raises ValueError for shapes that do not fit and for a cache shared between past and present,
    which is not supported, TypeError for other dtypes.

    >>> x, w, one = np.uint8([[[1], [3]]]), np.int8([[0, 0, 1]]), np.float32(1)
    >>> qattention(x, w, np.zeros(3, np.float32), one, one, num_heads=1).output.ravel()
    array([2., 2.], dtype=float32)

    Spec: com.microsoft.QAttention-1.
    """
    if past_present_share_buffer:
        raise ValueError("a cache shared between past and present is not supported")
    projected = matmul_integer_to_float(
        input, weight, input_scale, weight_scale, input_zero_point, weight_zero_point, bias
    )
    return attend(
        projected, (weight.shape[1] // 3,) * 3, mask_index, past, do_rotary=bool(do_rotary),
        mask_filter_value=mask_filter_value, num_heads=num_heads, scale=scale,
        unidirectional=bool(unidirectional),
    )  # fmt: skip


@op("MatMulInteger16", since=1, domain="com.microsoft")
def matmul_integer16(a: Array, b: Array, /) -> Array:
    """The exact product of two 16-bit matrices in int32 (unsigned ones: uint32), wrapped around.

    Raises TypeError for other dtypes, ValueError for shapes that do not fit.

    >>> matmul_integer16(np.int16([[300]]), np.int16([[-300]]))
    array([[-90000]], dtype=int32)

    Spec: com.microsoft.MatMulInteger16-1.
    """
    for x in (a, b):
        if x.dtype not in (np.int16, np.uint16):
            raise TypeError(f"expected int16 or uint16, got {x.dtype}")
    total = exact_matmul(a.astype(np.float64), b.astype(np.float64))
    both_unsigned = a.dtype.kind == b.dtype.kind == "u"
    return to_int32(total).view(np.uint32) if both_unsigned else to_int32(total)


@op("QuantizeLinear", since=1, domain="com.microsoft")
def quantize_linear(
    x: Array, y_scale: Array, y_zero_point: Array | None = None, /, *, axis: int | None = None
) -> Array:
    """QuantizeLinear of the standard's newest opset, which has 16 and 4 bits, at any opset.

    Raises ValueError for a scale that is 0, NaN or infinite, or of the wrong shape, TypeError for
    other dtypes.

    >>> quantize_linear(np.float32([1.25]), np.float32(0.5), np.uint16(1))
    array([3], dtype=uint16)

    Spec: com.microsoft.QuantizeLinear-1.
    """
    return quantization.quantize_linear(x, y_scale, y_zero_point, axis=1 if axis is None else axis)


@op("DequantizeLinear", since=1, domain="com.microsoft")
def dequantize_linear(
    x: Array, x_scale: Array, x_zero_point: Array | None = None, /, *, axis: int | None = None
) -> Array:
    """DequantizeLinear of the standard's newest opset, which has 16 and 4 bits, at any opset.

    Raises ValueError for a scale of the wrong shape, TypeError for other dtypes.

    >>> dequantize_linear(np.uint16([3]), np.float32(0.5), np.uint16(1))
    array([1.], dtype=float32)

    Spec: com.microsoft.DequantizeLinear-1.
    """
    return quantization.dequantize_linear(
        x, x_scale, x_zero_point, axis=1 if axis is None else axis
    )
