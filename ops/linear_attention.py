"""Kin of attention: with a state instead of a cache, and with scores that a subgraph modifies."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ._budget import reserve, turn
from ._checks import one_type, per_channel
from ._registry import op
from ._typing import Array, Body, dtype_of
from .activation import swish
from .attention import check_heads, merge_heads, split_heads
from .conv import convolve
from .matmul import matmul
from .softmax import softmax

_UPDATE_RULES = ("linear", "gated", "delta", "gated_delta")


class LinearAttention(NamedTuple):
    """What LinearAttention returns."""

    output: Array
    present_state: Array


@op("LinearAttention", since=27)
def linear_attention(
    query: Array,
    key: Array,
    value: Array,
    past_state: Array | None = None,
    decay: Array | None = None,
    beta: Array | None = None,
    /,
    *,
    chunk_size: int = 64,
    kv_num_heads: int,
    q_num_heads: int,
    scale: float = 0.0,
    update_rule: str = "gated_delta",
) -> LinearAttention:
    """``scale * q S`` at each time, where the state S has learnt to give ``v`` for ``k``.

    "linear" adds ``k' v`` to S, "delta" ``k' beta (v - k S)``; "gated" and "gated_delta" multiply S
    by ``exp(decay)`` first. Query, key and value are (batch, time, heads * size), states (batch,
    heads, key size, value size), ``decay`` (batch, time, heads or heads * key size), ``beta``
    (batch, time, heads or 1). A state serves a run of adjacent query heads. By default ``scale`` is
    one over the root of the key size. Computed in float64, rounded once to the types of query and
    past state. Raises ValueError for a decay or beta that the rule lacks or does not know.

    >>> k, v = np.array([[[1.0], [1.0]]]), np.array([[[2.0], [3.0]]])
    >>> linear_attention(k, k, v, kv_num_heads=1, q_num_heads=1, update_rule="linear").output
    array([[[2.],
            [5.]]])

    Spec: LinearAttention-27; Katharopoulos et al. 2020, Yang et al. 2024.
    """
    _check_rule(update_rule, decay, beta)
    one_type(query, key, value)
    q, k, v = (
        split_heads(x.astype(np.float64), heads)
        for x, heads in ((query, q_num_heads), (key, kv_num_heads), (value, kv_num_heads))
    )
    batch, heads, time, size = k.shape
    if (len(q), *q.shape[2:]) != (batch, time, size) or k.shape[:3] != v.shape[:3]:
        raise ValueError(f"Q {q.shape}, K {k.shape} and V {v.shape} do not fit each other")
    if q_num_heads % kv_num_heads:
        raise ValueError(f"{q_num_heads} query heads cannot share {kv_num_heads} states")
    reserve((batch, q_num_heads, max(size, time), v.shape[-1]), np.float64)
    kept = None if decay is None else np.exp(_a_head(decay, kv_num_heads, k, "decay"))
    rate = None if beta is None else _a_head(beta, beta.shape[-1], k[..., :1], "beta")
    state = np.zeros((batch, heads, size, v.shape[-1]))
    if past_state is not None:
        state = state + _of_shape(past_state, state.shape)
    outputs = np.zeros((batch, q_num_heads, time, v.shape[-1]))
    for t in range(time):
        turn()
        now, target = k[:, :, t, :, None], v[:, :, t, None]
        if kept is not None:
            state = state * kept[:, :, t, :, None]
        if rate is not None:
            target = rate[:, :, t, None] * (target - now.swapaxes(2, 3) @ state)
        state = state + now * target
        seen = np.repeat(state, q_num_heads // kv_num_heads, axis=1)
        outputs[:, :, t] = (q[:, :, t, None] @ seen)[:, :, 0]
    factor = scale or 1 / math.sqrt(size)
    learnt = state.astype(query.dtype if past_state is None else past_state.dtype)
    return LinearAttention(merge_heads(factor * outputs).astype(query.dtype), learnt)


def _check_rule(rule: str, decay: Array | None, beta: Array | None) -> None:
    if rule not in _UPDATE_RULES:
        raise ValueError(f"update_rule is one of {', '.join(_UPDATE_RULES)}, not {rule!r}")
    for name, given, needed in (("decay", decay, "gated"), ("beta", beta, "delta")):
        if (given is not None) != (needed in rule):
            raise ValueError(f"{name} is for rules with {needed!r} in their names, not {rule!r}")


def _a_head(x: Array, heads: int, k: Array, name: str) -> Array:
    """(batch, time, heads * 1 or size) as (batch, heads, time, 1 or size)."""
    split = split_heads(x.astype(np.float64), heads)
    if any(n not in (1, full) for n, full in zip(split.shape, k.shape, strict=True)):
        raise ValueError(f"{name} has shape {x.shape}, which does not fit keys {k.shape}")
    return split


def _of_shape(state: Array, shape: tuple[int, ...]) -> Array:
    if state.shape != shape:
        raise ValueError(f"the past state has shape {state.shape}, expected {shape}")
    return state


class CausalConvWithState(NamedTuple):
    """What CausalConvWithState returns."""

    output: Array
    present_state: Array


@op("CausalConvWithState", since=27, rounds=True)
def causal_conv_with_state(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    past_state: Array | None = None,
    /,
    *,
    activation: str = "none",
) -> CausalConvWithState:
    """Each channel convolved with its own filter, which sees the present and the past only.

    The input is (batch, channels, time), ``weight`` (channels, 1, taps), ``bias`` (channels). The
    state (batch, channels, taps - 1) holds the inputs before the first one, by default zeros.
    ``activation`` is "none", "silu" or its other name "swish".

    >>> x, w = np.array([[[1.0, 2.0, 3.0]]]), np.array([[[10.0, 1.0]]])
    >>> causal_conv_with_state(x, w)
    CausalConvWithState(output=array([[[ 1., 12., 23.]]]), present_state=array([[[3.]]]))

    Spec: CausalConvWithState-27.
    """
    if activation not in ("none", "silu", "swish"):
        raise ValueError(f"activation is none, silu or swish, not {activation!r}")
    batch, channels, time = input.shape
    before = weight.shape[2] - 1
    shape = (batch, channels, before)
    past = np.zeros(shape, input.dtype) if past_state is None else _of_shape(past_state, shape)
    one_type(input, past)
    line = np.concatenate([past, input], axis=2)
    y = convolve(line, weight, group=channels)
    y = y if bias is None else y + per_channel(bias, y)
    return CausalConvWithState(y if activation == "none" else swish(y), line[:, :, time:])


@op("FlexAttention", since=1, domain="ai.onnx.preview")
def flex_attention(
    q: Array,
    k: Array,
    v: Array,
    /,
    *,
    prob_mod: Body | None = None,
    scale: float | None = None,
    score_mod: Body | None = None,
    softmax_precision: int | None = None,
) -> Array:
    """``prob_mod(softmax(score_mod(scale * Q K'))) V`` for each head.

    Q, K and V are (batch, heads, length, size); each key head serves a run of adjacent query heads.
    The modifiers get and give one tensor (batch, heads, queries, keys), in ``softmax_precision``,
    by default float32, or float64 for double inputs. Raises ValueError for shapes that do not fit.

    >>> x = np.ones((1, 1, 2, 4))
    >>> flex_attention(x, x, np.arange(8.0).reshape(1, 1, 2, 4), prob_mod=lambda p: (2 * p,))
    array([[[[ 4.,  6.,  8., 10.],
             [ 4.,  6.,  8., 10.]]]])

    Spec: ai.onnx.preview FlexAttention-1; Dong et al. 2024.
    """
    one_type(q, k, v)
    group = check_heads(q, k, v)
    wide = np.promote_types(q.dtype, np.float32)
    precise = wide if softmax_precision is None else dtype_of(softmax_precision)
    keys, values = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    products = (q.astype(wide) * factor) @ keys.astype(wide).swapaxes(-1, -2)
    scores = _modified(products.astype(precise), score_mod)
    probabilities = _modified(softmax(scores), prob_mod)
    return matmul(probabilities, values.astype(precise)).astype(v.dtype)


def _modified(x: Array, modifier: Body | None) -> Array:
    if modifier is None:
        return x
    (y,) = modifier(x)
    if y.shape != x.shape or y.dtype != x.dtype:
        raise ValueError(f"a modifier made {y.dtype} {y.shape} of {x.dtype} {x.shape}")
    return np.asarray(y)
