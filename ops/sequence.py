"""Sequences of tensors (Python lists) and optionals (``None`` when empty)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._budget import reserve, timed, turn
from ._checks import axis_in, int_list, one_type, scalar_int
from ._registry import op
from ._typing import Array, Body, Value
from .joining import concat, pieces, pieces_of


@op("SequenceEmpty", since=11)
def sequence_empty(*, dtype: int | None = None) -> list[Array]:
    """An empty sequence; ``dtype`` is what its elements would have.

    >>> sequence_empty()
    []

    Spec: SequenceEmpty-11.
    """
    return []


@op("SequenceConstruct", since=11)
def sequence_construct(*inputs: Array) -> list[Array]:
    """The sequence of the inputs, which have one dtype.

    Raises TypeError for different dtypes.

    >>> sequence_construct(np.array(1), np.array(2))
    [array(1), array(2)]

    Spec: SequenceConstruct-11.
    """
    one_type(*inputs)
    return list(inputs)


@op("SequenceLength", since=11)
def sequence_length(input_sequence: list[Array], /) -> Array:
    """The number of elements, as an int64 scalar.

    >>> sequence_length([np.array(1), np.array(2)])
    array(2)

    Spec: SequenceLength-11.
    """
    return np.array(len(input_sequence), np.int64)


@op("SequenceAt", since=11)
def sequence_at(input_sequence: list[Array], position: Array, /) -> Array:
    """The element at ``position``, from the end if negative.

    Raises IndexError outside of the sequence.

    >>> sequence_at([np.array(1), np.array(2)], np.array(-1))
    array(2)

    Spec: SequenceAt-11.
    """
    return input_sequence[_place(position, len(input_sequence))]


@op("SequenceInsert", since=11)
def sequence_insert(
    input_sequence: list[Array], tensor: Array, position: Array | None = None, /
) -> list[Array]:
    """The sequence with ``tensor`` before ``position`` (from the end if negative), or at the end.

    Raises IndexError outside [-length, length], TypeError for a tensor of another dtype.

    >>> sequence_insert([np.array(1)], np.array(2), np.array(0))
    [array(2), array(1)]

    Spec: SequenceInsert-11.
    """
    one_type(tensor, *input_sequence[:1])
    length = len(input_sequence)
    # Unlike elsewhere, the position behind the last element is allowed.
    place = (
        length if position is None or scalar_int(position) == length else _place(position, length)
    )
    return [*input_sequence[:place], tensor, *input_sequence[place:]]


@op("SequenceErase", since=11)
def sequence_erase(input_sequence: list[Array], position: Array | None = None, /) -> list[Array]:
    """The sequence without the element at ``position``, or without the last.

    Raises IndexError outside of the sequence.

    >>> sequence_erase([np.array(1), np.array(2)])
    [array(1)]

    Spec: SequenceErase-11.
    """
    last = np.array(-1) if position is None else position
    place = _place(last, len(input_sequence))
    return [*input_sequence[:place], *input_sequence[place + 1 :]]


def _place(position: Array, length: int) -> int:
    place = scalar_int(position)
    if not -length <= place < length:
        raise IndexError(f"position {place} is outside a sequence of length {length}")
    return place % length


@op("SplitToSequence", since=11)
def split_to_sequence(
    input: Array, split: Array | None = None, /, *, axis: int = 0, keepdims: int = 1
) -> list[Array]:
    """The sequence of pieces along ``axis``: of length ``split``, or of the lengths in it.

    Without ``split`` every piece has length 1, and keeps the axis if ``keepdims``. Raises
    ValueError for lengths that are not positive or do not add up to the axis, and an axis that does
    not exist; TypeError for lengths that are not integers.

    >>> split_to_sequence(np.arange(3), np.array(2))
    [array([0, 1]), array([2])]

    Spec: SplitToSequence-24.
    """
    axis = axis_in(axis, input.ndim)
    if split is not None and split.ndim:
        return pieces(input, int_list(split), axis)
    length = 1 if split is None else scalar_int(split)
    if length <= 0:
        raise ValueError(f"pieces of length {length}")
    found = pieces_of(input, length, axis)
    return (
        [piece.squeeze(axis) for piece in timed(found)] if split is None and not keepdims else found
    )


@op("ConcatFromSequence", since=11)
def concat_from_sequence(input_sequence: list[Array], /, *, axis: int, new_axis: int = 0) -> Array:
    """The elements concatenated along ``axis``, or stacked along a new one if ``new_axis``.

    They have one dtype, and one shape but for that axis. Raises TypeError for different dtypes,
    ValueError for other shapes and an axis that does not exist.

    >>> concat_from_sequence([np.array([1]), np.array([2])], axis=0, new_axis=1)
    array([[1],
           [2]])

    Spec: ConcatFromSequence-11.
    """
    if not new_axis:
        return concat(*input_sequence, axis=axis)
    one_type(*input_sequence)
    reserve((len(input_sequence), *input_sequence[0].shape), input_sequence[0].dtype)
    return np.stack(input_sequence, axis=axis)


@op("SequenceMap", since=17)
def sequence_map(
    input_sequence: list[Array], /, *additional_inputs: Value, body: Body
) -> tuple[list[Any], ...]:
    """For each output of ``body`` the sequence of its values for all elements.

    Additional sequences are iterated together with the first; additional tensors go to every call.
    Raises ValueError for sequences of different lengths.

    >>> sequence_map([np.array(1), np.array(2)], np.array(10), body=lambda x, y: (x + y,))
    ([np.int64(11), np.int64(12)],)

    Spec: SequenceMap-17.
    """
    lengths = {len(other) for other in additional_inputs if isinstance(other, list)}
    if lengths - {len(input_sequence)}:
        raise ValueError(
            f"sequences of lengths {len(input_sequence)} and {lengths} cannot be iterated together"
        )
    calls = []
    for i, x in enumerate(input_sequence):
        turn()
        others = (other[i] if isinstance(other, list) else other for other in additional_inputs)
        calls.append(body(x, *others))
    if not calls:
        return tuple([] for _ in body.outputs)
    return tuple(list(column) for column in zip(*calls, strict=True))


@op("Optional", since=15)
def optional(input: Value = None, /, *, type: object = None) -> Value:
    """The input as an optional; without an input the empty one, ``None``.

    >>> optional(np.array(1))
    array(1)

    Spec: Optional-28.
    """
    return input


@op("OptionalHasElement", since=15)
def optional_has_element(input: Value = None, /) -> Array:
    """Whether the optional holds a value, as a bool scalar.

    >>> optional_has_element(None)
    array(False)

    Spec: OptionalHasElement-28.
    """
    return np.array(input is not None)


@op("OptionalGetElement", since=15)
def optional_get_element(input: Value, /) -> Value:
    """The value that the optional holds.

    Raises ValueError if it is empty.

    >>> optional_get_element(np.array(1))
    array(1)

    Spec: OptionalGetElement-28.
    """
    if input is None:
        raise ValueError("the optional is empty")
    return input
