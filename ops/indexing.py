"""Gathering and scattering: elements read from and written to computed positions."""

from __future__ import annotations

import numpy as np

from ._budget import reserve
from ._checks import axis_in, indices_in, integers, one_type, same_type
from ._registry import op
from ._typing import Array

_REDUCTIONS = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


@op("Gather", since=1)
def gather(data: Array, indices: Array, /, *, axis: int = 0) -> Array:
    """The slices of ``data`` along ``axis`` at ``indices``, whose shape replaces that axis.

    Negative indices (int32 or int64) count from the end. Raises IndexError for an index outside
    [-size, size), TypeError for indices that are not integers, ValueError for an axis that does not
    exist.

    >>> gather(np.array([10, 20, 30]), np.array([[0, -1]]))
    array([[10, 30]])

    Spec: Gather-13.
    """
    axis = axis_in(axis, data.ndim)
    integers(indices)
    reserve((*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :]), data.dtype)
    try:
        if not data.flags.aligned:  # as in a mapped file; take() would copy all of it
            return np.array(data[(slice(None),) * axis + (indices,)])
        return np.asarray(data.take(indices, axis=axis), data.dtype)
    except IndexError:
        indices_in(indices, data.shape[axis])  # its message says where
        raise


@op("GatherElements", since=11)
def gather_elements(data: Array, indices: Array, /, *, axis: int = 0) -> Array:
    """``data`` at ``indices`` along ``axis``, and at each index's own position along the others.

    ``indices`` has the rank of ``data`` and may be smaller along the other axes. Raises IndexError
    for an index outside [-size, size), ValueError for shapes that do not fit, TypeError for indices
    that are not integers.

    >>> gather_elements(np.array([[1, 2], [3, 4]]), np.array([[1, 0]]))
    array([[3, 2]])

    Spec: GatherElements-13.
    """
    return np.asarray(data[_element_places(data, indices, axis)])


@op("GatherND", since=11)
def gather_nd(data: Array, indices: Array, /, *, batch_dims: int = 0) -> Array:
    """The elements or slices of ``data`` at the index tuples on the last axis of ``indices``.

    The first ``batch_dims`` axes of both are batch axes. Raises IndexError for an index outside
    [-size, size), ValueError for shapes that do not fit or a ``batch_dims`` that is negative or not
    below both ranks, TypeError for indices that are not integers.

    >>> gather_nd(np.array([[1, 2], [3, 4]]), np.array([[0, 1], [1, 0]]))
    array([2, 3])

    Spec: GatherND-13.
    """
    if not 0 <= batch_dims < min(data.ndim, indices.ndim):
        raise ValueError(f"{batch_dims} batch axes of {data.shape} and {indices.shape}")
    if data.shape[:batch_dims] != indices.shape[:batch_dims]:
        raise ValueError(f"the batch axes of {data.shape} and {indices.shape} differ")
    places = _tuple_places(data, indices, batch_dims)
    reserve((*indices.shape[:-1], *data.shape[batch_dims + len(places) :]), data.dtype)
    batch = np.indices(indices.shape[:-1], sparse=True)[:batch_dims]
    return np.asarray(data[(*batch, *places)], data.dtype)


@op("ScatterElements", since=11, rounds=True)
def scatter_elements(
    data: Array, indices: Array, updates: Array, /, *, axis: int = 0, reduction: str = "none"
) -> Array:
    """A copy of ``data`` with ``updates`` at ``indices`` along ``axis``, as GatherElements reads.

    ``reduction`` "add", "mul", "max" or "min" combines an update with the element there; with
    "none" the last update of a position wins. Raises IndexError for an index outside [-size, size),
    ValueError for shapes that do not fit or an unknown reduction, TypeError for different dtypes.

    >>> scatter_elements(np.zeros((2, 2)), np.array([[1, 0]]), np.array([[5.0, 6.0]]))
    array([[0., 6.],
           [5., 0.]])

    Spec: ScatterElements-18.
    """
    if indices.shape != updates.shape:
        raise ValueError(f"indices {indices.shape} and updates {updates.shape} differ in shape")
    return _put(data, _element_places(data, indices, axis), updates, reduction)


@op("Scatter", since=9, until=11)
def scatter(data: Array, indices: Array, updates: Array, /, *, axis: int = 0) -> Array:
    """ScatterElements under its former name, without a reduction.

    Raises IndexError for an index outside [-size, size), ValueError for shapes that do not fit,
    TypeError for different dtypes.

    >>> scatter(np.zeros(3), np.array([1]), np.array([5.0]))
    array([0., 5., 0.])

    Spec: Scatter-9.
    """
    return scatter_elements(data, indices, updates, axis=axis)


@op("ScatterND", since=11, rounds=True)
def scatter_nd(data: Array, indices: Array, updates: Array, /, *, reduction: str = "none") -> Array:
    """A copy of ``data`` with ``updates`` at the index tuples on the last axis of ``indices``.

    ``reduction`` "add", "mul", "max" or "min" combines an update with the element there; with
    "none" the last update of a position wins. Raises IndexError for an index outside [-size, size),
    ValueError for shapes that do not fit or an unknown reduction, TypeError for different dtypes.

    >>> scatter_nd(np.zeros(3), np.array([[1], [1]]), np.array([2.0, 3.0]), reduction="add")
    array([0., 5., 0.])

    Spec: ScatterND-18.
    """
    expected = indices.shape[:-1] + data.shape[indices.shape[-1] :]
    if updates.shape != expected:
        raise ValueError(f"updates have shape {updates.shape}, the indices ask for {expected}")
    return _put(data, _tuple_places(data, indices, 0), updates, reduction)


