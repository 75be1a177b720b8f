"""Arrays in pieces that stay in a processor's cache while several passes go over them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from embedx.kernels.memory import fresh
from embedx.model.graph import Array
from embedx.ops import reserve
from embedx.workers import has_company, pieces_of, spread

CACHED = 2**15
"""Elements of a float32 block that fits a second-level cache together with its neighbours."""
_GRAIN = 2**16
"""Elements below which a second thread costs more than it saves."""

FEWEST_ROWS = 64
"""Rows below which a thread costs more than it saves: every thread reads all weights."""
_PRODUCTS = 2**22
"""Multiplications of a product below which a second thread costs more than it saves."""


def rows_of(x: Array) -> Array:
    """The tensor as a matrix with its last axis as columns; a view if its memory allows."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1]) if x.ndim else x.reshape(1, 1)


def result_for(x: Array, out: Array | None) -> Array:
    """``out`` if it can take a result like ``x``, else new memory."""
    if out is not None and out.shape == x.shape and out.dtype == x.dtype and out.flags.c_contiguous:
        return out
    reserve(x.shape, x.dtype)
    return fresh(x.shape, x.dtype)


def over_rows(work: Callable[..., None], rows: int, width: int, *, scratch: int = 0) -> None:
    """Call ``work`` for blocks of rows of ``width`` elements, on all threads of the run.

    Behind the block ``work`` gets as many float32 arrays of the block's shape to write into.
    """
    grain = max(1, _GRAIN // max(width, 1))
    # Threads that return from NumPy often would queue for the interpreter's lock.
    shared = has_company() or pieces_of(rows, grain) > 1
    size = 4 * CACHED if shared else CACHED
    height = max(1, min(rows, size // max(width, 1)))

    def piece(start: int, stop: int) -> None:
        spare = fresh((scratch, height, width), np.float32)
        for block in blocks(start, stop, height):
            work(block, *spare[:, : block.stop - block.start])

    spread(piece, rows, grain)


def over_products(work: Callable[[int, int], None], rows: int, shape: tuple[int, ...]) -> None:
    """Call ``work(start, stop)`` for rows that meet a matrix of this shape, on all threads."""
    spread(work, rows, max(1, _PRODUCTS // max(math.prod(shape), 1)))


def blocks(start: int, stop: int, height: int) -> Iterator[slice]:
    """Slices of ``height`` that cover a range.

    >>> list(blocks(0, 5, 3))
    [slice(0, 3, None), slice(3, 5, None)]
    """
    for first in range(start, stop, height):
        yield slice(first, min(first + height, stop))
