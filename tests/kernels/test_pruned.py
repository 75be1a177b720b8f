"""A product behind neurons of which some were left out: the product, or nothing."""

from __future__ import annotations

import numpy as np
import pytest

from embedx.kernels import FUSED
from embedx.kernels.pruned import pruned_matmul
from embedx.model.graph import Node

NODE = Node("PrunedMatMul", ("h", "w", "x"), ("y",), {"largest": 3.0, "left_out": 2})
W = np.arange(12, dtype=np.float32).reshape(4, 3)


def test_it_is_the_product_while_rows_are_short() -> None:
    prepare = FUSED["PrunedMatMul"].prepare
    assert prepare is not None
    prepared = prepare(NODE, (None, W, None), "auto")
    assert prepared is not None
    assert prepared.note.startswith("4x3, dense")
    h = np.ones((2, 5, 4), np.float32)
    x = np.zeros((2, 5, 2), np.float32)
    x[1, 2] = 2
    np.testing.assert_array_equal(prepared.call(h, None, x, **NODE.attributes), h @ W)
    for value in (2.5, -1e30, np.inf, np.nan):
        x[1, 2] = value
        assert prepared.call(h, None, x, **NODE.attributes) is NotImplemented


@pytest.mark.parametrize("shape", [(0, 2), (2,), (1, 1, 1, 2)])
def test_rows_may_lie_in_any_axes(shape: tuple[int, ...]) -> None:
    prepare = FUSED["PrunedMatMul"].prepare
    assert prepare is not None
    prepared = prepare(NODE, (None, W, None), "auto")
    assert prepared is not None
    h, x = np.ones((*shape[:-1], 4), np.float32), np.ones(shape, np.float32)
    found = prepared.call(h, None, x, **NODE.attributes)
    np.testing.assert_array_equal(found, h @ W)


def test_without_a_constant_it_declines() -> None:
    prepare = FUSED["PrunedMatMul"].prepare
    assert prepare is not None
    assert prepare(NODE, (None, None, None), "auto") is None
    x = np.ones((1, 2), np.float32)
    assert pruned_matmul(np.ones((1, 4)), W, x, largest=3.0, left_out=2) is NotImplemented
