"""The embedding layer of BERT as one operator."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import normalization
from .._checks import indices_in
from .._registry import op
from .._typing import Array
from ..indexing import gather
from ..quantization import dequantize_linear


class EmbedLayerNormalization(NamedTuple):
    """What EmbedLayerNormalization returns."""

    output: Array
    mask_index: Array
    embedding_sum: Array


@op("EmbedLayerNormalization", since=1, domain="com.microsoft", rounds=(0, 2))
def embed_layer_normalization(
    input_ids: Array,
    segment_ids: Array | None,
    word_embedding: Array,
    position_embedding: Array,
    segment_embedding: Array | None,
    gamma: Array,
    beta: Array,
    mask: Array | None = None,
    position_ids: Array | None = None,
    /,
    *,
    epsilon: float = 1e-12,
    mask_index_type: int | None = None,
) -> EmbedLayerNormalization:
    """The normalized sum of word, position and segment embeddings, the row lengths, and the sum.

    Ids are int32 (batch, length), the output (batch, length, hidden). Positions count from 0 unless
    given. ``mask_index`` (int32) is the sum of the mask in each row, or 0 without a mask.

    Raises IndexError for an id outside its table, TypeError for ids that are not integers.

    >>> table, one = np.array([[0.0, 2.0], [5.0, 5.0]]), np.ones(2)
    >>> ids = np.array([[0, 1]], np.int32)
    >>> embed_layer_normalization(ids, None, table, 0 * table, None, one, 0 * one).embedding_sum
    array([[[0., 2.],
            [5., 5.]]])

    Spec: com.microsoft.EmbedLayerNormalization-1.
    """
    batch, length = input_ids.shape
    positions = np.arange(length)[None] if position_ids is None else position_ids
    total = _rows(word_embedding, input_ids) + _rows(position_embedding, positions)
    if segment_embedding is not None and segment_ids is not None:
        total = total + _rows(segment_embedding, segment_ids)
    output = normalization.layer_normalization(total, gamma, beta, epsilon=epsilon).y
    lengths = np.zeros(batch, np.int32) if mask is None else mask.sum(axis=1, dtype=np.int32)
    return EmbedLayerNormalization(output, lengths, total)


def _rows(table: Array, ids: Array) -> Array:
    if ids.size and ids.min() < 0:
        indices_in(np.where(ids < 0, len(table), ids), len(table))  # ids never count from the end
    return gather(table, ids)


class QEmbedLayerNormalization(NamedTuple):
    """What QEmbedLayerNormalization returns."""

    layernorm_out: Array
    mask_index_out: Array


@op("QEmbedLayerNormalization", since=1, domain="com.microsoft")
def qembed_layer_normalization(
    input_ids: Array,
    segment_ids: Array | None,
    word_embedding_quant: Array,
    position_embedding_quant: Array,
    segment_embedding: Array | None,
    gamma_quant: Array,
    beta_quant: Array,
    mask: Array | None,
    word_embedding_scale: Array,
    position_embedding_scale: Array,
    segment_embedding_scale: Array | None,
    gamma_scale: Array,
    beta_scale: Array,
    word_embedding_zero_point: Array,
    position_embedding_zero_point: Array,
    segment_embedding_zero_point: Array | None,
    gamma_zero_point: Array,
    beta_zero_point: Array,
    /,
    *,
    epsilon: float = 1e-12,
) -> QEmbedLayerNormalization:
    """EmbedLayerNormalization with 8-bit tables and weights, each with a scale and a zero point.

    Raises IndexError for an id outside its table, and the errors of DequantizeLinear.

    >>> table, scale, zero = np.uint8([[1, 3]]), np.float32(1), np.uint8(1)
    >>> ids = np.array([[0]], np.int32)
    >>> qembed_layer_normalization(
    ...     ids, None, table, table, None, table[0], table[0], None,
    ...     scale, scale, None, scale, scale, zero, zero, None, zero, zero
    ... ).layernorm_out
    array([[[0., 4.]]], dtype=float32)

    Spec: com.microsoft.QEmbedLayerNormalization-1.
    """
    real = dequantize_linear
    words = real(word_embedding_quant, word_embedding_scale, word_embedding_zero_point)
    places = real(position_embedding_quant, position_embedding_scale, position_embedding_zero_point)
    segments = None
    if segment_embedding is not None and segment_embedding_scale is not None:
        segments = real(segment_embedding, segment_embedding_scale, segment_embedding_zero_point)
    gamma = real(gamma_quant, gamma_scale, gamma_zero_point)
    beta = real(beta_quant, beta_scale, beta_zero_point)
    found = embed_layer_normalization(
        input_ids, segment_ids, words, places, segments, gamma, beta, mask, epsilon=epsilon
    )
    return QEmbedLayerNormalization(found.output, found.mask_index)
