"""Normalisations as exporters write them: found, computed in full, and not found elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.model.graph import Array
from tests.rewrite.fusing import engine_of, near, operators

LAYER = """g (float[N, 4] x) => (float[N, 4] y) {
  m = ReduceMean<axes = [-1]>(x)  c = Sub(x, m)  q = Mul(c, c)  v = ReduceMean<axes = [-1]>(q)
  e = Add(v, eps)  r = Sqrt(e)  z = Div(c, r)  s = Mul(z, w)  y = Add(s, b) }"""
RMS = """g (float[N, 4] x) => (float[N, 4] y) {
  q = Pow(x, two)  v = ReduceMean<axes = [-1]>(q)  e = Add(v, eps)  r = Sqrt(e)
  i = Reciprocal(r)  z = Mul(x, i)  y = Mul(w, z) }"""
SKIP = """g (float[N, 4] x, float[N, 4] o) => (float[N, 4] y) {
  t = Add(x, a)  u = Add(t, o)  y = LayerNormalization<epsilon = 0.001>(u, w, b) }"""
W, B, A = np.array([1, 0.5, -2, 3]), np.array([0.25, 0, 1, -1]), np.array([1.0, 2, -3, 0])


def normalised(x: Array, epsilon: float, *, centred: bool = True) -> Array:
    rows = []
    for row in x.astype(np.float64).tolist():
        mean = math.fsum(row) / len(row) if centred else 0.0
        size = math.sqrt(math.fsum((v - mean) ** 2 for v in row) / len(row) + epsilon)
        rows.append([(v - mean) / size for v in row])
    return np.array(rows)


SEEDS = st.integers(0, 999)


@given(SEEDS, st.sampled_from([1e-12, 1e-5, 0.1]))
def test_each_is_its_formula(seed: int, epsilon: float) -> None:
    generator = np.random.default_rng(seed)
    x, o = generator.standard_normal((2, 3, 4)).astype(np.float32)
    (y,) = engine_of(LAYER, w=W, b=B, eps=epsilon).run([x])
    near(y, normalised(x, epsilon) * W + B, 2.0**-18)
    (y,) = engine_of(RMS, w=W, two=2.0, eps=epsilon).run([x])
    near(y, normalised(x, epsilon, centred=False) * W, 2.0**-18)
    (y,) = engine_of(SKIP, w=W, b=B, a=A).run([x, o])
    near(y, normalised(x.astype(np.float64) + A + o, 0.001) * W + B, 2.0**-18)


def test_each_is_one_step() -> None:
    assert operators(LAYER, w=W, b=B, eps=1e-5) == ["LayerNormalization"]
    assert operators(RMS, w=W, two=2.0, eps=1e-5) == ["RMSNormalization"]
    assert operators(SKIP, w=W, b=B, a=A) == ["SkipLayerNormalization"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ReduceMean<axes = [-1]>(x)", "ReduceMean<axes = [0]>(x)"),
        ("ReduceMean<axes = [-1]>(q)", "ReduceMean<axes = [-1, 0]>(q)"),
        ("ReduceMean<axes = [-1]>(x)", "ReduceMax<axes = [-1]>(x)"),
        ("Mul(c, c)", "Mul(c, x)"),
        ("Div(c, r)", "Div(x, r)"),
        ("Div(c, r)", "Div(c, e)"),
        ("Sqrt(e)", "Exp(e)"),
    ],
)
def test_what_is_nearly_one_is_none(old: str, new: str) -> None:
    assert old in LAYER
    text = LAYER.replace(old, new)
    found = operators(text, w=W, b=B, eps=1e-5)
    assert "LayerNormalization" not in found
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    (y,) = engine_of(text, w=W, b=B, eps=1e-5).run([x])
    (plain,) = engine_of(text, optimize=False, w=W, b=B, eps=1e-5).run([x])
    np.testing.assert_allclose(y, plain, rtol=1e-5)


@pytest.mark.parametrize("scale", [np.array(2.0), np.ones((1, 4)), np.array([2.0])])
def test_a_scale_that_is_no_vector_is_multiplied_as_it_is_written(scale: Array) -> None:
    assert "LayerNormalization" not in operators(LAYER, w=scale, b=B, eps=1e-5)


def test_a_sum_that_others_read_stays() -> None:
    text = SKIP.replace("(float[N, 4] y)", "(float[N, 4] y, float[N, 4] u)")
    assert "LayerNormalization" in operators(text, w=W, b=B, a=A)
