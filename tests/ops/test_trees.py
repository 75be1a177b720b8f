"""Trees walked from the root, one row at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Budget, OverBudgetError, spending, tree_ensemble
from tests.assertions import assert_close, assert_equal
from tests.ops.test_prediction import WORDS, transformed
from tests.ops.windows import whole

F32 = np.dtype(np.float32)


class Tree:
    """Trees in the standard's lists, which ``draw`` makes grow."""

    def __init__(self, draw: Any, features: int, targets: int) -> None:
        self.draw, self.features, self.targets = draw, features, targets
        self.nodes: list[dict[str, Any]] = []
        self.leaves: list[tuple[float, int]] = []
        self.roots = [self.grow(0) for _ in range(draw(st.integers(1, 3)))]

    def grow(self, depth: int) -> int:
        place = len(self.nodes)
        node: dict[str, Any] = {
            "mode": self.draw(st.integers(0, 6)),
            "split": float(self.draw(st.integers(-2, 2))),
            "feature": self.draw(st.integers(0, self.features - 1)),
            "members": self.draw(st.lists(st.integers(-3, 3), max_size=3)),
            "missing": self.draw(st.integers(0, 1)),
        }
        self.nodes.append(node)
        for way in ("true", "false"):
            node[f"{way}leaf"] = int(depth == 2 or self.draw(st.booleans()))
            node[way] = self.leaf() if node[f"{way}leaf"] else self.grow(depth + 1)
        return place

    def leaf(self) -> int:
        self.leaves.append(
            (float(self.draw(st.integers(-4, 4))), self.draw(st.integers(0, self.targets - 1)))
        )
        return len(self.leaves) - 1

    def walk(self, place: int, row: list[float]) -> tuple[float, int]:
        node = self.nodes[place]
        value, split = row[node["feature"]], node["split"]
        holds = [
            value <= split, value < split, value >= split, value > split, value == split,
            value != split, value in node["members"],
        ][node["mode"]]  # fmt: skip
        way = "true" if (node["missing"] if math.isnan(value) else holds) else "false"
        return self.leaves[node[way]] if node[f"{way}leaf"] else self.walk(node[way], row)

    def column(self, name: str) -> tuple[Any, ...]:
        return tuple(node[name] for node in self.nodes)

    def attributes(self) -> dict[str, Any]:
        sets = [[*n["members"], math.nan] for n in self.nodes if n["mode"] == 6]
        return {
            "leaf_targetids": tuple(target for _, target in self.leaves),
            "leaf_weights": np.array([weight for weight, _ in self.leaves], np.float32),
            "membership_values": np.array([m for s in sets for m in s], np.float32),
            "n_targets": self.targets,
            "nodes_falseleafs": self.column("falseleaf"),
            "nodes_falsenodeids": self.column("false"),
            "nodes_featureids": self.column("feature"),
            "nodes_missing_value_tracks_true": self.column("missing"),
            "nodes_modes": np.array(self.column("mode"), np.uint8),
            "nodes_splits": np.array(self.column("split"), np.float32),
            "nodes_trueleafs": self.column("trueleaf"),
            "nodes_truenodeids": self.column("true"),
            "tree_roots": tuple(self.roots),
        }


@given(st.data(), st.integers(0, 3), st.integers(0, 4))
def test_trees_are_walked(data: st.DataObject, function: int, transform: int) -> None:
    rows, features, targets = (data.draw(st.integers(1, 3)) for _ in range(3))
    tree = Tree(data.draw, features, targets)
    x = whole(data.draw, rows, features)
    x[x == 3] = np.nan
    functions: list[Any] = [lambda v: sum(v) / len(tree.roots), sum, min, max]
    exact = []
    for row in x.tolist():
        found: list[list[float]] = [[] for _ in range(targets)]
        for root in tree.roots:
            weight, target = tree.walk(root, row)
            found[target].append(weight)
        put = functions[function]
        exact.append(transformed([put(v) if v else 0.0 for v in found], WORDS[transform]))
    y = tree_ensemble(x, **tree.attributes(), aggregate_function=function, post_transform=transform)
    assert_close(y, exact, F32, floor=4)


def stump(**changes: Any) -> dict[str, Any]:
    """One node: 10 up to 3, else 20."""
    return {
        "leaf_targetids": (0, 0),
        "leaf_weights": np.array([10, 20], np.float32),
        "nodes_falseleafs": (1,),
        "nodes_falsenodeids": (1,),
        "nodes_featureids": (0,),
        "nodes_modes": np.array([0], np.uint8),
        "nodes_splits": np.array([3], np.float32),
        "nodes_trueleafs": (1,),
        "nodes_truenodeids": (0,),
        "tree_roots": (0,),
    } | changes


X = np.array([[3.0], [4.0], [np.nan]], np.float32)


def test_missing_numbers_take_the_false_branch_unless_told_otherwise() -> None:
    assert_equal(tree_ensemble(X, **stump()), np.array([[10], [20], [20]], np.float32))
    found = tree_ensemble(X, **stump(nodes_missing_value_tracks_true=(1,)))
    assert_equal(found, np.array([[10], [20], [10]], np.float32))


def test_the_number_of_targets_may_be_missing() -> None:
    assert tree_ensemble(X, **stump(leaf_targetids=(0, 4))).shape == (3, 5)


def test_no_rows() -> None:
    assert tree_ensemble(X[:0], **stump()).shape == (0, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"nodes_featureids": (1,)},
        {"nodes_featureids": (-1,)},
        {"nodes_truenodeids": (2,)},
        {"nodes_falsenodeids": (-1,)},
        {"nodes_trueleafs": (0,), "nodes_truenodeids": (1,)},
        {"tree_roots": (1,)},
        {"n_targets": 1, "leaf_targetids": (0, 1)},
    ],
)
def test_trees_refer_to_what_there_is(changes: dict[str, Any]) -> None:
    with pytest.raises(IndexError, match="refers to something that it does not have"):
        tree_ensemble(X, **stump(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes_trueleafs": (0,)}, "cycle"),
        ({"nodes_modes": np.array([6], np.uint8)}, "0 sets of members for 1 nodes"),
        ({"membership_values": np.array([1, np.nan])}, "1 sets of members for 0 nodes"),
        ({"aggregate_function": 4}, "aggregate_function is"),
        ({"post_transform": 5}, "post_transform is"),
    ],
)
def test_tree_refusals(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tree_ensemble(X, **stump(**changes))


def test_modes_are_those_of_the_standard() -> None:
    with pytest.raises(IndexError, match="does not have"):
        tree_ensemble(X, **stump(nodes_modes=np.array([7], np.uint8)))


def test_long_ways_and_large_sets_keep_to_the_time_limit() -> None:
    with spending(Budget(deadline=0.0)), pytest.raises(OverBudgetError, match="time limit"):
        tree_ensemble(X, **stump())
