"""The trees of ai.onnx.ml before opset 5, walked from the root, one row at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array, tree_ensemble_classifier, tree_ensemble_regressor
from tests.assertions import assert_close, assert_equal
from tests.ops.test_prediction import transformed
from tests.ops.windows import whole

F32 = np.dtype(np.float32)
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "BRANCH_LEQ": lambda a, b: a <= b,
    "BRANCH_LT": lambda a, b: a < b,
    "BRANCH_GTE": lambda a, b: a >= b,
    "BRANCH_GT": lambda a, b: a > b,
    "BRANCH_EQ": lambda a, b: a == b,
    "BRANCH_NEQ": lambda a, b: a != b,
}
AGGREGATES: dict[str, Callable[[list[float], int], float]] = {
    "SUM": lambda votes, trees: sum(votes),
    "AVERAGE": lambda votes, trees: sum(votes) / trees,
    "MIN": lambda votes, trees: min(votes, default=0),
    "MAX": lambda votes, trees: max(votes, default=0),
}
Vote: TypeAlias = tuple[int, int, int, float]
"""Tree, node, for whom, and with what weight."""


class Trees:
    """Trees that ``draw`` makes grow; the nodes are listed in any order."""

    def __init__(self, draw: Any, features: int, owners: list[int], weights: Any) -> None:
        self.draw, self.features, self.owners, self.weights = draw, features, owners, weights
        self.nodes: dict[tuple[int, int], dict[str, Any]] = {}
        self.votes: list[Vote] = []
        self.roots = [self.grow(tree * 7, 2) for tree in range(draw(st.integers(1, 3)))]
        self.order = draw(st.permutations(list(self.nodes)))

    def grow(self, tree: int, depth: int) -> tuple[int, int]:
        key = (tree, 10 + len(self.nodes))
        node = self.nodes[key] = {"mode": "LEAF", "feature": 0, "value": 0.0, "missing": 0}
        node["true"] = node["false"] = 0
        if depth == 0 or self.draw(st.booleans()):
            for owner in self.draw(st.lists(st.sampled_from(self.owners), max_size=3)):
                self.votes.append((*key, owner, float(self.draw(self.weights))))
            return key
        node["mode"] = self.draw(st.sampled_from(list(COMPARISONS)))
        node["feature"] = self.draw(st.integers(0, self.features - 1))
        node["value"] = float(self.draw(st.integers(-2, 2)))
        node["missing"] = self.draw(st.integers(0, 1))
        node["true"], node["false"] = (self.grow(tree, depth - 1)[1] for _ in range(2))
        return key

    def leaf(self, key: tuple[int, int], row: list[float]) -> tuple[int, int]:
        node = self.nodes[key]
        if node["mode"] == "LEAF":
            return key
        value = row[node["feature"]]
        holds = COMPARISONS[node["mode"]](value, node["value"])
        way = "true" if (node["missing"] if math.isnan(value) else holds) else "false"
        return self.leaf((key[0], node[way]), row)

    def scores(self, row: list[float], targets: int, aggregate: str = "SUM") -> list[float]:
        leaves = [self.leaf(root, row) for root in self.roots]
        mine = [
            [w for t, n, o, w in self.votes if (t, n) in leaves and o == k] for k in range(targets)
        ]
        return [AGGREGATES[aggregate](weights, len(leaves)) for weights in mine]

    def column(self, name: str) -> tuple[Any, ...]:
        return tuple(self.nodes[key][name] for key in self.order)

    def attributes(self, kind: str, wide: bool) -> dict[str, Any]:
        trees, nodes, owners, weights = zip(*self.votes, strict=True) if self.votes else ((),) * 4
        numbers = {"nodes_values": self.column("value"), f"{kind}_weights": weights}
        tensors = {f"{name}_as_tensor": np.array(v, np.float64) for name, v in numbers.items()}
        return {
            "nodes_treeids": tuple(tree for tree, _ in self.order),
            "nodes_nodeids": tuple(node for _, node in self.order),
            "nodes_featureids": self.column("feature"),
            "nodes_modes": self.column("mode"),
            "nodes_truenodeids": self.column("true"),
            "nodes_falsenodeids": self.column("false"),
            "nodes_missing_value_tracks_true": self.column("missing"),
            f"{kind}_treeids": trees,
            f"{kind}_nodeids": nodes,
            f"{kind}_ids": owners,
            **(tensors if wide else numbers),
        }


def table(draw: Any, rows: int, features: int) -> Array:
    x = whole(draw, rows, features)
    x[x == 3] = np.nan
    return x


whole_weights = st.integers(-4, 4)


@given(st.data(), st.sampled_from(list(AGGREGATES)), st.booleans(), st.booleans())
def test_leaves_vote_for_targets(
    data: st.DataObject, aggregate: str, based: bool, wide: bool
) -> None:
    rows, features, targets = (data.draw(st.integers(1, 3)) for _ in range(3))
    trees = Trees(data.draw, features, list(range(targets)), whole_weights)
    x, word = table(data.draw, rows, features), data.draw(st.sampled_from(["NONE", "SOFTMAX"]))
    base = tuple(0.5 * n for n in range(targets)) if based else (0.0,) * targets
    exact = []
    for row in x.tolist():
        scores = trees.scores(row, targets, aggregate)
        exact.append(transformed([s + b for s, b in zip(scores, base, strict=True)], word))
    found = tree_ensemble_regressor(
        x, **trees.attributes("target", wide), n_targets=targets, post_transform=word,
        aggregate_function=aggregate, base_values=base if based else None,
    )  # fmt: skip
    assert_close(found, exact, F32, floor=4)


@given(st.data(), st.sampled_from(["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"]), st.booleans())
def test_the_class_with_most_votes_wins(data: st.DataObject, word: str, strings: bool) -> None:
    rows, features, classes = (data.draw(st.integers(1, 3)) for _ in range(3))
    owners = list(range(classes))
    trees = Trees(data.draw, features, owners, whole_weights)
    trees.votes += [(*trees.order[0], owner, 0.0) for owner in owners]  # so that each has one
    x, base = table(data.draw, rows, features), tuple(0.25 * n for n in owners)
    scores = [
        [s + b for s, b in zip(trees.scores(row, classes), base, strict=True)] for row in x.tolist()
    ]
    labels: dict[str, Any] = (
        {"classlabels_strings": ("a", "b", "c")[:classes]} if strings
        else {"classlabels_int64s": (7, 5, 6)[:classes]}
    )  # fmt: skip
    if len(base) == classes == 2 or classes != 2:
        found = tree_ensemble_classifier(
            x, **trees.attributes("class", False), **labels, base_values=base, post_transform=word
        )
        (names,) = labels.values()
        assert found.y.tolist() == [names[row.index(max(row))] for row in scores]
        assert_close(found.z, [transformed(row, word) for row in scores], F32, floor=4)


@given(st.data(), st.sampled_from(["NONE", "SOFTMAX", "LOGISTIC"]), st.booleans(), st.booleans())
def test_of_two_classes_one_may_have_all_votes(
    data: st.DataObject, word: str, positive: bool, based: bool
) -> None:
    weights = st.sampled_from([0, 0.25, 0.5]) if positive else whole_weights
    trees = Trees(data.draw, 2, [0], weights)
    trees.votes.append((*trees.order[0], 0, 0.0 if positive else -1.0))
    x = table(data.draw, 3, 2)
    base = (0.125,) if based else None
    found = tree_ensemble_classifier(
        x, **trees.attributes("class", True), classlabels_int64s=(5, 7), base_values=base,
        post_transform=word,
    )  # fmt: skip
    scores = [trees.scores(row, 1)[0] + (0.125 if based else 0) for row in x.tolist()]
    pairs = [[1 - s if positive and word == "NONE" else -s, s] for s in scores]
    assert found.y.tolist() == [7 if b > a else 5 for a, b in pairs]
    assert_close(found.z, [transformed(pair, word) for pair in pairs], F32, floor=4)


def stump(**changes: Any) -> dict[str, Any]:
    """One node: 10 up to 3, else 20."""
    return {
        "nodes_treeids": (0, 0, 0),
        "nodes_nodeids": (0, 1, 2),
        "nodes_featureids": (0, 0, 0),
        "nodes_modes": ("BRANCH_LEQ", "LEAF", "LEAF"),
        "nodes_values": (3.0, 0.0, 0.0),
        "nodes_truenodeids": (1, 0, 0),
        "nodes_falsenodeids": (2, 0, 0),
        "target_treeids": (0, 0),
        "target_nodeids": (1, 2),
        "target_ids": (0, 0),
        "target_weights": (10.0, 20.0),
    } | changes


X = np.array([[3.0], [4.0], [np.nan]], np.float32)


def test_a_tree_may_be_one_leaf() -> None:
    leaf = {name: values[-1:] for name, values in stump().items()}
    found = tree_ensemble_regressor(X, **leaf)
    assert_equal(found, np.array([[20], [20], [20]], np.float32))


def test_the_root_may_stand_anywhere() -> None:
    nodes = {name: v[::-1] for name, v in stump().items() if name.startswith("nodes")}
    expected = np.array([[10], [20], [20]], np.float32)
    assert_equal(tree_ensemble_regressor(X, **stump()), expected)
    assert_equal(tree_ensemble_regressor(X, **stump(**nodes)), expected)


def test_whole_numbers_and_doubles_are_compared_as_they_are() -> None:
    for dtype in (np.int32, np.int64, np.float64):
        found = tree_ensemble_regressor(np.array([[3], [4]], dtype), **stump())
        assert_equal(found, np.array([[10], [20]], np.float32))
    third = {"nodes_values": None, "nodes_values_as_tensor": np.array([1 / 3, 0, 0])}
    found = tree_ensemble_regressor(np.array([[1 / 3]]), **stump(**third))
    assert_equal(found, np.array([[10]], np.float32))


def test_no_rows_and_no_votes() -> None:
    assert tree_ensemble_regressor(X[:0], **stump()).shape == (0, 1)
    nothing = dict.fromkeys(
        ("target_treeids", "target_nodeids", "target_ids", "target_weights"), ()
    )
    found = tree_ensemble_regressor(X, **stump(**nothing, n_targets=2))
    assert_equal(found, np.zeros((3, 2), np.float32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes_featureids": (1, 0, 0)}, "does not have"),
        ({"nodes_truenodeids": (9, 0, 0)}, "tree 0 has no node 9"),
        ({"target_nodeids": (1, 9)}, "tree 0 has no node 9"),
        ({"target_ids": (0, 1), "n_targets": 1}, "does not have"),
        ({"target_ids": (0, -1), "n_targets": 1}, "does not have"),
    ],
)
def test_trees_refer_to_what_there_is(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(IndexError, match=message):
        tree_ensemble_regressor(X, **stump(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes_values": (3.0,)}, "attributes of the nodes have different lengths"),
        ({"target_weights": (3.0,)}, "attributes of the votes have different lengths"),
        ({"nodes_nodeids": (0, 1, 1)}, "two nodes of a tree have one number"),
        ({"nodes_modes": ("LEQ", "LEAF", "LEAF")}, "the modes of nodes are BRANCH_LEQ"),
        ({"nodes_truenodeids": (0, 0, 0)}, "each tree must have one node that leads"),
        ({"nodes_truenodeids": (2, 0, 0)}, "each tree must have one node that leads"),
        ({"n_targets": 0}, "0 base values for 0 targets"),
        ({"base_values": (1.0, 2.0)}, "2 base values for 1 targets"),
        ({"aggregate_function": "MEAN"}, "aggregate_function is one of"),
        ({"post_transform": "EXP"}, "post_transform is one of"),
        ({"nodes_values_as_tensor": np.zeros(3)}, "both as a list and as a tensor"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tree_ensemble_regressor(X, **stump(**changes))


def test_a_cycle_below_the_root_is_refused() -> None:
    cycle = stump(
        nodes_treeids=(0,) * 4, nodes_nodeids=(0, 1, 2, 3), nodes_featureids=(0,) * 4,
        nodes_modes=("BRANCH_LEQ", "BRANCH_LEQ", "BRANCH_LEQ", "LEAF"), nodes_values=(9.0,) * 4,
        nodes_truenodeids=(1, 2, 1, 0), nodes_falsenodeids=(3, 3, 3, 0), target_nodeids=(3, 3),
    )  # fmt: skip
    with pytest.raises(ValueError, match="cycle"):
        tree_ensemble_regressor(X, **cycle)
