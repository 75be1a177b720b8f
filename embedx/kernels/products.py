"""Float products, most of all those with a constant matrix on the right.

A tensor on the left is one tall matrix, whose rows are shared out among the threads.
"""

from __future__ import annotations

import numpy as np

from embedx import ops
from embedx.kernels._blocks import over_products, rows_of
from embedx.kernels._registry import Constants, Prepared, fused, replaces
from embedx.kernels.elementwise import add
from embedx.kernels.memory import fresh
from embedx.kernels.storage import Storage, StoredMatrix, stored
from embedx.model.graph import Array, Node, SparseTensor
from embedx.ops import reserve


def multiplied(x: Array, matrix: StoredMatrix, out: Array | None = None) -> Array:
    """``x @ matrix`` for a tensor (..., inner). Raises as the operator does if x does not fit."""
    inner, columns = matrix.shape
    if x.dtype != np.float32:
        raise TypeError(f"inputs of one type are expected, got {x.dtype} and float32")
    if x.ndim == 0 or x.shape[-1] != inner:
        raise ValueError(f"shapes {x.shape} and {matrix.shape} cannot be multiplied")
    if out is None:
        reserve((*x.shape[:-1], columns), np.float32)
    y = fresh((*x.shape[:-1], columns), np.float32) if out is None else out
    rows, target = rows_of(x), rows_of(y)
    over_products(
        lambda start, stop: matrix.multiply(rows[start:stop], target[start:stop]),
        len(rows),
        matrix.shape,
    )
    return y


def _prepared_matmul(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    weight = constants[1]
    if weight is None or len(weight.shape) != 2 or weight.dtype != np.float32:
        return None
    matrix = stored(weight, storage)

    def call(a: Array, b: None, /, *, out: Array | None = None) -> Array:
        return multiplied(a, matrix, out)

    return Prepared(call, (1,), 1, str(matrix), rows=(0,))


@replaces(ops.matmul, prepare=_prepared_matmul)
def matmul(a: Array, b: Array, /) -> Array:
    """MatMul-13; the sum of the products in another order."""
    if a.ndim < 3 or b.ndim != 2 or a.size == 0:
        return NotImplemented
    # One product of a tall matrix instead of many small ones.
    tall = ops.matmul(a.reshape(-1, a.shape[-1]), b)
    return tall.reshape(*a.shape[:-1], b.shape[-1])


def _prepared_gemm(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    weight = constants[1]
    plain = node.attributes.get("alpha", 1) == node.attributes.get("beta", 1) == 1
    if not isinstance(weight, np.ndarray) or weight.ndim != 2 or weight.dtype != np.float32:
        return None
    if not plain or node.attributes.get("transA", 0):
        return None
    turned = np.ascontiguousarray(weight.T) if node.attributes.get("transB", 0) else weight
    matrix = stored(turned, storage)

    def call(a: Array, b: None, c: Array | None = None, /, **attributes: float) -> Array:
        if a.ndim != 2:
            raise ValueError(f"A must be a matrix, its shape is {a.shape}")
        if c is not None and c.dtype != np.float32:
            raise TypeError(f"inputs of one type are expected, got float32 and {c.dtype}")
        y = multiplied(a, matrix)
        return y if c is None else add(y, np.broadcast_to(c, y.shape), out=y)

    return Prepared(call, (1,), 1, str(matrix))


@replaces(ops.gemm, prepare=_prepared_gemm)
def gemm(
    a: Array, b: Array, c: Array | None = None, /, *,
    alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0,  # noqa: N803
) -> Array:  # fmt: skip
    """Gemm-13; faster with a constant matrix only."""
    return NotImplemented


def _prepared_linear(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    count = len(node.inputs) // 2
    given = [c for c in constants[1:] if not isinstance(c, SparseTensor)]
    weights = [w for w in given[:count] if w is not None and w.dtype == np.float32]
    biases = given[count:]
    if len(weights) < count or len(biases) < count:
        return None
    matrix = stored(np.concatenate(weights, axis=1), storage)
    pairs = zip(weights, biases, strict=True)
    parts = [np.zeros(w.shape[1], np.float32) if b is None else b for w, b in pairs]
    bias = np.concatenate(parts)
    biased = bias.any()

    def call(x: Array, *parameters: Array | None, out: Array | None = None) -> Array:
        y = multiplied(x, matrix, out)
        return add(y, bias, out=y) if biased else y

    return Prepared(call, tuple(range(1, len(node.inputs))), 1, str(matrix), rows=(0,))


@fused("Linear", prepare=_prepared_linear)
def linear(x: Array, /, *parameters: Array | None) -> Array:
    """``x @ w + b`` for several constants ``w`` and then as many ``b``, side by side.

    ``x`` is (..., inner), each ``w`` (inner, columns), each ``b`` (columns,) or left out; the
    result is (..., all columns). As good as :func:`matmul`.
    """
    return NotImplemented
