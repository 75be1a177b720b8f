"""Few of many, found by trying."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from embedx.oracle.minimal import minimal


@given(st.integers(1, 60), st.data())
def test_those_that_are_needed_are_found(count: int, data: st.DataObject) -> None:
    needed = data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=4))
    assert minimal(range(count), lambda some: needed <= set(some)) == sorted(needed)


@given(st.integers(2, 40), st.data())
def test_any_of_several_ways_is_enough(count: int, data: st.DataObject) -> None:
    one = st.sets(st.integers(0, count - 1), min_size=1, max_size=3)
    ways = data.draw(st.lists(one, min_size=1, max_size=3))

    def suffices(some: Sequence[int]) -> bool:
        return any(way <= set(some) for way in ways)

    found = minimal(range(count), suffices)
    assert suffices(found)
    assert not any(suffices([x for x in found if x != item]) for item in found if len(found) > 1)


def test_one_of_many_takes_few_trials() -> None:
    trials = []

    def suffices(some: Sequence[int]) -> bool:
        trials.append(some)
        return 77 in some

    assert minimal(range(128), suffices) == [77]
    assert len(trials) <= 14
