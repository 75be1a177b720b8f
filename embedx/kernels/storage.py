"""How a constant matrix is stored: dense, or only its numbers that are not zero.

A product in SciPy's compressed sparse rows costs time for each number stored, and for transposing
both operands; a dense one costs little time for every number. What is chosen depends on the matrix
and on the kind of processor, never on a timing, so that all processes of a machine choose alike.
"""

from __future__ import annotations

import functools
import math
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from embedx.kernels._blocks import blocks
from embedx.kernels.memory import fresh
from embedx.model.graph import Array, SparseTensor
from embedx.workers import blas_architectures

Storage: TypeAlias = Literal["auto", "dense", "sparse"]
"""``auto`` stores as sparse what has zeros enough for that to be faster."""

_SAMPLE = 16
_WORTH_A_COUNT = 0.5
"""With a smaller share of zeros in a sample of so many rows the rest is not even counted."""
_NUMBER, _EDGE = 10, 64
"""What a product with 128 rows costs for each number stored, and for each row and column of the
matrix, in units of a dense product's element: from layers of 384 and 1536 with 80 to 99 % zeros on
Zen 5, where the two forms meet at 93 % zeros. Other processors with AVX2 or AVX-512 are near it."""
_PANEL = 64
"""Columns of a panel."""
_SMALL = 10**6
"""Multiplications in a product that BLAS takes for a small one."""
_CACHED = 2**18
"""Elements that both operands have in a block of rows."""
_PADDING = 16
"""Extra columns of such a block: with a power of two, its rows would meet in few cache lines."""
_FEW = 32
"""Rows up to which panels are faster on Intel's processors with AVX-512 (by 1.2 to 3 times; with
64 rows it is even, and with many the whole matrix is faster, up to 1.8 times)."""

Multiply: TypeAlias = Callable[[Array, Array], None]
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


def stored(weight: Array | SparseTensor, storage: Storage) -> StoredMatrix:
    """The matrix in the form that is asked for, or in that in which its products are fastest."""
    inner, columns = weight.shape
    why = "asked for"
    if storage == "auto":
        storage, why = _fastest(weight)
    if storage == "sparse":
        return StoredMatrix((inner, columns), "csr", why, sparse_product(weight))
    full = weight.dense() if isinstance(weight, SparseTensor) else weight
    return StoredMatrix((inner, columns), "dense", why, dense_product(full))


def _fastest(weight: Array | SparseTensor) -> tuple[Literal["dense", "sparse"], str]:
    """The form to choose, and why."""
    inner, columns = weight.shape
    if not inner * columns or _share_of_zeros(weight, _SAMPLE) < _WORTH_A_COUNT:
        return "dense", "few zeros"
    zeros = _share_of_zeros(weight, inner)
    ratio = _NUMBER * (1 - zeros) + _EDGE * (1 / inner + 1 / columns)
    why = f"{zeros:.1%} zeros, a sparse product takes about {ratio:.2f} of a dense one's time"
    return "sparse" if ratio < 1 else "dense", why


def _share_of_zeros(weight: Array | SparseTensor, rows: int) -> float:
    """The share of zeros in about so many rows of the matrix, evenly spaced."""
    if isinstance(weight, SparseTensor):
        return 1 - np.count_nonzero(weight.values) / max(math.prod(weight.shape), 1)
    sample = weight[:: max(1, len(weight) // max(rows, 1))]
    return 1 - np.count_nonzero(sample) / max(sample.size, 1)


def dense_product(weight: Array) -> Multiply:
    """The product as BLAS computes it fastest: of the whole matrix, or of panels of it."""
    most = rows_for_panels()
    if most == 0 or 4 * _PANEL * len(weight) > _SMALL or weight.shape[1] < _PANEL:
        return whole_product(weight)
    panels = panel_product(weight)
    if most == math.inf:
        return panels
    whole = whole_product(weight)

    def multiply(rows: Array, out: Array) -> None:
        (panels if len(rows) <= most else whole)(rows, out)

    return multiply


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
    # At least 64 rows, since each number stored is multiplied with all of them at once, and at most
    # 192, beyond which nothing was gained.
    height = min(max(_CACHED // (inner + columns), 64), 192)

    def multiply(rows: Array, out: Array) -> None:
        padded = fresh((height, inner + _PADDING), np.float32)
        for block in blocks(0, len(rows), height):
            part = padded[: block.stop - block.start, :inner]
            np.copyto(part, rows[block])
            if np.isfinite(part.sum()):
                np.copyto(out[block], (turned @ np.ascontiguousarray(part.T)).T)
            else:  # zeros that are not stored make NaN of infinity and NaN, too
                np.matmul(part, turned.toarray().T, out=out[block])

    return multiply


@functools.cache
def rows_for_panels() -> float:
    """With how many rows panels are faster than the whole matrix on this kind of processor.

    Only OpenBLAS's kernels for AVX-512, which it calls SkylakeX, make a difference. AMD's
    processors gain with any number of rows, Intel's only with few.
    """
    if "SkylakeX" not in blas_architectures():
        return 0
    return math.inf if _made_by_amd() else _FEW


def _made_by_amd() -> bool:
    try:
        about = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:  # no Linux
        about = platform.processor()
    return "AuthenticAMD" in about
