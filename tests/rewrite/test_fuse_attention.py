"""Attention as exporters write it: found, computed row by row, and not found elsewhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.model.graph import Array
from tests.rewrite.fusing import engine_of, near, operators

HEADS = "float[B, 2, T, 4] q, float[B, 2, 4, S] k, float[B, 2, S, 4] v"
ADDED = f"""g ({HEADS}, float[B, 1, 1, S] m) => (float[B, 2, T, 4] y) {{
  p = MatMul(q, k)  d = Div(p, two)  a = Add(d, m)  w = Softmax<axis = -1>(a)
  y = MatMul(w, v) }}"""
CHOSEN = f"""g ({HEADS}, bool[B, 1, 1, S] m) => (float[B, 2, T, 4] y) {{
  p = MatMul(q, k)  d = Mul(p, half)  a = Where(m, fill, d)  w = Softmax<axis = -1>(a)
  i = IsNaN(w)  g = Where(i, zero, w)  y = MatMul(g, v) }}"""
NUMBERS: dict[str, Any] = {"two": 2.0, "half": 0.5, "fill": -np.inf, "zero": 0.0}


def attended(q: Array, k: Array, v: Array, hidden: Array) -> Array:
    """One query after the other, in plain Python; zeros where nothing may be looked at."""
    y = np.zeros((*q.shape[:-1], v.shape[-1]))
    for b, h, t in np.ndindex(q.shape[:3]):
        seen = [s for s in range(k.shape[-1]) if not hidden[b, s]]
        scores = {s: math.fsum(map(float, q[b, h, t] * k[b, h, :, s])) / 2 for s in seen}
        most = max(scores.values(), default=0.0)
        weights = {s: math.exp(score - most) for s, score in scores.items()}
        for s, weight in weights.items():
            y[b, h, t] += weight / math.fsum(weights.values()) * v[b, h, s]
    return y


@pytest.mark.parametrize("chosen", [False, True])
@given(st.integers(1, 2), st.integers(1, 5), st.integers(1, 6), st.integers(0, 999))
def test_it_is_the_formula(chosen: bool, batch: int, queries: int, keys: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    q, k, v = (
        generator.standard_normal(shape).astype(np.float32)
        for shape in ((batch, 2, queries, 4), (batch, 2, 4, keys), (batch, 2, keys, 4))
    )
    hidden = generator.random((batch, keys)) < 0.4
    if not chosen:
        hidden[:, 0] = False  # a mask that is added cannot hide everything
    mask: Any = hidden[:, None, None]
    feeds = [q, k, v, mask if chosen else np.where(mask, np.float32(-1e9), np.float32(0))]
    (y,) = engine_of(CHOSEN if chosen else ADDED, **NUMBERS).run(feeds)
    near(y, attended(q.astype(np.float64), k.astype(np.float64), v, hidden), 2.0**-18)


def test_it_is_one_step() -> None:
    assert operators(ADDED, **NUMBERS) == ["Attention"]
    assert operators(CHOSEN, **NUMBERS) == ["Attention"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Softmax<axis = -1>(a)", "Softmax<axis = 2>(a)"),
        ("Softmax<axis = -1>(a)", "LogSoftmax<axis = -1>(a)"),
        ("Div(p, two)", "Sub(p, two)"),
        ("Add(d, m)", "Mul(d, m)"),
        ("(float[B, 2, T, 4] y) {", "(float[B, 2, T, 4] y, float[B, 2, T, S] w) {"),
        ("(float[B, 2, T, 4] y) {", "(float[B, 2, T, 4] y, float[B, 2, T, S] p) {"),
    ],
)
def test_what_is_nearly_one_is_none(old: str, new: str) -> None:
    assert old in ADDED
    assert "Attention" not in operators(ADDED.replace(old, new), **NUMBERS)
