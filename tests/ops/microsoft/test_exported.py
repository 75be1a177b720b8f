"""What exporters write, against the standard's operators and against loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx import ops
from embedx.ops import Array, Budget, OverBudgetError, spending
from embedx.ops.microsoft import cdist, expand_dims, grid_sample, inverse, trilu
from tests.assertions import assert_close, assert_equal
from tests.ops.microsoft.values import F32, f32, numbers
from tests.strategies import ANYTHING, HALVES, DType, generators, shapes, tensors

Rng = np.random.Generator


@given(st.sampled_from(ANYTHING), st.data(), st.sampled_from([None, -1, 0, 2]), st.booleans())
def test_trilu_keeps_a_triangle(
    dtype: DType, data: st.DataObject, k: int | None, upper: bool
) -> None:
    x = data.draw(tensors(dtype, shapes(min_rank=2)))
    found = trilu(x, None if k is None else np.array(k), upper=int(upper))
    kept = np.zeros(x.shape, bool)
    for place in np.ndindex(*x.shape):
        distance = place[-1] - place[-2] - (k or 0)
        kept[place] = distance >= 0 if upper else distance <= 0
    assert_equal(found, np.where(kept, x, "" if dtype == object else np.zeros((), dtype)))


@given(st.sampled_from(ANYTHING), st.data())
def test_expand_dims_adds_one_axis(dtype: DType, data: st.DataObject) -> None:
    x = data.draw(tensors(dtype, shapes()))
    axis = data.draw(st.integers(-x.ndim - 1, x.ndim))
    found = expand_dims(x, np.array(axis, np.int32))
    assert_equal(found, np.expand_dims(x, axis))


@given(generators(), st.integers(1, 4), st.sampled_from([(), (2,), (2, 3)]))
def test_the_inverse_undoes_a_matrix(rng: Rng, size: int, batch: tuple[int, ...]) -> None:
    x = rng.standard_normal((*batch, size, size)) + 4 * np.eye(size)
    found = inverse(x)
    assert found.dtype == x.dtype
    np.testing.assert_allclose(x @ found, np.broadcast_to(np.eye(size), x.shape), atol=1e-12)


@pytest.mark.parametrize("half", HALVES, ids=str)
def test_the_inverse_of_halves_is_rounded_once(half: DType) -> None:
    x = np.array([[3, 1], [1, 2]]).astype(half)
    assert_equal(inverse(x), np.linalg.inv(x.astype(np.float32)).astype(half))


@given(generators(), st.sampled_from(["bilinear", "nearest", "bicubic"]), st.integers(0, 1))
def test_grid_sample_is_that_of_opset_16(rng: Rng, mode: str, aligned: int) -> None:
    x, grid = numbers(rng, 1, 2, 3, 4), numbers(rng, 1, 2, 3, 2)
    attributes: dict[str, Any] = {
        "mode": mode, "align_corners": aligned, "padding_mode": "border"
    }  # fmt: skip
    assert_equal(grid_sample(x, grid, **attributes), ops.grid_sample_16(x, grid, **attributes))


@given(generators(), st.booleans())
def test_cdist_measures_all_pairs(rng: Rng, squared: bool) -> None:
    a, b = numbers(rng, 2, 3), numbers(rng, 4, 3)
    found = cdist(a, b, metric="sqeuclidean" if squared else "euclidean")
    exact = [[math.dist(x, y) ** (2 if squared else 1) for y in b.tolist()] for x in a.tolist()]
    assert_close(found, exact, F32, ulps=4)


def test_rows_that_are_near_each_other_do_not_cancel() -> None:
    # By |a|² - 2ab + |b|² this would be 0.
    found = cdist(f32([[10_000]]), f32([[10_001]]))
    assert_equal(found, f32([[1]]))


X = np.ones((2, 2), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cdist(X, X, metric="cosine"), "metric is euclidean or sqeuclidean"),
        (lambda: expand_dims(X, np.array([0, 1])), "axis must be one number"),
        (lambda: expand_dims(X, np.array(3)), "axis 3 does not exist in a tensor of rank 3"),
        (lambda: cdist(X, X[:, :1]), "have no distance"),
        (lambda: cdist(X[0], X[0]), "have no distance"),
        (lambda: inverse(X), "Singular matrix"),
        (lambda: inverse(X[:1]), "square"),
        (lambda: trilu(X[0]), "must have matrices"),
        (lambda: grid_sample(X[None, None], X[None, None], mode="cubic"), "mode is one of"),
    ],
)
def test_refusals(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_cdist_refuses_mixed_types_and_keeps_to_its_budget() -> None:
    with pytest.raises(TypeError, match="one type"):
        cdist(X, X.astype(np.float64))
    many: Array = np.ones((1000, 2), np.float32)
    with spending(Budget(max_bytes=10_000)), pytest.raises(OverBudgetError, match="takes"):
        cdist(many, many)
    with spending(Budget(deadline=0.0)), pytest.raises(OverBudgetError, match="time limit"):
        cdist(X, X)
