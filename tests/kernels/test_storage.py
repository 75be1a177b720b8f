"""A constant matrix in each of its forms, and which form it gets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.kernels import storage
from embedx.kernels.storage import (
    dense_product,
    panel_product,
    sparse_product,
    stored,
    whole_product,
)
from embedx.model.graph import SparseTensor
from tests.kernels.cases import ULP


@pytest.mark.parametrize("product", [whole_product, panel_product, sparse_product, dense_product])
@given(st.integers(1, 300), st.integers(1, 200), st.integers(1, 90), st.integers(0, 2**32))
def test_products(product: Any, columns: int, inner: int, rows: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    weight = generator.standard_normal((inner, columns)).astype(np.float32)
    weight[generator.random(weight.shape) < generator.choice([0, 0.5, 0.95, 1])] = 0
    x = generator.standard_normal((rows, inner)).astype(np.float32)
    out = np.full((rows, columns), np.nan, np.float32)
    product(weight)(x, out)
    exact = x.astype(np.float64) @ weight.astype(np.float64)
    size = np.abs(x).astype(np.float64) @ np.abs(weight).astype(np.float64)
    assert (np.abs(out - exact) <= (inner + 2) * ULP / 2 * size).all()


def test_a_matrix_is_stored_sparse_where_that_is_faster_and_only_there() -> None:
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((384, 1536)).astype(np.float32)
    assert stored(weight).form == "dense"
    weight[generator.random(weight.shape) < 0.99] = 0
    assert stored(weight).form == "csr"
    places = np.flatnonzero(weight)
    as_sparse = SparseTensor(weight.reshape(-1)[places], places, weight.shape)
    assert stored(as_sparse).form == "csr"
    tiny = np.zeros((2, 2), np.float32)
    assert stored(tiny).form in ("dense", "csr")


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0, 1), st.integers(0, 2**32))
def test_sparse_and_dense_forms_of_a_matrix_multiply_alike(
    inner: int, columns: int, zeros: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    weight = generator.integers(-9, 10, (inner, columns)).astype(np.float32)
    weight[generator.random(weight.shape) < zeros] = 0
    places = np.flatnonzero(weight)
    sparse = SparseTensor(weight.reshape(-1)[places], places, weight.shape)
    x = generator.integers(-9, 10, (7, inner)).astype(np.float32)
    exact = x.astype(np.int64) @ weight.astype(np.int64)
    for form in (weight, sparse):
        matrix, out = stored(form), np.empty((7, columns), np.float32)
        matrix.multiply(x, out)
        assert matrix.shape == weight.shape
        np.testing.assert_array_equal(out, exact)


def test_which_form_a_matrix_gets_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_costs", lambda: (1.0, 2.0, 0.0))
    weight = np.zeros((100, 20), np.float32)
    weight[0] = 1
    assert str(stored(weight)) == (
        "100x20, csr: 99.0% zeros, a sparse product takes 0.02 of a dense one's time"
    )
    assert str(stored(np.ones((100, 20), np.float32))) == "100x20, dense: few zeros"
