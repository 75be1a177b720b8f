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

    A target that is ``ignore_index`` counts as nothing. ``reduction`` is "none", "sum", or "mean"
    over the weights of all targets. Raises IndexError for a target outside of the classes.

    >>> log_probabilities = np.array([[-1.0, -2.0], [-3.0, -4.0]])
    >>> negative_log_likelihood_loss(log_probabilities, np.array([0, 1]), reduction="none")
    array([1., 4.])

    Spec: NegativeLogLikelihoodLoss-22.
    """
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"reduction is none, sum or mean, not {reduction!r}")
    if input.ndim < 2 or target.shape != input.shape[:1] + input.shape[2:]:
        raise ValueError(f"targets of shape {target.shape} do not fit scores of {input.shape}")
    classes = input.shape[1]
    weights = np.ones(classes, input.dtype) if weight is None else weight
    one_type(input, weights)
    if weights.shape != (classes,):
        raise ValueError(f"weights of shape {weights.shape} for {classes} classes")
    counted = np.full(target.shape, True) if ignore_index is None else target != ignore_index
    if (counted & ((target < 0) | (target >= classes))).any():
        raise IndexError(f"a target lies outside of the {classes} classes")
    label = np.where(counted, target, 0)
    chosen = np.take_along_axis(input, label[:, None], axis=1)[:, 0]
    factor = np.where(counted, weights[label], 0).astype(input.dtype)
    loss = np.where(counted, -chosen * factor, 0).astype(input.dtype)
    if reduction == "none":
        return loss
    return np.asarray(loss.sum() / factor.sum() if reduction == "mean" else loss.sum())


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
    """The negative log-likelihood of the labels under the softmax of the scores over the classes.

    Weights, ``ignore_index`` and ``reduction`` as in NegativeLogLikelihoodLoss.

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
