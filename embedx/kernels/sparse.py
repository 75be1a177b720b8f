"""Products with a constant matrix that leave its zeros out.

Zeros without an order are left out one by one (compressed sparse rows), rows and columns of zeros
altogether, and blocks of zeros by panels of columns, each of which keeps the rows that have
something in it. What the zeros would make of NaN and infinity is put in afterwards.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from embedx.kernels._blocks import blocks
from embedx.kernels.dense import Multiply, dense_product, packed
from embedx.kernels.memory import fresh
from embedx.model.graph import Array, SparseTensor

_CACHED = 2**18
"""Elements that both operands have in a block of rows."""
_PADDING = 16
"""Extra columns of such a block: with a power of two, its rows would meet in few cache lines."""
_TALL = 512
"""Rows at a time of a product that BLAS has the whole matrix for."""


def csr_product(weight: Array | SparseTensor) -> Multiply:
    """The product as ``(W' X')'``, with W' in compressed sparse rows."""
    from scipy.sparse import csr_array

    inner, columns = weight.shape
    if isinstance(weight, SparseTensor):
        places = np.divmod(weight.places, columns)
        turned = csr_array((weight.values, places[::-1]), shape=(columns, inner))
        turned.eliminate_zeros()
    else:
        turned = csr_array(weight.T)

    def piece(left: Array, out: Array) -> None:
        np.copyto(out, (turned @ left)[:, : len(out)].T)

    def met(odd: Array) -> Array:
        ones = np.ones(turned.nnz, np.float32)
        pattern = csr_array((ones, turned.indices, turned.indptr), shape=turned.shape)
        return (pattern @ odd.T.astype(np.float32)).T

    return _with_spoilt(_by_turned_blocks(piece, inner, columns), met)


def gathered_product(weight: Array, width: int) -> Multiply:
    """The product by panels of ``width`` columns, each without the rows that are zero in it."""
    inner, columns = weight.shape
    panels = []
    for panel in blocks(0, columns, width):
        rows = np.flatnonzero(weight[:, panel].any(axis=1))
        panels.append((panel, rows, packed(weight[rows, panel])))
    most = max((len(rows) for _, rows, _ in panels), default=0)

    def piece(left: Array, out: Array) -> None:
        count = len(out)
        space = fresh((most, left.shape[1]), np.float32)
        for panel, rows, numbers in panels:
            # "clip" checks no index, which "raise" does in a copy of the result.
            kept = np.take(left, rows, axis=0, out=space[: len(rows)], mode="clip")
            np.matmul(kept[:, :count].T, numbers, out=out[:, panel])

    def met(odd: Array) -> Array:
        counts = np.empty((len(odd), columns), np.int64)
        for panel, rows, _ in panels:
            counts[:, panel] = odd[:, rows].sum(axis=1, keepdims=True)
        return counts

    return _with_spoilt(_by_turned_blocks(piece, inner, columns), met)


def compact_product(weight: Array, rows: Array, columns: Array) -> Multiply:
    """The product with these rows and columns of the matrix, outside of which all is zero.

    Both are indices, and ascend.
    """
    kept = dense_product(packed(weight[np.ix_(rows, columns)]))
    shape, count = weight.shape, len(columns)
    # Each column's place among those that are computed; behind them lies one of zeros.
    places = np.full(shape[1], count)
    places[columns] = np.arange(count)

    def multiply(x: Array, out: Array) -> None:
        for block in blocks(0, len(x), _TALL):
            part, target = x[block], out[block]
            if len(rows) < shape[0]:
                space = fresh((len(part), len(rows)), np.float32)
                part = np.take(part, rows, axis=1, out=space, mode="clip")
            if count == shape[1]:
                kept(part, target)
                continue
            y = fresh((len(part), count + _PADDING), np.float32)
            kept(part, y[:, :count])
            y[:, count:] = 0
            np.take(y, places, axis=1, out=target, mode="clip")

    def met(odd: Array) -> Array:
        counts = np.zeros((len(odd), shape[1]), np.int64)
        counts[:, columns] = odd[:, rows].sum(axis=1, keepdims=True)
        return counts

    return _with_spoilt(multiply, met)


def _by_turned_blocks(piece: Multiply, inner: int, columns: int) -> Multiply:
    """The product block by block; ``piece`` takes X' (inner, at least n) instead of X."""
    # At least 64 rows, since each number of the matrix is multiplied with all of them at once, and
    # at most 192, beyond which nothing was gained.
    height = min(max(_CACHED // max(inner + columns, 1), 64), 192)

    def multiply(rows: Array, out: Array) -> None:
        for block in blocks(0, len(rows), height):
            piece(_turned(rows[block]), out[block])

    return multiply


def _turned(part: Array) -> Array:
    """The transpose of (n, inner), and perhaps a few columns of zeros behind it."""
    count, inner = part.shape
    padded = fresh((count, inner + _PADDING), np.float32)[:, :inner]
    np.copyto(padded, part)
    turned = fresh((inner, count + 4 * (count % 64 == 0)), np.float32)
    np.copyto(turned[:, :count], padded.T)
    turned[:, count:] = 0
    return turned


def _with_spoilt(product: Multiply, met: Callable[[Array], Array]) -> Multiply:
    """The product, and NaN where infinity or NaN meets a zero that is left out.

    ``met`` takes which elements of some rows are not finite, bool (n, inner), and tells how many of
    them meet an element that is kept, for each column (n, columns).
    """

    def multiply(rows: Array, out: Array) -> None:
        product(rows, out)
        with np.errstate(over="ignore", invalid="ignore"):
            suspects = np.flatnonzero(~np.isfinite(np.vecdot(rows, rows)))
        if len(suspects):  # or large: then nothing is odd
            odd = ~np.isfinite(rows[suspects])
            spoilt = met(odd) < odd.sum(axis=1, keepdims=True)
            out[suspects] = np.where(spoilt, np.float32(np.nan), out[suspects])

    return multiply
