"""Attention with fewer key heads than query heads, and the cache that decoders keep."""

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
    """Causal attention over cached and new tokens, the grown cache, and the scores if asked for.

    ``query`` is (batch, length, heads * size), or holds Q, K and V in a row. Text b has
    ``seqlens_k[b] + 1`` tokens in all; new ones behind that are padding, and what they give is
    unspecified. Each key head serves adjacent query heads. Positions turn queries and keys if
    ``do_rotary``; ``local_window_size`` lets a token see that many, itself included; ``head_sink``
    and ``smooth_softmax`` add to the softmax' denominator. Raises ValueError for quantized or
    windowed caches and padded chunks, which are not supported.

    >>> x = np.array([[[0.0], [0.0]]])
    >>> v, none = np.array([[[1.0], [3.0]]]), None
    >>> n, t = np.array([1], np.int32), np.array(2, np.int32)
    >>> group_query_attention(x, x, v, none, none, n, t, num_heads=1, kv_num_heads=1).output
    array([[[1.],
            [2.]]])

    Spec: com.microsoft.GroupQueryAttention-1; Ainslie et al. 2023.
    """
    if (k_quant_type, v_quant_type) != ("NONE", "NONE") or sliding_window_cache:
        raise ValueError("quantized and windowed caches are not supported")
    if query_seqlens is not None:
        raise ValueError("padded chunks (query_seqlens) are not supported")
    q, k, v = _heads(query, key, value, num_heads, kv_num_heads)
    if q_norm_weight is not None and k_norm_weight is not None:
        q = _normalised(q, q_norm_weight, q_norm_epsilon or qk_norm_epsilon)
        k = _normalised(k, k_norm_weight, k_norm_epsilon or qk_norm_epsilon)
    new, total = q.shape[2], seqlens_k.reshape(-1).astype(np.int64) + 1
    if len(total) != len(q):
        raise ValueError(f"{len(total)} lengths (seqlens_k) for {len(q)} texts")
    # In the first step the texts may be padded; later on the new tokens are the last ones.
    first = new == int(total_sequence_length.reshape(()))
    past = np.zeros_like(total) if first else total - new
    positions = past[:, None] + np.arange(new)
    if do_rotary and cos_cache is not None and sin_cache is not None:
        # With one position a text, it is where the text goes on.
        turned = (
            positions
            if position_ids is None or position_ids.size < positions.size
            else position_ids
        )
        q, k = (_turned(x, cos_cache, sin_cache, turned, bool(rotary_interleaved)) for x in (q, k))
    length = max(
        int(total_sequence_length.reshape(())), 0 if past_key is None else past_key.shape[2]
    )
    keys, values = _cached(past_key, k, past, length), _cached(past_value, v, past, length)
    groups = check_heads(q, keys, values)
    hidden = _hidden(positions, total, length, bool(causal), local_window_size)
    scores = _scores(q, keys, scale, softcap)
    if attention_bias is not None:
        seen = scores[..., : int(total_sequence_length.reshape(()))]
        seen += checked_bias(attention_bias, seen.shape)
    scores = np.where(hidden, scores.dtype.type(-np.inf), scores)
    sink = head_sink if head_sink is not None else np.zeros(1) if smooth_softmax == 1 else None
    weights = _softmax(scores, sink)
    output = weights @ np.repeat(values, groups, axis=1)
    shown = weights if qk_output == 2 else scores
    return GroupQueryAttention(merge_heads(output), keys, values, shown)


def _heads(
    query: Array, key: Array | None, value: Array | None, num_heads: int, kv_num_heads: int
) -> tuple[Array, Array, Array]:
    if key is None or value is None:
        size = query.shape[-1] // (num_heads + 2 * kv_num_heads)
        ends = [num_heads * size, (num_heads + kv_num_heads) * size]
        query, key, value = np.split(query, ends, axis=-1)
    k, v = split_heads(key, kv_num_heads), split_heads(value, kv_num_heads)
    return split_heads(query, num_heads), k, v


def _normalised(x: Array, weight: Array, epsilon: float) -> Array:
    return simplified_layer_normalization(x, weight, epsilon=epsilon).y


def _turned(x: Array, cos: Array, sin: Array, positions: Array, interleaved: bool) -> Array:
    cos, sin = (rows_at(cache, positions)[:, None] for cache in (cos, sin))
    return rotate_pairs(x, cos, sin, 2 * cos.shape[-1], interleaved)


def _cached(past: Array | None, new: Array, start: Array, length: int) -> Array:
    """The cache of ``length`` with each text's new tokens behind its old ones."""
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
    """Which keys (last axis) a query must not see, for each text: (batch, 1, queries, keys)."""
    column, row = np.arange(length), positions[:, None, :, None]
    hidden = column >= total[:, None, None, None]
    if causal:
        hidden = hidden | (column > row)
    if window > 0:
        hidden = hidden | (column <= row - window)
    # A padding query would see nothing; it sees itself, so that nothing is divided by zero.
    return np.asarray(hidden & (column != np.minimum(row, total[:, None, None, None] - 1)))


def _scores(q: Array, keys: Array, scale: float | None, softcap: float | None) -> Array:
    shared = np.repeat(keys, q.shape[1] // keys.shape[1], axis=1)
    scores = q @ shared.swapaxes(-1, -2) * (scale or 1 / math.sqrt(q.shape[-1]))
    return softcap * np.tanh(scores / softcap) if softcap else scores


def _softmax(scores: Array, sink: Array | None) -> Array:
    peak = scores.max(axis=-1, keepdims=True)
    if sink is not None:
        sink = sink.astype(scores.dtype).reshape(1, -1, 1, 1)
        peak = np.maximum(peak, sink)
    e = np.exp(scores - peak)
    total = e.sum(axis=-1, keepdims=True)
    return np.asarray(e / (total if sink is None else total + np.exp(sink - peak)))
