"""Attention with shared key heads against loops, and a prompt against its tokens one by one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array
from embedx.ops.microsoft import group_query_attention
from tests.assertions import assert_close, assert_equal
from tests.ops.microsoft.attending import attend, heads_of, in_a_row, turned
from tests.ops.microsoft.values import F32, i32, numbers
from tests.strategies import generators

Rng = np.random.Generator
grouped: Any = group_query_attention  # most of its inputs come in lists here


@dataclass
class Step:
    """New tokens of texts, (batch, length, heads * size), behind those in a cache."""

    q: Array
    k: Array
    v: Array
    past_k: Array
    past_v: Array
    totals: list[int]
    """The number of tokens of each text, old and new."""
    kv_heads: int
    heads: int

    @property
    def first(self) -> bool:
        return self.past_k.shape[2] == 0

    def run(self, *inputs: Any, **attributes: Any) -> Any:
        ends = np.array(self.totals, np.int32) - 1
        return grouped(
            self.q, self.k, self.v, self.past_k, self.past_v, ends, i32(max(self.totals)),
            *inputs, num_heads=self.heads, kv_num_heads=self.kv_heads, **attributes,
        )  # fmt: skip

    def starts(self) -> list[int]:
        return [0 if self.first else total - self.q.shape[1] for total in self.totals]


@st.composite
def steps(draw: st.DrawFn, rng: Rng, *, size: int = 2) -> Step:
    """A right-padded batch of prompts, or a few new tokens for each text."""
    batch, kv_heads, group = (draw(st.integers(1, 2)) for _ in range(3))
    if draw(st.booleans()):
        totals, past = [draw(st.integers(1, 4)) for _ in range(batch)], 0
        new = max(totals)
    else:
        new, past = draw(st.integers(1, 2)), draw(st.integers(1, 5))
        totals = [draw(st.integers(new, past + new)) for _ in range(batch)]
        if new == max(totals):  # else it would be the first step
            totals[0] = new + 1
    heads = kv_heads * group
    q, k, v = (numbers(rng, batch, new, n * size) for n in (heads, kv_heads, kv_heads))
    past_k, past_v = (numbers(rng, batch, kv_heads, past, size) for _ in range(2))
    return Step(q, k, v, past_k, past_v, totals, kv_heads, heads)


def expected_output(
    step: Step, q: Array, k: Array, bias: Any, *, window: int = -1, causal: bool = True
) -> list[Array]:
    """For each text the outputs (tokens, heads * size) of those new tokens that are real."""
    texts = []
    v = heads_of(step.v, step.kv_heads)
    for b, (start, total) in enumerate(zip(step.starts(), step.totals, strict=True)):
        count = total - start
        keys = np.concatenate([step.past_k[b, :, :start], k[b, :, :count]], axis=1)
        values = np.concatenate([step.past_v[b, :, :start], v[b, :, :count]], axis=1)
        seen = np.zeros((step.heads, count, total)) + bias[b, :, :count, :total]
        for i, j in np.ndindex(count, total):
            position = start + i
            if (causal and j > position) or (window > 0 and j <= position - window):
                seen[:, i, j] = -np.inf
        heads = []
        for n in range(step.heads):
            m = n // (step.heads // step.kv_heads)
            query = q[b, n, :count]
            one = attend(query[None, None], keys[None, m : m + 1], values[None, m : m + 1], seen[n])
            heads.append(one)
        texts.append(in_a_row(np.concatenate(heads, axis=1))[0])
    return texts


def assert_outputs(found: Array, step: Step, expected: list[Array]) -> None:
    """What padding gives is nobody's business."""
    for b, text in enumerate(expected):
        assert_close(found[b, : len(text)], text, F32, floor=64)


