"""Grouped-query attention: fewer key heads than query heads, and the cache of a decoder."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .._budget import reserve
from .._registry import op
from .._typing import Array
from ..attention import check_heads, merge_heads, rotate_pairs, rows_at, split_heads
from ._attending import checked_bias
from .normalization import simplified_layer_normalization


class GroupQueryAttention(NamedTuple):
    """What GroupQueryAttention returns."""

    output: Array
    present_key: Array
    present_value: Array
    output_qk: Array


@op("GroupQueryAttention", since=1, domain="com.microsoft", rounds=True)
def group_query_attention(
    query: Array,
    key: Array | None,
    value: Array | None,
    past_key: Array | None,
    past_value: Array | None,
    seqlens_k: Array,
    total_sequence_length: Array,
    cos_cache: Array | None = None,
    sin_cache: Array | None = None,
    position_ids: Array | None = None,
    attention_bias: Array | None = None,
    head_sink: Array | None = None,
    k_scale: Array | None = None,
    v_scale: Array | None = None,
    q_norm_weight: Array | None = None,
    k_norm_weight: Array | None = None,
    query_seqlens: Array | None = None,
    /,
    *,
    causal: int = 1,
    do_rotary: int | None = None,
    k_norm_epsilon: float | None = None,
    k_quant_type: str = "NONE",
    kv_cache_bit_width: int | None = None,
    kv_num_heads: int,
    local_window_size: int = -1,
    num_heads: int,
    q_norm_epsilon: float | None = None,
    qk_norm_epsilon: float = 1e-6,
    qk_output: int = 0,
    rotary_interleaved: int | None = None,
    scale: float | None = None,
    sliding_window_cache: int = 0,
    smooth_softmax: int = -1,
    softcap: float | None = None,
    v_quant_type: str = "NONE",
) -> GroupQueryAttention:
    """Causal attention with shared key heads over cached and new tokens, the cache, and the scores.

    ``query`` is (batch, length, heads * head size), or holds Q, K and V packed along the last axis.
    Sequence b has ``seqlens_k[b] + 1`` tokens in all; new tokens behind that are padding, and their
    output is unspecified. Each key head serves a run of adjacent query heads. ``do_rotary``
    rotates queries and keys by their positions; ``local_window_size`` limits attention to that many
    tokens, the query's own included; ``head_sink`` and ``smooth_softmax`` add a term to the
    denominator of the softmax. ``output_qk`` is masked, or the probabilities if ``qk_output`` is 2.

    Raises ValueError for quantized or windowed caches and padded chunks, which are not supported,
    and for shapes that do not fit; IndexError for a position outside the rotary caches.

    >>> x = np.array([[[0.0], [0.0]]])
    >>> v, none = np.array([[[1.0], [3.0]]]), None
    >>> n, t = np.array([1], np.int32), np.array(2, np.int32)
    >>> group_query_attention(x, x, v, none, none, n, t, num_heads=1, kv_num_heads=1).output
    array([[[1.],
            [2.]]])

    Spec: com.microsoft.GroupQueryAttention-1; Ainslie et al. 2023.
    """
    _check_supported(k_quant_type, v_quant_type, sliding_window_cache, query_seqlens)
    q, k, v = _heads(query, key, value, num_heads, kv_num_heads)
    if q_norm_weight is not None and k_norm_weight is not None:
        q = _normalized(q, q_norm_weight, q_norm_epsilon or qk_norm_epsilon)
        k = _normalized(k, k_norm_weight, k_norm_epsilon or qk_norm_epsilon)
    longest = int(total_sequence_length.reshape(()))
    past, total = _lengths(seqlens_k, q, longest)
    positions = past[:, None] + np.arange(q.shape[2])
    if do_rotary and cos_cache is not None and sin_cache is not None:
        at = _rotary_positions(position_ids, positions)
        q, k = (_rotated(x, cos_cache, sin_cache, at, bool(rotary_interleaved)) for x in (q, k))
    capacity = max(longest, 0 if past_key is None else past_key.shape[2])
    keys, values = _cached(past_key, k, past, capacity), _cached(past_value, v, past, capacity)
    groups = check_heads(q, keys, values)
    hidden = _hidden(positions, total, capacity, bool(causal), local_window_size)
    scores = _scores(q, keys, groups, scale, softcap)
    if attention_bias is not None:
        seen = scores[..., :longest]
        seen += checked_bias(attention_bias, seen.shape)
    scores = np.where(hidden, scores.dtype.type(-np.inf), scores)
    probabilities = _softmax(scores, _sink(head_sink, smooth_softmax))
    output = merge_heads(probabilities @ np.repeat(values, groups, axis=1))
    return GroupQueryAttention(output, keys, values, probabilities if qk_output == 2 else scores)


def _check_supported(k_quant: str, v_quant: str, windowed: int, chunks: Array | None) -> None:
    if (k_quant, v_quant) != ("NONE", "NONE") or windowed:
        raise ValueError("quantized and windowed caches are not supported")
    if chunks is not None:
        raise ValueError("padded chunks (query_seqlens) are not supported")


def _heads(
    query: Array, key: Array | None, value: Array | None, num_heads: int, kv_num_heads: int
) -> tuple[Array, Array, Array]:
    if key is None or value is None:
        size = query.shape[-1] // (num_heads + 2 * kv_num_heads)
        ends = [num_heads * size, (num_heads + kv_num_heads) * size]
        query, key, value = np.split(query, ends, axis=-1)
    k, v = split_heads(key, kv_num_heads), split_heads(value, kv_num_heads)
    return split_heads(query, num_heads), k, v


def _lengths(seqlens_k: Array, q: Array, longest: int) -> tuple[Array, Array]:
    """The number of cached tokens, and of all tokens, of each sequence."""
    total = seqlens_k.reshape(-1).astype(np.int64) + 1
    if len(total) != len(q):
        raise ValueError(f"{len(total)} lengths (seqlens_k) for a batch of {len(q)}")
    # In the first step sequences may be padded; later the new tokens are the last ones.
    first = q.shape[2] == longest
    return np.zeros_like(total) if first else total - q.shape[2], total


def _rotary_positions(given: Array | None, positions: Array) -> Array:
    # With one position for each sequence, it is where the sequence goes on.
    return positions if given is None or given.size < positions.size else given


def _normalized(x: Array, weight: Array, epsilon: float) -> Array:
    return simplified_layer_normalization(x, weight, epsilon=epsilon).y


def _rotated(x: Array, cos: Array, sin: Array, positions: Array, interleaved: bool) -> Array:
    cos, sin = (rows_at(cache, positions)[:, None] for cache in (cos, sin))
    return rotate_pairs(x, cos, sin, 2 * cos.shape[-1], interleaved)


def _cached(past: Array | None, new: Array, start: Array, length: int) -> Array:
    """The cache of ``length`` places with each sequence's new tokens behind its old ones."""
    batch, heads, count, size = new.shape
    reserve((batch, heads, length, size), new.dtype)
    cache = np.zeros((batch, heads, length, size), new.dtype)
    if past is not None:
        cache[:, :, : past.shape[2]] = past
    if (start < 0).any() or (start + count > length).any():
        raise ValueError(f"{count} new tokens behind {start.tolist()} do not fit {length}")
    for b, first in enumerate(start):
        cache[b, :, first : first + count] = new[b]
    return cache


