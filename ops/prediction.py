"""Predictions of linear models and of trees from rows of features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ._budget import reserve, turn
from ._registry import op
from ._typing import Array
from .activation import sigmoid
from .softmax import softmax

_ML = "ai.onnx.ml"


def _softmax_zero(scores: Array) -> Array:
    """The softmax of what is not zero; zeros stay."""
    shifted = np.exp(scores - scores.max(axis=-1, keepdims=True))
    e = np.where(np.abs(scores) > 1e-7, shifted, 0)
    total = e.sum(axis=-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def _probit(scores: Array) -> Array:
    from scipy.special import ndtri

    return ndtri(scores)


_TRANSFORMS: dict[str, Callable[[Array], Array]] = {
    "NONE": lambda scores: scores,
    "SOFTMAX": softmax,
    "LOGISTIC": sigmoid,
    "SOFTMAX_ZERO": _softmax_zero,
    "PROBIT": _probit,
}


def _transformed(scores: Array, word: str) -> Array:
    if word not in _TRANSFORMS:
        raise ValueError(f"post_transform is one of {', '.join(_TRANSFORMS)}, not {word!r}")
    return _TRANSFORMS[word](scores)


def _linear(
    x: Array, coefficients: tuple[float, ...], intercepts: tuple[float, ...] | None, rows: int
) -> Array:
    """``X @ coefficients' + intercepts`` in float64."""
    table = x.reshape(1, -1) if x.ndim == 1 else x
    if rows < 1 or len(coefficients) != rows * table.shape[1]:
        raise ValueError(f"{len(coefficients)} coefficients for {table.shape[1]} features")
    offsets = np.array(intercepts or (0.0,) * rows)
    if len(offsets) != rows:
        raise ValueError(f"{len(offsets)} intercepts for {rows} scores")
    weights = np.array(coefficients).reshape(rows, table.shape[1])
    return table.astype(np.float64) @ weights.T + offsets


@op("LinearRegressor", since=1, domain=_ML, rounds=True)
def linear_regressor(
    x: Array,
    /,
    *,
    coefficients: tuple[float, ...] | None = None,
    intercepts: tuple[float, ...] | None = None,
    post_transform: str = "NONE",
    targets: int = 1,
) -> Array:
    """``X @ C' + intercepts``, transformed, as float32; C has a row for each target.

    >>> linear_regressor(np.array([[1.0, 2.0]]), coefficients=(3.0, 4.0), intercepts=(0.5,))
    array([[11.5]], dtype=float32)

    Spec: ai.onnx.ml LinearRegressor-1.
    """
    scores = _linear(x, coefficients or (), intercepts, targets)
    return _transformed(scores, post_transform).astype(np.float32)


class LinearClassifier(NamedTuple):
    """What LinearClassifier returns."""

    y: Array
    z: Array


@op("LinearClassifier", since=1, domain=_ML, rounds=(1,))
def linear_classifier(
    x: Array,
    /,
    *,
    classlabels_ints: tuple[int, ...] | None = None,
    classlabels_strings: tuple[str, ...] | None = None,
    coefficients: tuple[float, ...],
    intercepts: tuple[float, ...] | None = None,
    multi_class: int = 0,
    post_transform: str = "NONE",
) -> LinearClassifier:
    """The label with the largest score of each row, and the scores, transformed, as float32.

    The scores are ``X @ C' + intercepts``; C has a row for each label. A single row with two labels
    scores the second one, and its negative the first.

    >>> linear_classifier(np.array([[1.0], [-1.0]]), classlabels_ints=(5, 6), coefficients=(2.0,))
    LinearClassifier(y=array([6, 5]), z=array([[-2.,  2.],
           [ 2., -2.]], dtype=float32))

    Spec: ai.onnx.ml LinearClassifier-1.
    """
    names = np.array(classlabels_ints or (), np.int64)
    labels = np.array(classlabels_strings, object) if classlabels_strings else names
    rows = len(coefficients) // max(x.shape[-1], 1)
    scores = _linear(x, coefficients, intercepts, rows)
    if rows == 1 and len(labels) == 2:
        scores = np.concatenate([-scores, scores], axis=1)
    if scores.shape[1] != len(labels):
        raise ValueError(f"{scores.shape[1]} scores for {len(labels)} labels")
    z = _transformed(scores, post_transform).astype(np.float32)
    return LinearClassifier(labels[scores.argmax(axis=1)], z)


_COMPARISONS: tuple[Callable[[Array, Array], Array], ...] = (
    np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal,
)  # fmt: skip
_MEMBER = 6
_POST_TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


