"""Scaled dot-product attention and rotary position embeddings, as in the ONNX standard."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ._budget import reserve
from ._checks import integers
from ._registry import op
from ._typing import Array, dtype_of


class Attention(NamedTuple):
    """What Attention returns."""

    y: Array
    present_key: Array
    present_value: Array
    qk_matmul_output: Array


@op("Attention", since=23, rounds=True, like=(0, 1, 2, 0))
def attention(
    q: Array,
    k: Array,
    v: Array,
    attn_mask: Array | None = None,
    past_key: Array | None = None,
    past_value: Array | None = None,
    nonpad_kv_seqlen: Array | None = None,
    /,
    *,
    is_causal: int = 0,
    kv_num_heads: int | None = None,
    left_window_size: int = -1,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    right_window_size: int = -1,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,
) -> Attention:
    """``softmax(scale * Q K' + mask) V`` for each head.

    Q, K and V are (batch, heads, length, head size), or (batch, length, heads * head size) together
    with ``q_num_heads`` and ``kv_num_heads``; each key head serves a run of adjacent query heads.
    ``attn_mask`` is bool (True attends) or added to the scores; it broadcasts to (batch, heads,
    queries, keys), keys beyond its end being masked. Past keys and values are prepended. A query
    that attends to no key gives zeros. ``qk_matmul_output`` holds the scores (mode 0), after
    ``softcap`` (1), after the mask (2), or the probabilities (3).

    Raises ValueError for shapes or head counts that do not fit each other, for a past key without
    a past value or together with ``nonpad_kv_seqlen``, and for a window below -1.

    >>> one = np.ones((1, 1, 2, 4))
    >>> attention(one, one, np.arange(8.0).reshape(1, 1, 2, 4), is_causal=1).y[0, 0]
    array([[0., 1., 2., 3.],
           [2., 3., 4., 5.]])

    Spec: Attention-25 with the errata up to onnx 1.23; Vaswani et al. 2017.
    """
    window = (left_window_size, right_window_size)
    _check_options(past_key, past_value, nonpad_kv_seqlen, window)
    queries = split_heads(q, q_num_heads)
    keys, values = split_heads(k, kv_num_heads), split_heads(v, kv_num_heads)
    if past_key is not None and past_value is not None:
        keys = np.concatenate([past_key, keys], axis=2)
        values = np.concatenate([past_value, values], axis=2)
    groups = check_heads(queries, keys, values)
    past = keys.shape[2] - k.shape[-2]
    bias = _bias(attn_mask, queries, keys, past, nonpad_kv_seqlen, bool(is_causal), window)
    root = math.sqrt(1 / math.sqrt(queries.shape[-1]) if scale is None else scale)
    scores = (queries * root) @ (np.repeat(keys, groups, axis=1) * root).swapaxes(-1, -2)
    capped = softcap * np.tanh(scores / softcap) if softcap else scores
    masked = capped + bias
    precise = masked.dtype if softmax_precision is None else dtype_of(softmax_precision)
    probabilities = masked_softmax(masked.astype(np.promote_types(precise, masked.dtype)), bias)
    probabilities = probabilities.astype(queries.dtype, copy=False)
    y = (probabilities @ np.repeat(values, groups, axis=1)).astype(queries.dtype, copy=False)
    shown = (scores, capped, masked, probabilities)[qk_matmul_output_mode]
    return Attention(merge_heads(y) if q.ndim == 3 else y, keys, values, shown)


def _check_options(
    past_key: Array | None, past_value: Array | None, lengths: Array | None, window: tuple[int, int]
) -> None:
    if (past_key is None) != (past_value is None):
        raise ValueError("a past key and a past value come together")
    if past_key is not None and lengths is not None:
        raise ValueError("nonpad_kv_seqlen is for a cache outside of the operator, not for a past")
    if min(window) < -1:
        raise ValueError(f"a window of size {min(window)}")


def split_heads(x: Array, heads: int | None) -> Array:
    """(batch, length, heads * size) as (batch, heads, length, size); rank 4 stays as it is.

    Raises ValueError if the number of heads is missing or does not divide the last dimension.

    >>> split_heads(np.zeros((2, 5, 6)), 3).shape
    (2, 3, 5, 2)
    """
    if x.ndim == 4:
        return x
    if x.ndim != 3 or not heads or x.shape[2] % heads:
        raise ValueError(f"a tensor of shape {x.shape} cannot be split into {heads} heads")
    return x.reshape(*x.shape[:2], heads, x.shape[2] // heads).swapaxes(1, 2)


def merge_heads(x: Array) -> Array:
    """(batch, heads, length, size) as (batch, length, heads * size).

    >>> merge_heads(np.zeros((2, 3, 5, 2))).shape
    (2, 5, 6)
    """
    batch, heads, length, size = x.shape
    return x.swapaxes(1, 2).reshape(batch, length, heads * size)


def masked_softmax(scores: Array, bias: Array) -> Array:
    """The softmax over the last axis; zeros in a row whose ``bias`` masks everything with -inf.

    >>> masked_softmax(np.array([[-np.inf, -np.inf]]), np.array([[-np.inf, -np.inf]]))
    array([[0., 0.]])
    """
    dead = np.all(np.isneginf(bias), axis=-1, keepdims=True)
    e = np.exp(scores - np.where(dead, 0, scores.max(axis=-1, keepdims=True, initial=-np.inf)))
    return np.asarray(np.where(dead, 0, e / np.where(dead, 1, e.sum(axis=-1, keepdims=True))))


def check_heads(q: Array, k: Array, v: Array) -> int:
    """How many query heads share each key head; Q, K and V are (batch, heads, length, size).

    Raises ValueError for shapes that do not fit each other, OverBudgetError if the scores, the
    result, or the repeated keys and values are over the run's budget.

    >>> check_heads(np.zeros((1, 6, 2, 4)), np.zeros((1, 3, 5, 4)), np.zeros((1, 3, 5, 7)))
    2
    """
    if {q.ndim, k.ndim, v.ndim} != {4} or len(q) != len(k) or q.shape[3] != k.shape[3]:
        raise ValueError(f"queries of shape {q.shape} cannot attend to keys of shape {k.shape}")
    if k.shape[:3] != v.shape[:3]:
        raise ValueError(f"keys of shape {k.shape} and values of shape {v.shape} do not pair up")
    if not k.shape[1] or q.shape[1] % k.shape[1]:
        raise ValueError(f"{q.shape[1]} query heads cannot be shared among {k.shape[1]} key heads")
    reserve((*q.shape[:2], k.shape[2], max(q.shape[2], k.shape[3], v.shape[3])), q.dtype)
    reserve((*q.shape[:3], v.shape[3]), q.dtype)
    return q.shape[1] // k.shape[1]


def _bias(
    mask: Array | None,
    q: Array,
    k: Array,
    past: int,
    lengths: Array | None,
    causal: bool,
    window: tuple[int, int],
) -> Array:
    """What is added to the scores, broadcastable to (batch, heads, queries, keys)."""
    queries, keys = q.shape[2], k.shape[2]
    reserve((queries, keys), q.dtype)  # the batch may be empty
    bias = np.zeros((1, 1, queries, keys), q.dtype)
    if mask is not None:
        bias = bias + _additive(mask, (*q.shape[:3], keys), q.dtype)
    column, offset = np.arange(keys), np.array([past])
    attends = np.ones_like(column, bool)
    if lengths is not None:
        if lengths.shape != (len(q),):
            raise ValueError(f"nonpad_kv_seqlen of shape {lengths.shape} for a batch of {len(q)}")
        attends = column < lengths[:, None, None, None]
        offset = offset if past else lengths - queries
    row = (offset[:, None] + np.arange(queries))[:, None, :, None]
    attends = attends & _in_window(row, column, causal, window)
    return np.asarray(np.where(attends, bias, q.dtype.type(-np.inf)))


def _in_window(row: Array, column: Array, causal: bool, window: tuple[int, int]) -> Array:
    """Whether the query at each position (row) may attend to the key at each (column)."""
    left, right = window
    seen = column <= row if causal else np.ones_like(column, bool)
    if left >= 0:
        seen = seen & (column >= row - left)
    return seen & (column <= row + right) if right >= 0 else seen


def _additive(mask: Array, scores: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """The mask as numbers to add to the scores: -inf where it masks, also behind its last key."""
    _check_mask(mask, scores)
    bias = (np.where(mask, 0.0, -np.inf) if mask.dtype == bool else mask).astype(dtype)
    missing = scores[-1] - mask.shape[-1]
    return np.pad(bias, [(0, 0)] * (mask.ndim - 1) + [(0, missing)], constant_values=-np.inf)


def _check_mask(mask: Array, scores: tuple[int, ...]) -> None:
    before = zip(mask.shape[-2::-1], scores[-2::-1], strict=False)
    fits = 1 <= mask.ndim <= 4 and mask.shape[-1] <= scores[-1]
    if not fits or any(n not in (1, full) for n, full in before):
        raise ValueError(f"a mask of shape {mask.shape} for scores of shape {scores}")


@op("RotaryEmbedding", since=23, rounds=True)
def rotary_embedding(
    x: Array,
    cos_cache: Array,
    sin_cache: Array,
    position_ids: Array | None = None,
    /,
    *,
    interleaved: int = 0,
    num_heads: int | None = None,
    rotary_embedding_dim: int = 0,
) -> Array:
    """``X`` with the pairs of each head's elements rotated by the angle of their position.

    X is (batch, heads, length, head size), or (batch, length, heads * head size) with
    ``num_heads``. The caches are (positions, pairs) with int64 ``position_ids`` (batch, length),
    else (batch or 1, length, pairs). A pair is one element from each half, or two neighbours if
    ``interleaved``; elements from ``rotary_embedding_dim`` on (0: none) stay as they are.

    Raises IndexError for a position outside the caches, TypeError for positions that are not
    integers, ValueError for caches of another shape and a number of heads that does not fit.

    >>> turn = np.array([[[np.pi / 2]]])
    >>> rotary_embedding(np.array([[[[1.0, 0.0]]]]), np.cos(turn), np.sin(turn)).round(9)
    array([[[[0., 1.]]]])

    Spec: RotaryEmbedding-23; Su et al. 2021.
    """
    heads = split_heads(x, num_heads)
    if position_ids is not None:
        cos_cache, sin_cache = rows_at(cos_cache, position_ids), rows_at(sin_cache, position_ids)
    batch, length = heads.shape[0], heads.shape[2]
    places = cos_cache.shape[:-1]
    if cos_cache.shape != sin_cache.shape or places not in ((batch, length), (1, length)):
        raise ValueError(
            f"angles of shapes {cos_cache.shape} and {sin_cache.shape} for tokens {batch, length}"
        )
    rotated = rotate_pairs(
        heads, cos_cache[:, None], sin_cache[:, None], rotary_embedding_dim, bool(interleaved)
    )
    return merge_heads(rotated) if x.ndim == 3 else rotated


def rows_at(cache: Array, positions: Array) -> Array:
    """The rows of a cache of cosines or sines at integer positions.

    Raises IndexError for a position outside of the cache, TypeError for other dtypes.

    >>> rows_at(np.array([[5.0], [7.0]]), np.array([1]))
    array([[7.]])
    """
    integers(positions)
    outside = positions[(positions < 0) | (positions >= len(cache))]
    if outside.size:
        raise IndexError(f"position {outside[0]} is outside a cache of {len(cache)}")
    reserve((*positions.shape, *cache.shape[1:]), cache.dtype)
    return cache[positions]


def rotate_pairs(x: Array, cos: Array, sin: Array, size: int, interleaved: bool) -> Array:
    """Pairs on the last axis rotated by angles; only among the first ``size`` elements (0: all).

    Raises ValueError for angles of another number or shape.

    >>> rotate_pairs(np.array([1.0, 0.0, 5.0]), np.array([0.0]), np.array([1.0]), 2, False)
    array([0., 1., 5.])
    """
    size = size or x.shape[-1]
    if cos.shape[-1] * 2 != size:
        raise ValueError(
            f"the caches hold {cos.shape[-1]} angles for {size} elements, expected {size // 2}"
        )
    head, rest = x[..., :size], x[..., size:]
    if interleaved:
        pairs = head.reshape(*head.shape[:-1], -1, 2)
    else:
        pairs = head.reshape(*head.shape[:-1], 2, -1).swapaxes(-1, -2)
    first, second = pairs[..., 0], pairs[..., 1]
    if any(n not in (1, full) for n, full in zip(cos.shape, first.shape[-cos.ndim :], strict=True)):
        raise ValueError(f"angles of shape {cos.shape} for pairs of shape {first.shape}")
    rotated = np.stack([first * cos - second * sin, first * sin + second * cos], axis=-1)
    if not interleaved:
        rotated = rotated.swapaxes(-1, -2)
    return np.concatenate([rotated.reshape(head.shape), rest], axis=-1)