@given(generators(), st.data())
def test_group_query_attention(rng: Rng, data: st.DataObject) -> None:
    step = data.draw(steps(rng))
    shape = (len(step.totals), step.heads, step.q.shape[1], max(step.totals))
    bias = numbers(rng, *shape) if data.draw(st.booleans()) else None
    window, causal = data.draw(st.sampled_from([-1, 1, 2])), data.draw(st.booleans())
    found = step.run(
        None, None, None, bias, local_window_size=window, causal=int(causal)
    )  # fmt: skip
    q, k = heads_of(step.q, step.heads), heads_of(step.k, step.kv_heads)
    added = np.zeros(shape) if bias is None else bias
    assert_outputs(
        found.output, step, expected_output(step, q, k, added, window=window, causal=causal)
    )
    length = max(step.past_k.shape[2], max(step.totals))
    assert found.present_key.shape == (len(step.totals), step.kv_heads, length, 2)
    for b, (start, total) in enumerate(zip(step.starts(), step.totals, strict=True)):
        for cache, past, new in (
            (found.present_key, step.past_k, step.k), (found.present_value, step.past_v, step.v)
        ):  # fmt: skip
            assert_equal(cache[b, :, :start], past[b, :, :start])
            added = heads_of(new, step.kv_heads)[b, :, : total - start]
            assert_equal(cache[b, :, start:total], added.astype(np.float32))


@given(generators(), st.data())
def test_queries_keys_and_values_may_lie_in_a_row(rng: Rng, data: st.DataObject) -> None:
    step = data.draw(steps(rng))
    expected = step.run()
    row = np.concatenate([step.q, step.k, step.v], axis=-1)
    found = grouped(
        row, None, None, step.past_k, step.past_v, np.array(step.totals, np.int32) - 1,
        i32(max(step.totals)), num_heads=step.heads, kv_num_heads=step.kv_heads,
    )  # fmt: skip
    for ours, theirs in zip(found, expected, strict=True):
        assert_equal(ours, theirs)


@given(generators(), st.booleans(), st.booleans(), st.data())
def test_positions_turn_queries_and_keys(
    rng: Rng, interleaved: bool, given_positions: bool, data: st.DataObject
) -> None:
    step = data.draw(steps(rng, size=4))
    angles = rng.uniform(0, 6, (9, 1 + data.draw(st.integers(0, 1))))
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    new, starts = step.q.shape[1], step.starts()
    places = np.array([[start + i for i in range(new)] for start in starts])
    found = step.run(
        cos, sin, places if given_positions else None, do_rotary=1,
        rotary_interleaved=int(interleaved),
    )  # fmt: skip
    q, k = heads_of(step.q, step.heads), heads_of(step.k, step.kv_heads)
    for part in (q, k):
        for b, n, i in np.ndindex(*part.shape[:3]):
            part[b, n, i] = turned(part[b, n, i], angles[starts[b] + i], interleaved)
    nothing = np.zeros((len(starts), step.heads, new, max(step.totals)))
    assert_outputs(found.output, step, expected_output(step, q, k, nothing))


@given(generators(), st.integers(1, 5), st.data())
def test_a_prompt_gives_what_its_tokens_give_one_by_one(
    rng: Rng, count: int, data: st.DataObject
) -> None:
    heads, kv_heads, size = 4, 2, 4
    q, k, v = (numbers(rng, 1, count, n * size) for n in (heads, kv_heads, kv_heads))
    angles = rng.uniform(0, 6, (9, 2))
    caches = (np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32))
    window = data.draw(st.sampled_from([-1, 2]))
    attributes: dict[str, Any] = {
        "num_heads": heads, "kv_num_heads": kv_heads, "do_rotary": 1, "local_window_size": window,
        "softcap": data.draw(st.sampled_from([None, 1.5])),
    }  # fmt: skip
    none = np.zeros((1, kv_heads, 0, size), np.float32)
    ends, total = np.array([count - 1], np.int32), i32(count)
    whole = grouped(q, k, v, none, none, ends, total, *caches, **attributes)
    past = (none, none)
    for t in range(count):
        part = (x[:, t : t + 1] for x in (q, k, v))
        one = grouped(*part, *past, np.array([t], np.int32), i32(t + 1), *caches, **attributes)
        past = (one.present_key, one.present_value)
        assert_close(one.output, whole.output[:, t : t + 1].astype(np.float64), F32, floor=64)
    assert_close(past[0], whole.present_key.astype(np.float64), F32, floor=16)


