"""Recurrent layers whose weights are prepared as matrices for fast products.

The layers are the operators' own, which take products in the place of arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from embedx import ops
from embedx.kernels._blocks import over_products
from embedx.kernels._registry import Constants, Preparation, Prepared, replaces
from embedx.kernels.products import multiplied
from embedx.kernels.storage import Storage, StoredMatrix, stored
from embedx.model.graph import Array, Node, SparseTensor
from embedx.ops.recurrent import LSTM, Product, Recurrent, weights

_FLOATS = ("float32", "float16", "bfloat16")


def _around(operator: Callable[..., Any], *gates: int) -> Preparation:
    """A preparation for an operator whose states make so many gates in each product."""

    def prepare(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
        stacks = [_stack(value) for value in constants[1:3]]
        if any(stack is None or len(stack.shape) != 3 for stack in stacks):
            return None
        matrices: list[StoredMatrix] = []

        def product(matrix: Array) -> Product:
            matrices.append(stored(np.ascontiguousarray(matrix), storage))
            return _product(matrices[-1])

        w, r = (
            weights(stack, parts, product)
            for stack, parts in zip(stacks, ((sum(gates),), gates), strict=True)
            if stack is not None
        )

        def call(x: Array, _w: None, _r: None, /, *inputs: Array | None, **attributes: Any) -> Any:
            return operator(x, w, r, *inputs, **attributes)

        return Prepared(call, (1, 2), 2, str(matrices[-1]))

    return prepare


def _stack(value: Array | SparseTensor | None) -> Array | None:
    """W or R in float32, if that is how its operator multiplies with it."""
    if value is None or value.dtype.name not in _FLOATS:
        return None
    whole = value.dense() if isinstance(value, SparseTensor) else value
    return whole.astype(np.float32, copy=False)


def _product(matrix: StoredMatrix) -> Product:
    def product(x: Array) -> Array:
        if x.ndim != 2:
            return multiplied(x, matrix)
        # States: few numbers, again and again.
        y = np.empty((len(x), matrix.shape[1]), np.float32)
        over_products(
            lambda start, stop: matrix.multiply(x[start:stop], y[start:stop]), len(x), matrix.shape
        )
        return y

    return product


@replaces(ops.lstm, prepare=_around(ops.lstm, 4))
def lstm(x: Array, w: Array, r: Array, /, *inputs: Array | None, **attributes: Any) -> LSTM:
    """LSTM-22 with the sums of its products in another order; faster with constant W and R only."""
    return NotImplemented


@replaces(ops.gru, prepare=_around(ops.gru, 2, 1))
def gru(x: Array, w: Array, r: Array, /, *inputs: Array | None, **attributes: Any) -> Recurrent:
    """GRU-22; as good as :func:`lstm`."""
    return NotImplemented


@replaces(ops.rnn, prepare=_around(ops.rnn, 1))
def rnn(x: Array, w: Array, r: Array, /, *inputs: Array | None, **attributes: Any) -> Recurrent:
    """RNN-22; as good as :func:`lstm`."""
    return NotImplemented
