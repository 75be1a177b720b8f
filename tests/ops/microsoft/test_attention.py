"""Fused attention against loops over texts, heads, queries and keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array
from embedx.ops.microsoft import (
    attention,
    multi_head_attention,
    packed_attention,
    remove_padding,
)
from tests.assertions import assert_close, assert_equal
from tests.ops.microsoft.attending import attend, heads_of, in_a_row, turned
from tests.ops.microsoft.values import F32, f32, numbers
from tests.strategies import generators

Rng = np.random.Generator


# Each form of a mask: what is passed, and whether query i of text b may look at key j.
Looks = Callable[[int, int, int], bool]


def no_mask(rng: Rng, batch: int, queries: int, keys: int) -> tuple[Array | None, Looks]:
    return None, lambda b, i, j: True


def key_mask(rng: Rng, batch: int, queries: int, keys: int) -> tuple[Array | None, Looks]:
    mask = rng.integers(0, 2, (batch, keys)).astype(np.int32)
    return mask, lambda b, i, j: bool(mask[b, j])


def query_mask(rng: Rng, batch: int, queries: int, keys: int) -> tuple[Array | None, Looks]:
    mask = rng.integers(0, 2, (batch, queries, keys)).astype(np.int32)
    return mask, lambda b, i, j: bool(mask[b, i, j])


def lengths(rng: Rng, batch: int, queries: int, keys: int) -> tuple[Array | None, Looks]:
    mask = rng.integers(0, keys + 1, batch).astype(np.int32)
    return mask, lambda b, i, j: j < int(mask[b])


def ends_and_starts(rng: Rng, batch: int, queries: int, keys: int) -> tuple[Array | None, Looks]:
    starts, ends = rng.integers(0, keys + 1, (2, batch)).astype(np.int32)
    return np.concatenate([ends, starts]), lambda b, i, j: int(starts[b]) <= j < int(ends[b])


def lengths_and_sums(rng: Rng, batch: int, queries: int, keys: int) -> tuple[Array | None, Looks]:
    mask, looks = lengths(rng, batch, queries, keys)
    assert mask is not None
    return np.concatenate([mask, np.zeros(2 * batch + 2, np.int32)]), looks


def square(rng: Rng, batch: int, queries: int, keys: int) -> tuple[Array | None, Looks]:
    mask = rng.integers(0, 2, (batch, 1, keys + 2, keys + 2)).astype(np.int32)
    return mask, lambda b, i, j: bool(mask[b, 0, keys - queries + i, j])


MASKS = [no_mask, key_mask, query_mask, lengths, ends_and_starts, lengths_and_sums, square]


def added(looks: Looks, shape: tuple[int, int, int], masked: float, past: int | None) -> Array:
    """What a mask adds to each score; -inf for keys behind the query, unless ``past`` is None."""
    batch, queries, keys = shape
    bias = np.zeros((batch, 1, queries, keys))
    for b, i, j in np.ndindex(*shape):
        bias[b, 0, i, j] = 0 if looks(b, i, j) else masked
        if past is not None and j > past + i:
            bias[b, 0, i, j] = -np.inf
    return bias


@pytest.mark.parametrize("form", MASKS)
@given(rng=generators(), data=st.data())
def test_attention(form: Callable[..., Any], rng: Rng, data: st.DataObject) -> None:
    batch, length, past, heads = (data.draw(st.integers(low, 2)) for low in (1, 1, 0, 1))
    size, value_size, hidden = 2, data.draw(st.sampled_from([2, 3])), 3
    sizes = (heads * size, heads * size, heads * value_size)
    x, w = numbers(rng, batch, length, hidden), numbers(rng, hidden, sum(sizes))
    b = numbers(rng, sum(sizes)) if data.draw(st.booleans()) else None
    before = numbers(rng, 2, batch, heads, past, size) if past and value_size == size else None
    keys = length + (0 if before is None else past)
    mask, looks = form(rng, batch, length, keys)
    extra = data.draw(st.sampled_from([None, (1, heads), (batch, 1), (batch, heads)]))
    bias = None if extra is None else numbers(rng, *extra, length, keys)
    causal, scale = data.draw(st.booleans()), data.draw(st.sampled_from([None, 0.5]))
    filtered = data.draw(st.sampled_from([None, -2.0]))
    found = attention(
        x, w, b, mask, before, bias, num_heads=heads, scale=scale, mask_filter_value=filtered,
        qkv_hidden_sizes=None if value_size == size else sizes, unidirectional=int(causal),
    )  # fmt: skip
    projected = x.astype(np.float64) @ w + (0 if b is None else b)
    parts = np.split(projected, np.cumsum(sizes)[:-1], axis=-1)
    q, k, v = (heads_of(part, heads) for part in parts)
    if before is not None:
        k, v = np.concatenate([before[0], k], axis=2), np.concatenate([before[1], v], axis=2)
    shape = (batch, length, keys)
    total = added(
        looks, shape, -10000.0 if filtered is None else filtered, keys - length if causal else None
    )
    total = total + (0 if bias is None else bias)
    assert_close(found.output, in_a_row(attend(q, k, v, total, scale)), F32, floor=20_000)
    if value_size == size:
        assert_close(found.present, np.stack([k, v]), F32, floor=16)


def test_a_masked_score_is_lowered_not_removed() -> None:
    # So a text without tokens attends to all of them, by what their scores are.
    x, w = f32([[[1], [3]]]), f32([[0, 0, 1]])
    nothing = np.zeros((1, 2), np.int32)
    assert_equal(attention(x, w, None, nothing, num_heads=1).output, np.full_like(x, 2))
    low = -3.4028235e38  # as exporters write it: the scores drown in it
    w = f32([[1, 1, 1]])
    found = attention(x, w, None, nothing, num_heads=1, mask_filter_value=low).output
    assert_equal(found, np.full_like(x, 2))


@given(generators(), st.integers(0, 2), st.sampled_from([4, 2]))
def test_rotary_attention_turns_queries_and_keys(rng: Rng, past: int, dim: int) -> None:
    x, w = numbers(rng, 1, 3, 3), numbers(rng, 3, 12)
    before = numbers(rng, 2, 1, 1, past, 4)
    found = attention(x, w, None, None, before, num_heads=1, do_rotary=1, rotary_embedding_dim=dim)
    q, k, v = (heads_of(part, 1) for part in np.split(x.astype(np.float64) @ w, 3, axis=-1))
    frequencies = 10000.0 ** (-np.arange(0, dim, 2) / dim)
    for part in (q, k):
        for t in range(3):
            part[0, 0, t] = turned(part[0, 0, t], (past + t) * frequencies)
    k, v = np.concatenate([before[0], k], axis=2), np.concatenate([before[1], v], axis=2)
    assert_close(found.output, in_a_row(attend(q, k, v, np.zeros(()))), F32, floor=64)


@given(generators(), st.integers(0, 2), st.booleans())
def test_a_mask_of_one_number_a_text_masks_nothing(rng: Rng, past: int, one: bool) -> None:
    x, w, before = numbers(rng, 2, 3, 3), numbers(rng, 3, 12), numbers(rng, 2, 2, 2, past, 2)
    expected = attention(x, w, None, None, before, num_heads=2)
    for number in (0, 1):
        mask = np.full((1 if one else 2, 1), number, np.int32)
        assert_equal(attention(x, w, None, mask, before, num_heads=2).output, expected.output)


@given(generators(), st.integers(0, 3), st.integers(0, 2), st.booleans())
def test_caches_may_have_room_for_more(rng: Rng, past: int, room: int, causal: bool) -> None:
    x, w = numbers(rng, 2, 2, 3), numbers(rng, 3, 12)
    cache, length = numbers(rng, 2, 2, 2, past + 2 + room, 2), np.array([past], np.int32)
    attributes: dict[str, Any] = {"num_heads": 2, "unidirectional": int(causal)}
    mask = rng.integers(0, 2, (2, past + 2)).astype(np.int32)
    small = cache[:, :, :, :past]
    found = attention(
        x, w, None, mask, cache, None, length, **attributes, do_rotary=1,
        past_present_share_buffer=1,
    )  # fmt: skip
    grown = attention(x, w, None, mask, small, **attributes, do_rotary=1)
    assert_equal(found.output, grown.output)
    present = np.concatenate([grown.present, cache[:, :, :, past + 2 :]], axis=3)
    assert_equal(found.present, present)
    q, k, v = np.split(x @ w, 3, axis=-1)
    rest = (None, mask, None)
    shared = multi_head_attention(q, k, v, *rest, cache[0], cache[1], length, **attributes)
    plain = multi_head_attention(q, k, v, *rest, small[0], small[1], **attributes)
    for ours, theirs, old in zip(shared[:3], plain[:3], (None, *cache), strict=True):
        tail = np.zeros((2, 0, 4), np.float32) if old is None else old[:, :, past + 2 :]
        assert_equal(ours, np.concatenate([theirs, tail], axis=-2))


def test_caches_without_room_and_other_masks_are_refused() -> None:
    x, w, none = np.ones((1, 2, 3), np.float32), np.ones((3, 3), np.float32), None
    past = np.ones((2, 1, 1, 4, 1), np.float32)
    with pytest.raises(ValueError, match="needs a past and its past_sequence_length"):
        attention(x, w, num_heads=1, past_present_share_buffer=1)
    for length in (3, -1, 4):
        with pytest.raises(ValueError, match=f"2 new tokens behind {length} do not fit"):
            attention(
                x, w, none, none, past, none, np.array(length), num_heads=1,
                past_present_share_buffer=1,
            )  # fmt: skip
    with pytest.raises(ValueError, match="beams"):
        multi_head_attention(x, x, x, none, none, none, none, none, none, np.ones(1), num_heads=1)
    for mask in (np.ones((1, 3)), np.ones((1, 1, 1, 1)), np.ones((1, 1, 2, 1)), np.ones((3, 1))):
        with pytest.raises(ValueError, match=r"a mask of shape .* does not fit"):
            attention(x, w, none, mask.astype(np.int32), num_heads=1)
    for shape in ((1, 1, 1, 2), (1, 1, 2, 3), (2, 1, 2, 2), (2, 2)):
        with pytest.raises(ValueError, match="an attention bias of shape"):
            attention(x, w, none, none, none, np.ones(shape, np.float32), num_heads=1)


def test_biases_keys_and_sizes_that_do_not_fit_are_refused() -> None:
    x, w, none = np.ones((1, 2, 3), np.float32), np.ones((3, 3), np.float32), None
    for bias in (np.ones(1, np.float32), np.ones((1, 3), np.float32)):
        with pytest.raises(ValueError, match="expected one number per column"):
            attention(x, w, bias, num_heads=1)
        with pytest.raises(ValueError, match="expected one number per column"):
            multi_head_attention(x, x, x, bias, num_heads=1)
    for sizes in ((1, 1), (1, 1, 2), (2, 2, -1)):
        with pytest.raises(ValueError, match="do not make up 3 columns"):
            attention(x, w, num_heads=1, qkv_hidden_sizes=sizes)
    with pytest.raises(ValueError, match="cannot attend to keys"):
        multi_head_attention(x, x.repeat(2, 0), x.repeat(2, 0), num_heads=1)
    with pytest.raises(ValueError, match="do not pair up"):
        multi_head_attention(x, x, x[:, :1], none, num_heads=1)


# -- MultiHeadAttention ---------------------------------------------------------------------------


@pytest.mark.parametrize("form", [no_mask, key_mask, query_mask, lengths, lengths_and_sums])
@given(rng=generators(), data=st.data())
def test_multi_head_attention(form: Callable[..., Any], rng: Rng, data: st.DataObject) -> None:
    batch, queries, keys, heads = (data.draw(st.integers(1, 2)) for _ in range(4))
    past, size, value_size = data.draw(st.integers(0, 2)), 2, data.draw(st.sampled_from([2, 3]))
    query = numbers(rng, batch, queries, heads * size)
    by_heads = data.draw(st.booleans())
    if by_heads:
        key, value = (numbers(rng, batch, heads, keys, n) for n in (size, value_size))
        k, v = key.astype(np.float64), value.astype(np.float64)
    else:
        key, value = (numbers(rng, batch, keys, heads * n) for n in (size, value_size))
        k, v = heads_of(key, heads), heads_of(value, heads)
    bias = numbers(rng, heads * (2 * size + value_size)) if data.draw(st.booleans()) else None
    bq, bk, bv = np.split(np.zeros(99) if bias is None else bias, [heads * size, 2 * heads * size])
    q = heads_of(query + bq[: heads * size].astype(np.float64), heads)
    if bias is not None and not by_heads:
        k = heads_of(key + bk.astype(np.float64), heads)
        v = heads_of(value + bv.astype(np.float64), heads)
    past_k, past_v = (numbers(rng, batch, heads, past, n) for n in (size, value_size))
    cached = (past_k, past_v) if past else (None, None)
    k, v = np.concatenate([past_k, k], axis=2), np.concatenate([past_v, v], axis=2)
    mask, looks = form(rng, batch, queries, past + keys)
    extra = numbers(rng, 1, heads, queries, past + keys) if data.draw(st.booleans()) else None
    causal = data.draw(st.booleans())
    found = multi_head_attention(
        query, key, value, bias, mask, extra, *cached, num_heads=heads, unidirectional=int(causal),
        mask_filter_value=-3.0,
    )  # fmt: skip
    total = added(looks, (batch, queries, past + keys), -3.0, past if causal else None)
    total = total + (0 if extra is None else extra)
    assert_close(found.output, in_a_row(attend(q, k, v, total)), F32, floor=64)
    assert_close(found.present_key, k, F32)
    assert_close(found.present_value, v, F32)
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(size) + total
    assert_close(found.qk, scores, F32, floor=16)


@given(generators(), st.integers(1, 2), st.integers(1, 3))
def test_packed_queries_keys_and_values_are_taken_apart(rng: Rng, batch: int, length: int) -> None:
    heads, size = 2, 3
    q, k, v = (numbers(rng, batch, length, heads, size) for _ in range(3))
    flat = [part.reshape(batch, length, -1) for part in (q, k, v)]
    expected = multi_head_attention(*flat, num_heads=heads).output
    packed = np.stack([q, k, v], axis=3)
    assert_equal(multi_head_attention(packed, num_heads=heads).output, expected)
    both = np.stack([k, v], axis=3)
    assert_equal(multi_head_attention(flat[0], both, num_heads=heads).output, expected)


def test_a_query_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a key and a value"):
        multi_head_attention(np.ones((1, 2, 3), np.float32), num_heads=1)


# -- PackedAttention ------------------------------------------------------------------------------


@given(generators(), st.lists(st.integers(0, 3), min_size=1, max_size=3), st.booleans())
def test_packed_texts_attend_to_themselves(rng: Rng, counts: list[int], biased: bool) -> None:
    longest, heads, hidden = max(counts), 2, 3
    x = numbers(rng, len(counts), longest, hidden)
    w, b = numbers(rng, hidden, 3 * 4), numbers(rng, 3 * 4)
    extra = numbers(rng, len(counts), heads, longest, longest) if biased else None
    packed = remove_padding(x, np.array(counts, np.int32))
    found = packed_attention(
        packed.output, w, b, packed.token_offset, packed.cumulated_seq_len, extra, num_heads=heads
    )
    texts = []
    for i, count in enumerate(counts):
        own = None if extra is None else extra[i : i + 1, :, :count, :count]
        if count:
            alone = x[i : i + 1, :count]
            texts.append(attention(alone, w, b, None, None, own, num_heads=heads).output[0])
    expected = np.concatenate(texts) if texts else np.zeros((0, 4), np.float32)
    assert_close(found, expected.astype(np.float64), F32, floor=16)
