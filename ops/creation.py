"""New tensors: constants, ranges, one-hot vectors, diagonals, indices."""

from __future__ import annotations

import math

import numpy as np

from ._budget import reserve
from ._checks import axis_in, int_list, same_numbers, scalar_int
from ._registry import op
from ._typing import Array, dtype_of, zero_of
from .casting import cast


@op("Constant", since=1)
def constant(
    *,
    sparse_value: Array | None = None,
    value: Array | None = None,
    value_float: float | None = None,
    value_floats: tuple[float, ...] | None = None,
    value_int: int | None = None,
    value_ints: tuple[int, ...] | None = None,
    value_string: str | None = None,
    value_strings: tuple[str, ...] | None = None,
) -> Array:
    """The one value that is given; floats become float32, integers int64.

    A sparse value has been made dense before. Raises ValueError unless exactly one value is given.

    >>> constant(value_ints=(1, 2))
    array([1, 2])

    Spec: Constant-25.
    """
    typed = (
        (value, None),
        (sparse_value, None),
        (value_float, np.float32),
        (value_floats, np.float32),
        (value_int, np.int64),
        (value_ints, np.int64),
        (value_string, np.object_),
        (value_strings, np.object_),
    )
    given = [(v, dtype) for v, dtype in typed if v is not None]
    if len(given) != 1:
        raise ValueError(f"{len(given)} values are given, expected one")
    return np.asarray(*given[0])


@op("ConstantOfShape", since=9)
def constant_of_shape(input: Array, /, *, value: Array | None = None) -> Array:
    """A tensor of the shape in ``input`` (int64) filled with the element ``value`` (float32 0).

    Raises ValueError for a negative dimension or a value of several elements, TypeError for a shape
    that is not of integers.

    >>> constant_of_shape(np.array([2]), value=np.array([7]))
    array([7, 7])

    Spec: ConstantOfShape-25.
    """
    fill = np.zeros((), np.float32) if value is None else value.reshape(())
    shape = int_list(input)
    reserve(shape, fill.dtype)
    return np.full(shape, fill)


@op("Range", since=11)
def range_(start: Array, limit: Array, delta: Array, /, *, stash_type: int = 1) -> Array:
    """``start``, ``start + delta`` ... to before ``limit``, in the one dtype of the three scalars.

    Each element is computed in float64 (exactly, for integers) and rounded once, at least as
    precise as any ``stash_type``. Raises ValueError for a delta of 0, TypeError for different
    dtypes.

    >>> range_(np.array(10), np.array(4), np.array(-2))
    array([10,  8,  6])

    Spec: Range-27.
    """
    same_numbers(start, limit, delta)
    exact = int if start.dtype.kind in "iu" else float
    first, end, step = (exact(x.reshape(())) for x in (start, limit, delta))
    if step == 0:
        raise ValueError("delta is 0")
    gap = end - first
    # Integer division, unlike float division, counts beyond 2**53 without rounding.
    count = max(int(-(-gap // step)) if exact is int else math.ceil(gap / step), 0)
    reserve((count,), start.dtype)
    return np.asarray(first + np.arange(count) * step).astype(start.dtype)


@op("EyeLike", since=9)
def eye_like(input: Array, /, *, dtype: int | None = None, k: int = 0) -> Array:
    """A matrix of the input's shape with ones on the ``k``-th diagonal.

    It has the input's dtype, or element type ``dtype``. Raises ValueError for an input that is not
    a matrix.

    >>> eye_like(np.zeros((2, 3)), k=1)
    array([[0., 1., 0.],
           [0., 0., 1.]])

    Spec: EyeLike-22.
    """
    if input.ndim != 2:
        raise ValueError(f"the input must be a matrix, its shape is {input.shape}")
    kind = input.dtype if dtype is None else dtype_of(dtype)
    rows, columns = input.shape
    return np.eye(rows, columns, k).astype(kind)


@op("OneHot", since=9)
def one_hot(indices: Array, depth: Array, values: Array, /, *, axis: int = -1) -> Array:
    """``values[1]`` where a new axis of size ``depth`` has the index, ``values[0]`` elsewhere.

    Negative indices count from the end; for an index outside [-depth, depth) all are ``values[0]``.
    Floating indices are truncated. Raises ValueError unless ``values`` has two elements and
    ``axis`` exists.

    >>> one_hot(np.array([0, -1, 7]), np.array(3), np.array([0, 1]))
    array([[1, 0, 0],
           [0, 0, 1],
           [0, 0, 0]])

    Spec: OneHot-28.
    """
    count, place = scalar_int(cast(depth, to=7)), axis_in(axis, indices.ndim + 1)
    reserve((*indices.shape, count), values.dtype)
    whole = np.expand_dims(cast(indices, to=7), place)
    counted = np.where(whole < 0, whole + count, whole)
    positions = np.arange(count).reshape(-1, *[1] * (indices.ndim - place))
    off, on = values.reshape(2, 1)
    return np.where(counted == positions, on, off)


@op("NonZero", since=9)
def nonzero(x: Array, /) -> Array:
    """The indices (int64) of the elements that are not zero, (rank, count), in row-major order.

    >>> nonzero(np.array([[0, 1], [1, 0]]))
    array([[0, 1],
           [1, 0]])

    Spec: NonZero-13.
    """
    found = np.argwhere(x).T
    return np.ascontiguousarray(found, np.int64)


@op("Trilu", since=14)
def trilu(input: Array, k: Array | None = None, /, *, upper: int = 1) -> Array:
    """The triangle on and above (or below) the ``k``-th diagonal of each matrix, zeros elsewhere.

    Raises ValueError for a tensor of rank below 2, TypeError for a ``k`` that is not an integer.

    >>> trilu(np.ones((2, 2)), np.array(1))
    array([[0., 1.],
           [0., 0.]])

    Spec: Trilu-14.
    """
    if input.ndim < 2:
        raise ValueError(f"the input must have matrices, its shape is {input.shape}")
    diagonal = 0 if k is None else max(min(scalar_int(k), 2**31), -(2**31))
    rows, columns = input.shape[-2:]
    kept = np.tri(rows, columns, diagonal - 1 if upper else diagonal, dtype=bool)
    return np.where(kept != bool(upper), input, zero_of(input.dtype))
