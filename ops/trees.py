"""Ensembles of decision trees: predictions from rows of features."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ._budget import reserve, turn
from ._registry import ML, op
from ._typing import Array
from .prediction import TRANSFORMS, transformed

_COMPARISONS: tuple[Callable[[Array, Array], Array], ...] = (
    np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal,
)  # fmt: skip
_ORDERED = (0, 1, 2, 3)  # the modes whose comparison does not hold for NaN
_MEMBER = 6  # BRANCH_MEMBER of TreeEnsemble-5; the comparisons before it are its modes 0 to 5
_CACHED = 2**13
"""Leaves to look for at a time, so that all that is known of them stays in the cache."""


class Sets(NamedTuple):
    """The sets of all nodes that have one."""

    numbers: Array
    """All members of any set, sorted."""
    pairs: Array
    """``node * len(numbers) + place among the numbers`` for each member of each node's set."""


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
    sets: Sets | None = None


class Ensemble(NamedTuple):
    """A forest with the votes of its leaves."""

    forest: Forest
    modes: tuple[int, ...]
    """The modes that occur."""
    tracked: bool
    """Whether NaN may take another branch than that of a comparison that does not hold."""
    width: int
    """How many features there must be."""
    first: Array
    """The first vote of each node; those of a leaf follow each other."""
    last: Array
    """The one behind its last."""
    owners: Array
    """For which target each vote is, and behind them a vote for a target that does not exist."""
    weights: Array
    most: int
    """The votes of the leaf that has most."""
    ragged: bool
    """Whether other leaves have fewer."""
    targets: int
    function: int
    """Of a target's weights: average over the trees (0), sum (1), minimum (2), maximum (3)."""


def ensemble(
    forest: Forest, voters: Array, owners: Array, weights: Array, targets: int, function: int
) -> Ensemble:
    """An ensemble in which node ``voters[i]`` votes for target ``owners[i]`` with ``weights[i]``.

    Raises ValueError for another function than 0 to 3.
    """
    if function not in range(4):
        raise ValueError(f"aggregate_function is 0 to 3, not {function}")
    order = np.argsort(voters, kind="stable")
    nodes = np.arange(len(forest.leaf))
    first, last = (np.searchsorted(voters[order], nodes, side) for side in ("left", "right"))
    counts = (last - first)[forest.leaf]
    most = int(counts.max(initial=0))
    modes = tuple(np.unique(forest.modes[~forest.leaf]).tolist())
    return Ensemble(
        forest=forest,
        modes=modes,
        tracked=bool(forest.missing.any()) or not {*modes} <= {*_ORDERED},
        width=int(forest.features.max(initial=-1)) + 1,
        first=first,
        last=last,
        owners=np.append(owners[order], targets),
        weights=np.append(weights[order].astype(np.float64), 0.0),
        most=most,
        ragged=bool((counts < most).any()),
        targets=targets,
        function=function,
    )


