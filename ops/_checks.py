"""Checks that NumPy does not make, or not as ONNX does: axes, indices, dtypes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ._budget import reserve_broadcast
from ._typing import Array


def axis_in(axis: int, rank: int) -> int:
    """``axis`` counted from the front. Raises ValueError outside ``[-rank, rank)``.

    >>> axis_in(-1, 3)
    2
    """
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} does not exist in a tensor of rank {rank}")
    return int(axis) % rank


def axes_in(axes: Iterable[int], rank: int) -> tuple[int, ...]:
    """Each of ``axes`` counted from the front. Raises ValueError for a repeated one.

    >>> axes_in([-1, 0], 3)
    (2, 0)
    """
    found = tuple(axis_in(int(axis), rank) for axis in axes)
    if len(set(found)) != len(found):
        raise ValueError(f"the axes {found} name one axis twice")
    return found


def indices_in(indices: Array, size: int) -> Array:
    """``indices`` counted from the front. Raises IndexError for one outside ``[-size, size)``.

    >>> indices_in(np.array([0, -1]), 4)
    array([0, 3])
    """
    integers(indices)
    outside = (indices < -size) | (indices >= size)
    if outside.any():
        place = tuple(int(i) for i in np.argwhere(outside)[0])
        raise IndexError(
            f"index {int(indices[place])} at position {place} is outside an axis of size {size}"
        )
    return np.where(indices < 0, indices + size, indices)


def one_type(*arrays: Array) -> None:
    """Raise TypeError unless all arrays have one dtype: ONNX converts nothing on its own."""
    if any(array.dtype != arrays[0].dtype for array in arrays):
        kinds = ", ".join(str(array.dtype) for array in arrays)
        raise TypeError(f"the inputs must have one type, they have {kinds}; insert a Cast")


def same_type(*arrays: Array) -> None:
    """``one_type`` for inputs that are broadcast against each other.

    A broadcast that would exceed the run's budget raises OverBudgetError.
    """
    one_type(*arrays)
    reserve_broadcast(*arrays)


def numbers(*arrays: Array) -> None:
    """Raise TypeError for an array of bools or strings."""
    for array in arrays:
        if array.dtype.kind in "bOUT":
            raise TypeError(f"expected numbers, got {array.dtype}")


def same_numbers(*arrays: Array) -> None:
    """``same_type`` for arithmetic: TypeError for bools and strings, too."""
    numbers(*arrays[:1])
    same_type(*arrays)


def per_channel(values: Array, x: Array) -> Array:
    """One number per channel, reshaped to broadcast to ``x`` (batch, channels, ...).

    Raises ValueError for another shape, TypeError for another dtype than that of ``x``.

    >>> per_channel(np.zeros(3), np.zeros((2, 3, 5, 5))).shape
    (3, 1, 1)
    """
    one_type(x, values)
    if x.ndim < 2 or values.shape != x.shape[1:2]:
        raise ValueError(f"expected one number per channel of {x.shape}, got shape {values.shape}")
    return values.reshape(-1, *[1] * (x.ndim - 2))


def per_column(values: Array, x: Array) -> Array:
    """One number per element of the last axis of ``x``: the values as they are.

    Raises ValueError for another shape, TypeError for another dtype than that of ``x``.

    >>> per_column(np.ones(3), np.zeros((2, 3)))
    array([1., 1., 1.])
    """
    one_type(x, values)
    if x.ndim < 1 or values.shape != x.shape[-1:]:
        raise ValueError(f"expected one number per column of {x.shape}, got shape {values.shape}")
    return values


def integers(*arrays: Array) -> None:
    """Raise TypeError unless all arrays hold integers: indices and counts are not rounded."""
    for array in arrays:
        if array.dtype.kind not in "iu":
            raise TypeError(f"expected integers, got {array.dtype}")


def scalar_int(value: Array) -> int:
    """The integer in a tensor of one element. Raises ValueError if there are none or several."""
    integers(np.asarray(value))
    if np.size(value) != 1:
        raise ValueError(f"expected one integer, got a tensor of shape {np.shape(value)}")
    return int(np.asarray(value).reshape(()))


def int_list(value: Array) -> list[int]:
    """The integers of a 1-D (or one-element) tensor. Raises ValueError for other ranks."""
    integers(np.asarray(value))
    if np.ndim(value) > 1:
        raise ValueError(f"expected a list of integers, got a tensor of shape {np.shape(value)}")
    return [int(n) for n in np.asarray(value).reshape(-1)]
