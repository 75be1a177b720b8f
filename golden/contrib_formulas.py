"""Formulas of com.microsoft operators, from the schemas' documentation.

Most are operators that onnxruntime declares but has no CPU kernel for; of the activations its own
values are too coarse in the tails. Conventions as in formulas.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from formulas import Array, Formula, each, gelu, sigmoid
from mpmath import mp, mpf


def erf_gelu(x: Array, bias: Array | int = 0) -> Any:
    return each(gelu)(x + bias, approximate="none")


def fast_gelu(x: Array, bias: Array | None = None) -> Any:
    return each(gelu)(x if bias is None else x + bias, approximate="tanh")


def bias_split_gelu(x: Array, bias: Array) -> Any:
    left, right = np.split(x + bias, 2, axis=-1)
    return left * erf_gelu(right)


def remove_padding(x: Array, counts: Array) -> tuple[Any, ...]:
    batch, length, hidden = x.shape
    places = [(b, t) for b in range(batch) for t in range(length)]
    order = sorted(places, key=lambda place: place[1] >= counts[place[0]])  # stable
    tokens = [x[place] for place in order[: sum(counts)]]
    offsets = [b * length + t for b, t in order]
    ends = [sum(counts[:b]) for b in range(batch + 1)]
    return (
        np.array(tokens, object).reshape(-1, hidden),
        np.array(offsets, object).reshape(batch, length),
        np.array(ends, object),
        np.array([max(counts)], object),
    )


def restore_padding(x: Array, offsets: Array) -> Any:
    flat = np.full((offsets.size, x.shape[1]), mpf(0), object)
    for token, place in zip(x, offsets.reshape(-1), strict=False):
        flat[place] = token
    return flat.reshape(*offsets.shape, -1)


def relative_position_bias(
    table: Array, queries: Array, keys: Array, *, is_bidirectional: int = 0, max_distance: int
) -> Any:
    count, heads = table.shape
    by_head = table.reshape(heads, count)  # "COL-major"
    places = np.array(
        [
            [bucket(k - q, count, is_bidirectional, max_distance) for k in range(keys.item())]
            for q in range(queries.item())
        ]
    )
    return by_head[:, places][None]


def bucket(distance: int, count: int, bidirectional: int, max_distance: int) -> int:
    """T5's: half of the buckets are single distances, the others grow logarithmically."""
    if bidirectional:
        half = count // 2
        return half * (distance > 0) + bucket(-abs(distance), half, 0, max_distance)
    behind, exact = max(-distance, 0), count // 2
    if behind < exact:
        return behind
    growth = mp.log(mpf(behind) / exact) / mp.log(mpf(max_distance) / exact)
    return min(exact + int(growth * (count - exact)), count - 1)


def by_head(x: Array, heads: int) -> Array:
    """(..., length, hidden) as (..., heads, length, size)."""
    return np.swapaxes(x.reshape(*x.shape[:-1], heads, -1), -2, -3)


def gated_relative_position_bias(
    query: Array, query_bias: Array, rel_pos: Array, weight: Array, bias: Array, eco_a: Array,
    offsets: Array | None = None, *, num_heads: int,
) -> Any:  # fmt: skip
    query = query if offsets is None else restore_padding(query, offsets)
    units = by_head(query + query_bias, num_heads) @ weight + bias
    gates = each(sigmoid)(units.reshape(*units.shape[:-1], 2, -1).sum(axis=-1))
    update, reset = gates[..., :1], gates[..., 1:]
    return (update * (reset * eco_a - 1) + 2) * rel_pos


def packed_attention(
    x: Array, weights: Array, bias: Array, offsets: Array, ends: Array, added: Array | None = None,
    *, num_heads: int, qkv_hidden_sizes: Sequence[int] | None = None, scale: Any = None,
) -> Any:  # fmt: skip
    projected = x @ weights + bias
    sizes = qkv_hidden_sizes or [projected.shape[1] // 3] * 3
    q, k, v = np.split(projected, np.cumsum(sizes)[:-1], axis=1)
    scale = 1 / mp.sqrt(mpf(sizes[0] // num_heads)) if scale is None else scale
    texts = []
    for b, (begin, end) in enumerate(pairwise(ends)):
        heads = [by_head(part[begin:end], num_heads) for part in (q, k, v)]
        scores = heads[0] @ np.swapaxes(heads[1], -1, -2) * scale
        if added is not None:
            scores = scores + added[b % len(added), :, : end - begin, : end - begin]
        e = each(mp.exp)(scores)
        texts.append(np.swapaxes(e / e.sum(axis=-1, keepdims=True) @ heads[2], 0, 1))
    return np.concatenate(texts).reshape(len(x), -1)


def qlinear_reduce_mean(
    x: Array, x_scale: Array, x_zero: Array | None, y_scale: Array, y_zero: Array | None = None, *,
    axes: Sequence[int], keepdims: int,
) -> Any:  # fmt: skip
    centred = x - (0 if x_zero is None else x_zero.item())
    count = math.prod(x.shape[axis] for axis in axes)
    mean = centred.sum(axis=tuple(axes), keepdims=bool(keepdims)) / mpf(count)
    zero = 0 if y_zero is None else y_zero.item()
    whole = each(mp.nint)(mean * x_scale.item() / y_scale.item()) + zero
    return each(lambda n: min(max(n, 0), 255))(whole)  # of uint8


def sparse_to_dense_matmul(
    a: Array, b: Array, *, alpha: Any, transA: int = 0, transB: int = 0,  # noqa: N803
) -> Any:  # fmt: skip
    return alpha * ((a.T if transA else a) @ (b.T if transB else b))


CONTRIB_FORMULAS: dict[str, Formula] = {
    "com.microsoft.BiasGelu": erf_gelu,
    "com.microsoft.BiasSplitGelu": bias_split_gelu,
    "com.microsoft.FastGelu": fast_gelu,
    "com.microsoft.Gelu": erf_gelu,
    "com.microsoft.GatedRelativePositionBias": gated_relative_position_bias,
    "com.microsoft.PackedAttention": packed_attention,
    "com.microsoft.QLinearReduceMean": qlinear_reduce_mean,
    "com.microsoft.QuickGelu": each(lambda x, alpha: x * sigmoid(alpha * x)),
    "com.microsoft.RelativePositionBias": relative_position_bias,
    "com.microsoft.RemovePadding": remove_padding,
    "com.microsoft.RestorePadding": restore_padding,
    "com.microsoft.SparseToDenseMatMul": sparse_to_dense_matmul,
}

CONTRIB_TYPES: dict[str, tuple[str | None, ...]] = {
    "com.microsoft.RemovePadding": (None, "int32", "int32", "int32"),
}
"""What comes out, ``None`` standing for the type of the first input."""
