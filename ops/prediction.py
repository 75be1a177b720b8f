"""Linear models, and what all models of ai.onnx.ml share: labels and post-transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ._budget import reserve
from ._registry import ML, op
from ._typing import Array
from .activation import sigmoid
from .softmax import softmax


def _softmax_zero(scores: Array) -> Array:
    """The softmax over the scores that are not zero; zeros stay."""
    shifted = np.exp(scores - scores.max(axis=-1, keepdims=True))
    e = np.where(np.abs(scores) > 1e-7, shifted, 0)  # onnxruntime's bound for a zero
    total = e.sum(axis=-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def _probit(scores: Array) -> Array:
    from scipy.special import ndtri

    return ndtri(scores)


TRANSFORMS: dict[str, Callable[[Array], Array]] = {
    "NONE": lambda scores: scores,
    "SOFTMAX": softmax,
    "LOGISTIC": sigmoid,
    "SOFTMAX_ZERO": _softmax_zero,
    "PROBIT": _probit,
}


def transformed(scores: Array, word: str) -> Array:
    """The scores after a ``post_transform``. Raises ValueError for an unknown name.

    >>> transformed(np.array([[0.0, 0.0]]), "SOFTMAX")
    array([[0.5, 0.5]])
    """
    if word not in TRANSFORMS:
        raise ValueError(f"post_transform is one of {', '.join(TRANSFORMS)}, not {word!r}")
    return TRANSFORMS[word](scores)


def labels_of(ints: tuple[int, ...] | None, strings: tuple[str, ...] | None) -> Array:
    """The labels of classes, integers or strings. Raises ValueError unless one kind is given.

    >>> labels_of((5, 7), None)
    array([5, 7])
    """
    if bool(ints) == bool(strings):
        raise ValueError("the labels must be given, as integers or as strings")
    return np.array(ints, np.int64) if ints else np.array(strings, object)


def _linear(
    x: Array, coefficients: tuple[float, ...], intercepts: tuple[float, ...] | None, rows: int
) -> Array:
    """``X @ coefficients' + intercepts`` in float64."""
    table = x.reshape(1, -1) if x.ndim == 1 else x
    if rows < 1 or len(coefficients) != rows * table.shape[1]:
        raise ValueError(f"{len(coefficients)} coefficients for {table.shape[1]} features")
    reserve((len(table), rows), np.float64)
    offsets = np.array(intercepts or (0.0,) * rows)
    if len(offsets) != rows:
        raise ValueError(f"{len(offsets)} intercepts for {rows} scores")
    weights = np.array(coefficients).reshape(rows, table.shape[1])
    return table.astype(np.float64) @ weights.T + offsets


@op("LinearRegressor", since=1, domain=ML, rounds=True)
def linear_regressor(
    x: Array,
    /,
    *,
    coefficients: tuple[float, ...] | None = None,
    intercepts: tuple[float, ...] | None = None,
    post_transform: str = "NONE",
    targets: int = 1,
) -> Array:
    """``X @ C' + intercepts``, transformed, as float32; C has a row per target.

    X is (rows, features), the result (rows, targets). Raises ValueError for another number of
    coefficients or intercepts and an unknown ``post_transform``.

    >>> linear_regressor(np.array([[1.0, 2.0]]), coefficients=(3.0, 4.0), intercepts=(0.5,))
    array([[11.5]], dtype=float32)

    Spec: ai.onnx.ml LinearRegressor-1.
    """
    scores = _linear(x, coefficients or (), intercepts, targets)
    return transformed(scores, post_transform).astype(np.float32)


class LinearClassifier(NamedTuple):
    """What LinearClassifier returns."""

    y: Array
    z: Array


@op("LinearClassifier", since=1, domain=ML, rounds=(1,))
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
    """The label with the highest score of each row, and the scores, transformed, as float32.

    The scores (rows, labels) are ``X @ C' + intercepts``; C has a row per label. If C has a single
    row for two labels, it scores the second one, and the negative is the score of the first. Raises
    ValueError for another number of coefficients, intercepts or labels and an unknown
    ``post_transform``.

    >>> linear_classifier(np.array([[1.0], [-1.0]]), classlabels_ints=(5, 6), coefficients=(2.0,))
    LinearClassifier(y=array([6, 5]), z=array([[-2.,  2.],
           [ 2., -2.]], dtype=float32))

    Spec: ai.onnx.ml LinearClassifier-1.
    """
    labels = labels_of(classlabels_ints, classlabels_strings)
    rows = len(coefficients) // max(x.shape[-1], 1)
    scores = _linear(x, coefficients, intercepts, rows)
    if rows == 1 and len(labels) == 2:
        scores = np.concatenate([-scores, scores], axis=1)
    if scores.shape[1] != len(labels):
        raise ValueError(f"{scores.shape[1]} scores for {len(labels)} labels")
    z = transformed(scores, post_transform).astype(np.float32)
    return LinearClassifier(labels[scores.argmax(axis=1)], z)
