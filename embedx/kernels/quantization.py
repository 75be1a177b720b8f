"""Between float32 and 8 bits for a whole tensor with one scale, bit for bit as the operators do."""

from __future__ import annotations

import numpy as np

from embedx import ops
from embedx.kernels._blocks import over_rows, rows_of
from embedx.kernels._registry import replaces
from embedx.kernels.memory import fresh
from embedx.model.graph import Array
from embedx.ops import reserve

_NARROW = (np.dtype(np.uint8), np.dtype(np.int8))


@replaces(ops.quantize_linear)
def quantize_linear(
    x: Array, y_scale: Array, y_zero_point: Array | None = None, /, *,
    axis: int = 1, block_size: int = 0, output_dtype: int = 0, precision: int = 0,
    saturate: int = 1,
) -> Array:  # fmt: skip
    """QuantizeLinear-28."""
    zero = np.zeros((), np.uint8) if y_zero_point is None and not output_dtype else y_zero_point
    scale = float(y_scale.reshape(-1)[0]) if y_scale.size else 0.0
    plain = (
        x.dtype == y_scale.dtype == np.float32
        and y_scale.size == 1
        and (zero is None or (zero.dtype in _NARROW and zero.size == 1))
        and not (block_size or precision)
    )
    if zero is None or not plain or not 0 < scale < np.inf or x.size == 0:
        return NotImplemented
    return _quantized(x, np.float32(scale), zero)


@replaces(ops.dynamic_quantize_linear)
def dynamic_quantize_linear(x: Array, /) -> ops.quantization.DynamicQuantizeLinear:
    """DynamicQuantizeLinear-11."""
    if x.dtype != np.float32:
        return NotImplemented
    low, high = x.min(initial=0), x.max(initial=0)
    if not np.isfinite(high - low) or high == low:
        return NotImplemented
    scale = (high - low) / np.float32(255)
    if scale == 0:
        return NotImplemented
    zero = np.asarray(np.clip(np.rint(0 - low / scale), 0, 255).astype(np.uint8))
    y = _quantized(x, scale, zero, finite=True)
    return ops.quantization.DynamicQuantizeLinear(y, np.asarray(scale), zero)


def _quantized(x: Array, scale: np.float32, zero: Array, *, finite: bool = False) -> Array:
    reserve(x.shape, zero.dtype)
    y = fresh(x.shape, zero.dtype)
    rows, target = rows_of(x), rows_of(y)

    def work(block: slice, whole: Array) -> None:
        np.divide(rows[block], scale, out=whole)
        np.rint(whole, out=whole)
        to_narrow(whole, zero, target[block], finite=finite)

    over_rows(work, *target.shape, scratch=1)
    return y


def to_narrow(whole: Array, zero: Array, out: Array, *, finite: bool = False) -> None:
    """Whole float32 numbers plus a zero point, saturated into 8 bits; NaN becomes 0.

    ``whole`` is overwritten. ``finite`` promises that it holds no NaN.
    """
    limits = np.iinfo(out.dtype)
    shift = np.float32(zero.reshape(()))
    # Clipped before the shift: beyond 2**24 the sum would be rounded, and it would saturate anyway.
    np.clip(whole, np.float32(limits.min) - shift, np.float32(limits.max) - shift, out=whole)
    np.add(whole, shift, out=whole)
    if not finite and np.isnan(whole.min()):
        np.copyto(whole, np.float32(0), where=np.isnan(whole))
    np.copyto(out, whole, casting="unsafe")


@replaces(ops.dequantize_linear)
def dequantize_linear(
    x: Array, x_scale: Array, x_zero_point: Array | None = None, /, *,
    axis: int = 1, block_size: int = 0, output_dtype: int = 0,
) -> Array:  # fmt: skip
    """DequantizeLinear-28."""
    scale = float(x_scale.reshape(-1)[0]) if x_scale.size else -1.0
    plain = (
        x.dtype in _NARROW
        and x.ndim > 0
        and x_scale.dtype == np.float32
        and x_scale.size == 1
        and (x_zero_point is None or (x_zero_point.dtype, x_zero_point.size) == (x.dtype, 1))
        and not any((block_size, output_dtype))
    )
    if not plain or not 0 <= scale < np.inf:
        return NotImplemented
    reserve(x.shape, np.float32)
    y = fresh(x.shape, np.float32)
    rows, target = rows_of(x), rows_of(y)

    def work(block: slice) -> None:
        part = target[block]
        np.copyto(part, rows[block])
        if x_zero_point is not None:
            np.subtract(part, np.float32(x_zero_point.reshape(())), out=part)
        np.multiply(part, np.float32(scale), out=part)

    over_rows(work, *target.shape)
    return y
