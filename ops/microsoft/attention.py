"""Attention as onnxruntime fuses it: projections, masks and caches inside."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .._registry import op
from .._typing import Array
from ..attention import merge_heads, rotate_pairs, split_heads
from ..softmax import softmax
from .packing import restore_padding

MASKED = -10000.0
"""What is added to a masked score unless ``mask_filter_value`` says otherwise."""


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
    """Self-attention with the projections of Q, K and V as one product, and the keys and values.

    ``input`` is (batch, length, hidden), ``weights`` (hidden, Q + K + V). ``mask_index`` (int32) is
    (batch, keys) or (batch, queries, keys) with 0 where masked, (batch,) lengths, (2 * batch,) ends
    and starts, or (batch, 1, max, max); a masked score gets ``mask_filter_value`` added. ``past``
    and ``present`` are (2, batch, heads, length, size).

    >>> x = np.array([[[1.0], [3.0]]])
    >>> attention(x, np.array([[0.0, 0.0, 1.0]]), num_heads=1).output
    array([[[2.],
            [2.]]])

    Spec: com.microsoft.Attention-1.
    """
    if past_present_share_buffer or past_sequence_length is not None:
        raise ValueError("a cache shared between past and present is not supported")
    projected = input @ weights if bias is None else input @ weights + bias
    return attend(
        projected, qkv_hidden_sizes or (weights.shape[1] // 3,) * 3, mask_index, past,
        attention_bias, do_rotary=bool(do_rotary), mask_filter_value=mask_filter_value,
        num_heads=num_heads, rotary_embedding_dim=rotary_embedding_dim, scale=scale,
        unidirectional=bool(unidirectional),
    )  # fmt: skip


def attend(
    projected: Array,
    sizes: tuple[int, ...],
    mask: Array | None,
    past: Array | None,
    bias: Array | None = None,
    *,
    do_rotary: bool,
    mask_filter_value: float | None,
    num_heads: int,
    rotary_embedding_dim: int | None = None,
    scale: float | None,
    unidirectional: bool,
) -> Attention:
    """Attention, given the projections of Q, K and V in a row, ``sizes`` wide.

    >>> attend(np.float32([[[0, 0, 5]]]), (1, 1, 1), None, None, do_rotary=False,
    ...        mask_filter_value=None, num_heads=1, scale=None, unidirectional=False).output
    array([[[5.]]], dtype=float32)
    """
    q, k, v = (
        split_heads(part, num_heads) for part in np.split(projected, np.cumsum(sizes)[:-1], axis=-1)
    )
    before = 0 if past is None else past.shape[3]
    if do_rotary:
        q, k = (_rotated(x, before, rotary_embedding_dim or x.shape[-1]) for x in (q, k))
    if past is not None:
        k, v = np.concatenate([past[0], k], axis=2), np.concatenate([past[1], v], axis=2)
    added = _score_bias(mask, q, k, before, mask_filter_value, unidirectional)
    output = merge_heads(softmax(_scores(q, k, scale, bias) + added) @ v)
    # Values may be narrower than keys; then there is no tensor that holds both.
    return Attention(output, np.stack([k, v]) if k.shape == v.shape else np.zeros(0, k.dtype))


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

    ``query`` is (batch, length, hidden), or (batch, length, heads, 3, size) with all three packed;
    ``key`` and ``value`` are (batch, length, hidden), (batch, heads, length, size), or packed as
    (batch, length, heads, 2, size) in ``key``. ``bias`` holds those of Q, K and V in a row.
    ``key_padding_mask`` takes the forms of Attention's ``mask_index``; ``qk`` are the scores.

    >>> x = np.array([[[0.0], [0.0]]])
    >>> multi_head_attention(x, x, np.array([[[1.0], [3.0]]]), num_heads=1).output
    array([[[2.],
            [2.]]])

    Spec: com.microsoft.MultiHeadAttention-1.
    """
    if past_sequence_length is not None or cache_indirection is not None:
        raise ValueError("a cache shared between past and present is not supported")
    q, k, v = _unpacked(query, key, value)
    parts = [None] * 3 if bias is None else _bias_parts(bias, q, v)
    q, k, v = (
        split_heads(x if part is None or x.ndim == 4 else x + part, num_heads)
        for x, part in zip((q, k, v), parts, strict=True)
    )
    before = 0
    if past_key is not None and past_value is not None:
        before = past_key.shape[2]
        k, v = np.concatenate([past_key, k], axis=2), np.concatenate([past_value, v], axis=2)
    added = _score_bias(key_padding_mask, q, k, before, mask_filter_value, bool(unidirectional))
    scores = _scores(q, k, scale, attention_bias) + added
    return MultiHeadAttention(merge_heads(softmax(scores) @ v), k, v, scores)


