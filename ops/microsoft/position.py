"""Position embeddings of attention: rotary ones, and the biases of T5 and WavLM."""

from __future__ import annotations

import math

import numpy as np

from .. import activation
from .._budget import reserve
from .._checks import per_column, scalar_int
from .._registry import op
from .._typing import Array
from ..attention import merge_heads, rotate_pairs, rows_at, split_heads
from ..matmul import matmul
from .packing import restore_padding


@op("RotaryEmbedding", since=1, domain="com.microsoft", rounds=True)
def rotary_embedding(
    input: Array,
    position_ids: Array,
    cos_cache: Array,
    sin_cache: Array,
    /,
    *,
    interleaved: int | None = None,
    is_packed_batching: int | None = None,
    num_heads: int | None = None,
    rotary_embedding_dim: int | None = None,
    scale: float | None = None,
) -> Array:
    """The input with the pairs of each head's elements rotated by the angle of their position.

    The input is (batch, length, heads * head size) or (batch, heads, length, head size).
    ``position_ids`` are (batch, length), or one number: the first position. The caches are
    (positions, pairs). Elements from ``rotary_embedding_dim`` on stay as they are; then a 3-D input
    needs ``num_heads``, else the caches determine the head size. Raises IndexError for a position
    outside the caches, ValueError for shapes that do not fit, TypeError for positions that are not
    integers.

    >>> cos, sin = np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]])
    >>> rotary_embedding(np.array([[[1.0, 0.0], [1.0, 0.0]]]), np.array([0]), cos, sin)
    array([[[1., 0.],
            [0., 1.]]])

    Spec: com.microsoft.RotaryEmbedding-1; Su et al. 2021.
    """
    size = rotary_embedding_dim or 2 * cos_cache.shape[-1]
    heads = num_heads or (input.shape[-1] // size if input.ndim == 3 else None)
    x = split_heads(input, heads)
    if position_ids.size == 1:
        position_ids = position_ids.reshape(1, 1) + np.arange(x.shape[2])
    cos, sin = (rows_at(cache, position_ids)[:, None] for cache in (cos_cache, sin_cache))
    rotated = rotate_pairs(x, cos, sin, size, bool(interleaved))
    return merge_heads(rotated) if input.ndim == 3 else rotated


@op("RelativePositionBias", since=1, domain="com.microsoft")
def relative_position_bias(
    bias_table: Array,
    query_length: Array,
    key_length: Array,
    /,
    *,
    is_bidirectional: int = 0,
    max_distance: int,
) -> Array:
    """T5's attention bias, (1, heads, queries, keys): a learned number per bucket of distances.

    ``bias_table`` is declared (buckets, heads) and stored column by column. Half of the buckets are
    single distances, the others grow logarithmically up to ``max_distance``; with
    ``is_bidirectional`` half of all are for keys behind the query. Raises ValueError for lengths
    that are not one number, TypeError for lengths that are not integers.

    >>> table = np.arange(4.0).reshape(4, 1)
    >>> relative_position_bias(table, np.array(1), np.array(3), is_bidirectional=1, max_distance=9)
    array([[[[0., 3., 3.]]]])

    Spec: com.microsoft.RelativePositionBias-1; Raffel et al. 2019.
    """
    buckets, heads = bias_table.shape
    queries, keys = scalar_int(query_length), scalar_int(key_length)
    reserve((heads + 4, queries, keys), np.float64)  # of which 4 are distances
    distance = np.arange(keys) - np.arange(queries)[:, None]
    places = _buckets(distance, bool(is_bidirectional), buckets, max_distance)
    return bias_table.reshape(heads, buckets)[:, places][None]


def _buckets(distance: Array, bidirectional: bool, count: int, max_distance: int) -> Array:
    offset = np.zeros_like(distance)
    if bidirectional:
        count //= 2
        offset = np.where(distance > 0, count, 0)
        distance = np.abs(distance)
    else:
        distance = -np.minimum(distance, 0)
    exact = count // 2
    ratio = np.log(np.maximum(distance, 1).astype(np.float32) / exact)
    spread = ratio / np.float32(math.log(max_distance / exact)) * (count - exact)
    far = np.minimum(exact + spread.astype(np.int64), count - 1)
    return np.asarray(offset + np.where(distance < exact, distance, far))


@op("GatedRelativePositionBias", since=1, domain="com.microsoft", rounds=True)
def gated_relative_position_bias(
    query_layer: Array,
    query_bias: Array,
    rel_pos: Array,
    weight: Array,
    bias: Array,
    eco_a: Array,
    token_offset: Array | None = None,
    /,
    *,
    num_heads: int,
) -> Array:
    """``rel_pos`` (1, heads, length, length) times a gate that each query computes.

    ``query_layer`` is (batch, length, hidden), or packed (tokens, hidden) with ``token_offset``;
    ``weight`` (head size, 2 * units) and ``bias`` make two gates per head, ``eco_a`` (1, heads, 1,
    1) scales the second. Raises ValueError for shapes that do not fit, TypeError for different
    dtypes.

    >>> q, zero, one = np.zeros((1, 1, 2)), np.zeros(2), np.ones((1, 1, 1, 1))
    >>> gated_relative_position_bias(q, zero, one, np.zeros((2, 2)), zero, one, num_heads=1)
    array([[[[1.75]]]])

    Spec: com.microsoft.GatedRelativePositionBias-1; Chi et al. 2022.
    """
    if token_offset is not None:
        query_layer = restore_padding(query_layer, token_offset)
    queries = split_heads(query_layer + per_column(query_bias, query_layer), num_heads)
    units = matmul(queries, weight)
    units = units + per_column(bias, units)
    gates = activation.sigmoid(units.reshape(*units.shape[:-1], 2, -1).sum(axis=-1))
    batch, heads, length = queries.shape[:3]
    if eco_a.shape != (1, heads, 1, 1) or rel_pos.shape != (1, heads, length, length):
        raise ValueError(f"eco_a {eco_a.shape} and rel_pos {rel_pos.shape} for {queries.shape}")
    reserve((batch, heads, length, length), rel_pos.dtype)
    update, reset = gates[..., :1], gates[..., 1:]
    return np.asarray((update * (reset * eco_a - 1) + 2) * rel_pos)
