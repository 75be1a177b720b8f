"""The embedding layer against loops over texts and tokens."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array, dequantize_linear
from embedx.ops.microsoft import embed_layer_normalization, qembed_layer_normalization
from tests.assertions import assert_close, assert_equal
from tests.ops.microsoft.values import F32, numbers
from tests.strategies import generators

Rng = np.random.Generator
quantized: Any = qembed_layer_normalization  # most of its inputs come in lists here


def normalised(row: list[float], gamma: Array, beta: Array, epsilon: float) -> list[float]:
    mean = math.fsum(row) / len(row)
    variance = math.fsum((v - mean) ** 2 for v in row) / len(row)
    root = math.sqrt(variance + epsilon)
    affine = zip(row, gamma.tolist(), beta.tolist(), strict=True)
    return [(v - mean) / root * g + b for v, g, b in affine]


@given(generators(), st.data())
def test_embeddings_are_added_and_normalised(rng: Rng, data: st.DataObject) -> None:
    batch, length, hidden = (data.draw(st.integers(1, most)) for most in (2, 3, 4))
    words, places, segments = (numbers(rng, rows, hidden) for rows in (5, 4, 2))
    gamma, beta = numbers(rng, 2, hidden)
    ids = rng.integers(0, 5, (batch, length)).astype(np.int32)
    kinds = rng.integers(0, 2, (batch, length)).astype(np.int32)
    with_kinds, with_mask = data.draw(st.booleans()), data.draw(st.booleans())
    mask = rng.integers(0, 2, (batch, length)).astype(np.int32)
    position_ids = data.draw(st.sampled_from([None, (1, length), (batch, length)]))
    positions = None if position_ids is None else rng.integers(0, 4, position_ids).astype(np.int32)
    found = embed_layer_normalization(
        ids, kinds if with_kinds else None, words, places, segments if with_kinds else None,
        gamma, beta, mask if with_mask else None, positions, epsilon=0.25,
    )  # fmt: skip
    total, output = np.zeros((2, batch, length, hidden))
    for b, t in np.ndindex(batch, length):
        place = t if positions is None else int(np.broadcast_to(positions, ids.shape)[b, t])
        row = words[ids[b, t]].astype(np.float64) + places[place]
        total[b, t] = row + (segments[kinds[b, t]] if with_kinds else 0)
        output[b, t] = normalised(total[b, t].tolist(), gamma, beta, 0.25)
    assert_close(found.embedding_sum, total, F32, floor=4)
    assert_close(found.output, output, F32, floor=32)
    counts = [sum(row) if with_mask else 0 for row in mask.tolist()]
    assert_equal(found.mask_index, np.array(counts, np.int32))


@given(generators(), st.booleans())
def test_quantized_tables_are_dequantized_first(rng: Rng, with_segments: bool) -> None:
    tables = [rng.integers(0, 256, shape).astype(np.uint8) for shape in ((5, 4), (3, 4), (2, 4))]
    rows = [rng.integers(0, 256, 4).astype(np.uint8) for _ in range(2)]
    scales = [np.array(s, np.float32) for s in rng.uniform(0.01, 0.2, 5)]
    zeros = [np.array(z, np.uint8) for z in rng.integers(0, 256, 5)]
    ids = rng.integers(0, 5, (2, 3)).astype(np.int32)
    kinds, mask = rng.integers(0, 2, (2, 2, 3)).astype(np.int32)
    words, places, segments, gamma, beta = (
        dequantize_linear(*three) for three in zip([*tables, *rows], scales, zeros, strict=True)
    )
    if with_segments:
        found = quantized(ids, kinds, *tables, *rows, mask, *scales, *zeros)
        wanted = embed_layer_normalization(
            ids, kinds, words, places, segments, gamma, beta, mask
        )  # fmt: skip
    else:
        none = None
        found = quantized(
            ids, none, *tables[:2], none, *rows, mask, *scales[:2], none, *scales[3:], *zeros[:2],
            none, *zeros[3:],
        )  # fmt: skip
        wanted = embed_layer_normalization(ids, none, words, places, none, gamma, beta, mask)
    assert_equal(found.layernorm_out, wanted.output)
    assert_equal(found.mask_index_out, wanted.mask_index)


@pytest.mark.parametrize("bad", [-1, 5])
def test_ids_outside_a_table_are_refused(bad: int) -> None:
    table, one = np.ones((5, 2), np.float32), np.ones(2, np.float32)
    fine, ids = np.array([[0]], np.int32), np.array([[bad]], np.int32)
    with pytest.raises(IndexError):
        embed_layer_normalization(ids, None, table, table, None, one, one)
    with pytest.raises(IndexError):
        embed_layer_normalization(fine, ids, table, table, table, one, one)
    with pytest.raises(IndexError):
        embed_layer_normalization(fine, None, table, table, None, one, one, None, ids)
