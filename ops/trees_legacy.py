"""Decision trees as of before opset 5 of ai.onnx.ml, where leaves are nodes that vote.

The attributes ``nodes_*`` are columns of a table of nodes: node ``nodeids[i]`` of tree
``treeids[i]`` compares feature ``featureids[i]`` with ``values[i]`` by ``modes[i]`` and leads to a
node of the same tree, or is a LEAF. A second table has the votes of the leaves, of which a leaf may
have several. An attribute ``*_as_tensor`` replaces the one without that suffix, in float64.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ._budget import timed, turn
from ._registry import ML, op
from ._trees import Forest, ensemble, indices, scores
from ._typing import Array
from .prediction import labels_of, transformed

_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "LEAF")
_LEAF = len(_MODES) - 1
_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")


class Nodes(NamedTuple):
    """The columns of the table of nodes."""

    treeids: tuple[int, ...] | None
    nodeids: tuple[int, ...] | None
    featureids: tuple[int, ...] | None
    modes: tuple[str, ...] | None
    values: Array
    falsenodeids: tuple[int, ...] | None
    truenodeids: tuple[int, ...] | None
    missing: tuple[int, ...] | None


class Votes(NamedTuple):
    """The columns of the table of votes."""

    treeids: tuple[int, ...] | None
    nodeids: tuple[int, ...] | None
    owners: tuple[int, ...] | None
    weights: Array


def _scoring(
    nodes: Nodes, votes: Votes, base: Array, targets: int, aggregate: str = "SUM"
) -> Callable[[Array], Array]:
    """From X to the votes of the leaves that each row reaches, aggregated: (rows, targets)."""
    if aggregate not in _AGGREGATES:
        raise ValueError(f"aggregate_function is one of {', '.join(_AGGREGATES)}")
    if targets < 1 or len(base) not in (0, targets):
        raise ValueError(f"{len(base)} base values for {targets} targets")
    for kind, columns in (("nodes", nodes), ("votes", votes)):
        lengths = {len(column) for column in columns if column is not None}
        if len(lengths) > 1:
            raise ValueError(f"the attributes of the {kind} have different lengths: {lengths}")
    places = {pair: i for i, pair in timed(enumerate(_pairs(nodes.treeids, nodes.nodeids)))}
    trees = ensemble(
        _forest(nodes, places), _found(places, _pairs(votes.treeids, votes.nodeids)),
        indices(votes.owners or (), targets), votes.weights, targets, _AGGREGATES.index(aggregate),
    )  # fmt: skip
    return lambda x: scores(x, trees) + base if len(base) else scores(x, trees)


def _pairs(trees: Sequence[int] | None, nodes: Sequence[int] | None) -> list[tuple[int, int]]:
    return list(zip(trees or (), nodes or (), strict=True))


def _found(places: dict[tuple[int, int], int], pairs: list[tuple[int, int]]) -> Array:
    """The positions of nodes. Raises IndexError for one that does not exist."""
    lost = next((pair for pair in pairs if pair not in places), None)
    if lost is not None:
        raise IndexError(f"tree {lost[0]} has no node {lost[1]}")
    return np.array([places[pair] for pair in timed(pairs)], np.int64)


def _forest(nodes: Nodes, places: dict[tuple[int, int], int]) -> Forest:
    treeids = nodes.treeids or ()
    unknown = set(nodes.modes or ()) - set(_MODES)
    if unknown or len(places) != len(treeids):
        raise ValueError(f"the modes of nodes are {', '.join(_MODES)}" if unknown else
                         "two nodes of a tree have one number")  # fmt: skip
    modes = np.array([_MODES.index(mode) for mode in nodes.modes or ()], np.int64)
    leaf = modes == _LEAF
    ways = np.tile(np.arange(len(leaf)), (2, 1))
    for way, children in enumerate((nodes.falsenodeids, nodes.truenodeids)):
        pairs = zip(treeids, children or (), leaf.tolist(), strict=True)
        ways[way, ~leaf] = _found(places, [(tree, child) for tree, child, end in pairs if not end])
    roots = np.setdiff1d(np.arange(len(leaf)), ways[:, ~leaf])
    one_each = sorted(treeids[root] for root in roots) == sorted(set(treeids))
    if not one_each or not _reached(roots, ways).all():
        raise ValueError("each tree must have one node that leads to all others of it")
    return Forest(
        features=indices(np.where(leaf, 0, nodes.featureids or ()), sys.maxsize),
        modes=modes,
        splits=nodes.values,
        ways=ways,
        missing=np.array(nodes.missing or (0,) * len(leaf), bool),
        leaf=leaf,
        roots=roots,
    )


def _reached(roots: Array, ways: Array) -> Array:
    """Which nodes can be reached from the roots."""
    reached = np.zeros(ways.shape[1], bool)
    while roots.size:
        turn()
        reached[roots] = True
        further = np.unique(ways[:, roots])
        roots = further[~reached[further]]
    return reached


def numbers(numbers: tuple[float, ...] | None, tensor: Array | None) -> Array:
    """Numbers given as a list or as a tensor, or not at all."""
    if numbers and tensor is not None:
        raise ValueError("an attribute is given both as a list and as a tensor")
    return np.array(numbers or (), np.float64) if tensor is None else tensor.reshape(-1)


@op("TreeEnsembleRegressor", since=1, until=5, domain=ML, rounds=True)
def tree_ensemble_regressor(
    x: Array,
    /,
    *,
    aggregate_function: str = "SUM",
    base_values: tuple[float, ...] | None = None,
    base_values_as_tensor: Array | None = None,
    n_targets: int | None = None,
    nodes_falsenodeids: tuple[int, ...] | None = None,
    nodes_featureids: tuple[int, ...] | None = None,
    nodes_hitrates: tuple[float, ...] | None = None,
    nodes_hitrates_as_tensor: Array | None = None,
    nodes_missing_value_tracks_true: tuple[int, ...] | None = None,
    nodes_modes: tuple[str, ...] | None = None,
    nodes_nodeids: tuple[int, ...] | None = None,
    nodes_treeids: tuple[int, ...] | None = None,
    nodes_truenodeids: tuple[int, ...] | None = None,
    nodes_values: tuple[float, ...] | None = None,
    nodes_values_as_tensor: Array | None = None,
    post_transform: str = "NONE",
    target_ids: tuple[int, ...] | None = None,
    target_nodeids: tuple[int, ...] | None = None,
    target_treeids: tuple[int, ...] | None = None,
    target_weights: tuple[float, ...] | None = None,
    target_weights_as_tensor: Array | None = None,
) -> Array:
    """The votes of the leaves that each row reaches, aggregated and transformed, as float32.

    X is (rows, features), the result (rows, targets). ``aggregate_function`` is "SUM", "MIN",
    "MAX", or "AVERAGE" for the sum over the number of trees; the ``base_values`` are added to that.
    A target without a vote has 0. Raises ValueError for attributes that contradict each other and
    for trees with a cycle, IndexError for nodes and targets that do not exist.

    >>> tree_ensemble_regressor(
    ...     np.array([[1.0], [5.0]]), nodes_treeids=(0, 0, 0), nodes_nodeids=(0, 1, 2),
    ...     nodes_modes=("BRANCH_LEQ", "LEAF", "LEAF"), nodes_featureids=(0, 0, 0),
    ...     nodes_values=(3.0, 0.0, 0.0), nodes_truenodeids=(1, 0, 0),
    ...     nodes_falsenodeids=(2, 0, 0), target_treeids=(0, 0), target_nodeids=(1, 2),
    ...     target_ids=(0, 0), target_weights=(10.0, 20.0), n_targets=1)
    array([[10.],
           [20.]], dtype=float32)

    Spec: ai.onnx.ml TreeEnsembleRegressor-3.
    """
    nodes = Nodes(
        nodes_treeids, nodes_nodeids, nodes_featureids, nodes_modes,
        numbers(nodes_values, nodes_values_as_tensor), nodes_falsenodeids, nodes_truenodeids,
        nodes_missing_value_tracks_true,
    )  # fmt: skip
    weights = numbers(target_weights, target_weights_as_tensor)
    votes = Votes(target_treeids, target_nodeids, target_ids, weights)
    base = numbers(base_values, base_values_as_tensor)
    return regressor(nodes, votes, base, n_targets, aggregate_function, post_transform)(x)


def regressor(
    nodes: Nodes, votes: Votes, base: Array, targets: int | None, aggregate: str, word: str
) -> Callable[[Array], Array]:
    """TreeEnsembleRegressor as a function of X, its attributes converted once. Raises as it."""
    targets = max(votes.owners or (0,)) + 1 if targets is None else targets
    score = _scoring(nodes, votes, base, targets, aggregate)
    return lambda x: transformed(score(x), word).astype(np.float32)


class TreeEnsembleClassifier(NamedTuple):
    """What TreeEnsembleClassifier returns."""

    y: Array
    z: Array


@op("TreeEnsembleClassifier", since=1, until=5, domain=ML, rounds=(1,))
def tree_ensemble_classifier(
    x: Array,
    /,
    *,
    base_values: tuple[float, ...] | None = None,
    base_values_as_tensor: Array | None = None,
    class_ids: tuple[int, ...] | None = None,
    class_nodeids: tuple[int, ...] | None = None,
    class_treeids: tuple[int, ...] | None = None,
    class_weights: tuple[float, ...] | None = None,
    class_weights_as_tensor: Array | None = None,
    classlabels_int64s: tuple[int, ...] | None = None,
    classlabels_strings: tuple[str, ...] | None = None,
    nodes_falsenodeids: tuple[int, ...] | None = None,
    nodes_featureids: tuple[int, ...] | None = None,
    nodes_hitrates: tuple[float, ...] | None = None,
    nodes_hitrates_as_tensor: Array | None = None,
    nodes_missing_value_tracks_true: tuple[int, ...] | None = None,
    nodes_modes: tuple[str, ...] | None = None,
    nodes_nodeids: tuple[int, ...] | None = None,
    nodes_treeids: tuple[int, ...] | None = None,
    nodes_truenodeids: tuple[int, ...] | None = None,
    nodes_values: tuple[float, ...] | None = None,
    nodes_values_as_tensor: Array | None = None,
    post_transform: str = "NONE",
) -> TreeEnsembleClassifier:
    """The label with the highest score of each row, and the scores, transformed, as float32.

    A class's score is the sum of the votes for it, plus its base value. If all votes are for the
    first of two labels, they are the score s of the second one; the first then has ``1 - s`` if all
    weights are probabilities (not negative, and not transformed other than by PROBIT), else ``-s``.
    Raises ValueError and IndexError as TreeEnsembleRegressor does.

    >>> tree_ensemble_classifier(
    ...     np.array([[1.0], [5.0]]), nodes_treeids=(0, 0, 0), nodes_nodeids=(0, 1, 2),
    ...     nodes_modes=("BRANCH_LEQ", "LEAF", "LEAF"), nodes_featureids=(0, 0, 0),
    ...     nodes_values=(3.0, 0.0, 0.0), nodes_truenodeids=(1, 0, 0),
    ...     nodes_falsenodeids=(2, 0, 0), class_treeids=(0, 0), class_nodeids=(1, 2),
    ...     class_ids=(0, 0), class_weights=(0.25, 1.0), classlabels_strings=("no", "yes"))
    TreeEnsembleClassifier(y=array(['no', 'yes'], dtype=object), z=array([[0.75, 0.25],
           [0.  , 1.  ]], dtype=float32))

    Spec: ai.onnx.ml TreeEnsembleClassifier-3, and onnxruntime for two labels.
    """
    nodes = Nodes(
        nodes_treeids, nodes_nodeids, nodes_featureids, nodes_modes,
        numbers(nodes_values, nodes_values_as_tensor), nodes_falsenodeids, nodes_truenodeids,
        nodes_missing_value_tracks_true,
    )  # fmt: skip
    weights = numbers(class_weights, class_weights_as_tensor)
    votes = Votes(class_treeids, class_nodeids, class_ids, weights)
    base = numbers(base_values, base_values_as_tensor)
    labels = labels_of(classlabels_int64s, classlabels_strings)
    return classifier(nodes, votes, base, labels, post_transform)(x)


def classifier(
    nodes: Nodes, votes: Votes, base: Array, labels: Array, word: str
) -> Callable[[Array], TreeEnsembleClassifier]:
    """TreeEnsembleClassifier as a function of X, its attributes converted once. Raises as it."""
    alone = len(labels) == 2 and len(base) < 2 and set(votes.owners or ()) == {0}
    score = _scoring(nodes, votes, base, 1 if alone else len(labels))
    probable = alone and (word == "PROBIT" or (word == "NONE" and min(votes.weights) >= 0))

    def predict(x: Array) -> TreeEnsembleClassifier:
        found = score(x)
        if alone:
            found = np.concatenate([1 - found if probable else -found, found], axis=1)
        z = transformed(found, word).astype(np.float32)
        return TreeEnsembleClassifier(labels[found.argmax(axis=1)], z)

    return predict
