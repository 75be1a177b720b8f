"""Variants of attention: with a recurrent state, and with subgraphs that modify the scores."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

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
    """``scale * q_t S_t`` at each time t, where the state S is a memory of values under their keys.

    The ``update_rule`` "linear" adds ``k_t' v_t`` to S, "delta" adds ``k_t' beta_t (v_t - k_t S)``;
    "gated" and "gated_delta" first multiply S by ``exp(decay_t)``. Query, key and value are (batch,
    time, heads * head size), states (batch, heads, key size, value size), ``decay`` (batch, time,
    heads or heads * key size), ``beta`` (batch, time, heads or 1). Each state serves a run of
    adjacent query heads. ``scale`` defaults to one over the square root of the key size. Computed
    in float64, rounded once to the dtypes of the query and the past state.

    Raises ValueError for an unknown rule, a decay or beta that the rule lacks or does not have, and
    shapes that do not fit each other; TypeError for different dtypes.

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
    group = _check_heads(q, k, v)
    batch, heads, time, size = k.shape
    reserve((batch, q.shape[1], max(size, time), v.shape[-1]), np.float64)
    decay = None if decay is None else np.exp(_per_head(decay, kv_num_heads, k, "decay"))
    beta = None if beta is None else _per_head(beta, beta.shape[-1], k[..., :1], "beta")
    state = np.zeros((batch, heads, size, v.shape[-1]))
    if past_state is not None:
        state = state + _of_shape(past_state, state.shape)
    y = np.zeros((*q.shape[:3], v.shape[-1]))
    for t in range(time):
        turn()
        state = _updated(
            state, *(None if x is None else x[:, :, t, None] for x in (k, v, decay, beta))
        )
        y[:, :, t] = (q[:, :, t, None] @ np.repeat(state, group, axis=1))[:, :, 0]
    y *= scale or 1 / math.sqrt(size)
    present = state.astype(query.dtype if past_state is None else past_state.dtype)
    return LinearAttention(merge_heads(y).astype(query.dtype), present)


def _updated(
    state: Array, k_t: Any, v_t: Any, decay_t: Array | None, beta_t: Array | None
) -> Array:
    """The next state; all but the state are (batch, heads, 1, size or 1)."""
    if decay_t is not None:
        state = state * decay_t.swapaxes(2, 3)
    if beta_t is not None:
        v_t = beta_t * (v_t - k_t @ state)
    return state + k_t.swapaxes(2, 3) * v_t


def _check_heads(q: Array, k: Array, v: Array) -> int:
    """How many query heads share a state."""
    if q.shape[::2] != k.shape[::2] or q.shape[3] != k.shape[3] or k.shape[:3] != v.shape[:3]:
        raise ValueError(f"Q {q.shape}, K {k.shape} and V {v.shape} do not fit each other")
    if not k.shape[1] or q.shape[1] % k.shape[1]:
        raise ValueError(f"{q.shape[1]} query heads cannot share {k.shape[1]} states")
    return q.shape[1] // k.shape[1]


def _check_rule(rule: str, decay: Array | None, beta: Array | None) -> None:
    if rule not in _UPDATE_RULES:
        raise ValueError(f"update_rule is one of {', '.join(_UPDATE_RULES)}, not {rule!r}")
    for name, given, needed in (("decay", decay, "gated"), ("beta", beta, "delta")):
        if (given is not None) != (needed in rule):
            raise ValueError(f"{name} is for rules with {needed!r} in their names, not {rule!r}")


def _per_head(x: Array, heads: int, k: Array, name: str) -> Array:
    """(batch, time, heads * (1 or size)) as (batch, heads, time, 1 or size), in float64."""
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
    """A causal depthwise convolution over time, and the last inputs as the present state.

    The input is (batch, channels, time), ``weight`` (channels, 1, taps), ``bias`` (channels,). The
    past state (batch, channels, taps - 1) holds the inputs before the first one, by default zeros.
    ``activation`` is "none", "silu" or its other name "swish".

    Raises ValueError for another activation and for shapes that do not fit, TypeError for different
    dtypes.

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

    Q, K and V are (batch, heads, length, head size); each key head serves a run of adjacent query
    heads. The modifiers map one tensor (batch, heads, queries, keys) to another, in
    ``softmax_precision``, by default float32, or float64 for float64 inputs.

    Raises ValueError for shapes that do not fit and for a modifier that changes the shape or dtype,
    TypeError for inputs of different dtypes.

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
        raise ValueError(f"a modifier made {y.dtype} {y.shape} out of {x.dtype} {x.shape}")
    return np.asarray(y)
