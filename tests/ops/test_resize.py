"""Resizing, one output element after the other, with coordinates in exact fractions."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    Budget,
    OverBudgetError,
    resize,
    resize_10,
    spending,
    upsample,
    upsample_1,
    upsample_7,
)
from tests.assertions import assert_close, assert_equal
from tests.ops.windows import whole

F32 = np.dtype(np.float32)
HALF = Fraction(1, 2)

COORDINATES: dict[str, Callable[[int, int, Fraction, int], Fraction]] = {
    # From the place in the result, the old size, the new one (a fraction) and the whole one.
    "half_pixel": lambda x, n, length, count: (x + HALF) * n / length - HALF,
    "half_pixel_symmetric": lambda x, n, length, count: (
        Fraction(n, 2) * (1 - count / length) + (x + HALF) * n / length - HALF
    ),
    "pytorch_half_pixel": lambda x, n, length, count: (
        (x + HALF) * n / length - HALF if count > 1 else Fraction(0)
    ),
    "align_corners": lambda x, n, length, count: (
        Fraction(x * (n - 1)) / (length - 1) if length != 1 else Fraction(0)
    ),
    "asymmetric": lambda x, n, length, count: Fraction(x * n) / length,
}
NEAREST: dict[str, Callable[[Fraction], int]] = {
    "round_prefer_floor": lambda x: math.ceil(x - HALF),
    "round_prefer_ceil": lambda x: math.floor(x + HALF),
    "floor": math.floor,
    "ceil": math.ceil,
}


ERRORS = [Fraction(n, 2**40) for n in (0, 1, -1)]  # what rounding may do to a tie


def linear(distance: Fraction) -> Fraction:
    return max(1 - abs(distance), Fraction(0))


def cubic(a: Fraction) -> Callable[[Fraction], Fraction]:
    def weight(distance: Fraction) -> Fraction:
        x = abs(distance)
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else Fraction(0)

    return weight


def weighed(
    line: Array, at: Fraction, weight: Callable[[Fraction], Fraction], stretch: Fraction, edge: bool
) -> float:
    """The weighted mean of a line of numbers around a point; the edge goes on, or nothing does."""
    total = norm = Fraction(0)
    for i in range(math.floor(at - 2 * stretch) - 1, math.ceil(at + 2 * stretch) + 2):
        if edge or 0 <= i < len(line):
            w = weight((i - at) / stretch)
            total += w * Fraction(float(line[min(max(i, 0), len(line) - 1)]))
            norm += w
    return float(total / norm)


@st.composite
def lines(draw: st.DrawFn) -> tuple[Array, dict[str, Any], Fraction, int]:
    """A line of numbers, scales or sizes for it, and its new length, before and after rounding."""
    x = whole(draw, draw(st.integers(1, 6)))
    if draw(st.booleans()):
        count = draw(st.integers(1, 9))
        return x, {"sizes": np.array([count])}, Fraction(count), count
    scale = draw(st.sampled_from([0.25, 0.5, 0.6, 0.75, 1.0, 1.3, 1.5, 2.0, 3.0]))
    scales = np.array([scale], np.float32)
    count = int(np.float32(len(x)) * scales[0])
    return x, {"scales": scales}, Fraction(float(scales[0])) * len(x), count


def resized(x: Array, given: dict[str, Any], **attributes: Any) -> Array:
    return resize(x, None, given.get("scales"), given.get("sizes"), **attributes)


@given(lines(), st.sampled_from([*COORDINATES]), st.sampled_from([*NEAREST]))
def test_nearest_takes_one_element(
    drawn: tuple[Array, dict[str, Any], Fraction, int], word: str, rounding: str
) -> None:
    x, sizes, length, count = drawn
    found = resized(x, sizes, coordinate_transformation_mode=word, nearest_mode=rounding)
    assert found.shape == (count,)
    for i in range(count):
        exact = COORDINATES[word](i, len(x), length, count)
        near = {NEAREST[rounding](exact + error) for error in ERRORS}
        assert found[i] in [x[min(max(place, 0), len(x) - 1)] for place in near]


@given(
    lines(), st.sampled_from([*COORDINATES]), st.sampled_from(["linear", "cubic"]),
    st.booleans(), st.booleans(),
)  # fmt: skip
def test_interpolation_takes_weighted_means(
    drawn: tuple[Array, dict[str, Any], Fraction, int], word: str, mode: str, outside: bool,
    antialias: bool,
) -> None:  # fmt: skip
    x, sizes, length, count = drawn
    found = resized(
        x, sizes, coordinate_transformation_mode=word, mode=mode, cubic_coeff_a=-0.5,
        exclude_outside=int(outside), antialias=int(antialias),
    )  # fmt: skip
    stretch = max(Fraction(1), len(x) / length) if antialias and count else Fraction(1)
    weight = linear if mode == "linear" else cubic(Fraction(-1, 2))
    exact = [
        weighed(x, COORDINATES[word](i, len(x), length, count), weight, stretch, not outside)
        for i in range(count)
    ]
    assert_close(found, exact, F32, floor=256)


@given(st.data(), st.sampled_from(["nearest", "linear", "cubic"]))
def test_axes_are_resized_one_after_the_other(data: st.DataObject, mode: str) -> None:
    x = whole(data.draw, 2, 3, 4).astype(np.float64)
    sizes = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    both = resize(x, None, None, np.array([2, *sizes]), mode=mode)
    chosen = resize(x, None, None, np.array(sizes[::-1]), axes=(-1, 1), mode=mode)
    first = resize(x, None, None, np.array(sizes[1:]), axes=(2,), mode=mode)
    one_by_one = resize(first, None, None, np.array(sizes[:1]), axes=(1,), mode=mode)
    assert both.shape == (2, *sizes)
    assert_close(both, one_by_one, x.dtype, floor=16)
    assert_close(both, chosen, x.dtype, floor=16)


@given(st.data())
def test_crop_shows_a_part(data: st.DataObject) -> None:
    x = whole(data.draw, 5)
    start, end = (data.draw(st.integers(-4, 20)) / 16 for _ in range(2))
    count = data.draw(st.integers(1, 5))
    found = resize(
        x, np.array([start, end]), None, np.array([count]), mode="linear",
        coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=9.0,
    )  # fmt: skip
    for i in range(count):
        share = i / (count - 1) if count > 1 else 0.5
        at = (start + share * (end - start)) * 4
        inside = weighed(x, Fraction(at), linear, Fraction(1), True)
        assert found[i] == pytest.approx(inside if 0 <= at <= 4 else 9, abs=1e-5)


@pytest.mark.parametrize(
    ("policy", "sizes", "shape"),
    [
        ("stretch", (6, 6), (6, 6)),
        ("not_larger", (6, 6), (3, 6)),
        ("not_smaller", (6, 6), (6, 12)),
        ("not_larger", (9, 5), (3, 5)),  # 2.5 rows: halves go up
    ],
)
def test_the_ratio_of_the_sides_is_kept(
    policy: str, sizes: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    x = np.zeros((2, 4))
    found = resize(x, None, None, np.array(sizes), keep_aspect_ratio_policy=policy)
    assert found.shape == shape


def test_sizes_from_scales_are_computed_in_float32() -> None:
    # In float64, ten times the float32 nearest to 0.7 is just below 7.
    assert resize(np.zeros(10), None, np.array([0.7], np.float32)).shape == (7,)


def test_integers_are_rounded_to_even_and_saturated() -> None:
    x = np.array([0, 255], np.uint8)
    found = resize(
        x, None, None, np.array([5]), mode="linear", coordinate_transformation_mode="align_corners"
    )
    assert_equal(found, np.array([0, 64, 128, 191, 255], np.uint8))
    overshoot = resize(
        np.array([0, 0, 255, 255], np.uint8), None, None, np.array([8]), mode="cubic"
    )
    assert overshoot.max() == 255
    assert overshoot.min() == 0


@pytest.mark.parametrize("dtype", [object, bool, np.int64])
def test_nearest_moves_elements_of_any_type(dtype: Any) -> None:
    x = np.array([1, 0]).astype(dtype)
    assert_equal(resize(x, None, None, np.array([4])), x[[0, 0, 1, 1]])
    large = np.array([2**62 + 1, 5])
    assert_equal(resize(large, None, None, np.array([4])), large[[0, 0, 1, 1]])


@given(st.data(), st.sampled_from(["nearest", "linear"]))
def test_older_forms_align_the_first_elements(data: st.DataObject, mode: str) -> None:
    x = whole(data.draw, 1, 1, 3, 4)
    up = data.draw(st.tuples(st.sampled_from([1.0, 1.5, 2.0]), st.sampled_from([1.0, 2.5])))
    scales = np.array([1, 1, *up], np.float32)
    expected = resize(
        x, None, scales, coordinate_transformation_mode="asymmetric", mode=mode,
        nearest_mode="floor",
    )  # fmt: skip
    assert_equal(resize_10(x, scales, mode=mode), expected)
    assert_equal(upsample(x, scales, mode=mode), expected)
    assert_equal(upsample_7(x, scales=tuple(scales.tolist()), mode=mode), expected)
    word = {"linear": "bilinear"}.get(mode, mode)
    assert_equal(upsample_1(x, height_scale=up[0], width_scale=up[1], mode=word), expected)


@pytest.mark.parametrize(
    ("arguments", "attributes", "message"),
    [
        ((), {}, "one of scales and sizes"),
        ((np.ones(1, np.float32), np.array([2])), {}, "one of scales and sizes"),
        ((np.zeros(1, np.float32),), {}, "one above 0"),
        ((np.ones(2, np.float32),), {}, "for 1 axes"),
        ((None, np.array([-1])), {}, "sizes"),
        ((None, np.array([2])), {"mode": "area"}, "mode is one of"),
        ((None, np.array([2])), {"nearest_mode": "up"}, "nearest_mode is one of"),
        ((None, np.array([2])), {"keep_aspect_ratio_policy": "x"}, "keep_aspect_ratio_policy"),
        ((None, np.array([2])), {"coordinate_transformation_mode": "x"}, "transformation_mode"),
        ((None, np.array([2])), {"coordinate_transformation_mode": "tf_crop_and_resize"}, "roi"),
        ((None, np.array([2])), {"axes": (1,)}, "does not exist"),
    ],
)
def test_refusals(arguments: tuple[Any, ...], attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resize(np.zeros(3), None, *arguments, **attributes)


def test_empty_scales_mean_sizes_as_at_opset_11() -> None:
    nothing = np.zeros(0, np.float32)
    assert resize(np.zeros(3), nothing, nothing, np.array([2])).shape == (2,)


def test_small_models_cannot_ask_for_everything() -> None:
    with spending(Budget(max_bytes=10**6)), pytest.raises(OverBudgetError):
        resize(np.zeros(3), None, None, np.array([2**40]), mode="linear")
    with pytest.raises(ValueError, match="at least 1"):
        upsample(np.zeros(3), np.array([0.5], np.float32))
