"""Sums of products of float32 numbers, rounded correctly: no order of additions shows in a bit.

Float64 holds each product, but not their sum, and in which order BLAS adds up depends on the
processor, on how many rows there are and on where a row stands. So a sum is rounded to float32
only where no sum within its error bound is rounded otherwise (Ziv 1991). The few others are added
up with twice the digits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from embedx.kernels._blocks import CACHED, blocks, over_products, rows_of
from embedx.kernels._buffers import unbuffered
from embedx.kernels.memory import fresh, lasting
from embedx.model.graph import Array
from embedx.ops import reserve

_ROWS = 512
"""Rows that meet a matrix at once: BLAS copies all of the matrix for them."""
_TERMS = 384
"""Terms that BLAS adds up at once."""
_AGAIN = 2**15
"""Terms that are added up once more at once."""


@dataclass(frozen=True, eq=False)
class Factor:
    """A matrix on the right in float64, or a stack of them, (..., inner, columns)."""

    wide: Array
    norms: Array
    """Euclidean norms of the columns, (..., columns); 0 of what is not finite."""

    @classmethod
    def of(cls, matrix: Array) -> Factor:
        """The factor of a float32 matrix or stack; the elements of a column lie side by side."""
        return cls._in(fresh, matrix)

    @classmethod
    def lasting(cls, matrix: Array) -> Factor:
        """That of a constant, in memory for what is kept as long as its model."""
        return cls._in(lasting, matrix)

    @classmethod
    def _in(cls, memory: Callable[..., Array], matrix: Array) -> Factor:
        columns = memory((*matrix.shape[:-2], *matrix.shape[:-3:-1]), np.float64)
        np.copyto(columns, matrix.swapaxes(-1, -2))
        return cls(columns.swapaxes(-1, -2), _norms(columns))


def _norms(rows: Array) -> Array:
    norms = np.sqrt(np.vecdot(rows, rows))
    return np.where(np.isfinite(norms), norms, 0)


def multiplied(a: Array, b: Factor, out: Array | None = None) -> Array:
    """``a @ b`` for a float32 tensor (..., inner) and one matrix, each element rounded once."""
    if out is None:
        reserve((*a.shape[:-1], b.wide.shape[1]), np.float32)
    y = fresh((*a.shape[:-1], b.wide.shape[1]), np.float32) if out is None else out
    rows, target = rows_of(a), rows_of(y)

    def work(start: int, stop: int) -> None:
        for block in blocks(start, stop, _ROWS):
            _multiply(rows[block], b, target[block])

    over_products(work, len(rows), b.wide.shape)
    return y


def multiplied_stacks(a: Array, b: Array) -> Array:
    """``a @ b`` for float32 stacks (..., rows, inner) and (..., inner, columns) of one shape."""
    shape = (*a.shape[:-1], b.shape[-1])
    reserve(shape, np.float32)
    y = fresh(shape, np.float32)
    # Examples whose matrices are many, not matrices one by one.
    first = next((i for i, n in enumerate(shape[:-3]) if n != 1), len(shape) - 3)
    left, right, target = (x.reshape(x.shape[first:]) for x in (a, b, y))

    def work(start: int, stop: int) -> None:
        for i in range(start, stop):
            _multiply(left[i], Factor.of(right[i]), target[i])

    over_products(work, len(left), (*left.shape[1:], shape[-1]))
    return y


def _multiply(a: Array, b: Factor, out: Array) -> None:
    left = fresh(a.shape, np.float64)
    np.copyto(left, a)
    norms, wide = _norms(left), _sums(left, b.wide)  # in this order, while the cache has the rows
    # A sum's error is so much of the sum of all sizes, which is at most the product of two norms.
    unit = _error(a.shape[-1])
    errors = (norms * (unit * b.norms.max(axis=-1, keepdims=True, initial=0))).reshape(-1)
    unclear = _rounded_where_clear(rows_of(wide), errors, rows_of(out))
    if not len(unclear):
        return
    # The few that are left, by the norms of their own columns.
    at = np.unravel_index(unclear, out.shape)
    sizes = norms[at[:-1]] * b.norms[(*at[:-2], at[-1])[-b.norms.ndim :]]
    lower, upper = ((wide[at] + x * sizes).astype(np.float32) for x in (-unit, unit))
    out[at] = lower
    unclear = np.flatnonzero(lower < upper)
    if len(unclear):
        _add_up(left, b.wide, sizes[unclear], out, tuple(p[unclear] for p in at))


def _rounded_where_clear(wide: Array, errors: Array, out: Array) -> Array:
    """Round rows of numbers that may be off by ``errors``; which are not clear, counted flat."""
    rows, width = wide.shape
    height = max(1, min(rows, CACHED // max(width, 1)))
    bounds, uppers, less = (fresh((height, width), t) for t in (np.float64, np.float32, np.bool_))
    found = [np.zeros(0, np.intp)]
    for block in blocks(0, rows, height):
        x, y = wide[block], out[block]
        error, n = errors[block].max(), len(x)
        bound, upper, unclear = bounds[:n], uppers[:n], less[:n]
        np.copyto(upper, np.add(x, error, out=bound), casting="same_kind")
        np.copyto(y, np.subtract(x, error, out=bound), casting="same_kind")
        if np.less(y, upper, out=unclear).any():
            found.append(np.flatnonzero(unclear) + block.start * width)
    return np.concatenate(found)


def _sums(a: Array, b: Array) -> Array:
    """``a @ b``, some terms after the other, so that many terms are not much worse than few."""
    total = fresh((*a.shape[:-1], b.shape[-1]), np.float64)
    np.matmul(a[..., :_TERMS], b[..., :_TERMS, :], out=total)
    more = fresh(total.shape, np.float64) if a.shape[-1] > _TERMS else total
    for block in blocks(_TERMS, a.shape[-1], _TERMS):
        np.add(total, np.matmul(a[..., block], b[..., block, :], out=more), out=total)
    return total


def _error(terms: int) -> float:
    """What a sum may be off by, as a part of the sum of all sizes: half an ulp an addition.

    With some more for the bound's own roundings.
    """
    return (min(terms, _TERMS) + terms // _TERMS + 8) * 2.0**-53


def _add_up(a: Array, b: Array, sizes: Array, out: Array, places: tuple[Array, ...]) -> None:
    """Put the sums at these places, of terms of these sizes, into ``out``, each rounded once."""
    inner = a.shape[-1]
    lefts, rights = rows_of(a), rows_of(b.swapaxes(-1, -2))
    row = np.ravel_multi_index(places[:-1], a.shape[:-1])
    column = places[-1]
    if b.ndim > 2:
        column = np.ravel_multi_index((*places[:-2], column), (*b.shape[:-2], b.shape[-1]))
    # Each term's digits down to one, of which a float64 holds any such sum, and those behind.
    units = np.ldexp(1.0, np.frexp(inner * sizes)[1] + 1)[:, None]
    height = max(1, min(len(row), _AGAIN // inner))
    terms, heads = fresh((2, height, inner), np.float64)
    with unbuffered():
        for block in blocks(0, len(row), height):
            term, head = (x[: len(row[block])] for x in (terms, heads))
            np.take(lefts, row[block], axis=0, out=term, mode="clip")
            np.take(rights, column[block], axis=0, out=head, mode="clip")
            np.multiply(term, head, out=term)
            np.add(term, units[block], out=head)
            np.subtract(head, units[block], out=head)
            np.subtract(term, head, out=term)
            sums = _rounded(head.sum(axis=-1), term.sum(axis=-1))
            out[tuple(p[block] for p in places)] = sums


def _rounded(a: Array, b: Array) -> Array:
    """``a + b`` rounded to odd, so that it is rounded to float32 as if it had all its digits.

    Source: Boldo and Melquiond 2008, Emulation of FMA and correctly rounded sums.
    """
    total = a + b
    part = total - a
    error = (a - (total - part)) + (b - part)
    past = (error != 0) & ((error < 0) == (total > 0))
    bits = total.view(np.int64) - past
    return np.asarray(bits | (error != 0)).view(np.float64)
