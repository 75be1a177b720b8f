"""Cumulative sums and products along an axis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._checks import axis_in, scalar_int
from ._registry import op
from ._typing import Array


@op("CumSum", since=11, rounds=True)
def cumsum(x: Array, axis: Array, /, *, exclusive: int = 0, reverse: int = 0) -> Array:
    """The cumulative sum along ``axis``, without the element itself if ``exclusive``.

    ``reverse`` sums from the end. The dtype stays; integers wrap around. Raises ValueError for an
    axis that does not exist, TypeError for one that is not an integer.

    >>> cumsum(np.array([1, 2, 3]), np.array(0), exclusive=1, reverse=1)
    array([5, 3, 0])

    Spec: CumSum-14.
    """
    return _running(np.cumsum, x, axis, exclusive, reverse, start=0)


@op("CumProd", since=26, rounds=True)
def cumprod(x: Array, axis: Array, /, *, exclusive: int = 0, reverse: int = 0) -> Array:
    """The cumulative product along ``axis``, without the element itself if ``exclusive``.

    ``reverse`` multiplies from the end. The dtype stays; integers wrap around. Raises ValueError
    for an axis that does not exist, TypeError for one that is not an integer.

    >>> cumprod(np.array([2, 3, 4]), np.array(0), exclusive=1)
    array([1, 2, 6])

    Spec: CumProd-26.
    """
    return _running(np.cumprod, x, axis, exclusive, reverse, start=1)


def _running(
    accumulate: Callable[..., Array],
    x: Array,
    axis: Array,
    exclusive: int,
    reverse: int,
    *,
    start: int,
) -> Array:
    along = axis_in(scalar_int(axis), x.ndim)
    order = slice(None, None, -1 if reverse else 1)
    forward = np.moveaxis(x, along, 0)[order]
    if exclusive:
        forward = np.concatenate([np.full_like(forward[:1], start), forward[:-1]])
    total = accumulate(forward, axis=0, dtype=x.dtype)[order]
    return np.moveaxis(total, 0, along)
