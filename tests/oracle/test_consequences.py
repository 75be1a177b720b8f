"""What changes for a search, against other formulas for the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from embedx.model.graph import Array
from embedx.oracle.consequences import consequences, cosines, spearman


def dot(a: Array, b: Array) -> Array:
    return np.asarray(a @ b.T)


def test_equal_embeddings_change_nothing() -> None:
    x = np.random.default_rng(0).normal(size=(12, 5))
    found = consequences(x, x, dot)
    assert (found.top_1, found.top_k, found.changed) == (1, 1, ())
    assert found.mean_cosine == pytest.approx(1)
    assert found.spearman == pytest.approx(1)


def test_a_changed_neighbour_is_told_with_its_margin() -> None:
    was = np.array([[1.0, 0, 0], [0.9, 0.1, 0], [0, 1, 0], [0, 0.9, 0.2]])
    now = was.copy()
    now[0] = [0.0, 1, 0.1]  # it moves from the second text to the third or fourth
    found = consequences(was, now, dot, k=1)
    first = next(c for c in found.changed if c.text == 0)
    assert first.was == 1
    assert first.now == int(np.argmax(now[1:] @ now[0])) + 1
    assert first.margin == pytest.approx(was[0] @ was[1] - was[0] @ was[first.now])
    assert found.top_1 == 1 - len(found.changed) / 4
    assert found.least_text == 0


def test_who_is_as_near_as_the_nearest_is_no_change() -> None:
    was = np.array([[1.0, 0], [0, 1], [0, 1], [0.5, 0.5]])
    now = was.copy()
    now[1] *= 0.999  # of two texts that were equally near to the last one, one is a little nearer
    assert consequences(was, now, dot, k=1).changed == ()


def test_neighbours_are_counted_as_sets() -> None:
    rng = np.random.default_rng(1)
    was, now = rng.normal(size=(2, 20, 4))
    found = consequences(was, now, dot, k=7)
    shares = []
    for i in range(20):
        sets = []
        for x in (was, now):
            others = sorted((j for j in range(20) if j != i), key=lambda j: -(x[i] @ x[j]))
            sets.append(set(others[:7]))
        shares.append(len(sets[0] & sets[1]) / 7)
    assert found.top_k == pytest.approx(np.mean(shares))


@pytest.mark.parametrize("count", [1, 2])
def test_two_texts_have_no_choice_of_neighbours(count: int) -> None:
    x = np.eye(3)[:count]
    found = consequences(x, x, dot)
    assert found.top_1 is found.top_k is found.spearman is None


def test_there_are_no_more_neighbours_than_other_texts() -> None:
    x = np.random.default_rng(2).normal(size=(4, 3))
    assert consequences(x, x, dot, k=10).k == 2


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3))
def test_ranks_correlate_as_scipy_has_it(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs, float).T
    if np.ptp(a) and np.ptp(b):
        assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    else:
        assert spearman(a, b) in (0, 1)


def test_zeros_are_like_zeros_alone() -> None:
    a, b = np.array([[0, 0], [0, 0], [3, 4]]), np.array([[0, 0], [1, 0], [4, 3]])
    np.testing.assert_allclose(cosines(a, b), [1, 0, 24 / 25])
