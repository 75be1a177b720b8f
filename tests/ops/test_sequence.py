"""Sequences are Python lists, optionals may be None: against what lists do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    Budget,
    OverBudgetError,
    Value,
    concat_from_sequence,
    optional,
    optional_get_element,
    optional_has_element,
    sequence_at,
    sequence_construct,
    sequence_empty,
    sequence_erase,
    sequence_insert,
    sequence_length,
    sequence_map,
    spending,
    split_to_sequence,
)
from tests.assertions import assert_equal
from tests.ops.bodies import Body
from tests.strategies import ANYTHING, STRING, tensors, with_axis

A, B, C = (np.array([n]) for n in (1, 2, 3))


@st.composite
def sequences(draw: st.DrawFn) -> list[Array]:
    dtype = draw(st.sampled_from(ANYTHING))
    return draw(st.lists(tensors(dtype), max_size=4))


def is_same(found: list[Array], expected: list[Array]) -> bool:
    return len(found) == len(expected) and all(a is b for a, b in zip(found, expected, strict=True))


@given(sequences())
def test_a_sequence_holds_its_inputs(items: list[Array]) -> None:
    assert is_same(sequence_construct(*items), items)
    assert_equal(sequence_length(items), np.array(len(items)))
    assert sequence_empty(dtype=7) == sequence_empty() == []


@given(sequences().filter(bool), st.data())
def test_positions_count_from_either_end(items: list[Array], data: st.DataObject) -> None:
    position = data.draw(st.integers(-len(items), len(items) - 1))
    assert sequence_at(items, np.array(position)) is items[position]
    left = items.copy()
    del left[position]
    assert is_same(sequence_erase(items, np.array(position, np.int32)), left)
    assert is_same(sequence_erase(items), items[:-1])


@given(sequences().filter(bool), st.data())
def test_insertions_go_before_a_position_or_to_the_end(
    items: list[Array], data: st.DataObject
) -> None:
    position = data.draw(st.integers(-len(items), len(items)))
    new, before = items[0].copy(), items.copy()
    expected = items.copy()
    expected.insert(position, new)
    assert is_same(sequence_insert(items, new, np.array(position)), expected)
    assert is_same(sequence_insert(items, new), [*items, new])
    assert is_same(items, before)  # the sequence itself stays


@pytest.mark.parametrize("position", [2, -3, 2**62])
def test_positions_outside_are_refused(position: int) -> None:
    for op in (sequence_at, sequence_erase):
        with pytest.raises(IndexError, match=f"position {position} is outside .* length 2"):
            op([A, B], np.array(position))


def test_insertions_have_one_place_more() -> None:
    assert is_same(sequence_insert([A, B], C, np.array(2)), [A, B, C])
    for position in (3, -3):
        with pytest.raises(IndexError, match=f"position {position} is outside"):
            sequence_insert([A, B], C, np.array(position))
    with pytest.raises(IndexError, match="length 0"):
        sequence_erase([])


def test_the_elements_of_a_sequence_have_one_type() -> None:
    other = np.array([1.0])
    with pytest.raises(TypeError, match="int64, float64"):
        sequence_construct(A, other)
    with pytest.raises(TypeError, match="float64, int64"):
        sequence_insert([A], other)
    with pytest.raises(TypeError, match="int64, float64"):
        concat_from_sequence([A, other], axis=0)
    with pytest.raises(TypeError, match="int64, float64"):
        concat_from_sequence([A, other], axis=0, new_axis=1)


# -- from and to tensors --------------------------------------------------------------------------


@given(with_axis(ANYTHING), st.integers(1, 4))
def test_pieces_of_one_length(x_axis: tuple[Array, int], length: int) -> None:
    x, axis = x_axis
    found = split_to_sequence(x, np.array(length), axis=axis)
    assert all(piece.shape[axis] == length for piece in found[:-1])
    assert len(found) == -(-x.shape[axis] // length)
    if found:
        assert_equal(concat_from_sequence(found, axis=axis), x)


@given(with_axis(ANYTHING, min_side=1))
def test_single_slices(x_axis: tuple[Array, int]) -> None:
    x, axis = x_axis
    kept = split_to_sequence(x, axis=axis)
    dropped = split_to_sequence(x, axis=axis, keepdims=0)
    assert len(kept) == len(dropped) == x.shape[axis]
    for i, (piece, narrow) in enumerate(zip(kept, dropped, strict=True)):
        assert_equal(piece, np.take(x, [i], axis=axis))
        assert_equal(narrow, np.take(x, [i], axis=axis).squeeze(axis))
    assert_equal(concat_from_sequence(kept, axis=axis), x)
    assert_equal(concat_from_sequence(dropped, axis=axis, new_axis=1), x)


@given(with_axis(ANYTHING), st.data())
def test_pieces_of_given_lengths(x_axis: tuple[Array, int], data: st.DataObject) -> None:
    x, axis = x_axis
    cut = data.draw(st.integers(0, x.shape[axis]))
    lengths = [cut, x.shape[axis] - cut]
    found = split_to_sequence(x, np.array(lengths), axis=axis, keepdims=0)
    assert [piece.shape[axis] for piece in found] == lengths  # keepdims is for single slices
    assert_equal(concat_from_sequence(found, axis=axis), x)


def test_split_to_sequence_refuses() -> None:
    x = np.arange(4)
    for split in (np.array(0), np.array(-1)):
        with pytest.raises(ValueError, match="pieces of length"):
            split_to_sequence(x, split)
    for lengths in ([1, 2], [5, -1]):
        with pytest.raises(ValueError, match="do not make up an axis of size 4"):
            split_to_sequence(x, np.array(lengths))
    with pytest.raises(ValueError, match="axis 1 does not exist"):
        split_to_sequence(x, axis=1)


@pytest.mark.parametrize("split", [None, np.array(1), np.array([1] * 1000)])
def test_many_pieces_are_reserved_and_timed(split: Array | None) -> None:
    x = np.zeros((1000, 0))
    with spending(Budget(max_bytes=10**5)), pytest.raises(OverBudgetError, match="takes"):
        split_to_sequence(x, split)
    with spending(Budget(deadline=0.0)), pytest.raises(OverBudgetError, match="time limit"):
        split_to_sequence(x, split)


def test_concat_from_sequence_refuses() -> None:
    with pytest.raises(ValueError, match="axis 1"):
        concat_from_sequence([A], axis=1)
    with pytest.raises(ValueError, match="axis 2"):
        concat_from_sequence([A], axis=2, new_axis=1)
    with pytest.raises((ValueError, IndexError)):
        concat_from_sequence([], axis=0)
    with pytest.raises((ValueError, IndexError)):
        concat_from_sequence([], axis=0, new_axis=1)
    with pytest.raises(ValueError, match="same shape"):
        concat_from_sequence([A, np.array([1, 2])], axis=0, new_axis=1)


def test_a_new_axis_may_be_the_last() -> None:
    assert_equal(concat_from_sequence([A, B], axis=-1, new_axis=1), np.array([[1, 2]]))
    words = [np.array("a", object), np.array("b", object)]
    found = concat_from_sequence(words, axis=0, new_axis=1)
    assert found.dtype == STRING
    assert found.tolist() == ["a", "b"]


@pytest.mark.parametrize("new_axis", [0, 1])
def test_concatenations_are_held_to_the_budget(new_axis: int) -> None:
    items = [np.ones(5, np.float32)] * 2
    with spending(Budget(max_bytes=40)):
        assert concat_from_sequence(items, axis=0, new_axis=new_axis).size == 10
    with spending(Budget(max_bytes=39)), pytest.raises(OverBudgetError, match="40 bytes"):
        concat_from_sequence(items, axis=0, new_axis=new_axis)


# -- SequenceMap ----------------------------------------------------------------------------------


@given(st.lists(st.integers(-9, 9), max_size=4), st.integers(-9, 9))
def test_sequence_map_is_a_comprehension(items: list[int], added: int) -> None:
    body = Body(lambda x, y: (x * x, x + y), None, None)
    squares, sums = sequence_map([np.array(v) for v in items], np.array(added), body=body)
    assert [int(v) for v in squares] == [v * v for v in items]
    assert [int(v) for v in sums] == [v + added for v in items]


def test_sequence_map_runs_sequences_side_by_side() -> None:
    body = Body(lambda x, y, z: (x + y, x * z), None, None)
    sums, products = sequence_map([A, B], [C, A], np.array([10]), body=body)
    assert [v.tolist() for v in sums] == [[4], [3]]
    assert [v.tolist() for v in products] == [[10], [20]]


def test_sequence_map_counts_its_turns() -> None:
    body = Body(lambda x: (x,), None)
    with spending(Budget(max_iterations=2)):
        sequence_map([A, B], body=body)
        with pytest.raises(OverBudgetError, match="as often as allowed"):
            sequence_map([C], body=body)


def test_sequence_map_of_nothing_gives_an_empty_sequence_for_each_output() -> None:
    assert sequence_map([], body=Body(lambda x: (x, x), None, None)) == ([], [])


@pytest.mark.parametrize("other", [[C], [A, B, C]])
def test_sequence_map_refuses_sequences_of_different_lengths(other: list[Array]) -> None:
    with pytest.raises(ValueError, match="cannot be iterated together"):
        sequence_map([A, B], other, body=Body(lambda x, y: (x,), None))


# -- optionals ------------------------------------------------------------------------------------


@given(st.none() | tensors(st.sampled_from(ANYTHING)) | st.lists(tensors(STRING), max_size=2))
def test_optionals_hold_what_they_are_given(value: Value) -> None:
    held = optional(value)
    assert held is value
    assert_equal(optional_has_element(held), np.array(value is not None))
    if value is not None:
        assert optional_get_element(held) is value


def test_optionals_hold_a_tensor_or_a_sequence_or_nothing() -> None:
    for value in (A, [A, B], []):
        assert optional(value) is value
        assert_equal(optional_has_element(value), np.array(True))
        assert optional_get_element(value) is value
    assert optional(type="tensor") is None
    assert_equal(optional_has_element(None), np.array(False))
    assert_equal(optional_has_element(), np.array(False))
    with pytest.raises(ValueError, match="the optional is empty"):
        optional_get_element(None)
