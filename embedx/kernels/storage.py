"""How a constant matrix is stored: dense, or only its numbers that are not zero.

A product in SciPy's compressed sparse rows costs time for each number stored, and for turning both
operands round; a dense one costs time for every number, but little. How little, in comparison,
depends on the machine, so both are timed once, for the first matrix that has zeros enough.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedx.kernels._blocks import blocks
from embedx.kernels.memory import fresh
from embedx.model.graph import Array, SparseTensor
from embedx.workers import threads

_SAMPLE = 16
_WORTH_A_COUNT = 0.5
"""With a smaller share of zeros in a sample of so many rows the rest is not even counted."""
_WORTH_TRYING = 0.85
"""With a smaller share of zeros than this no machine was faster with sparse rows."""
_PANEL = 64
"""Columns of a panel."""
_SMALL = 10**6
"""Multiplications in a product that BLAS takes for a small one."""
_CACHED = 2**18
"""Elements that both operands have in a block of rows."""
_PADDING = 16
"""Extra columns of such a block: with a power of two, its rows would meet in few cache lines."""

Multiply = Callable[[Array, Array], None]
"""``multiply(rows, out)``: the product of float32 (n, inner) with the matrix, into (n, columns)."""


@dataclass(frozen=True)
class StoredMatrix:
    """A float32 matrix (inner, columns), ready to be multiplied from the left."""

    shape: tuple[int, int]
    form: str
    """``dense`` or ``csr``."""
    why: str
    multiply: Multiply

    def __str__(self) -> str:
        inner, columns = self.shape
        return f"{inner}x{columns}, {self.form}: {self.why}"


def stored(weight: Array | SparseTensor) -> StoredMatrix:
    """The matrix in the form in which its products are fastest."""
    inner, columns = weight.shape
    ratio, why = np.inf, "few zeros"
    if inner * columns and _share_of_zeros(weight, _SAMPLE) >= _WORTH_A_COUNT:
        zeros = _share_of_zeros(weight, inner)
        why = f"{zeros:.1%} zeros"
        if zeros >= _WORTH_TRYING:
            dense, number, row = _costs()
            filled = (1 - zeros) * inner * columns
            ratio = (number * filled + row * (inner + columns)) / (dense * inner * columns)
            why += f", a sparse product takes {ratio:.2f} of a dense one's time"
    if ratio < 1:
        return StoredMatrix((inner, columns), "csr", why, sparse_product(weight))
    full = weight.dense() if isinstance(weight, SparseTensor) else weight
    return StoredMatrix((inner, columns), "dense", why, dense_product(full))


def _share_of_zeros(weight: Array | SparseTensor, rows: int) -> float:
    """The share of zeros in about so many rows of the matrix, evenly spaced."""
    if isinstance(weight, SparseTensor):
        return 1 - np.count_nonzero(weight.values) / max(math.prod(weight.shape), 1)
    sample = weight[:: max(1, len(weight) // max(rows, 1))]
    return 1 - np.count_nonzero(sample) / max(sample.size, 1)


def dense_product(weight: Array) -> Multiply:
    """The product as BLAS computes it fastest: of the whole matrix, or of panels of it."""
    fits = 4 * _PANEL * len(weight) <= _SMALL and weight.shape[1] >= _PANEL
    return panel_product(weight) if fits and _panels_pay() else whole_product(weight)


def whole_product(weight: Array) -> Multiply:
    """The product in one call of BLAS."""
    # What lies at an odd address in a file would be copied by each product.
    aligned = np.require(weight, np.float32, ["A"])

    def multiply(rows: Array, out: Array) -> None:
        np.matmul(rows, aligned, out=out)

    return multiply


def panel_product(weight: Array) -> Multiply:
    """The product in pieces so small that BLAS need not copy them before it multiplies.

    For such pieces OpenBLAS has kernels of their own on some processors (those with AVX-512). The
    columns lie in panels, each a small matrix, and some rows at a time meet all of them.
    """
    inner, columns = weight.shape
    count = columns // _PANEL
    cut = count * _PANEL
    panels = np.ascontiguousarray(weight[:, :cut].reshape(inner, count, _PANEL).swapaxes(0, 1))
    rest = np.ascontiguousarray(weight[:, cut:])
    height = _SMALL // (_PANEL * max(inner, 1)) // 4 * 4

    def multiply(rows: Array, out: Array) -> None:
        for block in blocks(0, len(rows), height):
            part = rows[block]
            target = out[block, :cut].reshape(len(part), count, _PANEL)
            np.matmul(part, panels, out=target.swapaxes(0, 1))
        if cut < columns:
            np.matmul(rows, rest, out=out[:, cut:])

    return multiply


def sparse_product(weight: Array | SparseTensor) -> Multiply:
    """The product as ``(W' X')'``, block by block, with W' in compressed sparse rows."""
    from scipy.sparse import csr_array

    inner, columns = weight.shape
    if isinstance(weight, SparseTensor):
        places = np.divmod(weight.places, columns)
        turned = csr_array((weight.values, places[::-1]), shape=(columns, inner))
        turned.eliminate_zeros()
    else:
        turned = csr_array(weight.T)
    # A short row of numbers per stored number would leave the processor's vectors empty.
    height = min(max(_CACHED // (inner + columns), 64), 192)

    def multiply(rows: Array, out: Array) -> None:
        padded = fresh((height, inner + _PADDING), np.float32)
        for block in blocks(0, len(rows), height):
            part = padded[: block.stop - block.start, :inner]
            np.copyto(part, rows[block])
            np.copyto(out[block], (turned @ np.ascontiguousarray(part.T)).T)

    return multiply


@functools.cache
def _panels_pay() -> bool:
    """Whether products of panels are faster on this machine."""
    weight, x = np.ones((512, 512), np.float32), np.ones((32, 512), np.float32)
    out = np.empty_like(x)
    panels, whole = (_seconds(f(weight), x, out) for f in (panel_product, whole_product))
    return panels < 0.9 * whole


@functools.cache
def _costs() -> tuple[float, float, float]:
    """Seconds that a product with 128 rows takes on this machine.

    For each element of a dense matrix, each number of a sparse one, each of its rows and columns.
    """
    size, rows = 512, 128
    generator = np.random.default_rng(0)
    weight = generator.random((size, size), np.float32)
    filled = generator.random((size, size)) < 0.1
    x, out = generator.random((rows, size), np.float32), np.empty((rows, size), np.float32)
    dense, sparse, empty = (
        _seconds(product, x, out)
        for product in (
            dense_product(weight),
            sparse_product(np.where(filled, weight, np.float32(0))),
            sparse_product(np.zeros_like(weight)),
        )
    )
    return dense / size**2, max(sparse - empty, 0.0) / filled.sum(), empty / (2 * size)


def _seconds(product: Multiply, *arguments: Any) -> float:
    """The shortest of several runs, since whatever else disturbs one only makes it longer."""
    times = []
    with threads(1):
        for _ in range(7):
            start = time.perf_counter()
            product(*arguments)
            times.append(time.perf_counter() - start)
    return min(times)
