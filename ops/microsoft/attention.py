"""Attention as onnxruntime fuses it, with projections, masks and caches."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .._checks import per_column
from .._registry import op
from .._typing import Array
from ..attention import check_heads, merge_heads, rotate_pairs, split_heads
from ..matmul import matmul
from ..softmax import softmax
from ._attending import cached, heads_of, past_tokens, scaled_scores, score_bias
from .packing import restore_padding


class Attention(NamedTuple):
    """What Attention and QAttention return."""

    output: Array
    present: Array


@op("Attention", since=1, domain="com.microsoft", rounds=True)
def attention(
    input: Array,
    weights: Array,
    bias: Array | None = None,
    mask_index: Array | None = None,
    past: Array | None = None,
    attention_bias: Array | None = None,
    past_sequence_length: Array | None = None,
    /,
    *,
    do_rotary: int | None = None,
    mask_filter_value: float | None = None,
    num_heads: int,
    past_present_share_buffer: int | None = None,
    qkv_hidden_sizes: tuple[int, ...] | None = None,
    rotary_embedding_dim: int | None = None,
    scale: float | None = None,
    unidirectional: int = 0,
) -> Attention:
    """Self-attention with the projections of Q, K and V as one product, and the present cache.

    ``input`` is (batch, length, hidden), ``weights`` (hidden, Q + K + V). ``mask_index`` (int32) is
    (batch, keys) or (batch, queries, keys) with 0 where masked, (batch,) lengths, (2 * batch,) ends
    and starts, or (batch, 1, max, max); ``mask_filter_value`` is added to a masked score. A mask of
    (batch, 1) or (1, 1) masks nothing. ``past`` and ``present`` are (2, batch, heads, length, head
    size); with ``past_present_share_buffer`` both have room for more than the
    ``past_sequence_length`` tokens that are there, and the new ones are written behind them. Raises
    ValueError for shapes that do not fit, a cache without room, and a shared cache without a past,
    TypeError for different dtypes.

    >>> x = np.array([[[1.0], [3.0]]])
    >>> attention(x, np.array([[0.0, 0.0, 1.0]]), num_heads=1).output
    array([[[2.],
            [2.]]])

    Spec: com.microsoft.Attention-1.
    """
    if past_present_share_buffer and (past is None or past_sequence_length is None):
        raise ValueError("a shared cache needs a past and its past_sequence_length")
    projected = matmul(input, weights)
    return attend(
        projected if bias is None else projected + per_column(bias, projected),
        qkv_hidden_sizes or (weights.shape[1] // 3,) * 3, mask_index, past,
        attention_bias, past_sequence_length if past_present_share_buffer else None,
        do_rotary=bool(do_rotary), mask_filter_value=mask_filter_value,
        num_heads=num_heads, rotary_embedding_dim=rotary_embedding_dim, scale=scale,
        unidirectional=bool(unidirectional),
    )  # fmt: skip


def attend(
    projected: Array,
    sizes: tuple[int, ...],
    mask: Array | None,
    past: Array | None,
    bias: Array | None = None,
    past_length: Array | None = None,
    *,
    do_rotary: bool,
    mask_filter_value: float | None,
    num_heads: int,
    rotary_embedding_dim: int | None = None,
    scale: float | None,
    unidirectional: bool,
) -> Attention:
    """Attention, given the projections of Q, K and V packed along the last axis, ``sizes`` wide.

    Raises ValueError for shapes that do not fit, and for a cache without room.

    >>> attend(np.float32([[[0, 0, 5]]]), (1, 1, 1), None, None, do_rotary=False,
    ...        mask_filter_value=None, num_heads=1, scale=None, unidirectional=False).output
    array([[[5.]]], dtype=float32)
    """
    if len(sizes) != 3 or min(sizes) < 0 or sum(sizes) != projected.shape[-1]:
        raise ValueError(f"qkv_hidden_sizes do not make up {projected.shape[-1]} columns")
    q, k, v = (
        split_heads(part, num_heads) for part in np.split(projected, np.cumsum(sizes)[:-1], axis=-1)
    )
    before = past_tokens(None if past is None else past[0], past_length)
    if do_rotary:
        q, k = (_rotated(x, before, rotary_embedding_dim or x.shape[-1]) for x in (q, k))
    if mask is not None and mask.ndim == 2 and mask.shape[1] == 1 and len(mask) in (1, len(q)):
        mask = None  # adding one number to all scores of a row changes nothing
    keys, values = (
        cached(None if past is None else past[i], x, past_length) for i, x in enumerate((k, v))
    )
    k, v = (x[:, :, : before + q.shape[2]] for x in (keys, values))
    check_heads(q, k, v)
    added = score_bias(mask, q, k, before, mask_filter_value, unidirectional)
    output = merge_heads(softmax(scaled_scores(q, k, scale, bias) + added) @ v)
    # If the head sizes of keys and values differ, no tensor can hold both.
    alike = keys.shape == values.shape
    return Attention(output, np.stack([keys, values]) if alike else np.zeros(0, k.dtype))


class MultiHeadAttention(NamedTuple):
    """What MultiHeadAttention returns."""

    output: Array
    present_key: Array
    present_value: Array
    qk: Array


@op("MultiHeadAttention", since=1, domain="com.microsoft", rounds=True)
def multi_head_attention(
    query: Array,
    key: Array | None = None,
    value: Array | None = None,
    bias: Array | None = None,
    key_padding_mask: Array | None = None,
    attention_bias: Array | None = None,
    past_key: Array | None = None,
    past_value: Array | None = None,
    past_sequence_length: Array | None = None,
    cache_indirection: Array | None = None,
    /,
    *,
    mask_filter_value: float | None = None,
    num_heads: int,
    scale: float | None = None,
    unidirectional: int = 0,
) -> MultiHeadAttention:
    """Attention of projected queries to keys and values, which may be cached ones.

    ``query`` is (batch, length, hidden), or (batch, length, heads, 3, head size) with all three
    packed; ``key`` and ``value`` are (batch, length, hidden), (batch, heads, length, head size), or
    packed as (batch, length, heads, 2, head size) in ``key``. ``bias`` holds those of Q, K and V
    one after the other. ``key_padding_mask`` takes the forms of Attention's ``mask_index``; ``qk``
    are the scores. With ``past_sequence_length`` the past has room for more tokens than that, and
    the new ones are written behind them. Raises ValueError for beams, which are not supported, for
    shapes that do not fit, and for a cache without room, TypeError for different dtypes.

    >>> x = np.array([[[0.0], [0.0]]])
    >>> multi_head_attention(x, x, np.array([[[1.0], [3.0]]]), num_heads=1).output
    array([[[2.],
            [2.]]])

    Spec: com.microsoft.MultiHeadAttention-1.
    """
    if cache_indirection is not None:
        raise ValueError("beams (cache_indirection) are not supported")
    q, k, v = heads_of(query, key, value, bias, num_heads)
    before = past_tokens(past_key, past_sequence_length)
    keys = cached(past_key, k, past_sequence_length)
    values = cached(past_value, v, past_sequence_length)
    k, v = (x[:, :, : before + k.shape[2]] for x in (keys, values))
    check_heads(q, k, v)
    added = score_bias(key_padding_mask, q, k, before, mask_filter_value, bool(unidirectional))
    scores = scaled_scores(q, k, scale, attention_bias) + added
    return MultiHeadAttention(merge_heads(softmax(scores) @ v), keys, values, scores)


@op("PackedAttention", since=1, domain="com.microsoft", rounds=True)
def packed_attention(
    input: Array,
    weights: Array,
    bias: Array,
    token_offset: Array,
    cumulative_sequence_length: Array,
    attention_bias: Array | None = None,
    /,
    *,
    num_heads: int,
    qkv_hidden_sizes: tuple[int, ...] | None = None,
    scale: float | None = None,
) -> Array:
    """Attention among the tokens of each sequence of a packed batch, (tokens, hidden).

    ``token_offset`` and ``cumulative_sequence_length`` are those of RemovePadding. Raises
    ValueError for shapes that do not fit, TypeError for different dtypes.

    >>> x, w = np.array([[1.0], [3.0], [9.0]]), np.array([[0.0, 0.0, 1.0]])
    >>> offsets, ends = np.array([[0, 1], [2, 3]]), np.array([0, 2, 3])
    >>> packed_attention(x, w, np.zeros(3), offsets, ends, num_heads=1).ravel()
    array([2., 2., 9.])

    Spec: com.microsoft.PackedAttention-1.
    """
    padded = restore_padding(input, token_offset)
    lengths = np.diff(cumulative_sequence_length).astype(np.int32)
    result = attention(
        padded, weights, bias, lengths, None, attention_bias,
        num_heads=num_heads, qkv_hidden_sizes=qkv_hidden_sizes, scale=scale,
        mask_filter_value=-math.inf,
    ).output  # fmt: skip
    return result.reshape(-1, result.shape[-1])[token_offset.reshape(-1)[: len(input)]]


def _rotated(x: Array, past: int, size: int) -> Array:
    """Rotary embedding with the base 10,000 of Su et al. 2021."""
    frequency = 10000.0 ** (-np.arange(0, size, 2) / size)
    angle = (past + np.arange(x.shape[2]))[:, None] * frequency
    return rotate_pairs(
        x, np.cos(angle).astype(x.dtype), np.sin(angle).astype(x.dtype), size, False
    )
