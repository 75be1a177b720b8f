"""Reductions as of before their axes became an input (ReduceSum at opset 13, the others at 18).

``axes`` is an attribute here; without it the reduction is over all axes. The rest is as in
:mod:`embedx.ops.reduction`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import reduction
from ._registry import op
from ._typing import Array


def _with_attribute(
    current: Callable[..., Array], data: Array, axes: tuple[int, ...] | None, keepdims: int
) -> Array:
    return current(data, None if axes is None else np.array(axes, np.int64), keepdims=keepdims)


@op("ReduceSum", since=1, rounds=True)
def reduce_sum_1(
    data: Array, /, *, axes: tuple[int, ...] | None = None, keepdims: int = 1
) -> Array:
    """The sum over ``axes``, in the dtype of ``data``.

    Raises ValueError for axes that do not exist or are named twice.

    >>> reduce_sum_1(np.array([[1, 2], [3, 4]]), axes=(1,), keepdims=0)
    array([3, 7])

    Spec: ReduceSum-11.
    """
    return _with_attribute(reduction.reduce_sum, data, axes, keepdims)


@op("ReduceMean", since=1, rounds=True)
def reduce_mean_1(
    data: Array, /, *, axes: tuple[int, ...] | None = None, keepdims: int = 1
) -> Array:
    """The mean over ``axes``, in the dtype of ``data``.

    Raises ValueError for axes that do not exist or are named twice.

    >>> reduce_mean_1(np.array([[1.0, 2.0], [3.0, 5.0]]), axes=(1,), keepdims=0)
    array([1.5, 4. ])

    Spec: ReduceMean-13.
    """
    return _with_attribute(reduction.reduce_mean, data, axes, keepdims)


@op("ReduceProd", since=1, rounds=True)
def reduce_prod_1(
    data: Array, /, *, axes: tuple[int, ...] | None = None, keepdims: int = 1
) -> Array:
    """The product over ``axes``, in the dtype of ``data``.

    Raises ValueError for axes that do not exist or are named twice.

    >>> reduce_prod_1(np.array([[1, 2], [3, 4]]), axes=(1,), keepdims=0)
    array([ 2, 12])

    Spec: ReduceProd-13.
    """
    return _with_attribute(reduction.reduce_prod, data, axes, keepdims)


@op("ReduceMax", since=1)
def reduce_max_1(
    data: Array, /, *, axes: tuple[int, ...] | None = None, keepdims: int = 1
) -> Array:
    """The maximum over ``axes``, in the dtype of ``data``.

    Raises ValueError for axes that do not exist or are named twice.

    >>> reduce_max_1(np.array([[1, 2], [3, 4]]), axes=(1,), keepdims=0)
    array([2, 4])

    Spec: ReduceMax-13.
    """
    return _with_attribute(reduction.reduce_max, data, axes, keepdims)


@op("ReduceMin", since=1)
def reduce_min_1(
    data: Array, /, *, axes: tuple[int, ...] | None = None, keepdims: int = 1
) -> Array:
    """The minimum over ``axes``, in the dtype of ``data``.

    Raises ValueError for axes that do not exist or are named twice.

    >>> reduce_min_1(np.array([[1, 2], [3, 4]]), axes=(1,), keepdims=0)
    array([1, 3])

    Spec: ReduceMin-13.
    """
    return _with_attribute(reduction.reduce_min, data, axes, keepdims)


@op("ReduceL1", since=1, rounds=True)
def reduce_l1_1(data: Array, /, *, axes: tuple[int, ...] | None = None, keepdims: int = 1) -> Array:
    """The L1 norm over ``axes``, in the dtype of ``data``.

    Raises ValueError for axes that do not exist or are named twice.

    >>> reduce_l1_1(np.array([[-1, 2], [3, -4]]), axes=(1,), keepdims=0)
    array([3, 7])

    Spec: ReduceL1-13.
    """
    return _with_attribute(reduction.reduce_l1, data, axes, keepdims)


@op("ReduceL2", since=1, rounds=True)
def reduce_l2_1(data: Array, /, *, axes: tuple[int, ...] | None = None, keepdims: int = 1) -> Array:
    """The L2 norm over ``axes``, in the dtype of ``data``.

    Raises ValueError for axes that do not exist or are named twice.

    >>> reduce_l2_1(np.array([[3.0, 4.0]]), axes=(1,), keepdims=0)
    array([5.])

    Spec: ReduceL2-13.
    """
    return _with_attribute(reduction.reduce_l2, data, axes, keepdims)


@op("ReduceSumSquare", since=1, rounds=True)
def reduce_sum_square_1(
    data: Array, /, *, axes: tuple[int, ...] | None = None, keepdims: int = 1
) -> Array:
    """The sum of squares over ``axes``, in the dtype of ``data``.

    Raises ValueError for axes that do not exist or are named twice.

    >>> reduce_sum_square_1(np.array([[-1, 2], [3, -4]]), axes=(1,), keepdims=0)
    array([ 5, 25])

    Spec: ReduceSumSquare-13.
    """
    return _with_attribute(reduction.reduce_sum_square, data, axes, keepdims)


@op("ReduceLogSum", since=1, rounds=True)
def reduce_log_sum_1(
    data: Array, /, *, axes: tuple[int, ...] | None = None, keepdims: int = 1
) -> Array:
    """The logarithm of the sum over ``axes``, in the dtype of ``data``.

    Raises ValueError for axes that do not exist or are named twice.

    >>> reduce_log_sum_1(np.array([[0.25, 0.75]]), axes=(1,), keepdims=0)
    array([0.])

    Spec: ReduceLogSum-13.
    """
    return _with_attribute(reduction.reduce_log_sum, data, axes, keepdims)


@op("ReduceLogSumExp", since=1, rounds=True)
def reduce_log_sum_exp_1(
    data: Array, /, *, axes: tuple[int, ...] | None = None, keepdims: int = 1
) -> Array:
    """The logarithm of the sum of exponentials over ``axes``, in the dtype of ``data``.

    Raises ValueError for axes that do not exist or are named twice.

    >>> reduce_log_sum_exp_1(np.array([[1000.0, -1000.0]]), axes=(1,), keepdims=0)
    array([1000.])

    Spec: ReduceLogSumExp-13.
    """
    return _with_attribute(reduction.reduce_log_sum_exp, data, axes, keepdims)
