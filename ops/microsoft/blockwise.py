"""Weights of 2, 4 or 8 bits, quantized by blocks: products and look-ups."""

from __future__ import annotations

import math

import numpy as np

from .._budget import reserve
from .._checks import axis_in, per_column
from .._registry import op
from .._typing import Array
from ..indexing import gather
from ..matmul import matmul

# The sixteen levels of NF4 (Dettmers et al. 2023) and of FP4, by their 4-bit codes.
_NF4 = np.array(
    [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
     -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
     0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
     0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0],
    np.float32,
)  # fmt: skip
_FP4 = np.array([0, 0.0625, 8, 12, 4, 6, 2, 3], np.float32) / np.float32(12)
_FP4 = np.concatenate([_FP4, -_FP4])


@op("MatMulNBits", since=1, domain="com.microsoft", rounds=True)
def matmul_nbits(
    a: Array,
    b: Array,
    scales: Array,
    zero_points: Array | None = None,
    g_idx: Array | None = None,
    bias: Array | None = None,
    /,
    *,
    K: int,  # noqa: N803 (the schema's spelling)
    N: int,  # noqa: N803
    accuracy_level: int = 0,
    bits: int = 4,
    block_size: int,
    weight_prepacked: int = 0,
) -> Array:
    """``A @ W' + bias`` for a weight W (N, K) of ``bits`` bits, with a scale per block of each row.

    ``b`` is uint8 (N, blocks, bytes), low bits first; ``scales`` has N * blocks elements;
    ``zero_points`` are packed like b, or floats, and default to 2**(bits - 1). With
    ``accuracy_level=4`` A is quantized to 8 bits, too, block by block, unless the zero points are
    floats. ``g_idx`` is not used. Raises ValueError for shapes and numbers of bits that do not fit,
    and for prepacked weights, TypeError for a bias of another dtype.

    >>> b, scales = np.uint8([[[0x98]]]), np.float32([2.0])
    >>> matmul_nbits(np.float32([[3.0, 5.0]]), b, scales, K=2, N=1, block_size=16)
    array([[10.]], dtype=float32)

    Spec: com.microsoft.MatMulNBits-1.
    """
    if weight_prepacked:
        raise ValueError("prepacked weights depend on a device and are not supported")
    if block_size < 1 or min(N, K) < 0 or a.shape[-1:] != (K,):
        raise ValueError(f"{N} rows of {K} numbers in blocks of {block_size} for A {a.shape}")
    blocks = math.ceil(K / block_size)
    codes = unpack_bits(b.reshape(N, blocks, -1), bits)[..., :block_size].astype(np.float32)
    levels = codes - _zero_points(zero_points, N, blocks, bits)
    weight = levels * scales.reshape(N, blocks, 1).astype(np.float32)
    whole = zero_points is None or zero_points.dtype == np.uint8
    if accuracy_level == 4 and whole:
        y = _quantized_product(a, levels, scales.reshape(N, blocks).astype(np.float32))
    else:
        y = matmul(a, weight.reshape(N, -1)[:, :K].T.astype(a.dtype))
    return np.asarray(y if bias is None else y + per_column(bias, y))


def unpack_bits(packed: Array, bits: int) -> Array:
    """The unsigned numbers of ``bits`` bits in uint8, low bits first, along the last axis.

    >>> unpack_bits(np.uint8([0x21, 0x43]), 4)
    array([1, 2, 3, 4], dtype=uint8)
    """
    if bits not in (2, 4, 8):
        raise ValueError(f"bits is 2, 4 or 8, not {bits}")
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    fields = packed[..., None].view(np.uint8) >> shifts & np.uint8(2**bits - 1)
    return fields.reshape(*packed.shape[:-1], -1)


def _zero_points(zero_points: Array | None, rows: int, blocks: int, bits: int) -> Array:
    if zero_points is None:
        return np.array(2 ** (bits - 1), np.float32)
    if zero_points.dtype.kind == "f":
        return zero_points.reshape(rows, blocks, 1).astype(np.float32)
    return unpack_bits(zero_points.reshape(rows, -1), bits)[:, :blocks, None].astype(np.float32)


def _quantized_product(a: Array, levels: Array, scales: Array) -> Array:
    """The product with A in 8 bits, each of its blocks scaled by its largest absolute value."""
    _, blocks, size = levels.shape
    padding = [(0, 0)] * (a.ndim - 1) + [(0, blocks * size - a.shape[-1])]
    parts = np.pad(a, padding).reshape(-1, blocks, size)
    step = np.abs(parts).max(axis=-1, keepdims=True) / 127
    whole = np.rint(np.divide(parts, step, out=np.zeros_like(parts), where=step != 0))
    reserve((len(parts), blocks, len(levels)), np.float32)
    sums = np.einsum("mbk,nbk->mbn", whole.astype(np.float32), levels, optimize=True)
    y = (sums * step.astype(np.float32) * scales.T[None]).sum(axis=1)
    return np.asarray(y).astype(a.dtype).reshape(*a.shape[:-1], -1)


