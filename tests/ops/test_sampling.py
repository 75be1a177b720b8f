"""Sampling at points against sums over all pixels, and grids against the maps that made them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array, affine_grid, grid_sample, grid_sample_16
from tests.assertions import assert_close, assert_equal
from tests.ops.windows import whole
from tests.strategies import Shape

F32 = np.dtype(np.float32)


def cubic(distance: float) -> float:
    x, a = abs(distance), -0.75
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


WEIGHTS = {"linear": lambda d: max(1 - abs(d), 0.0), "cubic": cubic}


def source(i: int, size: int, padding: str, aligned: bool) -> int | None:
    """The pixel that stands at a place outside, if there is one."""
    if 0 <= i < size or padding == "zeros":
        return i if 0 <= i < size else None
    if padding == "border":
        return min(max(i, 0), size - 1)
    period = 2 * (size - 1) if aligned else 2 * size
    i = i % period if period else 0
    return i if i < size else (period - i if aligned else period - 1 - i)


def value_at(image: Array, point: list[float], mode: str, padding: str, aligned: bool) -> float:
    """The sum over pixels, real or continued, around a point; the first axis first."""
    if not point:
        return float(image)
    at, size, total = point[0], len(image), 0.0
    if mode == "nearest":
        i = source(round(at), size, padding, aligned)
        return 0.0 if i is None else value_at(image[i], point[1:], mode, padding, aligned)
    for place in range(int(np.floor(at)) - 2, int(np.floor(at)) + 4):
        i = source(place, size, padding, aligned)
        if i is not None:
            rest = value_at(image[i], point[1:], mode, padding, aligned)
            total += WEIGHTS[mode](place - at) * rest
    return total


@st.composite
def sampled(draw: st.DrawFn) -> tuple[Array, Array]:
    """An image, and points on eighths of it, which are exact; none halfway between pixels."""
    rank = draw(st.integers(1, 3))
    size = tuple(draw(st.sampled_from([1, 2, 4])) for _ in range(rank))
    x = whole(draw, 1, 2, *size)
    eighths = draw(
        st.lists(st.integers(-28, 28).filter(lambda n: n % 4), min_size=rank, max_size=rank)
    )
    return x, np.array(eighths).reshape(1, *[1] * rank, rank) / np.float32(8)


def place_of(unit: float, size: int, aligned: bool) -> float:
    return (unit + 1) / 2 * (size - 1) if aligned else ((unit + 1) * size - 1) / 2


@given(
    sampled(), st.sampled_from(["linear", "cubic", "nearest"]),
    st.sampled_from(["zeros", "border", "reflection"]), st.booleans(),
)  # fmt: skip
def test_grid_sample_weighs_pixels(
    drawn: tuple[Array, Array], mode: str, padding: str, aligned: bool
) -> None:
    x, grid = drawn
    points = grid.reshape(-1)[::-1].tolist()
    places = [place_of(p, n, aligned) for p, n in zip(points, x.shape[2:], strict=True)]
    found = grid_sample(x, grid, mode=mode, padding_mode=padding, align_corners=int(aligned))
    if mode == "linear" and padding == "border":
        places = [min(max(p, 0.0), n - 1) for p, n in zip(places, x.shape[2:], strict=True)]
    for c in range(2):
        exact = value_at(x[0, c], places, mode, padding, aligned)
        assert_close(found[0, c].reshape(()), exact, F32, floor=256)


@pytest.mark.parametrize("aligned", [0, 1])
@given(shape=st.tuples(st.integers(2, 4), st.integers(2, 4)))
def test_the_identity_map_gives_the_image_back(aligned: int, shape: Shape) -> None:
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(1, 1, *shape)
    identity = np.eye(2, 3)[None]
    grid = affine_grid(identity, np.array(x.shape), align_corners=aligned)
    for mode in ("linear", "cubic", "nearest"):
        found = grid_sample(x, grid, mode=mode, align_corners=aligned)
        assert_close(found, x, x.dtype, floor=64)


@given(st.data(), st.booleans())
def test_affine_grid_maps_the_centres_of_pixels(data: st.DataObject, aligned: bool) -> None:
    rank = data.draw(st.integers(2, 3))
    theta = whole(data.draw, 2, rank, rank + 1)
    size = data.draw(st.tuples(*[st.integers(2, 4)] * rank))
    found = affine_grid(theta, np.array([2, 1, *size]), align_corners=int(aligned))
    for place in np.ndindex(size):
        centre = [
            2 * i / (n - 1) - 1 if aligned else (2 * i + 1) / n - 1
            for i, n in zip(place, size, strict=True)
        ]
        exact = theta.astype(float) @ [*centre[::-1], 1]
        assert_close(found[(slice(None), *place)], exact, F32, floor=64)


def test_nearest_takes_the_even_one_of_two_and_moves_any_type() -> None:
    x = np.array([[[10, 20, 30, 40]]], np.int64)
    grid = np.array([[[-0.5], [0.0], [0.5], [5.0]]])
    found = grid_sample(x, grid, mode="nearest")
    assert_equal(found, np.array([[[10, 30, 30, 0]]]))
    words = np.array([[["a", "b", "c", "d"]]], object)
    assert grid_sample(words, grid, mode="nearest").tolist() == [[["a", "c", "c", ""]]]


def test_integers_are_truncated() -> None:
    x = np.array([[[0, 3]]], np.int32)
    assert_equal(grid_sample(x, np.array([[[0.0]]])), np.array([[[1]]], np.int32))


@given(sampled())
def test_the_modes_had_other_names_at_opset_16(drawn: tuple[Array, Array]) -> None:
    x, grid = drawn
    for old, new in (("bilinear", "linear"), ("bicubic", "cubic"), ("nearest", "nearest")):
        assert_equal(grid_sample_16(x, grid, mode=old), grid_sample(x, grid, mode=new))


def test_points_far_outside_and_nan_do_no_harm() -> None:
    x = np.ones((1, 1, 2))
    far = np.array([[[1e30], [-np.inf], [np.inf]]])
    assert grid_sample(x, far).tolist() == [[[0, 0, 0]]]
    assert grid_sample(x, far, padding_mode="border").tolist() == [[[1, 1, 1]]]
    assert grid_sample(x, far, padding_mode="reflection").tolist() == [[[1, 1, 1]]]
    with np.errstate(invalid="ignore"):
        assert grid_sample(x, np.array([[[np.nan]]])) == 0


@pytest.mark.parametrize(
    ("grid", "attributes", "message"),
    [
        (np.zeros((1, 3, 2)), {}, "does not fit"),
        (np.zeros((2, 3, 1)), {}, "does not fit"),
        (np.zeros((1, 3, 1)), {"mode": "bilinear"}, "mode is"),
        (np.zeros((1, 3, 1)), {"padding_mode": "wrap"}, "padding_mode is"),
    ],
)
def test_refusals(grid: Array, attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grid_sample(np.ones((1, 1, 2)), grid, **attributes)
    with pytest.raises(ValueError, match="mode is one of"):
        grid_sample_16(np.ones((1, 1, 2)), grid, mode="linear")
    with pytest.raises(ValueError, match="does not fit size"):
        affine_grid(np.ones((1, 2, 3)), np.array([1, 1, 2, 2, 2]))
