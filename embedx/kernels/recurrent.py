"""Recurrent layers whose weights are prepared for fast products.

The layers are the operators' own: they take products in the place of arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from embedx import ops
from embedx.kernels._blocks import over_products
from embedx.kernels._registry import FUSED, Constants, Preparation, Prepared, replaces
from embedx.kernels.products import multiplied
from embedx.kernels.storage import Storage, StoredMatrix, stored
from embedx.model.graph import FUSED_DOMAIN, Array, Node, SparseTensor, full
from embedx.ops.recurrent import LSTM, Product, Recurrent, Weights, weights

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
    return full(value).astype(np.float32, copy=False)


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


def _prepared_quantized(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    stacks = [(constants[i], *constants[j : j + 2]) for i, j in ((1, 8), (2, 10))]
    w, r = (_quantized(storage, *stack) for stack in stacks)
    if w is None or r is None:
        return None
    operator: Callable[..., Any] = ops.microsoft.dynamic_quantize_lstm

    def call(x: Array, _w: Array, _r: Array, /, *inputs: Array | None, **attributes: Any) -> Any:
        if x.dtype != np.float32:
            return NotImplemented
        return operator(x, w, r, *inputs, **attributes)

    return Prepared(call)


def _quantized(storage: Storage, *stack: Array | SparseTensor | None) -> Weights | None:
    """8-bit weights (directions, inner, gates) with their scales and zero points, if all fit."""
    arrays = [value for value in stack if isinstance(value, np.ndarray)]
    if len(arrays) < len(stack) or arrays[0].ndim != 3:
        return None
    w, scale, zero_point = arrays
    shapes = {scale.shape, zero_point.shape} <= {w.shape[:1], w.shape[::2]}
    types = w.dtype == zero_point.dtype and w.dtype.name in ("int8", "uint8")
    if not shapes or not types or scale.dtype != np.float32:
        return None
    prepare = FUSED["QuantizedLinear"].prepare or (lambda *_: None)
    linear = Node("QuantizedLinear", ("x", "w", "scale", "zero", ""), ("y",), domain=FUSED_DOMAIN)
    each = [
        prepare(
            linear, (None, w[k], scale[k].reshape(-1), zero_point[k].reshape(-1), None), storage
        )
        for k in range(len(w))
    ]
    products = tuple((made.call,) for made in each if made is not None)
    return Weights((len(w), w.shape[2], w.shape[1]), w.dtype, products)


@replaces(ops.microsoft.dynamic_quantize_lstm, prepare=_prepared_quantized)
def dynamic_quantize_lstm(x: Array, /, *inputs: Array | None, **attributes: Any) -> LSTM:
    """com.microsoft.DynamicQuantizeLSTM, bit for bit; faster with constant weights only."""
    return NotImplemented
