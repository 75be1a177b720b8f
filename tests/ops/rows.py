"""Lists of integers, and tensors as lists of their slices."""

from __future__ import annotations

from typing import Any

import numpy as np

from embedx.ops import Array


def i64(*values: int) -> Array:
    return np.array(values, np.int64)


def column(values: list[Any], x: Array, axis: int) -> Array:
    """Slices of size 1 along an axis, put together again; the list may be empty."""
    nothing = np.empty([0 if i == axis % x.ndim else n for i, n in enumerate(x.shape)], x.dtype)
    return np.concatenate([nothing, *values], axis=axis)


def slices(x: Array, axis: int) -> list[Array]:
    return [np.take(x, [i], axis=axis) for i in range(x.shape[axis])]
