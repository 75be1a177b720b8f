"""What is kept of a difference."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.model.graph import Array
from embedx.oracle.detail import EDGES, Detail, detail, joined
from embedx.oracle.floor import Floor
from embedx.oracle.verdicts import LINE


def around(exact: Array, floor: float) -> Floor:
    """The same floor in each row."""
    rows = exact.reshape(-1, exact.shape[-1]).astype(np.float64)
    return Floor(np.full(len(rows), floor), np.sqrt(np.square(rows).mean(axis=1)))


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 6))
def test_the_worst_and_the_counts_are_those_of_all_elements(seed: int, n: int, k: int) -> None:
    random = np.random.default_rng(seed)
    exact = random.standard_normal((n, k)).astype(np.float32)
    off = random.choice([0.0, 1e-5, 0.3, 40.0], (n, k)) * random.uniform(0.5, 1, (n, k))
    value = (exact + off).astype(np.float32)
    floor = around(exact, 1e-3)
    found = detail(value, exact, None, floor)
    sizes = np.abs(value.astype(np.float64) - exact)
    times = sorted((sizes / np.repeat(floor.allowed, k).reshape(n, k)).ravel(), reverse=True)
    shown = [e.times for e in found.worst]
    assert np.allclose(np.array(shown, float), times[: len(shown)])
    assert all(sizes[e.place] == abs(e.value - e.exact) for e in found.worst)
    assert len(shown) == min(8, np.count_nonzero(sizes))
    assert sum(count for _, count in found.powers) == n * k
    beyond = sum(c for power, c in found.powers if power is not None and 2.0**power > LINE)
    assert beyond == sum(t > LINE for t in times)
    for counts, values in (
        (found.abs_counts, sizes),
        (found.rel_counts, sizes / (np.abs(exact.astype(np.float64)) + 1e-7)),
    ):
        inside = [
            int(((values >= a) & ((values < b) | (b == EDGES[-1]) & (values == b))).sum())
            for a, b in pairwise(EDGES)
        ]
        assert counts == tuple(inside)


def test_deviation_over_floor_is_the_noise_ratio() -> None:
    exact = np.array([[1, 2], [30, 40]], np.float32)
    value = exact + np.array([[0.25, 0], [0, 0.5]], np.float32)
    floor = Floor(np.array([0.01, 0.3]), np.sqrt(np.square(exact, dtype=np.float64).mean(axis=1)))
    found = detail(value, exact, None, floor)
    ratio = floor.ratios(np.sqrt(np.square(value - exact, dtype=np.float64).mean(axis=1))).max()
    assert found.deviation is not None
    assert found.floor is not None
    assert found.deviation / found.floor == pytest.approx(ratio)


def test_what_is_padding_does_not_count() -> None:
    exact = np.ones((2, 3), np.float32)
    value = exact.copy()
    value[1] = 7
    found = detail(value, exact, np.array([[True], [False]]), around(exact, 1e-3))
    assert found.worst == ()
    assert found.powers == ((None, 6),)
    assert found.max_abs == 0


def test_integers_have_no_floor_and_strings_no_numbers() -> None:
    found = detail(np.array([1, 2, 9]), np.array([1, 2, 3]), None, None)
    assert [(e.place, e.exact, e.value, e.floor) for e in found.worst] == [((2,), 3, 9, None)]
    assert found.deviation is None
    words = np.array(["a", "b"], object)
    assert detail(words, words, None, None).worst == ()


def test_infinities_are_off_by_more_than_all() -> None:
    exact = np.array([[1, 2, 3]], np.float32)
    value = np.array([[1, np.inf, np.nan]], np.float32)
    found = detail(value, exact, None, around(exact, 0.1))
    assert {e.place for e in found.worst} == {(0, 1), (0, 2)}
    assert dict(found.powers)[40] == 2
    assert sum(found.abs_counts) == 1


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,)])
def test_small_shapes(shape: tuple[int, ...]) -> None:
    exact = np.ones(shape, np.float32)
    rows = exact.reshape(-1, exact.shape[-1]) if exact.ndim and exact.size else exact.reshape(-1, 1)
    floor = Floor(np.full(len(rows), 0.5), np.ones(len(rows)))
    found = detail(exact * 2, exact, None, floor)
    assert found.shape == shape
    assert len(found.worst) == exact.size


def test_several_runs_are_told_as_one() -> None:
    one = Detail((1,), ("float32",) * 2, 0.1, powers=((None, 2), (3, 1)), max_abs=1.0,
                 abs_counts=(1,) * 9, rel_counts=(0,) * 9)  # fmt: skip
    other = Detail((2,), ("float32",) * 2, 0.2, powers=((-1, 4), (3, 2)), max_abs=0.5,
                   abs_counts=(2,) * 9, rel_counts=(1,) * 9)  # fmt: skip
    found = joined([one, other], [None, 2.0])
    assert found is not None
    assert (found.run, found.deviation, found.shape, found.max_abs) == (1, 0.2, (2,), 1.0)
    assert found.powers == ((None, 2), (-1, 4), (3, 3))
    assert found.abs_counts == (3,) * 9
    assert joined([], []) is None
