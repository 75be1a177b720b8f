"""Lists of integers, and tensors as lists of their slices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from embedx.ops import Array
from tests.strategies import FLOATS

Listed: TypeAlias = Callable[[list[Any]], list[Any]]


def i64(*values: int) -> Array:
    return np.array(values, np.int64)


def column(values: list[Any], x: Array, axis: int) -> Array:
    """Slices of size 1 along an axis, put together again; the list may be empty."""
    nothing = np.empty([0 if i == axis % x.ndim else n for i, n in enumerate(x.shape)], x.dtype)
    return np.concatenate([nothing, *values], axis=axis)


def slices(x: Array, axis: int) -> list[Array]:
    return [np.take(x, [i], axis=axis) for i in range(x.shape[axis])]


def along(function: Listed, x: Array, axis: int, dtype: Any) -> Array:
    """A function from lists to lists applied to each row of the tensor along an axis."""
    rows = np.moveaxis(x.astype(np.float64) if x.dtype in FLOATS else x, axis, -1)
    lead = rows.shape[:-1]
    found = [function(row) for row in rows.reshape(math.prod(lead), -1).tolist()] if x.size else []
    size = len(found[0]) if found else 0
    result = np.array(found, object).reshape(*lead, size).astype(dtype)
    return np.moveaxis(result, -1, axis)