@given(generators(), st.sampled_from(["softcap", "smooth", "sink"]))
def test_scores_are_capped_and_the_denominator_grows(rng: Rng, what: str) -> None:
    count, heads = 3, 2
    q, k, v = (numbers(rng, 1, count, heads) for _ in range(3))
    sink = numbers(rng, heads) if what == "sink" else None
    attributes: dict[str, Any] = {"softcap": 0.5} if what == "softcap" else {}
    attributes |= {"smooth_softmax": 1} if what == "smooth" else {}
    none: Any = None
    found = grouped(
        q, k, v, none, none, np.array([count - 1], np.int32), i32(count), none, none, none, none,
        sink, num_heads=heads, kv_num_heads=heads, scale=2.0, qk_output=2, **attributes,
    )  # fmt: skip
    for n, i in np.ndindex(heads, count):
        scores = [2.0 * float(q[0, i, n]) * float(k[0, j, n]) for j in range(i + 1)]
        if what == "softcap":
            scores = [0.5 * math.tanh(s / 0.5) for s in scores]
        e = [math.exp(s) for s in scores]
        more = {"smooth": 1.0, "sink": math.exp(float(sink[n])) if sink is not None else 0}
        weights = [x / (sum(e) + more.get(what, 0)) for x in e]
        assert_close(found.output_qk[0, n, i, : i + 1], weights, F32, floor=32)
        exact = sum(w * float(v[0, j, n]) for j, w in enumerate(weights))
        assert_close(found.output[0, i, n : n + 1], [exact], F32, floor=32)


@given(generators())
def test_queries_and_keys_may_be_normalised(rng: Rng) -> None:
    x, weights = numbers(rng, 2, 1, 2, 4), numbers(rng, 2, 4)
    none: Any = None
    where = (np.array([1], np.int32), i32(2))
    v = numbers(rng, 1, 2, 4)
    found = grouped(
        *x, v, none, none, *where, *[none] * 7, *weights, num_heads=1, kv_num_heads=1,
        q_norm_epsilon=0.25, qk_norm_epsilon=0.5,
    )  # fmt: skip
    parts = []
    for part, weight, epsilon in zip(x, weights, (0.25, 0.5), strict=True):
        wide = part.astype(np.float64)
        parts.append(wide / np.sqrt((wide**2).mean(axis=-1, keepdims=True) + epsilon) * weight)
    q, k = (heads_of(part, 1) for part in parts)
    future = np.array([[0, -np.inf], [0, 0]])
    assert_close(found.output, in_a_row(attend(q, k, heads_of(v, 1), future)), F32, floor=64)


def test_what_a_padding_query_gives_is_finite() -> None:
    one = np.ones((2, 3, 2), np.float32)
    none: Any = None
    found = grouped(
        one, one, one, none, none, np.array([0, 2], np.int32), i32(3), num_heads=1,
        kv_num_heads=1,
    )  # fmt: skip
    assert np.isfinite(found.output).all()


def test_what_is_not_supported_is_refused() -> None:
    one, none = np.ones((1, 1, 2), np.float32), None
    inputs: list[Any] = [one, one, one, none, none, np.array([0], np.int32), i32(1)]
    heads = {"num_heads": 1, "kv_num_heads": 1}
    with pytest.raises(ValueError, match="quantized and windowed caches"):
        grouped(*inputs, **heads, k_quant_type="PER_TENSOR")
    with pytest.raises(ValueError, match="quantized and windowed caches"):
        grouped(*inputs, **heads, sliding_window_cache=1)
    with pytest.raises(ValueError, match="padded chunks"):
        grouped(*inputs, *[none] * 9, np.array([1], np.int32), **heads)
    for shape in ((1, 1, 1, 2), (1, 1, 2, 1), (2, 1, 1, 1)):
        with pytest.raises(ValueError, match="an attention bias of shape"):
            grouped(*inputs, none, none, none, np.ones(shape, np.float32), **heads)
    inputs[5] = np.array([0, 0], np.int32)
    with pytest.raises(ValueError, match=r"2 lengths \(seqlens_k\) for a batch of 1"):
        grouped(*inputs, **heads)
    inputs[5] = np.array([3], np.int32)
    inputs[6] = i32(2)
    with pytest.raises(ValueError, match="1 new tokens behind"):
        grouped(*inputs, **heads)
    angles = np.ones((1, 1), np.float32)
    inputs[5:7] = [np.array([1], np.int32), i32(2)]
    with pytest.raises(IndexError, match="position 1 is outside a cache of 1"):
        grouped(*inputs, angles, angles, **heads, do_rotary=1)
