"""Indices of extremes, the k largest elements, and the distinct elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ._checks import axis_in, scalar_int
from ._registry import op
from ._typing import Array


@op("ArgMax", since=1)
def argmax(
    data: Array, /, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0
) -> Array:
    """The int64 index of the maximum along ``axis``: its first occurrence, or the last.

    Raises ValueError for an axis that does not exist or has no elements.

    >>> argmax(np.array([1, 3, 3])), argmax(np.array([1, 3, 3]), select_last_index=1)
    (array([1]), array([2]))

    Spec: ArgMax-13.
    """
    return _arg(np.argmax, data, axis, keepdims, select_last_index)


@op("ArgMin", since=1)
def argmin(
    data: Array, /, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0
) -> Array:
    """The int64 index of the minimum along ``axis``: its first occurrence, or the last.

    Raises ValueError for an axis that does not exist or has no elements.

    >>> argmin(np.array([1, 3, 1])), argmin(np.array([1, 3, 1]), select_last_index=1)
    (array([0]), array([2]))

    Spec: ArgMin-13.
    """
    return _arg(np.argmin, data, axis, keepdims, select_last_index)


def _arg(
    place: Callable[..., Array], data: Array, axis: int, keepdims: int, select_last_index: int
) -> Array:
    axis = axis_in(axis, data.ndim)
    if not select_last_index:
        return np.asarray(place(data, axis=axis, keepdims=bool(keepdims)), np.int64)
    backwards = place(np.flip(data, axis), axis=axis, keepdims=bool(keepdims))
    return np.asarray(data.shape[axis] - 1 - backwards, np.int64)


class TopK(NamedTuple):
    """What TopK returns."""

    values: Array
    indices: Array


@op("TopK", since=10)
def top_k(x: Array, k: Array, /, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> TopK:
    """The ``k`` largest (or smallest) elements along ``axis`` and their int64 indices.

    Of equal elements the first comes first; the result is in order whether ``sorted`` or not.
    Raises ValueError for a ``k`` below 0 or above the size of the axis, and an axis that does not
    exist; TypeError for a ``k`` that is not an integer.

    >>> top_k(np.array([1, 4, 4, 2]), np.array([3]))
    TopK(values=array([4, 4, 2]), indices=array([1, 2, 3]))

    Spec: TopK-24.
    """
    axis, count = axis_in(axis, x.ndim), scalar_int(k)
    size = x.shape[axis]
    if not 0 <= count <= size:
        raise ValueError(f"k is {count}, axis {axis} has {size} elements")
    if largest:
        # A stable ascending sort of the mirrored axis, read backwards, keeps ties in order.
        order = size - 1 - np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
    else:
        order = np.argsort(x, axis=axis, kind="stable")
    indices = order.take(np.arange(count), axis=axis).astype(np.int64, copy=False)
    return TopK(np.take_along_axis(x, indices, axis), indices)


@op("TopK", since=1)
def top_k_1(x: Array, /, *, axis: int = -1, k: int) -> TopK:
    """The ``k`` largest elements along ``axis`` and their int64 indices; k is an attribute.

    Raises ValueError for a ``k`` below 0 or above the size of the axis, and an axis that does not
    exist.

    >>> top_k_1(np.array([1, 4, 2]), k=1)
    TopK(values=array([4]), indices=array([1]))

    Spec: TopK-1.
    """
    return top_k(x, np.array([k]), axis=axis)


class Unique(NamedTuple):
    """What Unique returns."""

    y: Array
    indices: Array
    inverse_indices: Array
    counts: Array


@op("Unique", since=11)
def unique(x: Array, /, *, axis: int | None = None, sorted: int = 1) -> Unique:
    """The distinct elements (or slices along ``axis``), sorted or in order of appearance.

    The other outputs (int64) are the index of each one's first occurrence, the index in ``Y`` of
    each element, and the number of occurrences. Raises ValueError for an axis that does not exist.

    >>> unique(np.array([3, 1, 3]), sorted=0).y
    array([3, 1])

    Spec: Unique-28.
    """
    if x.dtype == object and axis is not None:  # NumPy orders slices of numbers only
        words, codes = np.unique(x, return_inverse=True)
        coded = unique(codes.reshape(x.shape), axis=axis, sorted=sorted)
        return coded._replace(y=words[coded.y])
    found, first, inverse, counts = np.unique(
        x, axis=axis, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.arange(first.size) if sorted else np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    y = found.take(order, axis=0 if axis is None else axis)
    return Unique(y, first[order], rank[inverse.reshape(-1)], counts[order])
