"""Fused products against sums over Python loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array
from embedx.ops.microsoft import (
    fused_gemm,
    fused_matmul,
    sparse_to_dense_matmul,
    transpose_matmul,
)
from tests.assertions import assert_close, assert_equal
from tests.oracles import elementwise
from tests.strategies import FLOATS, DType, tensors

sides = st.integers(0, 3)


def product(a: Array, b: Array) -> Array:
    """The product of two stacks of matrices in Python floats."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = np.broadcast_to(a, (*batch, *a.shape[-2:])), np.broadcast_to(b, (*batch, *b.shape[-2:]))
    y = np.zeros((*batch, a.shape[-2], b.shape[-1]))
    for *place, i, j in np.ndindex(*y.shape):
        row, column = a[(*place, i)], b[(*place, slice(None), j)]
        y[(*place, i, j)] = math.fsum(float(p) * float(q) for p, q in zip(row, column, strict=True))
    return y


def stored(x: Array, swapped: bool, moved: bool) -> Array:
    """What must be passed so that the operator, with these attributes, sees ``x``."""
    x = x.swapaxes(-1, -2) if swapped else x
    return np.moveaxis(x, -2, 0) if moved else x


@given(st.sampled_from(FLOATS), sides, sides, sides, st.integers(0, 2), st.data())
def test_fused_matmul(
    dtype: DType, rows: int, inner: int, columns: int, rank: int, data: st.DataObject
) -> None:
    stack = tuple(data.draw(st.integers(1, 2)) for _ in range(rank))
    swap_a, swap_b, move_a, move_b = (data.draw(st.booleans()) for _ in range(4))
    a = data.draw(tensors(dtype, (*stack, rows, inner), low=-4, high=4))
    b = data.draw(tensors(dtype, (*stack, inner, columns), low=-4, high=4))
    alpha = data.draw(st.sampled_from([1.0, 0.25, -2.0]))
    found = fused_matmul(
        stored(a, swap_a, move_a), stored(b, swap_b, move_b), alpha=alpha,
        transA=int(swap_a), transB=int(swap_b), transBatchA=int(move_a), transBatchB=int(move_b),
    )  # fmt: skip
    assert_close(found, alpha * product(a, b), dtype, floor=256)


def test_moving_the_batch_comes_before_the_swap() -> None:
    a = np.arange(24.0).reshape(2, 3, 4)  # rows, batch, columns
    b = np.ones((3, 2, 1))
    found = fused_matmul(a, b, transA=1, transBatchA=1)
    assert found.tolist() == (a.transpose(1, 2, 0) @ b).tolist()


@given(st.sampled_from(FLOATS), sides, sides, sides, st.data())
def test_transpose_matmul_is_the_product_under_another_name(
    dtype: DType, rows: int, inner: int, columns: int, data: st.DataObject
) -> None:
    a = data.draw(tensors(dtype, (inner, rows), low=-4, high=4))
    b = data.draw(tensors(dtype, (columns, inner), low=-4, high=4))
    found = transpose_matmul(a, b, transA=1, transB=1, alpha=0.5)
    assert_close(found, product(a.T, b.T) / 2, dtype, floor=256)


@given(st.sampled_from([*FLOATS, np.dtype(np.int64)]), sides, sides, sides, st.data())
def test_sparse_to_dense_matmul(
    dtype: DType, rows: int, inner: int, columns: int, data: st.DataObject
) -> None:
    swap_a, swap_b = data.draw(st.booleans()), data.draw(st.booleans())
    a = data.draw(tensors(dtype, (rows, inner), low=-4, high=4))
    b = data.draw(tensors(dtype, (inner, columns), low=-4, high=4))
    found = sparse_to_dense_matmul(
        stored(a, swap_a, False), stored(b, swap_b, False), alpha=2.0,
        transA=int(swap_a), transB=int(swap_b),
    )  # fmt: skip
    if dtype == np.int64:
        assert_equal(found, (2 * product(a, b)).astype(np.int64))
    else:
        assert_close(found, 2 * product(a, b), dtype, floor=256)


def test_sparse_to_dense_matmul_takes_two_matrices_of_one_type() -> None:
    x = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match="expected two matrices"):
        sparse_to_dense_matmul(x, x[None])
    with pytest.raises(TypeError, match="one type"):
        sparse_to_dense_matmul(x, x.astype(np.float64))


ACTIVATIONS: dict[str, tuple[dict[str, Any], Callable[[float], float]]] = {
    "Relu": ({}, lambda x: max(x, 0)),
    "Tanh": ({}, math.tanh),
    "Sigmoid": ({}, lambda x: 1 / (1 + math.exp(-x))),
    "LeakyRelu": ({"activation_alpha": 0.25}, lambda x: x if x > 0 else x / 4),
    "HardSigmoid": (
        {"activation_alpha": 0.5, "activation_beta": 0.25}, lambda x: min(max(x / 2 + 0.25, 0), 1)
    ),
    "Clip": ({"activation_alpha": -1.0, "activation_beta": 1.0}, lambda x: min(max(x, -1), 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", [None, *ACTIVATIONS])
@given(data=st.data())
def test_fused_gemm(name: str | None, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(FLOATS))
    rows, inner, columns = (data.draw(st.integers(1, 3)) for _ in range(3))
    swap_a, swap_b = data.draw(st.booleans()), data.draw(st.booleans())
    a = data.draw(tensors(dtype, (rows, inner), low=-4, high=4))
    b = data.draw(tensors(dtype, (inner, columns), low=-4, high=4))
    shape = data.draw(st.sampled_from([None, (), (columns,), (rows, 1), (rows, columns)]))
    c = None if shape is None else data.draw(tensors(dtype, shape, low=-4, high=4))
    attributes, function = ACTIVATIONS[name] if name else ({}, lambda x: x)
    found = fused_gemm(
        stored(a, swap_a, False), stored(b, swap_b, False), c, activation=name,
        alpha=0.5, beta=-2.0, transA=int(swap_a), transB=int(swap_b), **attributes,
    )  # fmt: skip
    exact = product(a, b) / 2 - (0 if c is None else 2 * c.astype(np.float64))
    assert_close(found, elementwise(function, exact), dtype, floor=256)
