"""Attention of the newest token of each sequence: one step of a decoder."""

from __future__ import annotations

import numpy as np

from .._checks import scalar_int
from .._registry import op
from .._typing import Array
from ..attention import check_heads, merge_heads
from ..softmax import softmax
from ._attending import cached, heads_of, past_tokens, scaled_scores, score_bias
from .attention import MultiHeadAttention


@op("DecoderMaskedMultiHeadAttention", since=1, domain="com.microsoft", rounds=True)
def decoder_masked_multi_head_attention(
    query: Array,
    key: Array | None = None,
    value: Array | None = None,
    mask_index: Array | None = None,
    attention_bias: Array | None = None,
    past_key: Array | None = None,
    past_value: Array | None = None,
    past_sequence_length: Array | None = None,
    beam_width: Array | None = None,
    cache_indirection: Array | None = None,
    bias: Array | None = None,
    /,
    *,
    mask_filter_value: float | None = None,
    num_heads: int,
    output_qk: int | None = None,
    past_present_share_buffer: int | None = None,
    scale: float | None = None,
) -> MultiHeadAttention:
    """MultiHeadAttention for queries of length 1, whose batch may be beams that share a past.

    ``key`` and ``value`` are those of the new token, (batch, 1, hidden), or of all tokens, (batch,
    heads, length, head size). With ``past_present_share_buffer`` the past has room for more than
    the ``past_sequence_length`` tokens that are there, and the new one is written behind them. Each
    run of ``beam_width`` batch entries is the beams of one sequence; ``cache_indirection`` (int32,
    (sequences, beams, max)) has for each beam and past token the beam whose cache holds it.
    ``mask_index`` is (batch, keys) with 0 where masked. Raises ValueError for longer queries and
    keys, shapes that do not fit, and beams that do not exist, TypeError for different dtypes.

    >>> x, past = np.array([[[0.0]]]), np.array([[[[1.0], [9.0]]]])
    >>> decoder_masked_multi_head_attention(
    ...     x, x, np.array([[[3.0]]]), None, None, past, past, np.array(1), num_heads=1,
    ...     past_present_share_buffer=1)[:3]
    (array([[[2.]]]), array([[[[1.],
             [0.]]]]), array([[[[1.],
             [3.]]]]))

    Spec: com.microsoft.DecoderMaskedMultiHeadAttention-1.
    """
    lengths = {x.shape[1] for x in (query, key, value) if x is not None and x.ndim == 3}
    if lengths != {1}:
        raise ValueError(f"queries and new keys have length 1, not {max(lengths, default=0)}")
    length = past_sequence_length if past_present_share_buffer else None
    if past_present_share_buffer and (past_key is None) != (length is None):
        raise ValueError("a shared cache needs a past and its past_sequence_length")
    q, k, v = heads_of(query, key, value, bias, num_heads)
    before = past_tokens(past_key, length)
    keys, values = cached(past_key, k, length), cached(past_value, v, length)
    k, v = (x[:, :, : before + k.shape[2]] for x in (keys, values))
    if cache_indirection is not None and beam_width is not None:
        beams = _beams(cache_indirection, scalar_int(beam_width), len(q), before)
        k, v = (_followed(x, beams) for x in (k, v))
    check_heads(q, k, v)
    added = score_bias(mask_index, q, k, before, mask_filter_value, False)
    scores = scaled_scores(q, k, scale, attention_bias) + added
    return MultiHeadAttention(merge_heads(softmax(scores) @ v), keys, values, scores)


def _beams(indirection: Array, width: int, batch: int, past: int) -> Array:
    """The row of the cache that holds each past token of each beam."""
    if width < 1 or batch % width or indirection.shape[:2] != (batch // width, width):
        raise ValueError(
            f"cache_indirection of shape {indirection.shape} for {batch} beams in groups of {width}"
        )
    found = indirection.reshape(batch, -1)[:, :past].astype(np.int64)
    if found.shape[1] < past or ((found < 0) | (found >= width)).any():
        raise ValueError(f"cache_indirection leads to more than {width} beams, or ends too early")
    return found + np.arange(batch)[:, None] // width * width


def _followed(x: Array, beams: Array) -> Array:
    """A cache (batch, heads, length, size) with each past token taken from its row."""
    past = beams.shape[1]
    old = x[beams, :, np.arange(past)].swapaxes(1, 2)
    return np.concatenate([old, x[:, :, past:]], axis=2)
