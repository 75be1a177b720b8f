"""Support vector machines: predictions from rows of features."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ._budget import reserve, timed, turn
from ._registry import ML, op
from ._typing import Array
from .activation import sigmoid
from .prediction import labels_of, transformed


def _kernel(x: Array, vectors: Array, name: str, params: tuple[float, ...] | None) -> Array:
    """The kernel of each row and each support vector: (rows, vectors)."""
    gamma, coef0, degree = params or (0.0, 0.0, 0.0)
    reserve((len(x), len(vectors)), np.float64)

    def squares() -> Array:
        distance = np.zeros((len(x), len(vectors)))
        for feature in range(x.shape[1]):
            turn()
            distance += np.square(x[:, feature, None] - vectors[:, feature])
        return distance

    kernels: dict[str, Callable[[], Array]] = {
        "LINEAR": lambda: x @ vectors.T,
        "POLY": lambda: (gamma * (x @ vectors.T) + coef0) ** degree,
        "RBF": lambda: np.exp(-gamma * squares()),
        "SIGMOID": lambda: np.tanh(gamma * (x @ vectors.T) + coef0),
    }
    if name not in kernels:
        raise ValueError(f"kernel_type is one of {', '.join(kernels)}, not {name!r}")
    return kernels[name]()


def _table(numbers: tuple[float, ...] | None, rows: int, columns: int, what: str) -> Array:
    found = np.array(numbers or (), np.float64)
    if found.size != rows * columns:
        raise ValueError(f"{found.size} numbers in {what}, expected {rows} times {columns}")
    return found.reshape(rows, columns)


@op("SVMRegressor", since=1, domain=ML, rounds=True)
def svm_regressor(
    x: Array,
    /,
    *,
    coefficients: tuple[float, ...] | None = None,
    kernel_params: tuple[float, ...] | None = None,
    kernel_type: str = "LINEAR",
    n_supports: int = 0,
    one_class: int = 0,
    post_transform: str = "NONE",
    rho: tuple[float, ...] | None = None,
    support_vectors: tuple[float, ...] | None = None,
) -> Array:
    """``K(X, support vectors) @ coefficients + rho`` for each row, transformed, as float32.

    X is (rows, features), the result (rows, 1). The kernel K of rows x and v is "LINEAR" ``x v'``,
    "POLY" ``(gamma x v' + coef0) ** degree``, "RBF" ``exp(-gamma |x - v|²)`` or "SIGMOID"
    ``tanh(gamma x v' + coef0)``; ``kernel_params`` are gamma, coef0 and degree. Without support
    vectors the result is ``X @ coefficients + rho``. ``one_class`` reduces it to its sign: 1, or -1
    if not positive. Raises ValueError for attributes that do not fit each other, and unknown names.

    >>> svm_regressor(np.array([[2.0], [3.0]]), coefficients=(5.0,), rho=(-12.0,))
    array([[-2.],
           [ 3.]], dtype=float32)

    Spec: ai.onnx.ml SVMRegressor-1.
    """
    wide, features = x.astype(np.float64), x.shape[1]
    if n_supports:
        vectors = _table(support_vectors, n_supports, features, "support_vectors")
        near = _kernel(wide, vectors, kernel_type, kernel_params)
    else:
        near = wide
    weights = _table(coefficients, near.shape[1], 1, "coefficients")
    scores = near @ weights + _table(rho, 1, 1, "rho")
    if one_class:
        return np.where(scores > 0, 1, -1).astype(np.float32)
    return transformed(scores, post_transform).astype(np.float32)


class SVMClassifier(NamedTuple):
    """What SVMClassifier returns."""

    y: Array
    z: Array


@op("SVMClassifier", since=1, domain=ML, rounds=(1,))
def svm_classifier(
    x: Array,
    /,
    *,
    classlabels_ints: tuple[int, ...] | None = None,
    classlabels_strings: tuple[str, ...] | None = None,
    coefficients: tuple[float, ...] | None = None,
    kernel_params: tuple[float, ...] | None = None,
    kernel_type: str = "LINEAR",
    post_transform: str = "NONE",
    prob_a: tuple[float, ...] | None = None,
    prob_b: tuple[float, ...] | None = None,
    rho: tuple[float, ...] | None = None,
    support_vectors: tuple[float, ...] | None = None,
    vectors_per_class: tuple[int, ...] | None = None,
) -> SVMClassifier:
    """The label with the most votes of each row, and the scores, transformed, as float32.

    Each pair of classes is compared (one against one); the pair's score is positive if the first
    one gets the vote. With ``prob_a`` and ``prob_b`` the result has a probability per class, else
    the scores of the pairs, and for a single pair its negative score and its score. Without support
    vectors the scores are ``X @ coefficients' + rho``, one per class, and the highest one wins. The
    kernels are those of SVMRegressor. Raises ValueError for attributes that do not fit each other,
    and unknown names.

    >>> svm_classifier(
    ...     np.array([[2.0], [-1.0]]), classlabels_ints=(5, 7), support_vectors=(1.0, -1.0),
    ...     coefficients=(1.0, -1.0), rho=(0.5,), vectors_per_class=(1, 1))
    SVMClassifier(y=array([5, 7]), z=array([[-4.5,  4.5],
           [ 1.5, -1.5]], dtype=float32))

    Spec: ai.onnx.ml SVMClassifier-1; libsvm; Wu, Lin and Weng 2004 for the probabilities.
    """
    labels = labels_of(classlabels_ints, classlabels_strings)
    classes, wide = len(labels), x.astype(np.float64)
    supports = sum(vectors_per_class or ())
    if not supports:
        weights = _table(coefficients, classes, x.shape[1], "coefficients")
        scores = wide @ weights.T + (rho or (0.0,))[0]
        winner = scores.argmax(axis=1)
    else:
        vectors = _table(support_vectors, supports, x.shape[1], "support_vectors")
        weights = _table(coefficients, classes - 1, supports, "coefficients")
        near = _kernel(wide, vectors, kernel_type, kernel_params)
        reserve((len(x), classes, classes), np.float64)
        pairwise = _pairwise(near, weights, vectors_per_class or ())
        scores = pairwise + _table(rho, 1, pairwise.shape[1], "rho")
        pairs = np.triu_indices(classes, 1)
        wins = np.zeros((len(x), classes), np.int64)
        np.add.at(wins, (np.arange(len(x))[:, None], np.where(scores > 0, *pairs)), 1)
        winner = wins.argmax(axis=1)
        if prob_a:
            a, b = (_table(p, 1, pairwise.shape[1], "prob_a or prob_b") for p in (prob_a, prob_b))
            scores = _probabilities(1 - sigmoid(scores * a + b), classes)
        elif classes == 2:
            scores = np.concatenate([-scores, scores], axis=1)
    return SVMClassifier(labels[winner], transformed(scores, post_transform).astype(np.float32))


def _pairwise(near: Array, weights: Array, sizes: tuple[int, ...]) -> Array:
    """The scores of all pairs of classes, in order, from the rows' kernels with all vectors.

    Row ``j - 1`` of the weights has those of the vectors of earlier classes against class j, row i
    those of later classes against class i.
    """
    if len(sizes) != len(weights) + 1 or min(sizes) < 0:
        raise ValueError(
            f"vectors_per_class has {len(sizes)} counts for {len(weights) + 1} classes"
        )
    ends = np.cumsum(sizes)
    own = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
    columns = []
    for i, j in combinations(range(len(sizes)), 2):
        turn()
        columns.append(
            near[:, own[i]] @ weights[j - 1, own[i]] + near[:, own[j]] @ weights[i, own[j]]
        )
    return np.stack(columns, axis=1) if columns else np.zeros((len(near), 0))


def _probabilities(first: Array, classes: int) -> Array:
    """The probability of each class, from that of the first class of each pair.

    They are the p with ``sum(p) = 1`` that minimize the sum of ``(r[j, i] p[i] - r[i, j] p[j]) **
    2``, found by libsvm's iteration (svm.cpp, multiclass_probability), with its bounds 1e-7, 0.005
    and 100. Source: Wu, Lin and Weng 2004, algorithm 2.
    """
    r = np.zeros((len(first), classes, classes))
    above = np.triu_indices(classes, 1)
    r[:, above[0], above[1]] = np.clip(first, 1e-7, 1 - 1e-7)
    r[:, above[1], above[0]] = 1 - r[:, above[0], above[1]]
    q = -r.swapaxes(1, 2) * r
    each = np.arange(classes)
    q[:, each, each] = np.square(r).sum(axis=1)
    p = np.full((len(first), classes), 1 / classes)
    for _ in range(max(100, classes)):
        slope = (q @ p[..., None])[..., 0]
        level = (p * slope).sum(axis=1, keepdims=True)
        moving = (np.abs(slope - level) >= 0.005 / classes).any(axis=1, keepdims=True)
        if not moving.any():
            break
        for t in timed(range(classes)):
            row, own = q[:, t], q[:, t, t, None]
            step = np.where(moving, (level - slope[:, t, None]) / own, 0)
            p[:, t, None] += step
            level = (level + step * (step * own + 2 * slope[:, t, None])) / (1 + step) ** 2
            slope, p = (slope + step * row) / (1 + step), p / (1 + step)
    return p
