"""Attention with a state, token by token, and attention with modified scores."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    attention,
    causal_conv_with_state,
    conv,
    flex_attention,
    linear_attention,
)
from tests.assertions import assert_close, assert_equal
from tests.ops.windows import whole
from tests.strategies import HALVES, DType

F32 = np.dtype(np.float32)
RULES = ["linear", "gated", "delta", "gated_delta"]


@st.composite
def sequences(draw: st.DrawFn, rule: str) -> tuple[list[Array | None], dict[str, Any]]:
    batch, time, key_heads, share, size, value_size = (draw(st.integers(1, 2)) for _ in range(6))
    heads = key_heads * share
    past = whole(draw, batch, key_heads, size, value_size) if draw(st.booleans()) else None
    decay = whole(draw, batch, time, key_heads * draw(st.sampled_from([1, size]))) / np.float32(4)
    beta = whole(draw, batch, time, draw(st.sampled_from([1, key_heads]))) / np.float32(4)
    inputs: list[Array | None] = [
        whole(draw, batch, time, heads * size),
        whole(draw, batch, time, key_heads * size) / np.float32(4),
        whole(draw, batch, time, key_heads * value_size),
        past,
        decay if "gated" in rule else None,
        beta if "delta" in rule else None,
    ]
    return inputs, {"q_num_heads": heads, "kv_num_heads": key_heads, "update_rule": rule}


def recurrence(inputs: list[Any], attributes: dict[str, Any], scale: float) -> list[Array]:
    """The equations of the schema, for one head of one batch entry at a time."""
    wide: list[Any] = [x if x is None else x.astype(np.float64) for x in inputs]
    q, k, v, past, decay, beta = wide
    batch, time = q.shape[:2]
    heads, key_heads = attributes["q_num_heads"], attributes["kv_num_heads"]
    size, value_size = q.shape[2] // heads, v.shape[2] // key_heads
    outputs = np.zeros((batch, time, heads, value_size))
    states = np.zeros((batch, key_heads, size, value_size))
    for b, h in np.ndindex(batch, key_heads):
        s = np.zeros((size, value_size)) if past is None else past[b, h]
        for t in range(time):
            kt = k[b, t].reshape(key_heads, -1)[h]
            vt = v[b, t].reshape(key_heads, -1)[h]
            if decay is not None:
                s = np.exp(decay[b, t].reshape(key_heads, -1)[h])[:, None] * s
            if beta is not None:
                vt = beta[b, t, h % beta.shape[2]] * (vt - s.T @ kt)
            s = s + np.outer(kt, vt)
            for head in range(h * heads // key_heads, (h + 1) * heads // key_heads):
                outputs[b, t, head] = scale * q[b, t].reshape(heads, -1)[head] @ s
        states[b, h] = s
    return [outputs.reshape(batch, time, -1), states]


@pytest.mark.parametrize("rule", RULES)
@given(st.data())
def test_linear_attention_is_the_recurrence(rule: str, data: st.DataObject) -> None:
    inputs, attributes = data.draw(sequences(rule))
    scale = data.draw(st.sampled_from([0.0, 0.5]))
    queries: Any = inputs[0]
    size = queries.shape[2] // attributes["q_num_heads"]
    exact = recurrence(inputs, attributes, scale or 1 / math.sqrt(size))
    found = linear_attention(*inputs, **attributes, scale=scale)  # type: ignore[arg-type]
    assert_close(found.output, exact[0], F32, floor=1)
    assert_close(found.present_state, exact[1], F32, floor=1)


@pytest.mark.parametrize("rule", RULES)
@given(st.data())
def test_linear_attention_can_go_on_from_its_state(rule: str, data: st.DataObject) -> None:
    inputs, attributes = data.draw(sequences(rule))
    whole_run = linear_attention(*inputs, **attributes)  # type: ignore[arg-type]
    state, outputs = inputs[3], []
    queries: Any = inputs[0]
    for t in range(queries.shape[1]):
        q, k, v, decay, beta = (
            None if x is None else x[:, t : t + 1] for x in (*inputs[:3], *inputs[4:])
        )
        one = linear_attention(q, k, v, state, decay, beta, **attributes)  # type: ignore[arg-type]
        state = one.present_state
        outputs.append(one.output)
    assert_close(np.concatenate(outputs, axis=1), whole_run.output, F32, floor=64)
    assert_close(state, whole_run.present_state, F32, floor=64)


@pytest.mark.parametrize("half", HALVES, ids=str)
def test_the_state_may_be_wider_than_the_tokens(half: DType) -> None:
    x = np.ones((1, 1, 1), half)
    words: dict[str, Any] = {"kv_num_heads": 1, "q_num_heads": 1, "update_rule": "linear"}
    assert linear_attention(x, x, x, **words).present_state.dtype == half
    state = np.full((1, 1, 1, 1), 0.1, np.float32)
    found = linear_attention(x, x, x, state, **words)
    assert found.output.dtype == half
    assert_equal(found.present_state, state + 1)


X = np.ones((1, 2, 4))


@pytest.mark.parametrize(
    ("extra", "attributes", "message"),
    [
        ((), {"update_rule": "cubic"}, "update_rule is one of"),
        ((), {"update_rule": "gated"}, "decay is for"),
        ((), {"update_rule": "delta"}, "beta is for"),
        ((None, X), {"update_rule": "linear"}, "decay is for"),
        ((np.ones((1, 2, 2, 3)),), {"update_rule": "linear"}, "the past state"),
        ((), {"update_rule": "linear", "kv_num_heads": 3}, "cannot be split"),
        ((), {"update_rule": "linear", "q_num_heads": 1, "kv_num_heads": 2}, "do not fit each"),
        ((None, np.ones((1, 3, 4))), {"update_rule": "gated"}, "decay has shape"),
        ((None, np.ones((2, 2, 4))), {"update_rule": "gated"}, "decay has shape"),
        ((None, None, np.ones((1, 3, 2))), {"update_rule": "delta"}, "beta has shape"),
        ((None, None, np.ones((1, 2, 3))), {"update_rule": "delta"}, "beta has shape"),
    ],
)
def test_linear_attention_refusals(
    extra: tuple[Any, ...], attributes: dict[str, Any], message: str
) -> None:
    words = {"kv_num_heads": 2, "q_num_heads": 2} | attributes
    with pytest.raises(ValueError, match=message):
        linear_attention(X, X, X, *extra, **words)


def test_states_serve_whole_runs_of_heads() -> None:
    words: dict[str, Any] = {"kv_num_heads": 2, "q_num_heads": 3, "update_rule": "linear"}
    with pytest.raises(ValueError, match="3 query heads cannot share 2 states"):
        linear_attention(np.ones((1, 2, 6)), X, X, **words)
    with pytest.raises(ValueError, match="do not fit each other"):
        linear_attention(X, X, X.repeat(2, 1), **(words | {"q_num_heads": 2}))


@given(st.data(), st.sampled_from(["none", "silu", "swish"]))
def test_causal_conv_sees_the_past_only(data: st.DataObject, activation: str) -> None:
    batch, channels, time, taps = (data.draw(st.integers(1, 3)) for _ in range(4))
    x, w = whole(data.draw, batch, channels, time), whole(data.draw, channels, 1, taps)
    bias = whole(data.draw, channels) if data.draw(st.booleans()) else None
    past = whole(data.draw, batch, channels, taps - 1) if data.draw(st.booleans()) else None
    found = causal_conv_with_state(x, w, bias, past, activation=activation)
    before = np.zeros((batch, channels, taps - 1), np.float32) if past is None else past
    line = np.concatenate([before, x], axis=2)
    exact = conv(line, w, bias, group=channels).astype(np.float64)
    if activation != "none":
        exact = exact / (1 + np.exp(-exact))
    assert_close(found.output, exact, F32)
    assert_equal(found.present_state, line[:, :, time:])


def test_causal_conv_refusals() -> None:
    with pytest.raises(ValueError, match="activation is"):
        causal_conv_with_state(X, np.ones((2, 1, 2)), activation="relu")
    with pytest.raises(ValueError, match="the past state"):
        causal_conv_with_state(X, np.ones((2, 1, 2)), None, np.ones((1, 2, 2)))
    with pytest.raises(ValueError, match="do not fit"):
        causal_conv_with_state(X, np.ones((3, 1, 2)))


@st.composite
def heads(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    batch, key_heads, share, queries, keys, size = (draw(st.integers(1, 2)) for _ in range(6))
    return (
        whole(draw, batch, key_heads * share, queries, size),
        whole(draw, batch, key_heads, keys, size),
        whole(draw, batch, key_heads, keys, 3),
    )


@given(heads(), st.sampled_from([None, 0.25, -0.5]))
def test_flex_attention_without_modifiers_is_attention(
    qkv: tuple[Array, Array, Array], scale: float | None
) -> None:
    q, k, v = (x.astype(np.float64) for x in qkv)
    group = q.shape[1] // k.shape[1]
    keys, values = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = q @ keys.swapaxes(2, 3) * (1 / math.sqrt(q.shape[3]) if scale is None else scale)
    e = np.exp(scores)
    exact = e / e.sum(axis=-1, keepdims=True) @ values
    assert_close(flex_attention(*qkv, scale=scale), exact, F32, floor=64)


@given(heads())
def test_modifiers_change_scores_and_probabilities(qkv: tuple[Array, Array, Array]) -> None:
    q, k, v = qkv
    seen = np.tri(q.shape[2], k.shape[2], dtype=bool)

    def causal(scores: Any) -> tuple[Array, ...]:
        return (np.where(seen, scores, np.float32(-np.inf)),)

    def doubled(probabilities: Any) -> tuple[Array, ...]:
        return (2 * probabilities,)

    found = flex_attention(q, k, v, score_mod=causal, prob_mod=doubled)  # type: ignore[arg-type]
    assert_close(found, 2 * attention(q, k, v, is_causal=1).y.astype(float), F32, floor=64)


@pytest.mark.parametrize("half", HALVES, ids=str)
@pytest.mark.parametrize("precision", [None, 10, 16, 1])
def test_modifiers_work_in_the_precision_asked_for(half: DType, precision: int | None) -> None:
    x = np.ones((1, 1, 2, 2), half)
    names = {None: "float32", 1: "float32", 10: "float16", 16: "bfloat16"}

    def check(values: Any) -> tuple[Array, ...]:
        assert values.dtype.name == names[precision]
        return (values,)

    found = flex_attention(x, x, x, score_mod=check, softmax_precision=precision)  # type: ignore[arg-type]
    assert_equal(found, x)


def test_flex_attention_refusals() -> None:
    x = np.ones((1, 2, 2, 2))
    with pytest.raises(ValueError, match="1 query heads cannot be shared among 2"):
        flex_attention(x[:, :1], x, x)
    with pytest.raises(ValueError, match="a modifier made"):
        flex_attention(x, x, x, prob_mod=lambda p: (p[..., :1],))  # type: ignore[arg-type]
