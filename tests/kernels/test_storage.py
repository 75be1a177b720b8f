"""Which form a constant matrix gets, and that its products are the same in each."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.kernels import estimates
from embedx.kernels.dense import dense_product
from embedx.kernels.sparse import csr_product
from embedx.kernels.storage import Storage, stored
from embedx.model.graph import Array, SparseTensor
from tests.kernels.matrices import matrix_products, same_as_exact

PROCESSORS = {"AVX2": (False, False), "Intel": (True, False), "AMD": (True, True)}


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make the choice as on one of ``PROCESSORS``."""

    def pretend(name: str) -> None:
        wide, amd = PROCESSORS[name]
        monkeypatch.setattr(estimates, "wide_vectors", lambda: wide)
        monkeypatch.setattr(estimates, "made_by_amd", lambda: amd)

    return pretend


def pruned(share: float, group: tuple[int, int], shape: tuple[int, int] = (384, 1536)) -> Array:
    """A matrix in which about so many groups of numbers are zero."""
    generator = np.random.default_rng(0)
    groups = generator.random([-(-n // size) for n, size in zip(shape, group, strict=True)])
    kept = np.kron(groups > share, np.ones(group, bool))[: shape[0], : shape[1]]
    return np.where(kept, generator.standard_normal(shape), 0).astype(np.float32)


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize(
    ("weight", "form"),
    [
        (pruned(0, (1, 1)), "dense"),
        (pruned(0.8, (1, 1)), "dense"),
        (pruned(0.99, (1, 1)), "csr"),
        (pruned(0.5, (1, 1536)), "without rows of zeros"),
        (pruned(0.5, (384, 1)), "without columns of zeros"),
        (pruned(0.5, (384, 32)), "without columns of zeros"),
        (pruned(0.8, (32, 128)), "without rows of zeros in panels of 128 columns"),
        (pruned(0.9, (1, 128)), "without rows of zeros in panels of 128 columns"),
        (pruned(0.9, (4, 32)), "without rows of zeros in panels of 32 columns"),
        (pruned(0.99, (1, 1), (20, 30)), "dense"),
        (np.zeros((2, 2), np.float32), "dense"),
        (np.zeros((0, 2), np.float32), "dense"),
        (np.zeros((2, 0), np.float32), "dense"),
    ],
)
def test_zeros_are_left_out_where_that_is_faster_and_only_there(
    weight: Array, form: str, name: str, processor: Callable[[str], None]
) -> None:
    processor(name)
    found, _, rows = stored(weight, "auto").form.partition(" for 1 ")
    found, _, rows = found.partition(" from ") if not rows else (found, "", rows)
    assert found == form


@pytest.mark.parametrize("name", PROCESSORS)
def test_every_other_row_of_zeros_is_seen(name: str, processor: Callable[[str], None]) -> None:
    processor(name)
    weight = np.ones((384, 1536), np.float32)
    weight[1::2] = 0
    assert stored(weight, "auto").form.startswith("without rows of zeros")
    weight = np.roll(weight, 1, axis=0)
    assert stored(weight, "auto").form.startswith("without rows of zeros")


@pytest.mark.parametrize("name", PROCESSORS)
def test_each_number_of_rows_has_the_form_that_is_told(
    name: str, processor: Callable[[str], None]
) -> None:
    processor(name)
    weight = pruned(0.96, (1, 1))
    matrix = stored(weight, "auto")
    told, _, rest = matrix.form.removeprefix("csr ").rpartition(" rows, else dense")
    assert told.endswith(tuple("0123456789"))
    assert not rest
    chosen: set[int] = set()
    for part in told.split(" and "):
        word, first, *more = part.split()
        last = 400 if word == "from" else int(more[-1]) if more else int(first)
        chosen.update(range(int(first), last + 1))
    dense, csr = dense_product(weight), csr_product(weight)
    for count in (*range(1, 40), 256, 257, 400):
        x = np.random.default_rng(count).standard_normal((count, 384)).astype(np.float32)
        found, expected = np.empty((2, count, 1536), np.float32)
        matrix.multiply(x, found)
        (csr if count in chosen else dense)(x, expected)
        np.testing.assert_array_equal(found, expected)
    assert 4 not in chosen
    assert 128 in chosen


def test_a_sparse_tensor_gets_the_form_of_its_dense_matrix() -> None:
    for weight in (pruned(0.5, (384, 1)), pruned(0.95, (1, 1)), pruned(0.998, (1, 1))):
        places = np.flatnonzero(weight)
        sparse = SparseTensor(weight.reshape(-1)[places], places, weight.shape)
        assert str(stored(sparse, "auto")) == str(stored(weight, "auto"))


@pytest.mark.parametrize(("asked", "form"), [("dense", "dense"), ("sparse", "csr")])
def test_a_form_can_be_asked_for(asked: Storage, form: str) -> None:
    for weight in (np.zeros((300, 200), np.float32), np.ones((300, 200), np.float32)):
        assert str(stored(weight, asked)) == f"300x200, {form}: asked for"


@given(st.data())
def test_all_forms_multiply_alike(data: st.DataObject) -> None:
    weight, x = data.draw(matrix_products())
    places = np.flatnonzero(weight)
    sparse = SparseTensor(weight.reshape(-1)[places], places, weight.shape)
    given_as: list[Array | SparseTensor] = [weight, sparse]
    for matrix, asked in itertools.product(given_as, get_args(Storage)):
        form = stored(matrix, asked)
        assert form.shape == weight.shape
        same_as_exact(form.multiply, weight, x)


@pytest.mark.parametrize(
    "group", [(1, 1), (1, 1536), (384, 1), (32, 128), (1, 128), (4, 1), (128, 32)]
)
@pytest.mark.parametrize("name", PROCESSORS)
def test_chosen_forms_multiply_as_dense_ones(
    group: tuple[int, int], name: str, processor: Callable[[str], None]
) -> None:
    processor(name)
    weight = pruned(0.96, group)
    matrix = stored(weight, "auto")
    assert matrix.form != "dense"
    for count in (1, 3, 17, 130):
        x = np.random.default_rng(count).standard_normal((count, 384)).astype(np.float32)
        x[0, 100] = np.inf
        same_as_exact(matrix.multiply, weight, x)


def test_which_form_a_matrix_gets_is_told(processor: Callable[[str], None]) -> None:
    processor("Intel")
    weight = np.zeros((1000, 500), np.float32)
    weight[:10] = 1
    assert str(stored(weight, "auto")) == (
        "1000x500, without rows of zeros: 99.0% zeros, about 0.03 of a dense product's time with "
        "128 rows"
    )
    weight = pruned(0.95, (1, 1))
    assert str(stored(weight, "auto")) == (
        "384x1536, csr for 1 and from 14 rows, else dense: 95.0% zeros, about 0.60 of a dense "
        "product's time with 128 rows"
    )
    weight = pruned(0.8, (1, 1))
    assert str(stored(weight, "auto")) == (
        "384x1536, dense: 80.0% zeros, leaving them out would take about 1.61 of a dense product's "
        "time with 128 rows"
    )
    assert str(stored(np.ones((100, 20), np.float32), "auto")) == "100x20, dense: few zeros"
