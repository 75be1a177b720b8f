"""Losses of classifiers: scores are (batch, classes, *places), targets (batch, *places)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ._checks import one_type
from ._registry import op
from ._typing import Array
from .softmax import log_softmax


@op("NegativeLogLikelihoodLoss", since=12, rounds=True)
def negative_log_likelihood_loss(
    input: Array,
    target: Array,
    weight: Array | None = None,
    /,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Array:
    """Minus the log-probability of each target class, times the weight of the class.

    Input is (batch, classes, *places), targets (batch, *places) integers, ``weight`` (classes,). A
    target equal to ``ignore_index`` is left out. ``reduction`` is "none" for the loss of each
    target, "sum", or "mean", weighted by the classes' weights.

    Raises IndexError for a target outside of the classes, ValueError for an unknown reduction and
    shapes that do not fit, TypeError for weights of another dtype.

    >>> log_probabilities = np.array([[-1.0, -2.0], [-3.0, -4.0]])
    >>> negative_log_likelihood_loss(log_probabilities, np.array([0, 1]), reduction="none")
    array([1., 4.])

    Spec: NegativeLogLikelihoodLoss-22.
    """
    weights = np.ones(input.shape[1:2], input.dtype) if weight is None else weight
    _check_shapes(input, target, weights, reduction)
    counted = np.full(target.shape, True) if ignore_index is None else target != ignore_index
    if (counted & ((target < 0) | (target >= len(weights)))).any():
        raise IndexError(f"a target lies outside of the {len(weights)} classes")
    label = np.where(counted, target, 0)
    log_prob = np.take_along_axis(input, label[:, None], axis=1)[:, 0]
    factor = np.where(counted, weights[label], 0).astype(input.dtype)
    loss = np.where(counted, -log_prob * factor, 0).astype(input.dtype)
    if reduction == "none":
        return loss
    return np.asarray(loss.sum() / factor.sum() if reduction == "mean" else loss.sum())


def _check_shapes(scores: Array, target: Array, weights: Array, reduction: str) -> None:
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"reduction is none, sum or mean, not {reduction!r}")
    if scores.ndim < 2 or target.shape != scores.shape[:1] + scores.shape[2:]:
        raise ValueError(f"targets of shape {target.shape} do not fit scores of {scores.shape}")
    one_type(scores, weights)
    if weights.shape != scores.shape[1:2]:
        raise ValueError(f"weights of shape {weights.shape} for {scores.shape[1]} classes")


class SoftmaxCrossEntropyLoss(NamedTuple):
    """What SoftmaxCrossEntropyLoss returns."""

    output: Array
    log_prob: Array


@op("SoftmaxCrossEntropyLoss", since=12, rounds=True)
def softmax_cross_entropy_loss(
    scores: Array,
    labels: Array,
    weights: Array | None = None,
    /,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> SoftmaxCrossEntropyLoss:
    """The negative log-likelihood of the labels under the softmax of the scores, and its log.

    The second output is the log-probabilities (batch, classes, *places). Weights, ``ignore_index``
    and ``reduction`` are those of NegativeLogLikelihoodLoss. Raises IndexError, ValueError and
    TypeError as that does.

    >>> scores = np.log([[0.25, 0.75], [0.5, 0.5]])
    >>> np.exp(-softmax_cross_entropy_loss(scores, np.array([1, 0]), reduction="none").output)
    array([0.75, 0.5 ])

    Spec: SoftmaxCrossEntropyLoss-13.
    """
    log_prob = log_softmax(scores, axis=1)
    loss = negative_log_likelihood_loss(
        log_prob, labels, weights, ignore_index=ignore_index, reduction=reduction
    )
    return SoftmaxCrossEntropyLoss(loss, log_prob)
