"""Trees whose attributes are converted once, against the operators, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx import ops
from embedx.kernels import REPLACING, Prepared, trees
from embedx.model.graph import Array, Node, SparseTensor
from tests.assertions import assert_equal
from tests.kernels.cases import check, kernels_of
from tests.ops.test_trees_legacy import stump

X = np.array([[3.0], [4.0], [np.nan]], np.float32)

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.mark.parametrize("formula", kernels_of(trees), ids=lambda f: f.__name__)
@given(st.data())
def test_kernel(formula: Any, data: st.DataObject) -> None:
    check(formula, data)


def prepared(attributes: dict[str, Any]) -> Prepared | None:
    kernel = REPLACING[ops.tree_ensemble_regressor.__wrapped__]  # type: ignore[attr-defined]
    node = Node("TreeEnsembleRegressor", ("x",), ("y",), attributes, "ai.onnx.ml", opset=3)
    assert kernel.prepare
    return kernel.prepare(node, (None,), "auto")


def test_what_the_operator_refuses_is_left_to_it() -> None:
    assert prepared(stump(nodes_truenodeids=(9, 0, 0))) is None
    assert prepared(stump(nodes_values=(3.0,))) is None


def test_halves_are_left_to_the_operator() -> None:
    kernel = prepared(stump())
    assert kernel
    assert kernel.call(X.astype(np.float16)) is NotImplemented
    expected = np.array([[10], [20], [20]], np.float32)
    assert_equal(kernel.call(X), expected)
    assert_equal(kernel.call(X[:2].astype(np.int64)), expected[:2])


def test_a_tensor_among_the_attributes_may_be_sparse() -> None:
    splits = SparseTensor(np.array([3.0]), np.array([0]), (3,))
    kernel = prepared(stump(nodes_values=None, nodes_values_as_tensor=splits))
    assert kernel
    assert_equal(kernel.call(X), np.array([[10], [20], [20]], np.float32))


@given(st.integers(1, 300), st.integers(1, 90), st.integers(0, 2**32))
def test_many_rows_and_trees_are_cut_into_blocks(rows: int, count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    forest = {name: values * count for name, values in stump().items()}
    for name in ("nodes_treeids", "target_treeids"):
        size = len(stump()[name])
        forest[name] = tuple(i // size for i in range(size * count))
    weights = generator.integers(-99, 99, 2 * count).astype(np.float64)
    forest["target_weights"] = tuple(weights.tolist())
    x = generator.integers(0, 7, (rows, 1)).astype(np.float32)
    kernel = prepared(forest)
    assert kernel
    low, high = weights[::2].sum(), weights[1::2].sum()
    expected: Array = np.where(x <= 3, low, high).astype(np.float32)
    assert_equal(kernel.call(x), expected)
