"""Fused normalisations against loops over rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array
from embedx.ops.microsoft import (
    simplified_layer_normalization,
    skip_layer_normalization,
    skip_simplified_layer_normalization,
)
from tests.assertions import assert_close, assert_equal
from tests.ops.microsoft.values import F32, f32, numbers
from tests.strategies import HALVES, DType, Strategy, generators

Rng = np.random.Generator
epsilons = st.sampled_from([1e-5, 0.25])


def statistics(row: list[float], epsilon: float, centred: bool) -> tuple[float, float]:
    """The mean, and one over the standard deviation or over the root mean square."""
    mean = math.fsum(row) / len(row) if centred else 0.0
    square = math.fsum((v - mean) ** 2 for v in row) / len(row)
    return mean, 1 / math.sqrt(square + epsilon)


@st.composite
def residuals(draw: st.DrawFn, rng: Rng) -> tuple[Array, Array, Array | None]:
    """An input, what is added to it (perhaps the same for each text), and perhaps a bias."""
    batch, length, hidden = (draw(st.integers(1, most)) for most in (2, 3, 5))
    shape = draw(st.sampled_from([(batch, length, hidden), (1, length, hidden), (length, hidden)]))
    bias = numbers(rng, hidden) if draw(st.booleans()) else None
    return numbers(rng, batch, length, hidden), numbers(rng, *shape), bias


def rows_of(total: Array) -> list[list[float]]:
    return [list(row) for row in total.reshape(-1, total.shape[-1]).tolist()]


@given(generators(), epsilons, st.booleans(), st.data())
def test_skip_layer_normalization(
    rng: Rng, epsilon: float, shifted: bool, data: st.DataObject
) -> None:
    x, skip, bias = data.draw(residuals(rng))
    gamma, beta = numbers(rng, 2, x.shape[-1])
    found = skip_layer_normalization(
        x, skip, gamma, beta if shifted else None, bias, epsilon=epsilon
    )
    total = x.astype(np.float64) + skip + (0 if bias is None else bias)
    pairs = [statistics(row, epsilon, True) for row in rows_of(total)]
    means, inverses = np.array(pairs).T.reshape(2, *x.shape[:2], 1)
    assert_close(found.input_skip_bias_sum, total, F32, floor=4)
    assert_close(found.mean, means, F32, floor=8)
    assert_close(found.inv_std_var, inverses, F32, ulps=16, floor=16 * float(inverses.max()) ** 2)
    output = (total - means) * inverses * gamma + (beta if shifted else 0)
    assert_close(found.output, output, F32, ulps=16, floor=64 * float(inverses.max()))


@given(generators(), epsilons, st.data())
def test_skip_simplified_layer_normalization(rng: Rng, epsilon: float, data: st.DataObject) -> None:
    x, skip, bias = data.draw(residuals(rng))
    gamma = numbers(rng, x.shape[-1])
    found = skip_simplified_layer_normalization(x, skip, gamma, bias, epsilon=epsilon)
    total = x.astype(np.float64) + skip + (0 if bias is None else bias)
    pairs = [statistics(row, epsilon, False) for row in rows_of(total)]
    inverses = np.array(pairs)[:, 1].reshape(*x.shape[:2], 1)
    assert_close(found.input_skip_bias_sum, total, F32, floor=4)
    assert_close(found.inv_std_var, inverses, F32, ulps=16, floor=16 * float(inverses.max()) ** 2)
    assert_close(found.output, total * inverses * gamma, F32, ulps=16, floor=64)
    assert_equal(found.mean, np.zeros_like(found.inv_std_var))


def axes() -> Strategy[int]:
    return st.sampled_from([1, 2, -1, -2])


@given(generators(), epsilons, axes())
def test_simplified_layer_normalization(rng: Rng, epsilon: float, axis: int) -> None:
    x = numbers(rng, 2, 3, 4)
    scale = numbers(rng, *x.shape[axis:])
    found = simplified_layer_normalization(x, scale, axis=axis, epsilon=epsilon)
    inner = math.prod(x.shape[axis:])
    pairs = [statistics(row, epsilon, False) for row in x.reshape(-1, inner).tolist()]
    kept = x.ndim + axis if axis < 0 else axis
    inverses = np.array(pairs)[:, 1].reshape(*x.shape[:kept], *[1] * (x.ndim - kept))
    assert_close(found.inv_std_var, inverses, F32, ulps=8)
    assert_close(found.y, x * inverses * scale, F32, ulps=8)


def test_simplified_layer_normalization_takes_the_type_of_its_scale() -> None:
    for dtype, result in ((np.float16, np.float32), (np.float32, np.float16)):
        x, scale = np.array([[3, -3]], dtype), np.array([1, 2], result)
        found = simplified_layer_normalization(x, scale, epsilon=0.0).y
        assert_equal(found, np.array([[1, -2]], result))


@pytest.mark.parametrize("axis", [2, -3])
def test_an_axis_that_does_not_exist_is_refused(axis: int) -> None:
    with pytest.raises(ValueError, match=f"axis {axis} does not exist"):
        simplified_layer_normalization(np.ones((2, 3)), np.ones(3), axis=axis)


def test_the_variance_is_that_of_the_centred_numbers() -> None:
    # The mean of the squares less the square of the mean would have lost all digits.
    x = f32([[[10_000, 10_001, 10_002, 10_003]]])
    nothing, one = np.zeros(4, np.float32), np.ones(4, np.float32)
    found = skip_layer_normalization(x, nothing, one).output
    exact = (np.arange(4) - 1.5) / math.sqrt(1.25)
    assert_close(found[0, 0], exact, F32)


@pytest.mark.parametrize("half", HALVES, ids=str)
def test_the_sum_of_halves_is_normalised_before_it_is_rounded(half: DType) -> None:
    x, skip = (np.array([[[1, 2, v]]]).astype(half) for v in (3, 1 / 3))
    one = np.ones(3, half)
    wide = [v.astype(np.float32) for v in (x, skip, one)]
    for op in (skip_layer_normalization, skip_simplified_layer_normalization):
        found, expected = op(x, skip, one), op(*wide)
        assert_equal(found.output, expected.output.astype(half))
        assert_equal(found.input_skip_bias_sum, expected.input_skip_bias_sum.astype(half))
        assert found.inv_std_var.dtype == np.float32
