"""Linear models as sums, one row at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from embedx.ops import linear_classifier, linear_regressor
from tests.assertions import assert_close
from tests.ops.windows import whole

F32 = np.dtype(np.float32)
WORDS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]


def transformed(scores: list[float], word: str) -> list[float]:
    if word == "LOGISTIC":
        return [1 / (1 + math.exp(-s)) for s in scores]
    if word == "PROBIT":
        return stats.norm.ppf(scores).tolist()
    if word == "NONE":
        return scores
    e = [math.exp(s) if s or word == "SOFTMAX" else 0.0 for s in scores]
    return [v / sum(e) if sum(e) else 0.0 for v in e]


@given(st.data(), st.sampled_from(WORDS))
def test_linear_regressor_adds_up(data: st.DataObject, word: str) -> None:
    rows, features, targets = (data.draw(st.integers(1, 3)) for _ in range(3))
    x, c = whole(data.draw, rows, features), whole(data.draw, targets, features)
    intercepts = tuple(float(v) for v in range(targets)) if data.draw(st.booleans()) else None
    found = linear_regressor(
        x, coefficients=tuple(c.ravel().tolist()), intercepts=intercepts, targets=targets,
        post_transform=word,
    )  # fmt: skip
    scores = x @ c.T + np.array(intercepts or 0.0)
    exact = [transformed(row, word) for row in scores.astype(float).tolist()]
    assert_close(found, exact, F32, floor=4)


@given(st.data(), st.sampled_from(WORDS[:4]), st.booleans())
def test_linear_classifier_takes_the_largest(data: st.DataObject, word: str, strings: bool) -> None:
    rows, features, count = (data.draw(st.integers(1, 3)) for _ in range(3))
    x, c = whole(data.draw, rows, features), whole(data.draw, count, features)
    names = list(range(5, 5 + max(count, 2 if data.draw(st.booleans()) else 1)))
    scores = (x @ c.T).astype(float)
    if count == 1 and len(names) == 2:
        scores = np.concatenate([-scores, scores], axis=1)
    labels: dict[str, Any] = (
        {"classlabels_strings": tuple(map(str, names))} if strings
        else {"classlabels_ints": tuple(names)}
    )  # fmt: skip
    found = linear_classifier(
        x, coefficients=tuple(c.ravel().tolist()), post_transform=word, **labels
    )
    best = [names[row.index(max(row))] for row in scores.tolist()]
    assert found.y.tolist() == [str(name) if strings else name for name in best]
    exact = [transformed(row, word) for row in scores.tolist()]
    assert_close(found.z, exact, F32, floor=4)


X = np.array([[3.0], [4.0], [np.nan]], np.float32)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"coefficients": (1.0, 2.0)}, "2 coefficients for 1 features"),
        ({"coefficients": (1.0,), "intercepts": (1.0, 2.0)}, "2 intercepts for 1"),
        ({"coefficients": (1.0,), "post_transform": "EXP"}, "post_transform is one of"),
        ({}, "0 coefficients"),
    ],
)
def test_linear_refusals(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        linear_regressor(X, **attributes)


def test_each_label_has_a_score() -> None:
    with pytest.raises(ValueError, match="2 scores for 3 labels"):
        linear_classifier(X, coefficients=(1.0, 2.0), classlabels_ints=(1, 2, 3))


def test_labels_are_given_in_one_way() -> None:
    both: dict[str, Any] = {"classlabels_ints": (1,), "classlabels_strings": ("a",)}
    for labels in ({}, both):
        with pytest.raises(ValueError, match="the labels must be given, as integers or"):
            linear_classifier(X, coefficients=(1.0,), **labels)
