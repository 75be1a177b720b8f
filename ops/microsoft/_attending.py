"""What the attention operators of com.microsoft share: heads, caches, masks and biases."""

from __future__ import annotations

import math

import numpy as np

from .._budget import reserve
from .._checks import per_column, scalar_int
from .._typing import Array
from ..attention import split_heads

MASKED = -10000.0
"""The default of ``mask_filter_value``, which is added to a masked score."""


def heads_of(
    query: Array, key: Array | None, value: Array | None, bias: Array | None, heads: int
) -> tuple[Array, Array, Array]:
    """Q, K and V with their biases added, each (batch, heads, length, head size).

    >>> [x.shape for x in heads_of(np.zeros((1, 2, 3, 3, 4)), None, None, None, 3)]
    [(1, 3, 2, 4), (1, 3, 2, 4), (1, 3, 2, 4)]
    """
    q, k, v = _unpacked(query, key, value)
    parts = [None] * 3 if bias is None else np.split(bias, [q.shape[-1], 2 * q.shape[-1]])
    q, k, v = (
        split_heads(x if part is None or x.ndim == 4 else x + per_column(part, x), heads)
        for x, part in zip((q, k, v), parts, strict=True)
    )
    return q, k, v


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


def past_tokens(past: Array | None, length: Array | None) -> int:
    """How many tokens a cache (batch, heads, length, size) holds: all, or the first ``length``.

    >>> past_tokens(np.zeros((1, 1, 8, 2)), np.array([3]))
    3
    """
    if past is None:
        return 0
    return past.shape[2] if length is None else scalar_int(length)


def cached(past: Array | None, new: Array, length: Array | None) -> Array:
    """The cache (batch, heads, length, head size) with new tokens behind those that it holds.

    With a ``length`` it keeps its size. Raises ValueError unless it has room for them.

    >>> cached(np.zeros((1, 1, 3, 1)), np.ones((1, 1, 1, 1)), np.array(1)).ravel()
    array([0., 1., 0.])
    """
    if past is None:
        return new
    if length is None:
        return np.concatenate([past, new], axis=2)
    before = scalar_int(length)
    after = before + new.shape[2]
    if not 0 <= before <= after <= past.shape[2]:
        raise ValueError(
            f"{new.shape[2]} new tokens behind {before} do not fit a cache of {past.shape[2]}"
        )
    grown = past.copy()
    grown[:, :, before:after] = new
    return grown


def scaled_scores(q: Array, k: Array, scale: float | None, bias: Array | None) -> Array:
    """``scale * Q K' + bias``; ``scale`` defaults to one over the square root of the head size.

    Raises ValueError for a bias that does not have the shape of the scores, or size 1 for batch or
    heads.

    >>> scaled_scores(np.ones((1, 1, 1, 4)), np.ones((1, 1, 2, 4)), None, None)
    array([[[[2., 2.]]]])
    """
    scores = q @ k.swapaxes(-1, -2) * (scale or 1 / math.sqrt(q.shape[-1]))
    return np.asarray(scores if bias is None else scores + checked_bias(bias, scores.shape))


def checked_bias(bias: Array, shape: tuple[int, ...]) -> Array:
    """The bias. Raises ValueError unless it has the scores' shape, or size 1 for batch or heads.

    >>> checked_bias(np.zeros((1, 1, 3, 5)), (2, 4, 3, 5)).shape
    (1, 1, 3, 5)
    """
    alike = zip(bias.shape[:2], shape[:2], strict=False)
    if bias.shape[2:] != shape[2:] or not all(n in (1, full) for n, full in alike):
        raise ValueError(f"an attention bias of shape {bias.shape} for scores of shape {shape}")
    return bias


def score_bias(
    mask: Array | None, q: Array, k: Array, past: int, filter_value: float | None, causal: bool
) -> Array:
    """What masks add to the scores, broadcastable to (batch, heads, queries, keys).

    >>> one = np.ones((1, 1, 2, 4))
    >>> score_bias(np.array([[1, 0]]), one, one, 0, -5.0, False)
    array([[[[ 0., -5.]]]])
    """
    reserve((q.shape[2], k.shape[2]), q.dtype)  # the batch may be empty
    row, column = past + np.arange(q.shape[2])[:, None], np.arange(k.shape[2])
    bias = np.zeros((1, 1, 1, 1), q.dtype)
    if mask is not None:
        kept = _kept(mask, len(q), row, column)
        bias = np.where(kept, bias, q.dtype.type(MASKED if filter_value is None else filter_value))
    return np.where(column > row, q.dtype.type(-np.inf), bias) if causal else bias


def _kept(mask: Array, batch: int, row: Array, column: Array) -> Array:
    """Whether a query (row) may attend to a key (column), by a mask in any of its forms."""
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
    last = row.max(initial=-1)
    if (
        mask.ndim == 4
        and mask.shape[:2] == (batch, 1)
        and (mask.shape[2] > last and mask.shape[3] >= keys)
    ):
        return np.asarray(mask[:, :, row, column] > 0)
    raise ValueError(
        f"a mask of shape {mask.shape} does not fit {batch} rows of {queries} queries, {keys} keys"
    )
