"""Support vector machines as sums over their vectors, one row at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Budget, OverBudgetError, spending, svm_classifier, svm_regressor
from tests.assertions import assert_close, assert_equal
from tests.ops.test_prediction import transformed
from tests.ops.windows import whole

F32 = np.dtype(np.float32)
GAMMA, COEF0, DEGREE = PARAMS = (0.25, 0.5, 2.0)


def dot(x: list[float], v: list[float]) -> float:
    return sum(a * b for a, b in zip(x, v, strict=True))


KERNELS: dict[str, Callable[[list[float], list[float]], float]] = {
    "LINEAR": dot,
    "POLY": lambda x, v: (GAMMA * dot(x, v) + COEF0) ** DEGREE,
    "RBF": lambda x, v: math.exp(-GAMMA * sum((a - b) ** 2 for a, b in zip(x, v, strict=True))),
    "SIGMOID": lambda x, v: math.tanh(GAMMA * dot(x, v) + COEF0),
}


def numbers(draw: Any, *shape: int) -> tuple[float, ...]:
    return tuple(map(float, whole(draw, *shape).ravel().tolist()))


@given(st.data(), st.sampled_from(list(KERNELS)), st.booleans(), st.booleans())
def test_svm_regressor_adds_up(
    data: st.DataObject, kernel: str, one_class: bool, linear: bool
) -> None:
    rows, features, count = (data.draw(st.integers(1, 3)) for _ in range(3))
    x, vectors = whole(data.draw, rows, features), whole(data.draw, count, features)
    weights = numbers(data.draw, features if linear else count)
    model: dict[str, Any] = {"coefficients": weights, "rho": (-0.5,), "one_class": int(one_class)}
    if not linear:
        flat = tuple(map(float, vectors.ravel().tolist()))
        model |= {"support_vectors": flat, "n_supports": count}
        model |= {"kernel_type": kernel, "kernel_params": PARAMS}
    scores = []
    for row in x.tolist():
        near = row if linear else [KERNELS[kernel](row, vector) for vector in vectors.tolist()]
        scores.append(dot(near, list(weights)) - 0.5)
    found = svm_regressor(x, **model)
    if not one_class:
        assert_close(found, np.array(scores)[:, None], F32, floor=8)
    elif min(map(abs, scores)) > 1e-9:
        assert_equal(found, np.array([[1 if s > 0 else -1] for s in scores], np.float32))


def duel_scores(
    row: list[float], vectors: list[list[float]], sizes: list[int], table: list[list[float]],
    rho: tuple[float, ...], kernel: str,
) -> list[float]:  # fmt: skip
    owner = [c for c, size in enumerate(sizes) for _ in range(size)]
    near = [KERNELS[kernel](row, vector) for vector in vectors]
    found = []
    for place, (i, j) in enumerate(combinations(range(len(sizes)), 2)):
        total = rho[place]
        for k, c in enumerate(owner):
            total += near[k] * (table[j - 1][k] if c == i else table[i][k] if c == j else 0)
        found.append(total)
    return found


@given(st.data(), st.sampled_from(list(KERNELS)), st.sampled_from(["NONE", "LOGISTIC"]))
def test_classes_meet_in_duels(data: st.DataObject, kernel: str, word: str) -> None:
    rows, features = (data.draw(st.integers(1, 3)) for _ in range(2))
    sizes = data.draw(st.lists(st.integers(1, 2), min_size=2, max_size=4))
    classes, count = len(sizes), sum(sizes)
    x, vectors = whole(data.draw, rows, features), whole(data.draw, count, features)
    table = whole(data.draw, classes - 1, count)
    rho = tuple(0.375 + n for n in numbers(data.draw, classes * (classes - 1) // 2))
    found = svm_classifier(
        x, classlabels_ints=tuple(range(5, 5 + classes)), rho=rho, post_transform=word,
        coefficients=tuple(table.astype(float).ravel().tolist()), vectors_per_class=tuple(sizes),
        support_vectors=tuple(vectors.astype(float).ravel().tolist()), kernel_type=kernel,
        kernel_params=PARAMS,
    )  # fmt: skip
    labels, exact = [], []
    for row in x.tolist():
        scores = duel_scores(row, vectors.tolist(), sizes, table.tolist(), rho, kernel)
        wins = [0] * classes
        for (i, j), score in zip(combinations(range(classes), 2), scores, strict=True):
            wins[i if score > 0 else j] += 1
        labels.append(5 + wins.index(max(wins)))
        exact.append(transformed([-scores[0], scores[0]] if classes == 2 else scores, word))
    assert_close(found.z, exact, F32, floor=16)
    assert found.y.tolist() == labels


@given(st.data(), st.integers(2, 5))
def test_probabilities_agree_best_with_all_pairs(data: st.DataObject, classes: int) -> None:
    pairs = list(combinations(range(classes), 2))
    sure = st.floats(-3, 3)
    rho = tuple(data.draw(sure) for _ in pairs)
    found = svm_classifier(
        np.zeros((1, 1), np.float32), classlabels_ints=tuple(range(classes)), rho=rho,
        coefficients=(0.0,) * (classes * (classes - 1)), support_vectors=(0.0,) * classes,
        vectors_per_class=(1,) * classes, prob_a=(-1.0,) * len(pairs), prob_b=(0.0,) * len(pairs),
    )  # fmt: skip
    r = np.zeros((classes, classes))
    for (i, j), score in zip(pairs, rho, strict=True):
        r[i, j] = 1 / (1 + math.exp(-score))
        r[j, i] = 1 - r[i, j]
    # The least sum of squares on sum(p) = 1, by its linear equations (Wu, Lin and Weng 2004).
    q = np.diag(np.square(r).sum(axis=0)) - r.T * r
    equations = np.block([[q, np.ones((classes, 1))], [np.ones((1, classes)), np.zeros((1, 1))]])
    exact = np.linalg.solve(equations, [*np.zeros(classes), 1])[:classes]
    assert found.z.shape == (1, classes)
    assert abs(float(found.z.sum()) - 1) < 1e-6
    assert np.abs(found.z[0] - exact).max() < 0.05  # libsvm stops early


@given(st.data(), st.sampled_from(["NONE", "SOFTMAX"]))
def test_without_support_vectors_the_largest_score_wins(data: st.DataObject, word: str) -> None:
    rows, features, classes = (data.draw(st.integers(1, 3)) for _ in range(3))
    x, c = whole(data.draw, rows, features), whole(data.draw, classes, features)
    found = svm_classifier(
        x, classlabels_strings=tuple("abc"[:classes]), post_transform=word, rho=(0.5,),
        coefficients=tuple(c.astype(float).ravel().tolist()),
    )  # fmt: skip
    scores = (x.astype(float) @ c.T.astype(float) + 0.5).tolist()
    assert found.y.tolist() == ["abc"[row.index(max(row))] for row in scores]
    assert_close(found.z, [transformed(row, word) for row in scores], F32, floor=4)


X = np.ones((2, 2), np.float32)
DUEL: dict[str, Any] = {
    "classlabels_ints": (1, 2), "support_vectors": (1.0,) * 4, "coefficients": (1.0, -1.0),
    "vectors_per_class": (1, 1), "rho": (0.0,),
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel_type": "COSINE"}, "kernel_type is one of LINEAR, POLY, RBF, SIGMOID"),
        ({"support_vectors": (1.0,) * 3}, "3 numbers in support_vectors, expected 2 times 2"),
        ({"coefficients": (1.0,)}, "1 numbers in coefficients, expected 1 times 2"),
        ({"vectors_per_class": (2,)}, "1 counts for 2 classes"),
        ({"vectors_per_class": (3, -1)}, "2 counts for 2 classes"),
        ({"rho": (0.0, 1.0)}, "2 numbers in rho"),
        ({"prob_a": (1.0,)}, "0 numbers in prob_a or prob_b"),
        ({"classlabels_ints": None}, "the labels must be given"),
        ({"post_transform": "EXP"}, "post_transform is one of"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        svm_classifier(X, **DUEL | changes)


def test_regressors_need_one_number_a_vector() -> None:
    with pytest.raises(ValueError, match="1 numbers in coefficients, expected 2 times 1"):
        svm_regressor(X, coefficients=(1.0,), rho=(0.0,))
    with pytest.raises(ValueError, match="0 numbers in rho"):
        svm_regressor(X, coefficients=(1.0, 2.0))


def test_many_features_and_many_classes_keep_to_the_time_limit() -> None:
    for changes in ({"kernel_type": "RBF"}, {}):
        with spending(Budget(deadline=0.0)), pytest.raises(OverBudgetError, match="time limit"):
            svm_classifier(X, **DUEL | changes)
