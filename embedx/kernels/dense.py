"""Products with a constant matrix that has all its elements, as BLAS computes them fastest.

What is chosen depends on the matrix, the number of rows and the kind of processor, never on a
timing, so that all processes of a machine choose alike.
"""

from __future__ import annotations

import functools
import math
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np

from embedx.kernels._blocks import blocks
from embedx.model.graph import Array
from embedx.workers import blas_architectures

Multiply: TypeAlias = Callable[[Array, Array], None]
"""``multiply(rows, out)``: the product of float32 (n, inner) with the matrix, into (n, columns)."""

_PANEL = 64
"""Columns of a panel."""
_SMALL = 10**6
"""Multiplications in a product that BLAS takes for a small one."""
_LINE = 16
"""Elements of a line of the cache."""
_FEW = 32
"""Rows up to which panels are faster on Intel's processors with AVX-512 (by 1.2 to 3 times; with
64 rows it is even, and with many the whole matrix is faster, up to 1.8 times)."""


def dense_product(weight: Array, most_rows: float = math.inf) -> Multiply:
    """The product of up to so many rows: of the whole matrix, or of panels of it."""
    most = rows_for_panels()
    if most == 0 or 4 * _PANEL * len(weight) > _SMALL or weight.shape[1] < _PANEL:
        return whole_product(weight)
    panels = panel_product(weight)
    if most >= most_rows:
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
    panels = packed(weight[:, :cut].reshape(inner, count, _PANEL).swapaxes(0, 1))
    rest = packed(weight[:, cut:])
    height = _SMALL // (_PANEL * max(inner, 1)) // 4 * 4

    def multiply(rows: Array, out: Array) -> None:
        for block in blocks(0, len(rows), height):
            part = rows[block]
            target = out[block, :cut].reshape(len(part), count, _PANEL)
            np.matmul(part, panels, out=target.swapaxes(0, 1))
        if cut < columns:
            np.matmul(rows, rest, out=out[:, cut:])

    return multiply


def packed(weight: Array) -> Array:
    """A float32 copy in one piece that begins where a line of the cache does.

    Elsewhere, each vector of AVX-512 would lie in two lines: with few rows that was seen to cost
    a quarter of a product's time.
    """
    space = np.empty(weight.size + _LINE, np.float32)
    start = -space.__array_interface__["data"][0] // space.itemsize % _LINE
    copy = space[start : start + weight.size].reshape(weight.shape)
    np.copyto(copy, weight)
    return copy


def height_of_blocks() -> int:
    """How many rows go through several steps together.

    With panels few enough for a second-level cache to hold all that is made of them. A product with
    the whole matrix copies it first, for which only many rows make up.
    """
    return 128 if rows_for_panels() == math.inf else 1024


@functools.cache
def rows_for_panels() -> float:
    """With how many rows panels are faster than the whole matrix on this kind of processor.

    Only OpenBLAS's kernels for AVX-512, which it calls SkylakeX, make a difference. AMD's
    processors gain with any number of rows, Intel's only with few.
    """
    if not wide_vectors():
        return 0
    return math.inf if made_by_amd() else _FEW


def wide_vectors() -> bool:
    """Whether BLAS computes with AVX-512."""
    return "SkylakeX" in blas_architectures()


@functools.cache
def made_by_amd() -> bool:
    """Whether the processor is one of AMD's."""
    try:
        about = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:  # no Linux
        about = platform.processor()
    return "AuthenticAMD" in about
