"""Products that leave zeros out: the numbers, and what zeros make of NaN and infinity."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.kernels.dense import Multiply
from embedx.kernels.sparse import compact_product, csr_product, gathered_product
from embedx.model.graph import Array, SparseTensor
from tests.kernels.matrices import matrix_products, same_as_exact


def compact(weight: Array, *, rows: bool = True, columns: bool = True) -> Multiply:
    """The product without rows and columns of zeros, or only one of both."""
    inner, count = weight.shape
    return compact_product(
        weight,
        np.flatnonzero(weight.any(axis=1)) if rows else np.arange(inner),
        np.flatnonzero(weight.any(axis=0)) if columns else np.arange(count),
    )


def from_sparse_tensor(weight: Array) -> Multiply:
    """The product with a sparse tensor, one of whose stored numbers may be a zero."""
    places = np.union1d(np.flatnonzero(weight), np.arange(min(weight.size, 1)))
    return csr_product(SparseTensor(weight.reshape(-1)[places], places, weight.shape))


PRODUCTS = {
    "csr": csr_product,
    "csr of a sparse tensor": from_sparse_tensor,
    "rows": partial(compact, columns=False),
    "columns": partial(compact, rows=False),
    "rows and columns": compact,
    "panels of 32": partial(gathered_product, width=32),
    "panels of 7": partial(gathered_product, width=7),
}


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS)
@given(st.data())
def test_products(product: Any, data: st.DataObject) -> None:
    weight, x = data.draw(matrix_products())
    same_as_exact(product(weight), weight, x)


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS)
def test_products_of_many_rows(product: Any) -> None:
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((90, 150)).astype(np.float32)
    weight[generator.random(90) < 0.5] = weight[:, generator.random(150) < 0.5] = 0
    for count in (64, 128, 700):
        x = generator.standard_normal((count, 90)).astype(np.float32)
        x[-1, 5] = np.nan
        same_as_exact(product(weight), weight, x)


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS)
def test_numbers_whose_squares_are_beyond_float32_are_not_taken_for_infinite(product: Any) -> None:
    weight = np.zeros((4, 40), np.float32)
    weight[1, ::2] = 0.5
    out = np.empty((1, 40), np.float32)
    product(weight)(np.full((1, 4), 3e38, np.float32), out)
    np.testing.assert_array_equal(out, np.float32(3e38) * weight[1:2])
