"""GELU as exporters write it: found, computed as its formula says, and not found elsewhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rewrite.fusing import engine_of, near, operators

ERF = """g (float[N, 4] x) => (float[N, 4] y) {
  d = Div(x, root)  e = Erf(d)  p = Add(e, one)  m = Mul(x, p)  y = Mul(m, half) }"""
TANH = """g (float[N, 4] x) => (float[N, 4] y) {
  q = Pow(x, three)  c = Mul(q, cubic)  i = Add(x, c)  k = Mul(i, scale)  t = Tanh(k)
  p = Add(t, one)  h = Mul(x, half)  y = Mul(h, p) }"""
BIASED = "g (float[N, 4] x) => (float[N, 4] y) { s = Add(x, b)  y = Gelu<approximate = A>(s) }"
NUMBERS: dict[str, Any] = {
    "root": math.sqrt(2), "one": 1.0, "half": 0.5, "three": 3.0, "cubic": 0.044715,
    "scale": math.sqrt(2 / math.pi),
}  # fmt: skip
BIAS = [1.0, -2.0, 0.5, 0.0]


def exact(x: float, approximate: str) -> float:
    if approximate == "tanh":
        return x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x / 2 * math.erfc(-x / math.sqrt(2))


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@given(st.integers(0, 999), st.sampled_from([0.1, 1, 10]))
def test_it_is_the_formula(approximate: str, seed: int, size: float) -> None:
    x = (np.random.default_rng(seed).standard_normal((3, 4)) * size).astype(np.float32)
    (y,) = engine_of(TANH if approximate == "tanh" else ERF, **NUMBERS).run([x])
    near(y, np.vectorize(exact)(x.astype(np.float64), approximate), 2.0**-20)
    biased = BIASED.replace("A>", f'"{approximate}">')
    (y,) = engine_of(biased, opset=20, b=np.array(BIAS)).run([x])
    near(y, np.vectorize(exact)(x.astype(np.float64) + BIAS, approximate), 2.0**-20)


def test_it_is_one_step() -> None:
    assert operators(ERF, **NUMBERS) == ["Gelu"]
    assert operators(TANH, **NUMBERS) == ["Gelu"]
    biased = {"opset": 20, "b": np.array(BIAS)}
    assert operators(BIASED.replace("A>", '"none">'), **biased) == ["BiasGelu"]
    assert operators(BIASED.replace("A>", '"tanh">'), **biased) == ["FastGelu"]


@pytest.mark.parametrize(
    "changes",
    [{"root": 1.5}, {"one": 2.0}, {"half": 0.25}, {"root": np.array([1.0, 2.0, 1.4142135, 1.0])}],
)
def test_other_numbers_are_another_formula(changes: dict[str, object]) -> None:
    assert "Gelu" not in operators(ERF, **{**NUMBERS, **changes})


@pytest.mark.parametrize(("name", "number"), [("cubic", 0.05), ("scale", 0.8), ("three", 2.0)])
def test_other_numbers_are_another_tanh(name: str, number: float) -> None:
    assert "Gelu" not in operators(TANH, **{**NUMBERS, name: number})


def test_a_bias_that_is_no_vector_is_added_as_it_is_written() -> None:
    square = np.arange(8.0).reshape(2, 4)
    for bias in (np.array(0.5), np.array([0.5]), square):
        assert operators(BIASED.replace("A>", '"none">'), opset=20, b=bias) == ["Add", "Gelu"]


SILU = "g (float[N, 4] x) => (float[N, 4] y) { s = Sigmoid(x)  y = Mul(x, s) }"
QUICK = "g (float[N, 4] x) => (float[N, 4] y) { a = Mul(x, alpha)  s = Sigmoid(a)  y = Mul(s, x) }"


@given(st.integers(0, 999), st.sampled_from([0.1, 1, 10, 100]), st.sampled_from([1.0, 1.702, -2.0]))
def test_swish_is_the_formula(seed: int, size: float, alpha: float) -> None:
    x = (np.random.default_rng(seed).standard_normal((3, 4)) * size).astype(np.float32)
    engine = engine_of(SILU) if alpha == 1 else engine_of(QUICK, alpha=alpha)
    wide, alpha = x.astype(np.float64), float(np.float32(alpha))
    near(engine.run([x])[0], wide / (1 + np.exp(-alpha * wide)), 2.0**-20)


def test_swish_is_one_step_and_a_gate_of_something_else_is_not() -> None:
    assert operators(SILU) == ["Swish"]
    assert operators(QUICK, alpha=1.702) == ["Swish"]
    assert "Swish" not in operators(SILU.replace("Mul(x, s)", "Mul(s, s)"))
    assert "Swish" not in operators(QUICK, alpha=np.array([1.0, 2.0, 3.0, 4.0]))
    assert operators(QUICK.replace("Mul(s, x)", "Mul(s, a)"), alpha=1.702) == ["Mul", "Swish"]
