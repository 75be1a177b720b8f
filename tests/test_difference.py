"""How far values are apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx import ToleranceError
from embedx.difference import CLOSE, ROUNDING, Tolerance, compare, differences, ulps
from embedx.ops import Array


def f32(values: list[float]) -> Array:
    return np.array(values, np.float32)


ONE = f32([1, 2, 3])
NAN, INF = f32([1, np.nan, 3]), f32([1, np.inf, 3])


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        (ONE.astype("float64"), ONE, "is float64\\[3\\], expected float32\\[3\\]"),
        (ONE[:2], ONE, "is float32\\[2\\], expected float32\\[3\\]"),
        (None, ONE, "is nothing, expected"),
        ([ONE], [ONE, ONE], "is a sequence of 1, expected a sequence of 2"),
        ([ONE, ONE + 1], [ONE, ONE], r"item 1, element \[0\]: 2.0 instead of 1.0"),
        (ONE, NAN, r"element \[1\]: 2.0 instead of nan$"),
        (NAN, ONE, r"element \[1\]: nan instead of 2.0$"),
        (f32([1, 3.4028235e38, 3]), INF, "instead of inf$"),
        (-INF, INF, r"element \[0\]: -1.0 instead of 1.0 .*; 3 of 3 elements differ"),
        (np.array(["a"], object), np.array(["b"], object), "a instead of b"),
        (np.array(7), np.array(8), r"element \[\]: 7 instead of 8$"),
    ],
)
def test_what_differs_is_named(actual: Any, expected: Any, message: str) -> None:
    with pytest.raises(ToleranceError, match=message):
        compare(actual, expected, CLOSE)


def test_tolerances_count_units_in_the_last_place() -> None:
    four_off = ONE.view(np.int32) + 4
    compare(four_off.view(np.float32), ONE, ROUNDING)
    with pytest.raises(ToleranceError, match="5 ulp, ROUNDING allows 4"):
        compare((four_off + 1).view(np.float32), ONE, ROUNDING)


def test_close_forgives_what_cancellation_costs_and_no_more() -> None:
    expected = f32([1e-9, 1])
    compare(f32([1e-9 + 4 * 2**-23, 1]), expected, CLOSE)
    with pytest.raises(ToleranceError, match=r"element \[0\]"):
        compare(f32([1e-9 + 5 * 2**-23, 1]), expected, CLOSE)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_distance_crosses_zero(dtype: str) -> None:
    import ml_dtypes

    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    smallest = ml_dtypes.finfo(kind).smallest_subnormal
    pairs = np.array([[smallest, -smallest], [0.0, -0.0], [np.nan, -np.nan]], kind)
    assert ulps(pairs[:, 0], pairs[:, 1]).tolist() == [2, 0, 0]


def test_narrow_floats_must_be_equal() -> None:
    import ml_dtypes

    x = np.array([0.5, 2.0], ml_dtypes.float8_e8m0fnu)
    compare(x, x, CLOSE)
    with pytest.raises(ToleranceError):
        compare(x, x[::-1], CLOSE)


def test_differences_where_results_compare() -> None:
    a, b = np.array([1.0, 2.0]), np.array([1.0, 2.5], np.float32)
    found = differences([a, a], [a, b])
    assert found == {"max_abs_difference": 0.5, "mean_abs_difference": 0.125}
    for other in (np.array([np.nan, 0.0]), np.ones(3), np.array(["a", "b"])):
        assert set(differences([a], [other]).values()) == {None}


def neighbours(x: Array, steps: int) -> Array:
    """The floats that many places above, counted one after the other."""
    with np.errstate(over="ignore"):
        for _ in range(steps):
            x = np.nextafter(x, np.array(np.inf, x.dtype))
    return x


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@given(st.data(), st.integers(0, 40))
def test_ulps_are_steps_to_the_next_float(dtype: type, data: st.DataObject, steps: int) -> None:
    width: Any = 8 * np.dtype(dtype).itemsize
    numbers: Any = st.floats(width=width, allow_nan=False, allow_infinity=False)
    start: Array = np.array([data.draw(numbers)], dtype)
    other = neighbours(start, steps)
    if np.isfinite(other).all():
        for pair in ((start, other), (other, start)):
            assert ulps(*pair).tolist() == [steps]
    tolerance = Tolerance("SOME", 20)
    if np.isfinite(other).all() and steps > 20:
        with pytest.raises(ToleranceError, match=f"{steps} ulp, SOME allows 20"):
            compare(other, start, tolerance)
    elif np.isfinite(other).all():
        compare(other, start, tolerance)