@op("MatMulBnb4", since=1, domain="com.microsoft", rounds=True)
def matmul_bnb4(
    a: Array,
    b: Array,
    absmax: Array,
    /,
    *,
    K: int,  # noqa: N803 (the schema's spelling)
    N: int,  # noqa: N803
    block_size: int,
    quant_type: int,
    training_mode: int = 0,
    transB: int = 1,  # noqa: N803
) -> Array:
    """``A @ W'`` for a weight W (N, K) in FP4 (``quant_type=0``) or NF4 (1) of bitsandbytes.

    ``b`` is uint8 over W in row-major order, high nibble first; ``absmax`` scales each run of
    ``block_size`` elements. Raises ValueError for sizes that do not fit, TypeError for different
    dtypes.

    >>> b, absmax = np.uint8([0xF7]), np.float32([3.0])
    >>> x = np.float32([[1.0, 5.0]])
    >>> matmul_bnb4(x, b, absmax, K=2, N=1, block_size=64, quant_type=1)
    array([[3.]], dtype=float32)

    Spec: com.microsoft.MatMulBnb4-1; Dettmers et al. 2023.
    """
    codes = np.stack([b.reshape(-1) >> 4, b.reshape(-1) & 15], axis=-1).reshape(-1)[: N * K]
    levels = (_NF4 if quant_type == 1 else _FP4)[codes]
    if block_size < 1 or len(levels) != N * K or absmax.size != -(-N * K // block_size):
        raise ValueError(f"{b.size} bytes and {absmax.size} scales for {N} rows of {K} numbers")
    scale = np.repeat(absmax.reshape(-1).astype(np.float32), min(block_size, N * K))[: N * K]
    weight = (levels * scale).reshape(N, K).astype(a.dtype)
    return matmul(a, weight.T if transB else weight.reshape(K, N))


@op("GatherBlockQuantized", since=1, domain="com.microsoft")
def gather_block_quantized(
    data: Array,
    indices: Array,
    scales: Array,
    zero_points: Array | None = None,
    /,
    *,
    bits: int = 4,
    block_size: int = 128,
    gather_axis: int = 0,
    quantize_axis: int = 1,
) -> Array:
    """Slices of a blockwise quantized table, dequantized, in the dtype of the scales.

    ``data`` is int4, uint4, or uint8 with elements of ``bits`` bits packed along the last axis, low
    bits first, as are its zero points, which default to 0, for uint8 to 2**(bits - 1). Raises
    IndexError for an index outside [-size, size), ValueError unless there is one scale per block.

    >>> data, scales = np.uint8([[0x98], [0x0F]]), np.float32([[0.5], [2.0]])
    >>> gather_block_quantized(data, np.array([0]), scales, block_size=16)
    array([[0. , 0.5]], dtype=float32)

    Spec: com.microsoft.GatherBlockQuantized-1.
    """
    packed = data.dtype == np.uint8 and bits < 8
    data = unpack_bits(data, bits) if packed else data
    axis, blocked = axis_in(gather_axis, data.ndim), axis_in(quantize_axis, data.ndim)
    blocks = _block_grid(data.shape, blocked, block_size)
    if packed and zero_points is not None:
        zero_points = unpack_bits(zero_points, bits)[..., : blocks[-1]]
    for value in (scales, zero_points):
        if value is not None and value.shape != blocks:
            raise ValueError(f"scales or zero points of shape {value.shape} for blocks {blocks}")
    reserve((*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :]), np.float32)
    rows = gather(data, indices, axis=axis).astype(np.float32)
    # Behind the gathered axis every axis moves by the extra ranks of the indices.
    along = blocked + (indices.ndim - 1 if blocked > axis else 0)

    def spread(value: Array) -> Array:
        chosen = gather(value, indices, axis=axis).astype(np.float32)
        return chosen.take(np.arange(rows.shape[along]) // block_size, along)

    if zero_points is not None:
        rows = rows - spread(zero_points)
    elif data.dtype == np.uint8:
        rows = rows - np.float32(2 ** (bits - 1))
    return np.asarray(rows * spread(scales)).astype(scales.dtype, copy=False)


def _block_grid(shape: tuple[int, ...], axis: int, block_size: int) -> tuple[int, ...]:
    """The shape of a tensor with one element per block along the axis."""
    if block_size < 1:
        raise ValueError(f"blocks of {block_size} elements")
    return (*shape[:axis], -(-shape[axis] // block_size), *shape[axis + 1 :])
