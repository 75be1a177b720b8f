"""Random tensors by what does not depend on the generator: shapes, types, seeds, and means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    Budget,
    OverBudgetError,
    bernoulli,
    multinomial,
    random_normal,
    random_normal_like,
    random_uniform,
    random_uniform_like,
    spending,
)
from tests.assertions import assert_equal
from tests.strategies import BFLOAT16, FLOATS, DType, shapes, tensors

SHAPED: list[Any] = [random_normal, random_uniform]
LIKE: list[Any] = [random_normal_like, random_uniform_like]


@given(shapes(), st.sampled_from([(1, "float32"), (10, "float16"), (11, "float64")]))
def test_shape_and_type_are_those_asked_for(shape: tuple[int, ...], kind: tuple[int, str]) -> None:
    for function in SHAPED:
        y = function(shape=shape, dtype=kind[0])
        assert (y.shape, y.dtype.name) == (shape, kind[1])


@given(tensors(st.sampled_from(FLOATS)))
def test_shape_and_type_are_those_of_another_tensor(x: Array) -> None:
    for function in LIKE:
        assert (function(x).shape, function(x).dtype) == (x.shape, x.dtype)
        assert function(x, dtype=16).dtype == BFLOAT16


@pytest.mark.parametrize("function", SHAPED)
@given(seed=st.floats(width=32, allow_nan=False))
def test_seeds_repeat(function: Any, seed: float) -> None:
    first = function(shape=(8,), seed=seed)
    assert_equal(function(shape=(8,), seed=seed), first)
    assert (function(shape=(8,), seed=seed + 1e9) != first).any() or abs(seed) > 1e15
    assert (function(shape=(8,)) != function(shape=(8,))).any()


def test_numbers_are_distributed_as_asked_for() -> None:
    normal = random_normal(shape=(100_000,), mean=3.0, scale=2.0, seed=1.0)
    assert normal.mean() == pytest.approx(3, abs=0.05)
    assert normal.std() == pytest.approx(2, abs=0.05)
    uniform = random_uniform(shape=(100_000,), low=-1.0, high=3.0, seed=1.0)
    assert uniform.mean() == pytest.approx(1, abs=0.05)
    assert uniform.min() >= -1
    assert uniform.max() <= 3


@given(tensors(st.sampled_from(FLOATS), low=0, high=1), st.sampled_from([None, 1, 7, 9, 16]))
def test_bernoulli_gives_zeros_and_ones(x: Array, dtype: int | None) -> None:
    names = {1: "float32", 7: "int64", 9: "bool", 16: "bfloat16"}
    y = bernoulli(x, dtype=dtype)
    assert y.shape == x.shape
    assert y.dtype.name == (x.dtype.name if dtype is None else names[dtype])
    assert set(y.astype(float).ravel()) <= {0.0, 1.0}
    sure = (x == 0) | (x == 1)
    assert_equal(y.astype(np.float64)[sure], x.astype(np.float64)[sure])


def test_bernoulli_draws_with_the_probability_given() -> None:
    x = np.repeat([0.1, 0.7], 50_000).reshape(2, -1)
    assert bernoulli(x, seed=2.0).mean(axis=1) == pytest.approx([0.1, 0.7], abs=0.01)
    assert_equal(bernoulli(x, seed=2.0), bernoulli(x, seed=2.0))


def test_multinomial_draws_in_proportion() -> None:
    weights = np.array([[1.0, 2, 0, 1], [0, 0, 5, 0]], np.float32)
    with np.errstate(divide="ignore"):
        y = multinomial(np.log(weights) + 3, sample_size=50_000, seed=1.0)
    shares = np.bincount(y[0], minlength=4) / 50_000
    assert shares == pytest.approx([0.25, 0.5, 0, 0.25], abs=0.01)
    assert set(y[1]) == {2}
    assert y.dtype == np.int32
    assert multinomial(weights, dtype=7).dtype == np.int64


@given(
    st.lists(st.lists(st.sampled_from([-np.inf, 0.0, 30.0]), min_size=3, max_size=3), max_size=3),
    st.integers(1, 5),
)
def test_multinomial_draws_possible_classes(rows: list[list[float]], count: int) -> None:
    x = np.array([[*row, 0.0] for row in rows], np.float32).reshape(-1, 4)
    y = multinomial(x, sample_size=count, seed=1.0)
    assert (y.shape, y.dtype.name) == ((len(rows), count), "int32")
    for row, drawn in zip(x, y, strict=True):
        likely = np.flatnonzero(row == row.max())  # exp(30) of one in all others
        assert set(drawn) <= set(likely)
    assert_equal(multinomial(x, sample_size=count, seed=1.0), y)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_multinomial_never_draws_the_impossible(dtype: DType) -> None:
    x = np.array([[-np.inf, 0, -np.inf]]).astype(dtype)
    assert set(multinomial(x, sample_size=1000)[0]) == {1}


def test_refusals() -> None:
    for p in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="probabilities"):
            bernoulli(np.array([p]))
    with pytest.raises(ValueError, match="0 samples"):
        multinomial(np.ones((1, 2)), sample_size=0)
    with pytest.raises(ValueError, match="of shape"):
        multinomial(np.ones(2))
    with spending(Budget(max_bytes=1000)):
        with pytest.raises(OverBudgetError):
            multinomial(np.ones((1, 2)), sample_size=2**40)
        for function in SHAPED:
            with pytest.raises(OverBudgetError):
                function(shape=(2**40,))
