"""Ensembles of decision trees: predictions from rows of features."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from ._registry import ML, op
from ._trees import MEMBER, Forest, Sets, ensemble, indices, scores
from ._typing import Array
from .prediction import TRANSFORMS, transformed


@op("TreeEnsemble", since=5, domain=ML)
def tree_ensemble(
    x: Array,
    /,
    *,
    aggregate_function: int = 1,
    leaf_targetids: tuple[int, ...],
    leaf_weights: Array,
    membership_values: Array | None = None,
    n_targets: int | None = None,
    nodes_falseleafs: tuple[int, ...],
    nodes_falsenodeids: tuple[int, ...],
    nodes_featureids: tuple[int, ...],
    nodes_hitrates: Array | None = None,
    nodes_missing_value_tracks_true: tuple[int, ...] | None = None,
    nodes_modes: Array,
    nodes_splits: Array,
    nodes_trueleafs: tuple[int, ...],
    nodes_truenodeids: tuple[int, ...],
    post_transform: int = 0,
    tree_roots: tuple[int, ...],
) -> Array:
    """The weights of the leaves that each row reaches, aggregated per target and transformed.

    X is (rows, features), the result (rows, targets). A node compares a feature with its split
    (mode 0: <=, 1: <, 2: >=, 3: >, 4: ==, 5: !=) or looks for it in its set (6); the sets are
    listed in the order of the nodes, each followed by a NaN. NaN takes the false branch unless
    ``nodes_missing_value_tracks_true``. A branch leads to a leaf where ``nodes_*leafs`` is 1, else
    to a node. ``aggregate_function`` is the average over all trees (0), sum (1), minimum (2) or
    maximum (3) of a target's weights; 0 for a target without any. Raises ValueError for attributes
    that contradict each other and for trees with a cycle, IndexError for numbers that do not exist.

    >>> tree_ensemble(
    ...     np.array([[1.0], [5.0]]), tree_roots=(0,), nodes_modes=np.array([0]),
    ...     nodes_splits=np.array([3.0]), nodes_featureids=(0,), nodes_trueleafs=(1,),
    ...     nodes_truenodeids=(0,), nodes_falseleafs=(1,), nodes_falsenodeids=(1,),
    ...     leaf_weights=np.array([10.0, 20.0]), leaf_targetids=(0, 0), n_targets=1)
    array([[10.],
           [20.]])

    Spec: ai.onnx.ml TreeEnsemble-5.
    """
    predict = predictor(
        aggregate_function=aggregate_function, leaf_targetids=leaf_targetids,
        leaf_weights=leaf_weights, membership_values=membership_values, n_targets=n_targets,
        nodes_falseleafs=nodes_falseleafs, nodes_falsenodeids=nodes_falsenodeids,
        nodes_featureids=nodes_featureids,
        nodes_missing_value_tracks_true=nodes_missing_value_tracks_true,
        nodes_modes=nodes_modes, nodes_splits=nodes_splits, nodes_trueleafs=nodes_trueleafs,
        nodes_truenodeids=nodes_truenodeids, post_transform=post_transform, tree_roots=tree_roots,
    )  # fmt: skip
    return predict(x)


def predictor(
    *,
    aggregate_function: int = 1,
    leaf_targetids: tuple[int, ...],
    leaf_weights: Array,
    membership_values: Array | None = None,
    n_targets: int | None = None,
    nodes_falseleafs: tuple[int, ...],
    nodes_falsenodeids: tuple[int, ...],
    nodes_featureids: tuple[int, ...],
    nodes_missing_value_tracks_true: tuple[int, ...] | None = None,
    nodes_modes: Array,
    nodes_splits: Array,
    nodes_trueleafs: tuple[int, ...],
    nodes_truenodeids: tuple[int, ...],
    post_transform: int = 0,
    tree_roots: tuple[int, ...],
) -> Callable[[Array], Array]:
    """TreeEnsemble as a function of X, its attributes converted once. Raises as the operator."""
    if not 0 <= post_transform < len(TRANSFORMS):
        raise ValueError(f"post_transform is 0 to {len(TRANSFORMS) - 1}")
    word = list(TRANSFORMS)[post_transform]
    count, leaves = len(nodes_featureids), len(leaf_targetids)
    to_leaf = np.array([nodes_falseleafs, nodes_trueleafs], bool)
    limits = np.where(to_leaf, leaves, count)
    ways = indices((nodes_falsenodeids, nodes_truenodeids), limits)
    nothing = np.zeros(leaves, np.int64)
    missing = nodes_missing_value_tracks_true or (0,) * count
    forest = Forest(
        features=np.append(indices(nodes_featureids, sys.maxsize), nothing),
        modes=np.append(indices(nodes_modes.tolist(), MEMBER + 1), nothing),
        splits=np.append(nodes_splits, nothing.astype(nodes_splits.dtype)),
        ways=np.append(ways + count * to_leaf, [count + np.arange(leaves)] * 2, axis=1),
        missing=np.append(np.array(missing, bool), nothing.astype(bool)),
        leaf=np.arange(count + leaves) >= count,
        roots=indices(tree_roots, count),
        sets=_sets(nodes_modes, membership_values),
    )
    targets = 1 + max(leaf_targetids, default=0) if n_targets is None else n_targets
    trees = ensemble(
        forest, count + np.arange(leaves), indices(leaf_targetids, targets), leaf_weights, targets,
        aggregate_function,
    )  # fmt: skip
    return lambda x: transformed(scores(x, trees), word).astype(x.dtype)


def _sets(modes: Array, members: Array | None) -> Sets | None:
    """The sets of the nodes, in whose order they are listed, each with a NaN behind it."""
    nodes = np.flatnonzero(modes == MEMBER)
    given = np.zeros(0) if members is None else members.reshape(-1)
    ends = np.flatnonzero(np.isnan(given))
    count = len(ends) + bool(len(given) and not np.isnan(given[-1]))
    if count != len(nodes):
        raise ValueError(f"{count} sets of members for {len(nodes)} nodes that have one")
    numbers, places = np.unique(given, return_inverse=True)
    owners = nodes[np.searchsorted(ends, np.arange(len(given)))]
    return Sets(numbers, owners * len(numbers) + places)