def _hidden(positions: Array, total: Array, length: int, causal: bool, window: int) -> Array:
    """Which keys (last axis) a query must not attend to: (batch, 1, queries, keys)."""
    column, row = np.arange(length), positions[:, None, :, None]
    hidden = column >= total[:, None, None, None]
    if causal:
        hidden = hidden | (column > row)
    if window > 0:
        hidden = hidden | (column <= row - window)
    # A padding query attends to itself, so that its softmax does not divide by zero.
    return np.asarray(hidden & (column != np.minimum(row, total[:, None, None, None] - 1)))


def _scores(
    q: Array, keys: Array, groups: int, scale: float | None, softcap: float | None
) -> Array:
    shared = np.repeat(keys, groups, axis=1)
    scores = q @ shared.swapaxes(-1, -2) * (scale or 1 / math.sqrt(q.shape[-1]))
    return softcap * np.tanh(scores / softcap) if softcap else scores


def _sink(head_sink: Array | None, smooth_softmax: int) -> Array | None:
    """The logits that are added to the softmax' denominator only, one for each head or for all."""
    return head_sink if head_sink is not None or smooth_softmax != 1 else np.zeros(1)


def _softmax(scores: Array, sink: Array | None) -> Array:
    peak = scores.max(axis=-1, keepdims=True)
    if sink is not None:
        sink = sink.astype(scores.dtype).reshape(1, -1, 1, 1)
        peak = np.maximum(peak, sink)
    e = np.exp(scores - peak)
    total = e.sum(axis=-1, keepdims=True)
    return np.asarray(e / (total if sink is None else total + np.exp(sink - peak)))
