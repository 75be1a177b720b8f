"""Packed batches: the real tokens of all sequences one after the other, without padding."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._budget import reserve
from .._registry import op
from .._typing import Array


class RemovePadding(NamedTuple):
    """What RemovePadding returns."""

    output: Array
    token_offset: Array
    cumulated_seq_len: Array
    max_seq_len: Array


@op("RemovePadding", since=1, domain="com.microsoft")
def remove_padding(input: Array, sequence_token_count: Array, /) -> RemovePadding:
    """The real tokens of a right-padded batch, (tokens, hidden), and where they came from.

    ``token_offset`` (batch, length) lists the positions of the real tokens, then those of padding;
    the other outputs are the cumulative sum of the lengths, and the longest.

    >>> batch = np.arange(6.0).reshape(2, 3, 1)
    >>> packed = remove_padding(batch, np.array([1, 2], np.int32))
    >>> packed.output.ravel(), packed.token_offset.ravel(), packed.cumulated_seq_len
    (array([0., 3., 4.]), array([0, 3, 4, 1, 2, 5], dtype=int32), array([0, 1, 3], dtype=int32))

    Spec: com.microsoft.RemovePadding-1.
    """
    batch, length, hidden = input.shape
    counts = sequence_token_count.astype(np.int32)
    real = np.arange(length) < counts[:, None]
    places = np.arange(batch * length, dtype=np.int32)
    order = np.concatenate([places[real.reshape(-1)], places[~real.reshape(-1)]])
    output = input.reshape(-1, hidden)[order[: int(counts.sum())]]
    ends = np.cumsum([0, *counts], dtype=np.int32)
    return RemovePadding(output, order.reshape(batch, length), ends, counts.max(keepdims=True))


@op("RestorePadding", since=1, domain="com.microsoft")
def restore_padding(input: Array, token_offset: Array, /) -> Array:
    """Packed tokens at their positions in the batch, (batch, length, hidden); padding is zeros.

    >>> offsets = np.array([[0, 3, 4], [1, 2, 5]], np.int32)
    >>> restore_padding(np.array([[7.0], [8.0], [9.0]]), offsets)[..., 0]
    array([[7., 0., 0.],
           [8., 9., 0.]])

    Spec: com.microsoft.RestorePadding-1.
    """
    tokens, hidden = input.shape
    reserve((token_offset.size, hidden), input.dtype)
    output = np.zeros((token_offset.size, hidden), input.dtype)
    output[token_offset.reshape(-1)[:tokens]] = input
    return output.reshape(*token_offset.shape, hidden)
