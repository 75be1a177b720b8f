"""Arithmetic on equal shapes, or with a vector: bit for bit, in pieces and on all threads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from embedx import ops
from embedx.kernels._blocks import over_rows, result_for, rows_of
from embedx.kernels._registry import replaces
from embedx.model.graph import Array

_Two = Callable[..., Array]


def _binary(formula: Callable[..., Array], function: _Two) -> _Two:
    """Register the kernel of an operator on two tensors that is a function of NumPy."""

    @replaces(formula, overwrites=(0, 1), rows=(0, 1))
    def kernel(a: Array, b: Array, /, *, out: Array | None = None) -> Array:
        """Bit for bit."""
        if not a.dtype == b.dtype == np.float32:
            return NotImplemented
        shape = np.broadcast_shapes(a.shape, b.shape)
        large, small = (a, b) if a.shape == shape else (b, a)
        if large.shape != shape or not shape or small.shape[-1:] != shape[-1:]:
            return NotImplemented
        y = result_for(large, out)
        if small.ndim > 1 and small.shape != shape:
            return function(a, b, out=y)
        left, right = (x if x.ndim == 1 < len(shape) else rows_of(x) for x in (a, b))
        target = rows_of(y)

        def work(block: slice) -> None:
            first, second = (x if x.ndim == 1 else x[block] for x in (left, right))
            function(first, second, out=target[block])

        over_rows(work, *target.shape)
        return y

    return kernel


add = _binary(ops.add, np.add)
_binary(ops.sub, np.subtract)
_binary(ops.mul, np.multiply)


@replaces(ops.tanh, overwrites=(0,), rows=(0,))
def tanh(input: Array, /, *, out: Array | None = None) -> Array:
    """Tanh-13, bit for bit."""
    return _unary(np.tanh, input, out)


@replaces(ops.relu, overwrites=(0,), rows=(0,))
def relu(x: Array, /, *, out: Array | None = None) -> Array:
    """Relu-14, bit for bit."""
    return _unary(lambda part, out: np.maximum(part, np.float32(0), out=out), x, out)


def _unary(function: Callable[..., Array], x: Array, out: Array | None) -> Array:
    if x.dtype != np.float32 or x.ndim == 0:
        return NotImplemented
    y = result_for(x, out)
    source, target = rows_of(x), rows_of(y)

    def work(block: slice) -> None:
        function(source[block], out=target[block])

    over_rows(work, *target.shape)
    return y
