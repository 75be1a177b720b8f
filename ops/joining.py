"""Tensors split and concatenated."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ._budget import reserve, timed
from ._checks import axis_in, int_list, same_type
from ._registry import op
from ._typing import Array

_VIEW_BYTES = 128
"""The memory of a NumPy array that is a view, at least; many empty pieces add up."""


@op("Split", since=18)
def split(
    input: Array,
    split: Array | None = None,
    /,
    *,
    axis: int = 0,
    num_outputs: int | None = None,
) -> tuple[Array, ...]:
    """Pieces of the given lengths along ``axis``, or ``num_outputs`` equal ones, the last shorter.

    The pieces are views. Raises ValueError if lengths are negative, do not add up to the axis, or
    are neither given nor asked for, and for an axis that does not exist; TypeError for lengths that
    are not integers.

    >>> [piece.tolist() for piece in split(np.arange(7), num_outputs=3)]
    [[0, 1, 2], [3, 4, 5], [6]]

    Spec: Split-18.
    """
    axis = axis_in(axis, input.ndim)
    if split is not None:
        lengths = int_list(split)
        if num_outputs is not None and len(lengths) != num_outputs:
            raise ValueError(f"{len(lengths)} lengths for {num_outputs} outputs")
        return tuple(pieces(input, lengths, axis))
    if num_outputs is None or num_outputs < 1:
        raise ValueError("neither the lengths nor the number of pieces is given")
    return tuple(pieces(input, _equal_lengths(input.shape[axis], num_outputs), axis))


def _equal_lengths(size: int, count: int) -> list[int]:
    """``size`` as the sum of equal numbers, the last ones smaller."""
    reserve((count, _VIEW_BYTES), np.uint8)
    length = -(-size // count)
    return [max(0, min(length, size - i * length)) for i in timed(range(count))]


def pieces(x: Array, lengths: Sequence[int], axis: int) -> list[Array]:
    """``x`` split along ``axis``. Raises ValueError unless the lengths add up to the axis.

    >>> pieces(np.arange(3), [1, 2], 0)
    [array([0]), array([1, 2])]
    """
    size = x.shape[axis]
    if min(lengths, default=0) < 0 or sum(lengths) != size:
        shown = f"{list(lengths[:8])}{' ...' * (len(lengths) > 8)}"
        raise ValueError(f"pieces of lengths {shown} do not make up an axis of size {size}")
    reserve((len(lengths), _VIEW_BYTES), np.uint8)
    before = (slice(None),) * axis
    ends = itertools.accumulate(lengths)
    return [x[(*before, slice(end - n, end))] for end, n in timed(zip(ends, lengths, strict=True))]


def pieces_of(x: Array, length: int, axis: int) -> list[Array]:
    """``x`` split along ``axis`` into pieces of one length, the last one perhaps shorter.

    >>> pieces_of(np.arange(3), 2, 0)
    [array([0, 1]), array([2])]
    """
    whole, rest = divmod(x.shape[axis], length)
    reserve((whole + 1, _VIEW_BYTES), np.uint8)
    return pieces(x, [length] * whole + [rest] * (rest > 0), axis)


@op("Split", since=13)
def split_13(
    input: Array,
    split: Array | None = None,
    /,
    *,
    axis: int = 0,
    num_outputs: int | None = None,
) -> tuple[Array, ...]:
    """Pieces of the given lengths along ``axis``, or ``num_outputs`` equal ones.

    Raises ValueError if lengths are negative or do not add up to the axis, and if the axis cannot
    be split into equal pieces; TypeError for lengths that are not integers.

    >>> [piece.tolist() for piece in split_13(np.arange(4), num_outputs=2)]
    [[0, 1], [2, 3]]

    Spec: Split-13.
    """
    size = input.shape[axis_in(axis, input.ndim)]
    if split is None and num_outputs and size % num_outputs:
        raise ValueError(f"an axis of size {size} cannot be cut into {num_outputs} equal pieces")
    return _split(input, split, axis=axis, num_outputs=num_outputs)


@op("Split", since=2)
def split_2(
    input: Array,
    /,
    *,
    axis: int = 0,
    split: tuple[int, ...] | None = None,
    num_outputs: int | None = None,
) -> tuple[Array, ...]:
    """Pieces of the lengths ``split`` (an attribute) along ``axis``, or ``num_outputs`` equal ones.

    Raises ValueError if lengths are negative or do not add up to the axis, and if the axis cannot
    be split into equal pieces.

    >>> [piece.tolist() for piece in split_2(np.arange(3), split=(1, 2))]
    [[0], [1, 2]]

    Spec: Split-11.
    """
    lengths = None if split is None else np.array(split, np.int64)
    return split_13(input, lengths, axis=axis, num_outputs=num_outputs)


_split = split


@op("Concat", since=4)
def concat(*inputs: Array, axis: int) -> Array:
    """The inputs concatenated along ``axis``.

    They have one dtype, and one shape but for that axis. Raises TypeError for different dtypes,
    ValueError for other shapes and an axis that does not exist.

    >>> concat(np.array([1]), np.array([2, 3]), axis=0)
    array([1, 2, 3])

    Spec: Concat-13.
    """
    same_type(*(i.reshape(-1)[:1] for i in inputs))
    axis = axis_in(axis, inputs[0].ndim)
    total = sum(i.shape[axis] for i in inputs if i.ndim > axis)
    reserve((*inputs[0].shape[:axis], total, *inputs[0].shape[axis + 1 :]), inputs[0].dtype)
    return np.concatenate(inputs, axis=axis)


@op("Concat", since=1)
def concat_1(*inputs: Array, axis: int = 1) -> Array:
    """The inputs concatenated along ``axis``, by default 1.

    Raises TypeError for different dtypes, ValueError for shapes that do not fit.

    >>> concat_1(np.array([[1]]), np.array([[2, 3]]))
    array([[1, 2, 3]])

    Spec: Concat-1.
    """
    return concat(*inputs, axis=axis)
