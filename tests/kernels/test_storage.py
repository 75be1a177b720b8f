"""A constant matrix in each of its forms, and which form it gets."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.kernels import storage
from embedx.kernels.storage import (
    Storage,
    dense_product,
    panel_product,
    sparse_product,
    stored,
    whole_product,
)
from embedx.model.graph import Array, SparseTensor
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
    assert stored(weight, "auto").form == "dense"
    weight[generator.random(weight.shape) < 0.8] = 0
    assert stored(weight, "auto").form == "dense"
    weight[generator.random(weight.shape) < 0.95] = 0
    assert stored(weight, "auto").form == "csr"
    places = np.flatnonzero(weight)
    as_sparse = SparseTensor(weight.reshape(-1)[places], places, weight.shape)
    assert stored(as_sparse, "auto").form == "csr"
    assert stored(np.zeros((2, 2), np.float32), "auto").form == "dense"
    assert stored(np.zeros((0, 2), np.float32), "auto").form == "dense"


@pytest.mark.parametrize(("storage", "form"), [("dense", "dense"), ("sparse", "csr")])
def test_a_form_can_be_asked_for(storage: Storage, form: str) -> None:
    for weight in (np.zeros((300, 200), np.float32), np.ones((300, 200), np.float32)):
        assert str(stored(weight, storage)) == f"300x200, {form}: asked for"


@pytest.mark.parametrize("most", [0, 5, math.inf])
def test_panels_or_the_whole_matrix_by_the_number_of_rows(
    most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []
    for name in ("panel", "whole"):
        product = SimpleNamespace(name=name)
        monkeypatch.setattr(
            storage,
            f"{name}_product",
            lambda _, product=product: lambda rows, out: used.append(product.name),
        )
    monkeypatch.setattr(storage, "rows_for_panels", lambda: most)
    multiply = dense_product(np.ones((8, 128), np.float32))
    for rows in (1, 5, 6, 1000):
        multiply(np.ones((rows, 8), np.float32), np.empty((rows, 128), np.float32))
    assert used == ["panel" if rows <= most else "whole" for rows in (1, 5, 6, 1000)]


def test_the_choice_depends_on_the_processor_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for architectures, amd in [({"Haswell"}, True), ({"SkylakeX"}, True), ({"SkylakeX"}, False)]:
        monkeypatch.setattr(storage, "blas_architectures", lambda found=architectures: found)
        monkeypatch.setattr(storage, "_made_by_amd", lambda amd=amd: amd)
        found.append(storage.rows_for_panels.__wrapped__())
    assert found == [0, math.inf, 32]


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
    forms: list[Array | SparseTensor] = [weight, sparse]
    for form, asked in itertools.product(forms, get_args(Storage)):
        matrix, out = stored(form, asked), np.empty((7, columns), np.float32)
        matrix.multiply(x, out)
        assert matrix.shape == weight.shape
        np.testing.assert_array_equal(out, exact)


def test_which_form_a_matrix_gets_is_told() -> None:
    weight = np.zeros((1000, 500), np.float32)
    weight[:10] = 1
    assert str(stored(weight, "auto")) == (
        "1000x500, csr: 99.0% zeros, a sparse product takes about 0.29 of a dense one's time"
    )
    assert str(stored(np.ones((100, 20), np.float32), "auto")) == "100x20, dense: few zeros"


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_zeros_that_are_not_stored_spoil_what_is_not_finite(odd: float) -> None:
    generator = np.random.default_rng(0)
    weight = np.where(generator.random((50, 40)) < 0.95, 0, 1).astype(np.float32)
    x = np.ones((200, 50), np.float32)
    x[7, 3] = odd
    found, right = np.empty((200, 40), np.float32), np.empty((200, 40), np.float32)
    with np.errstate(invalid="ignore"):
        sparse_product(weight)(x, found)
        np.matmul(x, weight, out=right)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(right))
    np.testing.assert_allclose(found[8:], right[8:])