class _Places(tuple[Array, ...]):
    """A NumPy index of integer arrays, one per axis."""


def _element_places(data: Array, indices: Array, axis: int) -> _Places:
    axis = axis_in(axis, data.ndim)
    if indices.ndim != data.ndim:
        raise ValueError(f"indices have rank {indices.ndim}, data has rank {data.ndim}")
    for i, (size, count) in enumerate(zip(data.shape, indices.shape, strict=True)):
        if i != axis and count > size:
            raise ValueError(f"indices of shape {indices.shape} exceed data of shape {data.shape}")
    places: list[Array] = list(np.indices(indices.shape, sparse=True))
    places[axis] = indices_in(indices, data.shape[axis])
    return _Places(places)


def _tuple_places(data: Array, indices: Array, batch_dims: int) -> _Places:
    depth = indices.shape[-1] if indices.ndim else 0
    if not 1 <= depth <= data.ndim - batch_dims:
        raise ValueError(f"index tuples of length {depth} do not fit data of shape {data.shape}")
    sizes = data.shape[batch_dims : batch_dims + depth]
    return _Places(indices_in(indices[..., i], size) for i, size in enumerate(sizes))


def _put(data: Array, places: _Places, updates: Array, reduction: str) -> Array:
    same_type(data.reshape(-1)[:1], updates.reshape(-1)[:1])
    result = data.copy()
    if reduction == "none":
        result[tuple(places)] = updates
    elif reduction in _REDUCTIONS:
        _REDUCTIONS[reduction].at(result, tuple(places), updates)
    else:
        raise ValueError(f"reduction is none or one of {', '.join(_REDUCTIONS)}, not {reduction!r}")
    return result


@op("TensorScatter", since=24)
def tensor_scatter(
    past_cache: Array,
    update: Array,
    write_indices: Array | None = None,
    /,
    *,
    axis: int = -2,
    mode: str = "linear",
) -> Array:
    """A copy of ``past_cache`` with ``update`` written along ``axis``.

    It begins at ``write_indices`` (int64, one per batch entry), or at 0. ``mode="circular"`` wraps
    around at the end, "linear" does not. Raises IndexError for an update that leaves the cache,
    ValueError unless ``update`` has the cache's shape but for a shorter ``axis``, TypeError for
    different dtypes.

    >>> cache, update = np.zeros((1, 3, 1)), np.ones((1, 2, 1))
    >>> tensor_scatter(cache, update, np.array([2]), mode="circular").ravel()
    array([1., 0., 1.])

    Spec: TensorScatter-24.
    """
    along = axis_in(axis, past_cache.ndim)
    if along == 0 or mode not in ("linear", "circular"):
        raise ValueError(f"axis 0 or mode {mode!r}: expected a later axis, linear or circular")
    one_type(past_cache, update)
    size, count = past_cache.shape[along], (update.shape[along] if update.ndim > along else 0)
    first = np.zeros(len(past_cache), np.int64) if write_indices is None else write_indices
    fitting = (*past_cache.shape[:along], count, *past_cache.shape[along + 1 :])
    if update.shape != fitting or count > size or first.shape != (len(past_cache),):
        raise ValueError(
            f"an update of shape {update.shape} at {first.tolist()} does not fit a cache of shape "
            f"{past_cache.shape}"
        )
    rows = first[:, None] + np.arange(count)
    rows = rows % size if mode == "circular" else rows
    if ((rows < 0) | (rows >= size)).any():
        raise IndexError(f"{count} rows from {first.tolist()} on do not fit a cache of {size}")
    result = past_cache.copy()
    batch = np.arange(len(first))[:, None]
    np.moveaxis(result, along, 1)[batch, rows] = np.moveaxis(update, along, 1)
    return result


@op("ReverseSequence", since=10)
def reverse_sequence(
    input: Array, sequence_lens: Array, /, *, batch_axis: int = 1, time_axis: int = 0
) -> Array:
    """The input with the first ``sequence_lens[b]`` steps of each batch entry reversed.

    Raises ValueError unless ``batch_axis`` and ``time_axis`` are 0 and 1, and for lengths that do
    not fit.

    >>> reverse_sequence(np.array([[1, 2, 3]]), np.array([2]), batch_axis=0, time_axis=1)
    array([[2, 1, 3]])

    Spec: ReverseSequence-28.
    """
    if {batch_axis, time_axis} != {0, 1}:
        raise ValueError(f"batch_axis {batch_axis} and time_axis {time_axis} are not 0 and 1")
    moved = np.moveaxis(input, (batch_axis, time_axis), (0, 1))
    lengths, step = sequence_lens.reshape(-1, 1), np.arange(moved.shape[1])
    if len(lengths) != len(moved) or ((lengths < 0) | (lengths > moved.shape[1])).any():
        raise ValueError(f"sequence_lens {sequence_lens.tolist()} do not fit shape {input.shape}")
    source = np.where(step < lengths, lengths - 1 - step, step)
    reversed_ = moved[np.arange(len(moved))[:, None], source]
    return np.moveaxis(reversed_, (0, 1), (batch_axis, time_axis))


@op("Compress", since=9)
def compress(input: Array, condition: Array, /, *, axis: int | None = None) -> Array:
    """The slices along ``axis`` (or elements in row-major order) where the bool condition holds.

    Raises TypeError for a condition that is not bool, IndexError if it holds beyond the axis.

    >>> compress(np.array([1, 2, 3]), np.array([False, True]))
    array([2])

    Spec: Compress-28.
    """
    if condition.dtype != bool:
        raise TypeError(f"a condition is bool, not {condition.dtype}")
    return np.asarray(np.compress(condition, input, axis=axis))
