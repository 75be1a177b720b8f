"""Normalisations against their formulas in Python floats."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array, layer_normalization, lp_normalization, rms_normalization
from tests.assertions import assert_close, assert_equal
from tests.strategies import FLOATS, HALVES, DType, Shape, shapes, tensors, with_axis

FLOAT32: DType = np.dtype(np.float32)


def rows_of(x: Array, axis: int) -> list[list[float]]:
    """The elements that are normalised together: all from an axis on."""
    wide = x.astype(np.float64)
    return wide.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:])).tolist()


def standardised(row: list[float], epsilon: float) -> tuple[list[float], float, float]:
    mean = math.fsum(row) / len(row)
    variance = math.fsum((v - mean) ** 2 for v in row) / len(row)
    return [(v - mean) / math.sqrt(variance + epsilon) for v in row], mean, variance


@st.composite
def normalised(draw: st.DrawFn) -> tuple[Array, Array, Array, int]:
    """A tensor, a scale and a shift that broadcast to it, and the first axis."""
    dtype = draw(st.sampled_from(FLOATS))
    shape = draw(shapes(min_rank=1, min_side=1))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    cut = axis % len(shape)
    fitting = st.sampled_from([shape[cut:], shape, (1,), ()])
    x = draw(tensors(dtype, shape, low=-8, high=8))
    scale, shift = (draw(tensors(dtype, draw(fitting), low=-2, high=2)) for _ in range(2))
    return x, scale, shift, axis


@given(normalised(), st.booleans())
def test_layer_normalization(case: tuple[Array, Array, Array, int], shifted: bool) -> None:
    x, scale, shift, axis = case
    cut = axis % x.ndim
    rows = [standardised(row, 0.125) for row in rows_of(x, cut)]
    kept = (*x.shape[:cut], *[1] * (x.ndim - cut))
    y = np.array([row for row, _, _ in rows]).reshape(x.shape) * scale.astype(np.float64)
    if shifted:
        y = y + shift.astype(np.float64)
    found = layer_normalization(x, scale, shift if shifted else None, axis=axis, epsilon=0.125)
    half = x.dtype in HALVES
    assert_close(found.y, y, x.dtype, ulps=1 if half else 8, floor=0.1 if half else 64)
    # The statistics have the stash type, float32, whatever that of X.
    means = np.array([mean for _, mean, _ in rows]).reshape(kept)
    scales = np.array([1 / math.sqrt(v + 0.125) for _, _, v in rows]).reshape(kept)
    assert_close(found.mean, means, FLOAT32, ulps=4, floor=16)
    assert_close(found.inv_std_dev, scales, FLOAT32, ulps=32)


@given(normalised())
def test_rms_normalization(case: tuple[Array, Array, Array, int]) -> None:
    x, scale, _, axis = case
    rows = rows_of(x, axis % x.ndim)
    sizes = [math.sqrt(math.fsum(v * v for v in row) / len(row) + 0.125) for row in rows]
    exact = [[v / size for v in row] for row, size in zip(rows, sizes, strict=True)]
    y = np.array(exact).reshape(x.shape) * scale.astype(np.float64)
    found = rms_normalization(x, scale, axis=axis, epsilon=0.125)
    assert_close(found, y, x.dtype, ulps=1 if x.dtype in HALVES else 8)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_halves_do_not_overflow_in_the_squares(dtype: DType) -> None:
    # 300 ** 2 is beyond the largest fp16. The mean is 50, and (350² + 250² + 0 + 100²) / 4 = 48750.
    x, one = np.array([[-300, 300, 50, 150]], dtype), np.ones(4, dtype)
    expected = [[v / math.sqrt(48750) for v in (-350, 250, 0, 100)]]
    assert_close(layer_normalization(x, one, epsilon=0.0).y, expected, dtype, ulps=4)
    rms = math.sqrt((300**2 + 300**2 + 50**2 + 150**2) / 4)
    scaled = [[v / rms for v in (-300, 300, 50, 150)]]
    assert_close(rms_normalization(x, one, epsilon=0.0), scaled, dtype, ulps=4)


def test_epsilon_stands_inside_the_root() -> None:
    found = layer_normalization(np.array([[1.0, 1.0]]), np.ones(2), epsilon=0.25)
    assert_equal(found.inv_std_dev, np.array([[2]], np.float32))
    assert_equal(rms_normalization(np.zeros((1, 2)), np.ones(2), epsilon=0.25), np.zeros((1, 2)))


@pytest.mark.parametrize(("code", "name"), [(1, "float32"), (11, "float64"), (10, "float16")])
def test_the_statistics_have_the_stash_type(code: int, name: str) -> None:
    x = np.array([[1.0, 3.0]], np.float32)
    found = layer_normalization(x, np.ones(2, np.float32), stash_type=code)
    assert found.y.dtype == np.float32
    assert found.mean.dtype == found.inv_std_dev.dtype == np.dtype(name)
    assert float(found.mean[0, 0]) == 2


def test_float64_is_not_narrowed_to_the_stash_type() -> None:
    x = np.array([1.0, 1.0 + 2.0**-40])  # equal in float32
    found = layer_normalization(x, np.ones(2), epsilon=0.0)
    assert_equal(found.y, np.array([-1.0, 1.0]))


def test_rms_normalization_takes_the_type_of_its_scale() -> None:
    x, scale = np.array([[3, -3]], np.float16), np.array([1, 2], np.float32)
    assert_equal(rms_normalization(x, scale, epsilon=0.0), np.array([[1, -2]], np.float32))
    wide = rms_normalization(x.astype(np.float32), scale.astype(np.float16), epsilon=0.0)
    assert_equal(wide, np.array([[1, -2]], np.float16))


@pytest.mark.parametrize("op", [layer_normalization, rms_normalization])
def test_scales_do_not_widen_the_input(op: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"broadcast|dimensions"):
        op(np.ones(3), np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"broadcast|remapped"):
        op(np.ones((2, 1)), np.ones(3))
    for axis in (2, -3):
        with pytest.raises(ValueError, match=f"axis {axis} does not exist"):
            op(np.ones((2, 3)), np.ones(3), axis=axis)


@given(st.sampled_from(FLOATS), st.sampled_from(FLOATS[:3]), st.booleans())
def test_layer_normalization_takes_the_type_of_its_scale(
    dtype: DType, result: DType, shifted: bool
) -> None:
    x, scale = np.array([[-300, 300, 50, 150]], dtype), np.array([1, 2, 1, 2], result)
    exact = np.array([[-350, 250, 0, 100]]) / math.sqrt(48750) * [1, 2, 1, 2] + shifted
    shift = np.ones(4, result) if shifted else None
    found = layer_normalization(x, scale, shift, epsilon=0.0)
    assert_close(found.y, exact, result)


def test_layer_normalization_refuses_a_shift_of_another_type() -> None:
    x = np.ones((2, 3), np.float32)
    with pytest.raises(TypeError, match="float32, float64"):
        layer_normalization(x, x[0], np.ones(3))


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
@np.errstate(invalid="ignore")
def test_normalisations_of_nothing(shape: Shape) -> None:
    x, scale = np.zeros(shape), np.ones(shape[1])
    assert_equal(layer_normalization(x, scale).y, x)
    assert_equal(rms_normalization(x, scale), x)
    assert_equal(lp_normalization(x), x)


# -- LpNormalization ------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 2])
@given(x_axis=with_axis(FLOATS, low=-8, high=8))
def test_lp_normalization(p: int, x_axis: tuple[Array, int]) -> None:
    x, axis = x_axis
    x = np.where(np.abs(x) < 1e-9, 0, x).astype(x.dtype)  # whose squares would vanish
    rows = np.moveaxis(x.astype(np.float64), axis, -1)
    exact = np.zeros(rows.shape)
    for place in np.ndindex(*rows.shape[:-1]):
        row = rows[place].tolist()
        norm = math.fsum(abs(v) ** p for v in row) ** (1 / p)
        exact[place] = [v / norm if norm else 0 for v in row]
    wanted = np.moveaxis(exact, -1, axis)
    assert_close(lp_normalization(x, axis=axis, p=p), wanted, x.dtype, ulps=4)


def test_lp_normalization_of_zeros_is_zero() -> None:
    assert_equal(lp_normalization(np.zeros((2, 3))), np.zeros((2, 3)))


def test_lp_normalization_refuses() -> None:
    with pytest.raises(ValueError, match="p is 1 or 2, not 3"):
        lp_normalization(np.ones(2), p=3)
    for axis in (1, -2):
        with pytest.raises(ValueError, match=f"axis {axis} does not exist"):
            lp_normalization(np.ones(2), axis=axis)
