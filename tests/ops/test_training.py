"""Optimizers against the standard's pseudo code, with Python's numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array, adagrad, adam, momentum
from tests.assertions import assert_close
from tests.ops.windows import whole
from tests.oracles import elementwise

F32 = np.dtype(np.float32)


@st.composite
def several(draw: st.DrawFn, kinds: int) -> tuple[list[Array], int]:
    """Tensors to optimise, then all of each kind that belongs to them; squares are positive."""
    count = draw(st.integers(1, 2))
    shapes = [(draw(st.integers(1, 2)), 2) for _ in range(count)]
    tensors = [whole(draw, *shape) for _ in range(kinds) for shape in shapes]
    for i in range(count):
        tensors[-count + i] = np.abs(tensors[-count + i])
    return tensors, count


def check(found: tuple[Array, ...], count: int, tensors: list[Array], step: Any) -> None:
    """Compare with a function of one number of each kind."""
    for i in range(count):
        for place in range(len(found) // count):
            exact = elementwise(lambda *row, k=place: step(*row)[k], *tensors[i::count])
            assert_close(found[place * count + i], exact, F32, floor=64)


RATES = st.sampled_from([0.0, 0.5, 0.125])


@given(several(3), RATES, st.integers(0, 3), st.sampled_from([0.0, 0.25]))
def test_adagrad(drawn: tuple[list[Array], int], rate: float, count: int, norm: float) -> None:
    tensors, several_of = drawn

    def step(x: float, g: float, h: float) -> tuple[float, float]:
        g += norm * x
        h += g * g
        return x - rate / (1 + count * 0.5) * g / (math.sqrt(h) + 0.125), h

    found = adagrad(
        np.array(rate, np.float32), np.array(count), *tensors,
        decay_factor=0.5, epsilon=0.125, norm_coefficient=norm,
    )  # fmt: skip
    check(found, several_of, tensors, step)


@given(several(4), RATES, st.integers(0, 3), st.sampled_from([0.0, 0.25]))
def test_adam(drawn: tuple[list[Array], int], rate: float, count: int, norm: float) -> None:
    tensors, several_of = drawn

    def step(x: float, g: float, v: float, h: float) -> tuple[float, float, float]:
        g += norm * x
        v = 0.75 * v + 0.25 * g
        h = 0.5 * h + 0.5 * g * g
        adjusted = rate * math.sqrt(1 - 0.5**count) / (1 - 0.75**count) if count else rate
        return (1 - 0.125) * (x - adjusted * v / (math.sqrt(h) + 0.125)), v, h

    found = adam(
        np.array(rate, np.float32), np.array(count), *tensors, alpha=0.75, beta=0.5,
        epsilon=0.125, norm_coefficient=norm, norm_coefficient_post=0.125,
    )  # fmt: skip
    check(found, several_of, tensors, step)


@given(several(3), RATES, st.integers(0, 2), st.sampled_from(["standard", "nesterov"]))
def test_momentum(drawn: tuple[list[Array], int], rate: float, count: int, mode: str) -> None:
    tensors, several_of = drawn

    def step(x: float, g: float, v: float) -> tuple[float, float]:
        g += 0.25 * x
        v = 0.5 * v + (0.75 if count else 1) * g
        return x - rate * (v if mode == "standard" else g + 0.5 * v), v

    found = momentum(
        np.array(rate, np.float32), np.array(count), *tensors,
        alpha=0.5, beta=0.75, mode=mode, norm_coefficient=0.25,
    )  # fmt: skip
    check(found, several_of, tensors, step)


def test_results_have_the_types_of_their_tensors() -> None:
    rate, count = np.array(0.5), np.array(1)
    wide, narrow = np.ones(2), np.ones(3, np.float32)
    found = adagrad(rate, count, wide, narrow, wide, narrow, wide, narrow)
    assert [y.dtype.name for y in found] == ["float64", "float32", "float64", "float32"]


X = np.ones(2, np.float32)


def test_refusals() -> None:
    rate, count = np.array(0.5, np.float32), np.array(1)
    with pytest.raises(ValueError, match="2 tensors do not make up groups of 3"):
        adagrad(rate, count, X, X)
    with pytest.raises(ValueError, match="0 tensors"):
        adam(rate, count)
    with pytest.raises(ValueError, match="mode is standard or nesterov"):
        momentum(rate, count, X, X, X, alpha=0.0, beta=0.0, mode="fast", norm_coefficient=0.0)
