"""Softmax, LogSoftmax and Hardmax, also as of before opset 13."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ._checks import axis_in
from ._registry import op
from ._typing import Array


@op("Softmax", since=13, rounds=True)
def softmax(input: Array, /, *, axis: int = -1) -> Array:
    """Exponentials divided by their sum along ``axis``.

    A row of nothing but -inf gives NaN, as the formula says. Raises ValueError for an axis that
    does not exist.

    >>> softmax(np.log([1.0, 3.0]))
    array([0.25, 0.75])

    Spec: Softmax-13.
    """
    axis = axis_in(axis, input.ndim)
    e = np.exp(input - input.max(axis=axis, keepdims=True, initial=-np.inf))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


@op("LogSoftmax", since=13, rounds=True)
def log_softmax(input: Array, /, *, axis: int = -1) -> Array:
    """The logarithm of the Softmax, without underflow of small probabilities.

    Raises ValueError for an axis that does not exist.

    >>> log_softmax(np.array([0.0, -200.0]))
    array([   0., -200.])

    Spec: LogSoftmax-13.
    """
    axis = axis_in(axis, input.ndim)
    shifted = input - input.max(axis=axis, keepdims=True, initial=-np.inf)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)))


@op("Hardmax", since=13)
def hardmax(input: Array, /, *, axis: int = -1) -> Array:
    """1 at the first maximum along ``axis``, 0 elsewhere.

    Raises ValueError for an axis that does not exist.

    >>> hardmax(np.array([1.0, 3.0, 3.0]))
    array([0., 1., 0.])

    Spec: Hardmax-13.
    """
    axis = axis_in(axis, input.ndim)
    y = np.zeros_like(input)
    if input.size == 0:
        return y
    np.put_along_axis(y, np.expand_dims(input.argmax(axis=axis), axis), 1, axis)
    return y


@op("Softmax", since=1, rounds=True)
def softmax_1(input: Array, /, *, axis: int = 1) -> Array:
    """The Softmax over all axes from ``axis`` on together, as the rows of a matrix.

    Raises ValueError for an axis that does not exist.

    >>> softmax_1(np.zeros((1, 2, 2))).ravel()
    array([0.25, 0.25, 0.25, 0.25])

    Spec: Softmax-11.
    """
    return _on_rows(softmax, input, axis)


@op("LogSoftmax", since=1, rounds=True)
def log_softmax_1(input: Array, /, *, axis: int = 1) -> Array:
    """The LogSoftmax over all axes from ``axis`` on together, as the rows of a matrix.

    Raises ValueError for an axis that does not exist.

    >>> np.exp(log_softmax_1(np.zeros((1, 2, 2)))).ravel()
    array([0.25, 0.25, 0.25, 0.25])

    Spec: LogSoftmax-11.
    """
    return _on_rows(log_softmax, input, axis)


@op("Hardmax", since=1)
def hardmax_1(input: Array, /, *, axis: int = 1) -> Array:
    """The Hardmax over all axes from ``axis`` on together, as the rows of a matrix.

    Raises ValueError for an axis that does not exist.

    >>> hardmax_1(np.arange(4.0).reshape(1, 2, 2)).ravel()
    array([0., 0., 0., 1.])

    Spec: Hardmax-11.
    """
    return _on_rows(hardmax, input, axis)


def _on_rows(function: Callable[[Array], Array], input: Array, axis: int) -> Array:
    # Unlike an ordinary axis, the cut may stand behind the last dimension.
    cut = axis if axis == input.ndim else axis_in(axis, input.ndim)
    rows, columns = math.prod(input.shape[:cut]), math.prod(input.shape[cut:])
    return function(input.reshape(rows, columns)).reshape(input.shape)
