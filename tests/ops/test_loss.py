"""Losses, one sample after the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array, negative_log_likelihood_loss, softmax_cross_entropy_loss
from tests.assertions import assert_close, assert_equal
from tests.ops.windows import whole
from tests.strategies import HALVES, DType

F32 = np.dtype(np.float32)


@st.composite
def classified(draw: st.DrawFn) -> tuple[Array, Array, Array | None, int | None]:
    """Scores, targets, perhaps weights, perhaps an ignored target (that need not be a class)."""
    places = draw(st.lists(st.integers(1, 2), max_size=2))
    scores = whole(draw, 2, 3, *places)
    ignored = draw(st.sampled_from([None, 0, -1, 7]))
    classes = [0, 1, 2] + ([] if ignored is None else [ignored])
    count = 2 * math.prod(places)
    targets = draw(st.lists(st.sampled_from(classes), min_size=count, max_size=count))
    weights = np.abs(whole(draw, 3)) + np.float32(0.5) if draw(st.booleans()) else None
    return scores, np.array(targets).reshape(2, *places), weights, ignored


def loss_of(
    log_probabilities: Array, targets: Array, weights: Array | None, ignored: int | None
) -> tuple[Array, Array]:
    """The weighed losses of all samples, and their weights."""
    loss, total = np.zeros(targets.shape), np.zeros(targets.shape)
    for place in np.ndindex(targets.shape):
        label = int(targets[place])
        if label != ignored:
            total[place] = 1 if weights is None else weights[label]
            loss[place] = -total[place] * log_probabilities[(place[0], label, *place[1:])]
    return loss, total


def reduced(loss: Array, total: Array, reduction: str) -> Any:
    if reduction == "none":
        return loss
    with np.errstate(invalid="ignore"):
        return loss.sum() / (total.sum() if reduction == "mean" else 1)


REDUCTIONS = st.sampled_from(["none", "sum", "mean"])


@given(classified(), REDUCTIONS)
def test_negative_log_likelihood(
    drawn: tuple[Array, Array, Array | None, int | None], reduction: str
) -> None:
    scores, targets, weights, ignored = drawn
    with np.errstate(invalid="ignore"):
        found = negative_log_likelihood_loss(
            scores, targets, weights, ignore_index=ignored, reduction=reduction
        )
    exact = reduced(*loss_of(scores, targets, weights, ignored), reduction)
    assert_close(found, exact, F32, floor=16)


@given(classified(), REDUCTIONS)
def test_softmax_cross_entropy(
    drawn: tuple[Array, Array, Array | None, int | None], reduction: str
) -> None:
    scores, targets, weights, ignored = drawn
    with np.errstate(invalid="ignore"):
        found = softmax_cross_entropy_loss(
            scores, targets, weights, ignore_index=ignored, reduction=reduction
        )
    wide = scores.astype(np.float64)
    log_probabilities = wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
    exact = reduced(*loss_of(log_probabilities, targets, weights, ignored), reduction)
    assert_close(found.log_prob, log_probabilities, F32, floor=16)
    assert_close(found.output, exact, F32, floor=64)


def test_an_impossible_class_that_is_ignored_costs_nothing() -> None:
    scores = np.array([[0.0, -np.inf]])
    found = negative_log_likelihood_loss(scores, np.array([1]), ignore_index=1, reduction="sum")
    assert_equal(found, np.array(0.0))


def test_unlikely_classes_stay_finite() -> None:
    found = softmax_cross_entropy_loss(np.array([[0.0, -2000]]), np.array([1]))
    assert_equal(found.output, np.array(2000.0))


@pytest.mark.parametrize("half", HALVES, ids=str)
def test_halves_are_summed_wide(half: DType) -> None:
    scores = np.full((5000, 1), -1, half)
    found = negative_log_likelihood_loss(scores, np.zeros(5000, int), reduction="sum")
    assert_equal(found, np.array(5000, half))


X, T = np.zeros((2, 3)), np.zeros(2, int)


def test_refusals() -> None:
    for target in (-1, 3):
        with pytest.raises(IndexError, match="outside of the 3 classes"):
            negative_log_likelihood_loss(X, np.array([0, target]))
        with pytest.raises(IndexError, match="outside of the 3 classes"):
            softmax_cross_entropy_loss(X, np.array([0, target]), ignore_index=9)
    with pytest.raises(ValueError, match="reduction is"):
        negative_log_likelihood_loss(X, T, reduction="max")
    with pytest.raises(ValueError, match="do not fit scores"):
        negative_log_likelihood_loss(X, T[:, None])
    with pytest.raises(ValueError, match="for 3 classes"):
        negative_log_likelihood_loss(X, T, np.ones(2))
    with pytest.raises(TypeError, match="insert a Cast"):
        negative_log_likelihood_loss(X, T, np.ones(3, np.float32))
