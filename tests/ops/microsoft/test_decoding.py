"""Decoding steps as MultiHeadAttention with a cache that each text has for itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops.microsoft import decoder_masked_multi_head_attention, multi_head_attention
from tests.assertions import assert_close, assert_equal
from tests.ops.microsoft.attending import attend, heads_of, in_a_row
from tests.ops.microsoft.values import F32, i32, numbers
from tests.strategies import generators

Rng = np.random.Generator
HEADS, SIZE = 2, 3


@given(generators(), st.integers(0, 3), st.integers(0, 2), st.data())
def test_a_step_is_attention_to_the_past_and_itself(
    rng: Rng, past: int, room: int, data: st.DataObject
) -> None:
    q, k, v = (numbers(rng, 2, 1, HEADS * SIZE) for _ in range(3))
    caches = numbers(rng, 2, 2, HEADS, past + 1 + room, SIZE)
    bias = numbers(rng, 3 * HEADS * SIZE) if data.draw(st.booleans()) else None
    mask = rng.integers(0, 2, (2, past + 1)).astype(np.int32)
    extra = numbers(rng, 1, HEADS, 1, past + 1) if data.draw(st.booleans()) else None
    found = decoder_masked_multi_head_attention(
        q, k, v, mask, extra, caches[0], caches[1], i32([past]), None, None, bias, num_heads=HEADS,
        past_present_share_buffer=1, mask_filter_value=-3.0,
    )  # fmt: skip
    small = caches[:, :, :, :past]
    expected = multi_head_attention(
        q, k, v, bias, mask, extra, small[0], small[1], num_heads=HEADS, mask_filter_value=-3.0
    )
    assert_equal(found.output, expected.output)
    for ours, theirs, old in zip(found[1:3], expected[1:3], caches, strict=True):
        assert_equal(ours, np.concatenate([theirs, old[:, :, past + 1 :]], axis=2))
    if not room and extra is None:
        plain = decoder_masked_multi_head_attention(
            q, k, v, mask, None, small[0], small[1], None, None, None, bias, num_heads=HEADS,
            mask_filter_value=-3.0,
        )  # fmt: skip
        assert_equal(plain.output, expected.output)


@given(generators(), st.integers(1, 2), st.integers(1, 3), st.integers(1, 3))
def test_beams_follow_the_tokens_of_others(rng: Rng, texts: int, width: int, past: int) -> None:
    rows = texts * width
    q, k, v = (numbers(rng, rows, 1, HEADS * SIZE) for _ in range(3))
    caches = numbers(rng, 2, rows, HEADS, past + 2, SIZE)
    beams = rng.integers(0, width, (texts, width, past + 2)).astype(np.int32)
    found = decoder_masked_multi_head_attention(
        q, k, v, None, None, caches[0], caches[1], i32([past]), i32([width]), beams,
        num_heads=HEADS, past_present_share_buffer=1,
    )  # fmt: skip
    own = np.zeros((2, rows, HEADS, past, SIZE))
    for row, t in np.ndindex(rows, past):
        text, beam = divmod(row, width)
        own[:, row, :, t] = caches[:, text * width + int(beams[text, beam, t]), :, t]
    keys, values = (
        np.concatenate([old, heads_of(new, HEADS)], axis=2)
        for old, new in zip(own, (k, v), strict=True)
    )
    exact = in_a_row(attend(heads_of(q, HEADS), keys, values, np.zeros(())))
    assert_close(found.output, exact, F32, floor=64)
    assert_equal(found.present_key[:, :, :past], caches[0][:, :, :past])


def test_keys_may_be_those_of_another_text() -> None:
    rng = np.random.default_rng(0)
    q, k, v = numbers(rng, 2, 1, 6), numbers(rng, 2, 2, 4, 3), numbers(rng, 2, 2, 4, 3)
    found = decoder_masked_multi_head_attention(q, k, v, num_heads=2)
    assert_equal(found.output, multi_head_attention(q, k, v, num_heads=2).output)


ONE = np.ones((1, 1, 2), np.float32)
CACHE = np.ones((1, 1, 4, 2), np.float32)
NONE: Any = None


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([ONE.repeat(2, 1)] * 3, "length 1, not 2"),
        ([ONE, ONE.repeat(3, 1), ONE.repeat(3, 1)], "length 1, not 3"),
        ([ONE, ONE, ONE, NONE, NONE, CACHE, CACHE], "needs a past and its past_sequence_length"),
        ([ONE, ONE, ONE, NONE, NONE, CACHE, CACHE, i32([4])], "1 new tokens behind 4 do not fit"),
        (
            [ONE, ONE, ONE, NONE, NONE, CACHE, CACHE, i32([2]), i32([2]), i32([[[0, 0]]])],
            "cache_indirection of shape",
        ),
        (
            [ONE, ONE, ONE, NONE, NONE, CACHE, CACHE, i32([2]), i32([1]), i32([[[0, 1]]])],
            "leads to more than 1 beams",
        ),
        (
            [ONE, ONE, ONE, NONE, NONE, CACHE, CACHE, i32([2]), i32([1]), i32([[[0]]])],
            "ends too early",
        ),
    ],
)
def test_refusals(inputs: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decoder_masked_multi_head_attention(*inputs, num_heads=1, past_present_share_buffer=1)
