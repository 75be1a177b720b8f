"""Packing against loops over texts and tokens."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array
from embedx.ops.microsoft import remove_padding, restore_padding
from tests.assertions import assert_equal
from tests.strategies import FLOATS, tensors


@st.composite
def batches(draw: st.DrawFn) -> tuple[Array, Array]:
    """A batch, and how many tokens of each text are real."""
    batch, length, hidden = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 4)),
        draw(st.integers(1, 2)),
    )
    x = draw(st.sampled_from(FLOATS).flatmap(lambda d: tensors(d, (batch, length, hidden))))
    return x, np.array([draw(st.integers(0, length)) for _ in range(batch)], np.int32)


@given(batches())
def test_real_tokens_stand_in_a_row_and_their_places_are_told(pair: tuple[Array, Array]) -> None:
    x, counts = pair
    batch, length, hidden = x.shape
    packed = remove_padding(x, counts)
    real = [(b, t) for b in range(batch) for t in range(counts[b])]
    padding = [(b, t) for b in range(batch) for t in range(counts[b], length)]
    expected = np.array([x[place] for place in real], x.dtype).reshape(-1, hidden)
    assert_equal(packed.output, expected)
    places = np.array([b * length + t for b, t in real + padding], np.int32)
    assert_equal(packed.token_offset, places.reshape(batch, length))
    ends = np.array([sum(counts[:b]) for b in range(batch + 1)], np.int32)
    assert_equal(packed.cumulated_seq_len, ends)
    assert_equal(packed.max_seq_len, np.array([max(counts)], np.int32))


@given(batches())
def test_restoring_gives_the_batch_with_zeros_for_padding(pair: tuple[Array, Array]) -> None:
    x, counts = pair
    packed = remove_padding(x, counts)
    expected = x.copy()
    for text, count in zip(expected, counts, strict=True):
        text[count:] = 0
    assert_equal(restore_padding(packed.output, packed.token_offset), expected)
