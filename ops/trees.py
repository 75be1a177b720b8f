"""Ensembles of decision trees: predictions from rows of features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ._budget import check_time, reserve, turn
from ._registry import ML, op
from ._typing import Array
from .prediction import TRANSFORMS, transformed

_COMPARISONS: tuple[Callable[[Array, Array], Array], ...] = (
    np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal,
)  # fmt: skip
_MEMBER = 6  # BRANCH_MEMBER of TreeEnsemble-5; the comparisons before it are its modes 0 to 5


class Forest(NamedTuple):
    """The nodes of all trees in one numbering. A leaf is a node that leads to itself."""

    features: Array
    modes: Array
    splits: Array
    ways: Array
    """(2, nodes): the next node if the comparison is false, and if it is true."""
    missing: Array
    """Whether NaN takes the true branch."""
    leaf: Array
    roots: Array
    sets: dict[int, Array]
    """The members of the set of each node that has one."""


def leaves_of(x: Array, forest: Forest) -> Array:
    """The leaf of each tree that each row reaches: (rows, trees). Raises ValueError for a cycle."""
    shape = (len(x), len(forest.roots))
    reserve(shape, np.int64)
    node = np.broadcast_to(forest.roots, shape)
    for _ in range(len(forest.leaf) + 1):
        if forest.leaf[node].all():
            return node
        turn()
        value = np.take_along_axis(x, forest.features[node], axis=1)
        way = np.where(np.isnan(value), forest.missing[node], _holds(value, node, forest))
        node = forest.ways[way.astype(np.int64), node]
    raise ValueError("the trees have a cycle")


def _holds(value: Array, node: Array, forest: Forest) -> Array:
    holds = np.zeros(value.shape, bool)
    for mode in np.unique(forest.modes[~forest.leaf]).tolist():
        if mode != _MEMBER:
            holds |= (forest.modes[node] == mode) & _COMPARISONS[mode](value, forest.splits[node])
    for owner, members in forest.sets.items():
        check_time()
        holds |= (node == owner) & np.isin(value, members)
    return holds


def aggregated(weights: Array, owners: Array, targets: int, function: int, trees: int) -> Array:
    """The weights (rows, votes) aggregated per target: (rows, targets), 0 for a target without any.

    ``owners`` has the target of each weight; ``function`` is the average over ``trees`` (0), sum
    (1), minimum (2) or maximum (3). Raises ValueError for another one.
    """
    reserve((len(weights), targets), np.float64)
    totals = np.zeros((len(weights), targets))
    rows = np.arange(len(weights))[:, None]
    if function in (0, 1):
        np.add.at(totals, (rows, owners), weights)
        return totals / (trees if function == 0 else 1)
    if function not in (2, 3):
        raise ValueError(f"aggregate_function is 0 to 3, not {function}")
    worst = np.inf if function == 2 else -np.inf
    totals[rows, owners] = worst
    (np.minimum if function == 2 else np.maximum).at(totals, (rows, owners), weights)
    return totals


def indices(numbers: Sequence[object] | Array, size: int | Array) -> Array:
    """Numbers as int64 indices. Raises IndexError for one outside [0, size)."""
    found = np.array(numbers, np.int64)
    if ((found < 0) | (found >= size)).any():
        raise IndexError(f"the tree refers to something that it does not have: {found.tolist()}")
    return found


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
    count, leaves = len(nodes_featureids), len(leaf_targetids)
    to_leaf = np.array([nodes_falseleafs, nodes_trueleafs], bool)
    ways = indices((nodes_falsenodeids, nodes_truenodeids), np.where(to_leaf, leaves, count))
    nothing = np.zeros(leaves, np.int64)
    missing = nodes_missing_value_tracks_true or (0,) * count
    forest = Forest(
        features=np.append(indices(nodes_featureids, x.shape[1]), nothing),
        modes=np.append(indices(nodes_modes.tolist(), _MEMBER + 1), nothing),
        splits=np.append(nodes_splits, nothing.astype(nodes_splits.dtype)),
        ways=np.append(ways + count * to_leaf, [count + np.arange(leaves)] * 2, axis=1),
        missing=np.append(np.array(missing, bool), nothing.astype(bool)),
        leaf=np.arange(count + leaves) >= count,
        roots=indices(tree_roots, count),
        sets=_sets(nodes_modes, membership_values),
    )
    place = leaves_of(x, forest) - count
    targets = 1 + max(leaf_targetids, default=0) if n_targets is None else n_targets
    owners, trees = indices(leaf_targetids, targets), len(tree_roots)
    scores = aggregated(leaf_weights[place], owners[place], targets, aggregate_function, trees)
    if not 0 <= post_transform < len(TRANSFORMS):
        raise ValueError(f"post_transform is 0 to {len(TRANSFORMS) - 1}")
    return transformed(scores, list(TRANSFORMS)[post_transform]).astype(x.dtype)


def _sets(modes: Array, members: Array | None) -> dict[int, Array]:
    """The members of the set of each node that has one."""
    nodes = np.flatnonzero(modes == _MEMBER).tolist()
    given = np.zeros(0) if members is None else members.reshape(-1)
    parts = np.split(given, np.flatnonzero(np.isnan(given)) + 1)
    parts = parts[:-1] if not parts[-1].size else parts
    if len(parts) != len(nodes):
        raise ValueError(f"{len(parts)} sets of members for {len(nodes)} nodes that have one")
    return dict(zip(nodes, parts, strict=True))