def scores(x: Array, trees: Ensemble) -> Array:
    """The votes of the leaves that each row reaches, aggregated in float64: (rows, targets).

    A target without a vote has 0. Raises IndexError if a feature is missing, ValueError for trees
    with a cycle.
    """
    if x.shape[1] < trees.width:
        raise IndexError(
            f"the tree refers to something that it does not have: feature {trees.width - 1}"
        )
    reserve((len(x), trees.targets), np.float64)
    height = max(1, _CACHED // max(1, len(trees.forest.roots)))
    found = [_scores(x[i : i + height], trees) for i in range(0, max(1, len(x)), height)]
    return np.concatenate(found)


def _scores(x: Array, trees: Ensemble) -> Array:
    leaf = _leaves_of(x, trees)
    reserve((*leaf.shape, trees.most), np.float64)
    vote = trees.first[leaf][..., None] + np.arange(trees.most)
    if trees.ragged:
        vote = np.where(vote < trees.last[leaf][..., None], vote, len(trees.owners) - 1)
    # The target that does not exist takes the votes that a leaf with fewer votes does not have.
    columns = trees.targets + 1
    places = trees.owners[vote] + columns * np.arange(len(x))[:, None, None]
    votes = places.ravel(), trees.weights[vote].ravel()
    totals = _aggregated(*votes, len(x) * columns, trees.function).reshape(len(x), columns)
    return totals[:, :-1] / (leaf.shape[1] if trees.function == 0 else 1)


def _aggregated(places: Array, weights: Array, size: int, function: int) -> Array:
    """The weights at each of ``size`` places aggregated one after the other; 0 without any."""
    if function in (0, 1):
        return np.bincount(places, weights, size)
    totals = np.zeros(size)
    totals[places] = np.inf if function == 2 else -np.inf
    (np.minimum if function == 2 else np.maximum).at(totals, places, weights)
    return totals


def _leaves_of(x: Array, trees: Ensemble) -> Array:
    """The leaf of each tree that each row reaches: (rows, trees). Raises ValueError for a cycle."""
    forest, (rows, features) = trees.forest, x.shape
    found = np.tile(forest.roots, rows)
    values = x.ravel()
    tracked = trees.tracked and bool(np.isnan(values).any())
    # What is still on its way: its place in the result, where its row begins, its node.
    place = np.arange(len(found))
    begin, node = np.repeat(features * np.arange(rows), len(forest.roots)), found
    for _ in range(len(forest.leaf) + 1):
        turn()
        ended = forest.leaf[node]
        if ended.any():
            found[place] = node
            place, begin, node = place[~ended], begin[~ended], node[~ended]
        if not len(node):
            return found.reshape(rows, len(forest.roots))
        value = values[begin + forest.features[node]]
        way = _holds(value, node, trees)
        if tracked:
            way = np.where(np.isnan(value), forest.missing[node], way)
        node = forest.ways.ravel()[node + forest.ways.shape[1] * way]
    raise ValueError("the trees have a cycle")


def _holds(value: Array, node: Array, trees: Ensemble) -> Array:
    forest = trees.forest
    split = forest.splits[node]
    if len(trees.modes) == 1 and trees.modes[0] != _MEMBER:
        return _COMPARISONS[trees.modes[0]](value, split)
    mode, holds = forest.modes[node], np.zeros(value.shape, bool)
    for each in trees.modes:
        if each != _MEMBER:
            holds |= (mode == each) & _COMPARISONS[each](value, split)
        elif forest.sets:
            holds |= (mode == each) & _contained(value, node, forest.sets)
    return holds


def _contained(value: Array, node: Array, sets: Sets) -> Array:
    """Whether each value is in the set of its node."""
    place = np.searchsorted(sets.numbers, value)
    known = np.append(sets.numbers, np.nan)[place] == value
    return known & np.isin(node * len(sets.numbers) + place, sets.pairs)


def indices(numbers: Sequence[object] | Array, size: int | Array) -> Array:
    """Numbers as int64 indices. Raises IndexError for one outside [0, size)."""
    found = np.array(numbers, np.int64)
    wrong = found[(found < 0) | (found >= size)]
    if len(wrong):
        raise IndexError(f"the tree refers to something that it does not have: {wrong[0]}")
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
        modes=np.append(indices(nodes_modes.tolist(), _MEMBER + 1), nothing),
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
    nodes = np.flatnonzero(modes == _MEMBER)
    given = np.zeros(0) if members is None else members.reshape(-1)
    ends = np.flatnonzero(np.isnan(given))
    count = len(ends) + bool(len(given) and not np.isnan(given[-1]))
    if count != len(nodes):
        raise ValueError(f"{count} sets of members for {len(nodes)} nodes that have one")
    numbers, places = np.unique(given, return_inverse=True)
    owners = nodes[np.searchsorted(ends, np.arange(len(given)))]
    return Sets(numbers, owners * len(numbers) + places)
