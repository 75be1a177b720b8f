"""The quantized LSTM as a chain of standard operators, one time after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from embedx.ops import Array, dequantize_linear, dynamic_quantize_linear, lstm
from embedx.ops.microsoft import dynamic_quantize_lstm
from tests.assertions import assert_close, assert_equal
from tests.ops.microsoft.values import BYTES, F32, f32, numbers, u8
from tests.strategies import DType, generators

Rng = np.random.Generator


def quantized(rng: Rng, dtype: DType, *shape: int, per_column: bool) -> tuple[Array, Array, Array]:
    info, each = np.iinfo(dtype), (shape[0], shape[2]) if per_column else shape[:1]
    w, zero = (rng.integers(info.min, info.max + 1, s).astype(dtype) for s in (shape, each))
    return w, rng.uniform(0.005, 0.01, each).astype(np.float32), zero


def coarse(x: Array) -> Array:
    """``x`` as 8 bits with one scale leave it."""
    y, scale, zero = dynamic_quantize_linear(x)
    fraction = np.abs(x / scale - np.floor(x / scale) - 0.5)
    assume((fraction > 1e-3).all())  # else the last bit of a sum decides
    return dequantize_linear(y, scale, zero)


DIRECTIONS = ["forward", "reverse", "bidirectional"]


@given(generators(), st.sampled_from(BYTES), st.sampled_from(DIRECTIONS), st.booleans(), st.data())
def test_products_are_quantized_at_each_time(
    rng: Rng, dtype: DType, direction: str, per_column: bool, data: st.DataObject
) -> None:
    time, batch, size, hidden = (data.draw(st.integers(1, 3)) for _ in range(4))
    count = 1 + (direction == "bidirectional")
    x = numbers(rng, time, batch, size)
    w = quantized(rng, dtype, count, size, 4 * hidden, per_column=per_column)
    r = quantized(rng, dtype, count, hidden, 4 * hidden, per_column=per_column)
    drawn = rng.integers(0, time + 1, batch).astype(np.int32)
    lengths = drawn if data.draw(st.booleans()) else None
    b, h, c, p = (
        numbers(rng, count, *shape) if data.draw(st.booleans()) else None
        for shape in ((8 * hidden,), (batch, hidden), (batch, hidden), (3 * hidden,))
    )
    found = dynamic_quantize_lstm(
        x, w[0], r[0], b, lengths, h, c, p, w[1], w[2], r[1], r[2], direction=direction,
        hidden_size=hidden,
    )  # fmt: skip
    real_w, real_r = (
        np.stack([dequantize_linear(*(v[k] for v in three), axis=-1).T for k in range(count)])
        for three in (w, r)
    )
    ends = np.full(batch, time) if lengths is None else lengths
    y = np.zeros((time, count, batch, hidden), np.float32)
    last = [np.zeros((count, batch, hidden), np.float32) if v is None else v.copy() for v in (h, c)]
    seen = coarse(x[: ends.max()])
    for k in range(count):
        backwards = direction == "reverse" or k == 1
        for step in range(ends.max()):
            texts = np.flatnonzero(step < ends)
            times = ends[texts] - 1 - step if backwards else np.full(len(texts), step)
            now: list[Any] = [v[k : k + 1, texts] for v in last]
            one: Any = [None if v is None else v[k : k + 1] for v in (b, p)]
            part = lstm(
                seen[times, texts][None], real_w[k : k + 1], real_r[k : k + 1], one[0], None,
                coarse(now[0]), now[1], one[1],
            )  # fmt: skip
            last[0][k, texts], last[1][k, texts] = part.y_h[0], part.y_c[0]
            y[times, k, texts] = part.y_h[0]
    for ours, theirs in zip(found, (y, *last), strict=True):
        assert_close(ours, theirs.astype(np.float64), F32, ulps=64, floor=512)


def one_neuron(x: Array, r: Array, **attributes: Any) -> Any:
    """An LSTM without weights for its input, with two texts whose states are 100 / 255 and 1."""
    one, zero = np.ones(1, np.float32), np.zeros(1, np.uint8)
    h = f32([[[100 / 255], [1]]])
    return dynamic_quantize_lstm(
        x, np.zeros((1, 1, 4), np.uint8), r, None, None, h, np.zeros_like(h), None, one, zero, one,
        zero, **attributes,
    )  # fmt: skip


def test_states_share_a_scale_at_each_time() -> None:
    linear = {"activations": ("Affine", "Affine", "Affine")}  # f(x) = x
    r = u8([[[1, 1, 1, 1]]])
    found = one_neuron(np.zeros((1, 2, 1), np.float32), r, **linear)
    for state, value in ((0, 100 / 255), (1, 1.0)):
        assert_close(found.y_c[0, state], [value**2], F32)  # i and c; H is o times that
        assert_close(found.y_h[0, state], [value**3], F32)


def test_products_of_uint8_by_int8_do_not_saturate() -> None:
    x = np.full((1, 1, 2), 255, np.float32)
    w, r = np.full((1, 2, 4), 127, np.int8), np.zeros((1, 1, 4), np.int8)
    one, zero = np.ones(1, np.float32), np.zeros(1, np.int8)
    none: Any = None
    found = dynamic_quantize_lstm(
        x, w, r, none, none, none, none, none, one, zero, one, zero,
        activations=("Affine", "Affine", "Affine"), activation_alpha=(1.0, 1.0, 1.0),
    )  # fmt: skip
    assert_equal(found.y_c, np.array([[[64770.0**2]]], np.float32))


def test_zero_points_have_the_type_of_their_weights() -> None:
    w, one = np.zeros((1, 1, 4), np.uint8), np.ones(1, np.float32)
    good, bad, none = np.zeros(1, np.uint8), np.zeros(1, np.int8), None
    x = np.ones((1, 1, 1), np.float32)
    for zeros in ((bad, good), (good, bad)):
        with pytest.raises(TypeError, match="uint8, int8"):
            dynamic_quantize_lstm(
                x, w, w, none, none, none, none, none, one, zeros[0], one, zeros[1]
            )
