"""Fused activations against their formulas, one Python float after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array
from embedx.ops.microsoft import bias_gelu, bias_split_gelu, fast_gelu, gelu, quick_gelu
from embedx.ops.microsoft.activation import activated
from tests.assertions import assert_close, assert_equal
from tests.oracles import elementwise
from tests.strategies import FLOATS, DType, Strategy, shapes, tensors


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(min(-x, 700)))


def normal_gate(x: float) -> float:
    return x * math.erfc(-x / math.sqrt(2)) / 2


def tanh_gate(x: float) -> float:
    return x * logistic(2 * (0.7978845608028654 * x + 0.035677408136300125 * x**3))


def floats(shape: Any = None) -> Strategy[Array]:
    return st.sampled_from(FLOATS).flatmap(lambda d: tensors(d, shape, low=-30, high=30))


@st.composite
def with_bias(draw: st.DrawFn) -> tuple[Array, Array]:
    x = draw(floats(shapes(min_rank=1)))
    return x, draw(tensors(x.dtype, x.shape[-1:], low=-30, high=30))


@given(floats())
def test_gelu_is_x_below_a_normal_number(x: Array) -> None:
    assert_close(gelu(x), elementwise(normal_gate, x), x.dtype, floor=2)


@given(with_bias())
def test_bias_gelu_is_gelu_of_the_sum(pair: tuple[Array, Array]) -> None:
    exact = elementwise(lambda a, b: normal_gate(a + b), *pair)
    assert_close(bias_gelu(*pair), exact, pair[0].dtype, floor=2)


@given(with_bias())
def test_fast_gelu_is_the_tanh_formula(pair: tuple[Array, Array]) -> None:
    x, bias = pair
    assert_close(fast_gelu(x), elementwise(tanh_gate, x), x.dtype, floor=2)
    exact = elementwise(lambda a, b: tanh_gate(a + b), x, bias)
    assert_close(fast_gelu(x, bias), exact, x.dtype, floor=2)


@given(floats(), st.sampled_from([1.702, 1.0, -0.5]))
def test_quick_gelu_is_x_times_a_sigmoid(x: Array, alpha: float) -> None:
    exact = elementwise(lambda v: v * logistic(alpha * v), x)
    # An ulp of alpha * x, or of float32's alpha, becomes 60 in the sigmoid.
    assert_close(quick_gelu(x, alpha=alpha), exact, x.dtype, ulps=64, floor=2)


@given(st.sampled_from(FLOATS), shapes(), st.integers(0, 3), st.data())
def test_bias_split_gelu_gates_the_left_half(
    dtype: DType, shape: tuple[int, ...], half: int, data: st.DataObject
) -> None:
    x = data.draw(tensors(dtype, (*shape, 2 * half), low=-9, high=9))
    bias = data.draw(tensors(dtype, (2 * half,), low=-9, high=9))
    exact = elementwise(
        lambda a, b, c, d: (a + b) * normal_gate(c + d),
        x[..., :half], bias[:half], x[..., half:], bias[half:],
    )  # fmt: skip
    assert_close(bias_split_gelu(x, bias), exact, dtype, ulps=8, floor=16)


@pytest.mark.parametrize("op", [bias_gelu, fast_gelu, bias_split_gelu])
def test_a_bias_of_another_type_is_refused(op: Callable[..., Array]) -> None:
    with pytest.raises(TypeError, match="float32, float64"):
        op(np.ones((1, 2), np.float32), np.ones(2))


@pytest.mark.parametrize(
    ("name", "alpha", "beta", "expected"),
    [
        (None, None, None, [-2.0, 0.5]),
        ("", None, None, [-2.0, 0.5]),
        ("Relu", None, None, [0.0, 0.5]),
        ("LeakyRelu", None, None, [-0.02, 0.5]),
        ("LeakyRelu", 0.5, None, [-1.0, 0.5]),
        ("HardSigmoid", None, None, [0.1, 0.6]),
        ("HardSigmoid", 1.0, 0.0, [0.0, 0.5]),
        ("Clip", -1.0, 0.25, [-1.0, 0.25]),
        ("Clip", None, None, [-2.0, 0.5]),
        ("Sigmoid", None, None, [logistic(-2), logistic(0.5)]),
        ("Tanh", None, None, [math.tanh(-2), math.tanh(0.5)]),
    ],
)
def test_fused_activations_go_by_names(
    name: str | None, alpha: float | None, beta: float | None, expected: list[float]
) -> None:
    found = activated(np.array([-2.0, 0.5]), name, alpha, beta)
    assert_close(found, expected, np.dtype(np.float64))


def test_an_unknown_fused_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="not 'Relu6'"):
        activated(np.zeros(1), "Relu6", None, None)


def test_nan_and_infinity() -> None:
    assert_equal(gelu(np.array([np.nan, np.inf])), np.array([np.nan, np.inf]))
