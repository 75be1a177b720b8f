"""Products with a constant matrix that has all its elements, as BLAS computes them fastest.

What is chosen depends on the matrix, the number of rows and the kind of processor, never on a
timing, so that all processes of a machine choose alike.
"""

from __future__ import annotations

import functools
import itertools
import math
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np

from embedx.kernels._blocks import blocks
from embedx.kernels.memory import fresh, lasting
from embedx.model.external_data import let_go
from embedx.model.graph import Array
from embedx.workers import blas_architectures, once

Multiply: TypeAlias = Callable[[Array, Array], None]
"""``multiply(rows, out)``: the product of float32 (n, inner) with the matrix, into (n, columns)."""

_PANEL = 64
"""Columns of a panel."""
_SMALL = 10**6
"""Multiplications in a product that BLAS takes for a small one."""
_INNER = 384
"""Rows of a panel: with more, few rows at a time would make a small product."""
_TOGETHER = 256
"""Rows that meet one panel after the other, and stay in a second-level cache meanwhile."""
_FEW = 128
"""Rows up to which panels are no slower on Intel's processors with AVX-512: up to 3 times faster
with few. With a thousand the whole matrix is up to 1.3 times as fast."""


def dense_product(weight: Array, most_rows: float = math.inf) -> Multiply:
    """The product of up to so many rows: of the whole matrix, or of panels of it."""
    most = rows_for_panels()
    if most == 0 or weight.shape[1] < _PANEL:
        return whole_product(weight)
    if most >= most_rows:
        return panel_product(weight)
    whole = whole_product(weight)

    def packed_now() -> Multiply:
        panels = panel_product(weight)
        let_go(weight)
        return panels

    # Who never has so few rows does not pay for a second form in memory.
    panels = once(packed_now)

    def multiply(rows: Array, out: Array) -> None:
        (panels() if len(rows) <= most else whole)(rows, out)

    return multiply


def whole_product(weight: Array) -> Multiply:
    """The product in one call of BLAS."""

    def aligned_now() -> Array:
        # What lies at an odd address in a file would be copied by each product.
        copy = np.require(weight, np.float32, ["A"])
        if copy is not weight:
            let_go(weight)
        return copy

    aligned = once(aligned_now)

    def multiply(rows: Array, out: Array) -> None:
        np.matmul(rows, aligned(), out=out)

    return multiply


def panel_product(weight: Array) -> Multiply:
    """The product in pieces so small that BLAS need not copy them before it multiplies.

    For such pieces OpenBLAS has kernels of their own on some processors (those with AVX-512). The
    matrix lies in panels of columns, cut where it has many rows, and each panel is read once for
    all rows that are at hand.
    """
    inner = len(weight)
    if inner == 0:
        return whole_product(weight)
    count = math.ceil(inner / _INNER)
    edges = [inner * i // count for i in range(count + 1)]
    pieces = [(slice(*span), _panels(weight[slice(*span)])) for span in itertools.pairwise(edges)]

    def multiply(rows: Array, out: Array) -> None:
        for block in blocks(0, len(rows), _TOGETHER):
            part, target = rows[block], out[block]
            for i, (span, product) in enumerate(pieces):
                made = target if i == 0 else fresh(target.shape, np.float32)
                product(part[:, span], made)
                if i:
                    np.add(target, made, out=target)

    return multiply


def _panels(weight: Array) -> Multiply:
    inner, columns = weight.shape
    count = columns // _PANEL
    cut = count * _PANEL
    panels = packed(weight[:, :cut].reshape(inner, count, _PANEL).swapaxes(0, 1))
    rest = packed(weight[:, cut:])
    most = _SMALL // (_PANEL * max(inner, 1))

    def multiply(rows: Array, out: Array) -> None:
        # As many rows in each turn as in the others, in fours, and what is left.
        turns = math.ceil(len(rows) / most)
        height = max(4, math.ceil(len(rows) / max(turns, 1) / 4) * 4)
        end = len(rows) - len(rows) % height
        for part, high in ((slice(0, end), height), (slice(end, None), len(rows) - end)):
            if high and len(rows[part]):
                left = rows[part].reshape(-1, high, inner)
                target = out[part, :cut].reshape(*left.shape[:2], count, _PANEL)
                np.matmul(left, panels[:, None], out=target.transpose(2, 0, 1, 3))
        if cut < columns:
            np.matmul(rows, rest, out=out[:, cut:])

    return multiply


def packed(weight: Array) -> Array:
    """A float32 copy in one piece of memory that lasts."""
    copy = lasting(weight.shape, np.float32)
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
