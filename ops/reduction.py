"""Reductions over axes.

Since opset 18 (ReduceSum: 13) the axes are an input. Without axes the reduction is over all of
them, or with ``noop_with_empty_axes=1`` over none, which leaves only the elementwise part, such as
the absolute values of ReduceL1. Half-precision floats are accumulated in float32, integers in
their own width (wrapping around). Reduced axes stay with size 1 if ``keepdims``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ._budget import reserve
from ._checks import axes_in, int_list
from ._registry import op
from ._typing import Array


def _axes(data: Array, axes: Array | None, noop: int) -> tuple[int, ...]:
    wanted = [] if axes is None else int_list(axes)
    over = axes_in(wanted or (() if noop else range(data.ndim)), data.ndim)
    # The result of reducing an empty tensor can be larger than the input.
    reserve((n for i, n in enumerate(data.shape) if i not in over), data.dtype)
    return over


@op("ReduceSum", since=13, rounds=True)
def reduce_sum(
    data: Array,
    axes: Array | None = None,
    /,
    *,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Array:
    """The sum over ``axes`` (int64), in the dtype of ``data``; 0 for no elements.

    Raises ValueError for axes that do not exist or are named twice, TypeError for axes that are not
    integers.

    >>> reduce_sum(np.array([[1, 2], [3, 4]]), np.array([1]), keepdims=0)
    array([3, 7])

    Spec: ReduceSum-13.
    """
    over = _axes(data, axes, noop_with_empty_axes)
    return np.asarray(data.sum(axis=over, dtype=data.dtype, keepdims=bool(keepdims)))


@op("ReduceMean", since=18, rounds=True)
def reduce_mean(
    data: Array,
    axes: Array | None = None,
    /,
    *,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Array:
    """The mean over ``axes`` (int64), in the dtype of ``data``; NaN for no elements.

    The mean of integers is computed exactly and truncated. Raises ZeroDivisionError for the mean of
    no integers, ValueError for axes that do not exist or are named twice, TypeError for axes that
    are not integers.

    >>> reduce_mean(np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([1]), keepdims=0)
    array([1.5, 4. ])

    Spec: ReduceMean-18.
    """
    over = _axes(data, axes, noop_with_empty_axes)
    return mean_over(data, over, keepdims=bool(keepdims))


def mean_over(data: Array, over: tuple[int, ...], *, keepdims: bool = True) -> Array:
    """The mean over axes; of integers exact and truncated.

    >>> mean_over(np.array([[1.0, 2.0]]), (1,))
    array([[1.5]])
    """
    count = math.prod(data.shape[axis] for axis in over)
    if data.dtype.kind not in "iu":
        return np.asarray(data.sum(axis=over, keepdims=keepdims) / count)
    if count == 0:
        raise ZeroDivisionError("the mean of no integers is not defined")
    whole, rest = np.divmod(data.astype(np.int64 if data.dtype.kind == "i" else np.uint64), count)
    rest = rest.sum(axis=over, keepdims=keepdims)
    floor = whole.sum(axis=over, keepdims=keepdims) + rest // count
    return np.asarray(floor + ((floor < 0) & (rest % count != 0))).astype(data.dtype)


@op("ReduceProd", since=18, rounds=True)
def reduce_prod(
    data: Array,
    axes: Array | None = None,
    /,
    *,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Array:
    """The product over ``axes`` (int64), in the dtype of ``data``; 1 for no elements.

    Raises ValueError for axes that do not exist or are named twice, TypeError for axes that are not
    integers.

    >>> reduce_prod(np.array([[1, 2], [3, 4]]), np.array([1]), keepdims=0)
    array([ 2, 12])

    Spec: ReduceProd-18.
    """
    over = _axes(data, axes, noop_with_empty_axes)
    return np.asarray(data.prod(axis=over, dtype=data.dtype, keepdims=bool(keepdims)))


@op("ReduceMax", since=18)
def reduce_max(
    data: Array,
    axes: Array | None = None,
    /,
    *,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Array:
    """The maximum over ``axes`` (int64); NaN if there is one; the dtype's lowest for no elements.

    Raises ValueError for axes that do not exist or are named twice, TypeError for axes that are not
    integers.

    >>> reduce_max(np.array([[1, 2], [3, 4]]), np.array([1]), keepdims=0)
    array([2, 4])

    Spec: ReduceMax-20.
    """
    over = _axes(data, axes, noop_with_empty_axes)
    lowest = _extreme(data.dtype, largest=False)
    return np.asarray(data.max(axis=over, keepdims=bool(keepdims), initial=lowest))


@op("ReduceMin", since=18)
def reduce_min(
    data: Array,
    axes: Array | None = None,
    /,
    *,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Array:
    """The minimum over ``axes`` (int64); NaN if there is one; the dtype's highest for no elements.

    Raises ValueError for axes that do not exist or are named twice, TypeError for axes that are not
    integers.

    >>> reduce_min(np.array([[1, 2], [3, 4]]), np.array([1]), keepdims=0)
    array([1, 3])

    Spec: ReduceMin-20.
    """
    over = _axes(data, axes, noop_with_empty_axes)
    highest = _extreme(data.dtype, largest=True)
    return np.asarray(data.min(axis=over, keepdims=bool(keepdims), initial=highest))


def _extreme(dtype: np.dtype[Any], *, largest: bool) -> Any:
    if dtype.kind in "iu":
        return np.iinfo(dtype).max if largest else np.iinfo(dtype).min
    return largest if dtype == bool else dtype.type("inf" if largest else "-inf")


@op("ReduceL1", since=18, rounds=True)
def reduce_l1(
    data: Array,
    axes: Array | None = None,
    /,
    *,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Array:
    """The L1 norm over ``axes`` (int64), in the dtype of ``data``.

    Raises ValueError for axes that do not exist or are named twice, TypeError for axes that are not
    integers.

    >>> reduce_l1(np.array([[-1, 2], [3, -4]]), np.array([1]), keepdims=0)
    array([3, 7])

    Spec: ReduceL1-18.
    """
    return _after(np.abs, reduce_sum, data, axes, keepdims, noop_with_empty_axes)


@op("ReduceSumSquare", since=18, rounds=True)
def reduce_sum_square(
    data: Array,
    axes: Array | None = None,
    /,
    *,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Array:
    """The sum of squares over ``axes`` (int64), in the dtype of ``data``.

    Raises ValueError for axes that do not exist or are named twice, TypeError for axes that are not
    integers.

    >>> reduce_sum_square(np.array([[-1, 2], [3, -4]]), np.array([1]), keepdims=0)
    array([ 5, 25])

    Spec: ReduceSumSquare-18.
    """
    return _after(np.square, reduce_sum, data, axes, keepdims, noop_with_empty_axes)


@op("ReduceL2", since=18, rounds=True)
def reduce_l2(
    data: Array,
    axes: Array | None = None,
    /,
    *,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Array:
    """The L2 norm over ``axes`` (int64), in the dtype of ``data``.

    Raises ValueError for axes that do not exist or are named twice, TypeError for axes that are not
    integers.

    >>> reduce_l2(np.array([[3.0, 4.0]]), np.array([1]), keepdims=0)
    array([5.])

    Spec: ReduceL2-18.
    """
    total = reduce_sum_square(
        data, axes, keepdims=keepdims, noop_with_empty_axes=noop_with_empty_axes
    )
    return np.asarray(np.sqrt(total)).astype(data.dtype, copy=False)


@op("ReduceLogSum", since=18, rounds=True)
def reduce_log_sum(
    data: Array,
    axes: Array | None = None,
    /,
    *,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Array:
    """The logarithm of the sum over ``axes`` (int64), in the dtype of ``data``.

    It is -inf for no elements. Raises ValueError for axes that do not exist or are named twice,
    TypeError for axes that are not integers.

    >>> reduce_log_sum(np.array([[0.25, 0.75]]), np.array([1]), keepdims=0)
    array([0.])

    Spec: ReduceLogSum-28.
    """
    total = reduce_sum(data, axes, keepdims=keepdims, noop_with_empty_axes=noop_with_empty_axes)
    return np.asarray(np.log(total)).astype(data.dtype, copy=False)


@op("ReduceLogSumExp", since=18, rounds=True)
def reduce_log_sum_exp(
    data: Array,
    axes: Array | None = None,
    /,
    *,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Array:
    """The logarithm of the sum of exponentials over ``axes`` (int64), without overflow.

    Raises ValueError for axes that do not exist or are named twice, TypeError for axes that are not
    integers.

    >>> reduce_log_sum_exp(np.array([[1000.0, -1000.0]]), np.array([1]), keepdims=0)
    array([1000.])

    Spec: ReduceLogSumExp-28.
    """
    over = _axes(data, axes, noop_with_empty_axes)
    floats = data if data.dtype.kind == "f" else data.astype(np.float64)
    peak = floats.max(axis=over, keepdims=True, initial=-np.inf)
    peak = np.where(np.isfinite(peak), peak, np.zeros((), peak.dtype))
    total = np.log(np.exp(floats - peak).sum(axis=over, keepdims=True)) + peak
    kept = total if keepdims else total.squeeze(axis=over)
    return np.asarray(kept).astype(data.dtype, copy=False)


def _after(
    first: Callable[[Array], Array],
    reduction: Callable[..., Array],
    data: Array,
    axes: Array | None,
    keepdims: int,
    noop: int,
) -> Array:
    return reduction(first(data), axes, keepdims=keepdims, noop_with_empty_axes=noop)
