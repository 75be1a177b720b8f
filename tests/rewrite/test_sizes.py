"""Sizes learn from each other what is not known yet."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.rewrite.sizes import Size, Sizes

SMALL = st.integers(1, 6)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=8), SMALL)
def test_equality_reaches_everybody(pairs: list[tuple[int, int]], number: int) -> None:
    sizes = Sizes()
    for a, b in pairs:
        sizes.same(f"n{a}", f"n{b}")
    sizes.same("n0", number)
    reached = {0}
    for _ in pairs:
        reached |= {x for pair in pairs if reached & {*pair} for x in pair}
    assert [sizes.of(f"n{i}") == number for i in range(6)] == [i in reached for i in range(6)]
    assert sizes.contradictions == 0


@given(st.lists(SMALL, min_size=1, max_size=4), st.integers(0, 3), st.booleans())
def test_products_and_sums_give_away_their_last_part(
    numbers: list[int], unknown: int, is_product: bool
) -> None:
    """Whether the whole becomes known first, or the other parts."""
    unknown %= len(numbers)
    for whole_first in (True, False):
        sizes = Sizes()
        names = [f"n{i}" for i in range(len(numbers))]
        whole = (sizes.product if is_product else sizes.total)(names)
        wanted = math.prod(numbers) if is_product else sum(numbers)
        others = [
            (n, v) for i, (n, v) in enumerate(zip(names, numbers, strict=True)) if i != unknown
        ]
        facts: list[tuple[Size, int]] = [(whole, wanted), *others]
        for name, number in facts if whole_first else facts[::-1]:
            sizes.same(name, number)
        assert sizes.of(names[unknown]) == numbers[unknown]
        assert sizes.contradictions == 0
        sizes.same(names[unknown], numbers[unknown] + 1)
        assert sizes.contradictions == 1


@given(st.lists(SMALL, min_size=1, max_size=4), st.booleans(), SMALL)
def test_what_is_chosen_leaves_something_for_the_others(
    numbers: list[int], is_product: bool, preferred: int
) -> None:
    sizes = Sizes()
    names = [f"n{i}" for i in range(len(numbers))]
    wanted = math.prod(numbers) if is_product else sum(numbers)
    sizes.same((sizes.product if is_product else sizes.total)(names), wanted)
    chosen = [sizes.choose(name, lambda _: preferred) for name in names]
    assert (math.prod(chosen) if is_product else sum(chosen)) == wanted
    assert sizes.contradictions == 0


@given(st.lists(st.tuples(SMALL, st.booleans(), st.booleans()), max_size=4), st.integers(0, 4))
def test_broadcasting_is_numpys(axes: list[tuple[int, bool, bool]], dropped: int) -> None:
    """Sizes that are names in one shape are learned from the other."""
    first = tuple(size for size, _, _ in axes)
    other = tuple(1 if one else size for size, one, _ in axes)[dropped:]
    named = tuple(f"n{i}" if hidden else size for i, (size, _, hidden) in enumerate(axes))
    sizes = Sizes()
    found = sizes.broadcast(named, other)
    assert found is not None
    for size, right in zip(found, np.broadcast_shapes(first, other), strict=True):
        assert isinstance(size, str) or size == right
    for size, right in zip(named[dropped:], other, strict=False):
        assert right == 1 or sizes.of(size) == right
    assert sizes.contradictions == 0


@pytest.mark.parametrize(
    ("shape", "target", "wanted", "learned"),
    [
        ((2, 3, 4), [4, 6], (4, 6), {}),
        ((2, 3, 4), [-1, 6], (4, 6), {}),
        ((2, 3, 4), [0, -1], (2, 12), {}),
        (("b", "s", 12), [0, 0, 3, 4], ("b", "s", 3, 4), {}),
        (("b", "s", "n"), [0, 0, 3, 4], ("b", "s", 3, 4), {"n": 12}),
        (("b", "s", "n"), ["b", "s", 3, -1], None, {}),
        (("b", 4), [2, 2, 2], (2, 2, 2), {"b": 2}),
        (("b", "s", 8), ["b", -1], None, {}),
        ((0, 3), [0, 3], (0, 3), {}),
    ],
)
def test_reshaping(
    shape: tuple[Size, ...],
    target: list[Size],
    wanted: tuple[Size, ...] | None,
    learned: dict[str, int],
) -> None:
    sizes = Sizes()
    found = sizes.reshaped(shape, target)
    assert wanted in (None, found)
    assert {name: sizes.of(name) for name in learned} == learned
    assert sizes.contradictions == 0


@pytest.mark.parametrize(
    ("shape", "target"), [((2, 3), [4]), ((2, 3), [-1, 4]), ((2,), [0, 0]), ((2, 3), [-1, 0, 0])]
)
def test_what_cannot_be_reshaped_contradicts(shape: tuple[int, ...], target: list[Size]) -> None:
    sizes = Sizes()
    sizes.reshaped(shape, target)
    assert sizes.contradictions == 1


def test_what_stands_for_itself_ends() -> None:
    sizes = Sizes()
    sizes.same("a", sizes.total(["b", 1]))
    sizes.same("b", sizes.total(["a", 1]))
    assert isinstance(sizes.choose("a", lambda _: 3), int)
    deep: Size = "x0"
    for i in range(3000):
        deep = sizes.total([deep, f"x{i + 1}"])
    assert isinstance(sizes.choose(deep, lambda _: 1), int)