@op("TreeEnsemble", since=5, domain=_ML)
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
    """For each row and target the leaves that the trees lead to, put together and transformed.

    A node compares a feature with its split (mode 0: <=, 1: <, 2: >=, 3: >, 4: ==, 5: !=) or looks
    for it in its set (6), the sets being listed in the order of the nodes, each with a NaN behind;
    NaN takes the false branch unless ``nodes_missing_value_tracks_true``. A branch leads to a node,
    or to a leaf where ``nodes_*leafs`` is 1. ``aggregate_function`` is the average over all trees
    (0), sum (1), least (2) or largest (3) of a target's weights; 0 for a target without any.
    Raises ValueError or IndexError for numbers that do not exist, and for trees with a cycle.

    >>> tree_ensemble(
    ...     np.array([[1.0], [5.0]]), tree_roots=(0,), nodes_modes=np.array([0]),
    ...     nodes_splits=np.array([3.0]), nodes_featureids=(0,), nodes_trueleafs=(1,),
    ...     nodes_truenodeids=(0,), nodes_falseleafs=(1,), nodes_falsenodeids=(1,),
    ...     leaf_weights=np.array([10.0, 20.0]), leaf_targetids=(0, 0), n_targets=1)
    array([[10.],
           [20.]])

    Spec: ai.onnx.ml TreeEnsemble-5.
    """
    features = _indices(nodes_featureids, x.shape[1])
    count, leaves = len(features), len(leaf_targetids)
    is_leaf = np.array([nodes_falseleafs, nodes_trueleafs], bool)
    ways = _indices((nodes_falsenodeids, nodes_truenodeids), np.where(is_leaf, leaves, count))
    missing = np.array(nodes_missing_value_tracks_true or (0,) * count, bool)
    sets = _sets(nodes_modes, membership_values)
    shape = (len(x), len(tree_roots))
    reserve(shape, np.int64)
    place, arrived = np.broadcast_to(_indices(tree_roots, count), shape), np.zeros(shape, bool)
    for _ in range(count):
        turn()
        node = np.where(arrived, 0, place)
        value = np.take_along_axis(x, features[node], axis=1)
        holds = _compare(value, node, nodes_modes, nodes_splits, sets)
        way = np.where(np.isnan(value), missing[node], holds).astype(np.int64)
        place = np.where(arrived, place, ways[way, node])
        arrived = arrived | is_leaf[way, node]
        if arrived.all():
            break
    if not arrived.all():
        raise ValueError("the trees have a cycle")
    targets = 1 + max(leaf_targetids, default=0) if n_targets is None else n_targets
    owners = _indices(leaf_targetids, targets)
    scores = _put_together(leaf_weights[place], owners[place], targets, aggregate_function)
    if not 0 <= post_transform < len(_POST_TRANSFORMS):
        raise ValueError(f"post_transform is 0 to {len(_POST_TRANSFORMS) - 1}")
    return _transformed(scores, _POST_TRANSFORMS[post_transform]).astype(x.dtype)


def _indices(numbers: Sequence[object], size: int | Array) -> Array:
    found = np.array(numbers, np.int64)
    if ((found < 0) | (found >= size)).any():
        raise IndexError(f"the tree refers to something that it does not have: {found.tolist()}")
    return found


def _sets(modes: Array, members: Array | None) -> dict[int, Array]:
    """The members that each node with a set looks for."""
    nodes = np.flatnonzero(modes == _MEMBER).tolist()
    given = np.zeros(0) if members is None else members.reshape(-1)
    parts = np.split(given, np.flatnonzero(np.isnan(given)) + 1)
    parts = parts[:-1] if not parts[-1].size else parts
    if len(parts) != len(nodes):
        raise ValueError(f"{len(parts)} sets of members for {len(nodes)} nodes that have one")
    return dict(zip(nodes, parts, strict=True))


def _compare(
    value: Array, node: Array, modes: Array, splits: Array, sets: dict[int, Array]
) -> Array:
    holds = np.zeros(value.shape, bool)
    for mode in np.unique(modes[modes != _MEMBER]).tolist():
        holds |= (modes[node] == mode) & _COMPARISONS[mode](value, splits[node])
    for owner, members in sets.items():
        holds |= (node == owner) & np.isin(value, members)
    return holds


def _put_together(weights: Array, owners: Array, targets: int, function: int) -> Array:
    """The weights (rows, trees) of each target in one number."""
    reserve((len(weights), targets), np.float64)
    totals = np.zeros((len(weights), targets))
    rows = np.arange(len(weights))[:, None]
    if function in (0, 1):
        np.add.at(totals, (rows, owners), weights)
        return totals / (weights.shape[1] if function == 0 else 1)
    if function not in (2, 3):
        raise ValueError(f"aggregate_function is 0 to 3, not {function}")
    worst = np.inf if function == 2 else -np.inf
    totals[rows, owners] = worst
    (np.minimum if function == 2 else np.maximum).at(totals, (rows, owners), weights)
    return totals
