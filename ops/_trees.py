"""Walking through decision trees, many rows and trees at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ._budget import reserve, turn
from ._typing import Array

_COMPARISONS: tuple[Callable[[Array, Array], Array], ...] = (
    np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal,
)  # fmt: skip
_ORDERED = (0, 1, 2, 3)  # the modes whose comparison does not hold for NaN
MEMBER = 6  # BRANCH_MEMBER of TreeEnsemble-5; the comparisons before it are its modes 0 to 5
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
    if len(trees.modes) == 1 and trees.modes[0] != MEMBER:
        return _COMPARISONS[trees.modes[0]](value, split)
    mode, holds = forest.modes[node], np.zeros(value.shape, bool)
    for each in trees.modes:
        if each != MEMBER:
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
