"""Matrices with zeros in all orders, and products with them that can be trusted."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from embedx.kernels.dense import Multiply
from embedx.model.graph import Array
from tests.kernels.cases import ULP

_GROUPS = [(1, 1), (300, 1), (1, 300), (8, 32), (1, 32), (4, 1), (32, 8)]
_ODD = [np.nan, np.inf, -np.inf, 1e30]


@st.composite
def matrix_products(draw: st.DrawFn) -> tuple[Array, Array]:
    """A float32 matrix, zero in groups, and rows to multiply it with, some of them not finite."""
    inner, columns = draw(st.integers(0, 90)), draw(st.integers(0, 300))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    high, wide = draw(st.sampled_from(_GROUPS))
    share = draw(st.sampled_from([0, 0.5, 0.95, 1]))
    zeros = generator.random((-(-inner // high), -(-columns // wide))) < share
    weight = generator.standard_normal((inner, columns))
    weight[np.kron(zeros, np.ones((high, wide), bool))[:inner, :columns]] = 0
    x = generator.standard_normal((draw(st.integers(0, 90)), inner))
    if draw(st.booleans()):
        x = np.where(generator.random(x.shape) < 0.01, generator.choice(_ODD, x.shape), x)
    return weight.astype(np.float32), x.astype(np.float32)


def same_as_exact(multiply: Multiply, weight: Array, x: Array) -> None:
    """Assert the product is that in float64, the same twice, and stays within what it is given.

    Rows with others beside them may be rounded differently: BLAS is called in another way then.
    """
    wide_x = np.full((len(x), len(weight) + 5), np.nan, np.float32)
    rows = wide_x[:, 2:-3]
    rows[...] = x
    whole = np.full((2, len(x), weight.shape[1] + 7), 5, np.float32)
    first, second = whole[:, :, 3:-4]
    exact, size = np.zeros((2, *first.shape))
    with np.errstate(invalid="ignore"):
        again = np.empty_like(first, order="C")
        multiply(x, again)
        np.copyto(first, again)
        multiply(x, again)
        multiply(rows, second)
        for i, numbers in enumerate(weight.astype(np.float64)):
            product = np.outer(x[:, i].astype(np.float64), numbers)
            exact += product
            size += abs(product)
    np.testing.assert_array_equal(first.view(np.int32), again.view(np.int32))
    assert (whole[:, :, :3] == 5).all()
    assert (whole[:, :, -4:] == 5).all()
    np.testing.assert_array_equal(rows, x)
    finite = np.isfinite(size)
    bound = (len(weight) + 2) * ULP / 2 * size[finite]
    for found in (first, second):
        np.testing.assert_array_equal(found[~finite], exact[~finite].astype(np.float32))
        assert (abs(found[finite] - exact[finite]) <= bound).all()