def _unpacked(query: Array, key: Array | None, value: Array | None) -> tuple[Array, Array, Array]:
    if query.ndim == 5:
        q, k, v = (query[:, :, :, i].reshape(*query.shape[:2], -1) for i in range(3))
        return q, k, v
    if key is not None and key.ndim == 5:
        k, v = (key[:, :, :, i].reshape(*key.shape[:2], -1) for i in range(2))
        return query, k, v
    if key is None or value is None:
        raise ValueError(f"a query of shape {query.shape} needs a key and a value")
    return query, key, value


def _bias_parts(bias: Array, q: Array, v: Array) -> list[Array]:
    hidden = q.shape[-1]
    return list(np.split(bias, [hidden, 2 * hidden]))


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
    """Attention among the tokens of each text of a packed batch, (tokens, hidden).

    ``token_offset`` and ``cumulative_sequence_length`` are those of RemovePadding.

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


def _scores(q: Array, k: Array, scale: float | None, bias: Array | None) -> Array:
    scores = q @ k.swapaxes(-1, -2) * (scale or 1 / math.sqrt(q.shape[-1]))
    return np.asarray(scores if bias is None else scores + bias)


def _rotated(x: Array, past: int, size: int) -> Array:
    """Rotary positions with the customary base of 10,000."""
    frequency = 10000.0 ** (-np.arange(0, size, 2) / size)
    angle = (past + np.arange(x.shape[2]))[:, None] * frequency
    return rotate_pairs(
        x, np.cos(angle).astype(x.dtype), np.sin(angle).astype(x.dtype), size, False
    )


def _score_bias(
    mask: Array | None, q: Array, k: Array, past: int, filter_value: float | None, causal: bool
) -> Array:
    """What masks add to the scores, broadcastable to (batch, heads, queries, keys)."""
    row, column = past + np.arange(q.shape[2])[:, None], np.arange(k.shape[2])
    bias = np.zeros((1, 1, 1, 1), q.dtype)
    if mask is not None:
        kept = _kept(mask, len(q), row, column)
        bias = np.where(kept, bias, q.dtype.type(MASKED if filter_value is None else filter_value))
    return np.where(column > row, q.dtype.type(-np.inf), bias) if causal else bias


def _kept(mask: Array, batch: int, row: Array, column: Array) -> Array:
    """Where a mask in any of its forms lets attention through; queries lie behind the past."""
    queries, keys = len(row), len(column)
    if mask.ndim == 1 and len(mask) == 2 * batch:
        ends, starts = mask[:batch, None, None, None], mask[batch:, None, None, None]
        return (column >= starts) & (column < ends)
    if mask.ndim == 1 and len(mask) in (batch, 3 * batch + 2):
        return np.asarray(column < mask[:batch, None, None, None])
    if mask.ndim == 2 and mask.shape == (batch, keys):
        return np.asarray(mask[:, None, None, :] > 0)
    if mask.ndim == 3 and mask.shape == (batch, queries, keys):
        return np.asarray(mask[:, None] > 0)
    if mask.ndim == 4:
        return np.asarray(mask[:, :, row, column] > 0)
    raise ValueError(
        f"a mask of shape {mask.shape} does not fit {batch} texts, {queries} queries, {keys} keys"
    )
