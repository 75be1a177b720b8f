"""Activation functions against their formulas, one Python float after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    celu,
    elu,
    gelu,
    hard_sigmoid,
    hard_swish,
    leaky_relu,
    mish,
    prelu,
    prelu_1,
    relu,
    selu,
    shrink,
    sigmoid,
    softplus,
    softsign,
    swiglu,
    swish,
    thresholded_relu,
)
from tests.assertions import assert_close, assert_equal
from tests.oracles import elementwise
from tests.strategies import FLOATS, NUMBERS, SIGNED, DType, Shape, operands, shapes, tensors

Scalar = Callable[..., float]


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(min(-x, 700)))


def exponential(x: float, alpha: float = 1.0) -> float:
    return x if x > 0 else alpha * math.expm1(x)


def normal_gate(x: float) -> float:
    return x * math.erfc(-x / math.sqrt(2)) / 2


def tanh_gate(x: float) -> float:
    return x * logistic(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


def towards_zero(x: float) -> float:
    return x - math.copysign(0.75, x) if abs(x) > 1.5 else 0


CASES: list[tuple[Callable[..., Array], dict[str, Any], Scalar]] = [
    (sigmoid, {}, logistic),
    (softplus, {}, lambda x: math.log1p(math.exp(x))),
    (softsign, {}, lambda x: x / (1 + abs(x))),
    (gelu, {}, normal_gate),
    (gelu, {"approximate": "tanh"}, tanh_gate),
    (swish, {}, lambda x: x * logistic(x)),
    (swish, {"alpha": 1.5}, lambda x: x * logistic(1.5 * x)),
    (hard_sigmoid, {}, lambda x: min(max(0.2 * x + 0.5, 0), 1)),
    (hard_sigmoid, {"alpha": 0.5, "beta": 0.25}, lambda x: min(max(0.5 * x + 0.25, 0), 1)),
    (hard_swish, {}, lambda x: x * min(max(x / 6 + 0.5, 0), 1)),
    (mish, {}, lambda x: x * math.tanh(math.log1p(math.exp(x)))),
    (elu, {}, exponential),
    (elu, {"alpha": 2.0}, lambda x: exponential(x, 2.0)),
    (celu, {"alpha": 2.0}, lambda x: max(0, x) + min(0, 2 * math.expm1(x / 2))),
    (
        selu,
        {},
        lambda x: 1.05070102214813232421875 * exponential(x, 1.67326319217681884765625),
    ),
    (leaky_relu, {}, lambda x: x if x > 0 else 0.01 * x),
    (leaky_relu, {"alpha": -0.5}, lambda x: x if x > 0 else -0.5 * x),
    (shrink, {"lambd": 1.5, "bias": 0.75}, towards_zero),
]  # fmt: skip


@pytest.mark.parametrize(("op", "attributes", "formula"), CASES, ids=[c[0].__name__ for c in CASES])
@given(data=st.data())
def test_activations_are_their_formulas(
    op: Callable[..., Array], attributes: dict[str, Any], formula: Scalar, data: st.DataObject
) -> None:
    x = data.draw(st.sampled_from(FLOATS).flatmap(lambda d: tensors(d, low=-30, high=30)))
    assert_close(op(x, **attributes), elementwise(formula, x), x.dtype, ulps=4, floor=2)


def test_gelu_keeps_its_digits_far_below_zero() -> None:
    x = np.linspace(-10, -1, 200, dtype=np.float32)  # 1 + erf and 1 + tanh would be 0 from -6 on
    assert_close(gelu(x), elementwise(normal_gate, x), x.dtype)
    exact = elementwise(tanh_gate, x)
    assert_close(gelu(x, approximate="tanh"), exact, x.dtype, ulps=200)  # exp multiplies an ulp


LIMITS: list[tuple[Callable[..., Array], float, float]] = [
    (sigmoid, 0, 1),
    (softplus, 0, math.inf),
    (elu, -1, math.inf),
    (celu, -1, math.inf),
    (hard_sigmoid, 0, 1),
    (relu, 0, math.inf),
    (leaky_relu, -math.inf, math.inf),
    (thresholded_relu, 0, math.inf),
    (shrink, -math.inf, math.inf),
]


@pytest.mark.parametrize(("op", "left", "right"), LIMITS, ids=[c[0].__name__ for c in LIMITS])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@np.errstate(over="ignore")
def test_limits(op: Callable[..., Array], left: float, right: float, dtype: DType) -> None:
    assert_equal(op(np.array([-np.inf, np.inf], dtype)), np.array([left, right], dtype))


@pytest.mark.parametrize("op", [sigmoid, softplus, gelu, swish, mish, hard_swish, selu])
def test_large_inputs_do_not_overflow(op: Callable[..., Array]) -> None:
    # filterwarnings = error: a warning of NumPy would fail the test.
    found = op(np.array([-1000, -100, 100, 1000], np.float32))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("op", [c[0] for c in CASES if c[0] is not shrink] + [relu])
def test_nan_stays(op: Callable[..., Array]) -> None:
    assert_equal(op(np.array([np.nan])), np.array([np.nan]))


def test_gelu_refuses_another_approximation() -> None:
    with pytest.raises(ValueError, match="none or tanh, not 'sigmoid'"):
        gelu(np.zeros(1), approximate="sigmoid")


@given(st.sampled_from(FLOATS + SIGNED).flatmap(tensors))
def test_relu_is_the_positive_part(x: Array) -> None:
    expected = elementwise(lambda v: 0 if v < 0 else v, x, dtype=object)
    assert_equal(relu(x), expected.astype(x.dtype))


@given(st.sampled_from(FLOATS).flatmap(tensors), st.sampled_from([0.0, 0.5, 1.0]))
def test_thresholded_relu_keeps_what_is_above(x: Array, alpha: float) -> None:
    expected = elementwise(lambda v: v if v > alpha else 0, x)
    assert_equal(thresholded_relu(x, alpha=alpha), expected.astype(x.dtype))


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_shrink_takes_every_number(dtype: DType) -> None:
    found = shrink(np.array([5, 0, 2], dtype), bias=1.0, lambd=2.0)
    assert_equal(found, np.array([4, 0, 0], dtype))


def test_shrink_of_nan_is_zero() -> None:
    assert_equal(shrink(np.array([np.nan])), np.array([0.0]))  # neither above nor below


@given(operands(FLOATS, low=-30, high=30))
def test_swiglu_is_swish_times_gate(ab: tuple[Array, ...]) -> None:
    wanted = elementwise(lambda a, b: a * logistic(a) * b, *ab)
    assert_close(swiglu(*ab), wanted, ab[0].dtype, ulps=4, floor=2)


def test_swiglu_refuses_mixed_types() -> None:
    with pytest.raises(TypeError, match="float32, float64"):
        swiglu(np.ones(1, np.float32), np.ones(1))


# -- PRelu ----------------------------------------------------------------------------------------


@given(st.sampled_from(NUMBERS), st.data())
def test_prelu_scales_what_is_negative(dtype: DType, data: st.DataObject) -> None:
    x = data.draw(tensors(dtype, low=-8, high=8))
    cut = data.draw(st.integers(0, x.ndim))
    slope = data.draw(tensors(dtype, x.shape[cut:], low=-8, high=8))  # unidirectional broadcasting
    wanted = elementwise(lambda v, s: s * v if v < 0 else v, x, slope)
    assert_equal(prelu(x, slope), wanted.astype(dtype))


def test_prelu_does_not_broadcast_its_input() -> None:
    with pytest.raises(ValueError, match=r"dimensions|broadcast"):
        prelu(np.ones(2), np.ones((3, 2)))


def test_prelu_refuses_mixed_types() -> None:
    with pytest.raises(TypeError, match="float32, float64"):
        prelu(np.ones(1, np.float32), np.ones(1))


@given(shapes(min_rank=2), st.data())
def test_prelu_of_old_scales_each_channel(shape: Shape, data: st.DataObject) -> None:
    x = data.draw(tensors(np.dtype(np.float64), shape, low=-8, high=8))
    count = data.draw(st.sampled_from([1, shape[1]]))
    slope = data.draw(tensors(np.dtype(np.float64), (count,), low=-8, high=8))
    found = prelu_1(x, slope)
    for channel in range(shape[1]):
        s, part = float(slope[channel % count]), x[:, channel]
        assert_equal(found[:, channel], elementwise(lambda v, s=s: s * v if v < 0 else v, part))


def test_prelu_had_one_slope_a_channel() -> None:
    x = -np.ones((1, 2, 2, 3))
    found = prelu_1(x, np.array([2.0, 3.0]))  # today (2,) would not fit the last axis
    assert_equal(found[:, 0], np.full((1, 2, 3), -2.0))
    assert_equal(found[:, 1], np.full((1, 2, 3), -3.0))
    assert_equal(prelu_1(x, np.array([5.0])), np.full_like(x, -5))


def test_prelu_refuses_another_number_of_channels() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        prelu_1(-np.ones((1, 2, 3)), np.array([1.0, 2.0, 3.0]))
