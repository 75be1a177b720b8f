"""How long products with a constant matrix take in its forms; only the ratios count.

The numbers are from matrices of 384x384 to 768x3072 on a Xeon with AVX-512, all in cache. Where a
range was measured, a dense product has its lower end, and a form that leaves zeros out the upper.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from embedx.kernels.dense import made_by_amd, wide_vectors

ROWS = np.arange(257)
"""The numbers of rows that are told apart; with more rows it is as with the last."""
Times: TypeAlias = Any
"""Nanoseconds of a product with each number of ``ROWS``."""

# What calls cost, those of each form and one more for each panel.
_CALL, _CSR, _COMPACT, _GATHERED, _PANEL = 1_000, 12_000, 10_000, 6_000, 2_500
# What an element costs that is turned, that is taken out of turned ones, and out of rows.
_TURNED, _TAKEN_TURNED, _TAKEN = 0.5, 0.2, 0.7
_READ, _SINGLE, _NUMBER = 0.06, 0.4, 2.2
"""What an element of the matrix costs at least: dense, in CSR for one row, in CSR for more."""
_SMALL = 1.5
"""How much longer a multiplication takes in the small products of panels."""
_BLOCK = 128
"""Rows that are turned together, about."""


def _multiplication() -> tuple[float, float]:
    """What one multiplication costs on this kind of processor, dense and in CSR.

    With AVX2, to which others are near, and with AVX-512 on AMD's processors and on Intel's.
    """
    if not wide_vectors():
        return 0.0175, 0.11
    return (0.008, 0.08) if made_by_amd() else (0.0122, 0.11)


def dense_times(elements: int, slower: float = 1) -> Times:
    """``dense_product`` of a matrix with so many elements; each may take longer than usual."""
    each = _multiplication()[0] * slower
    return _CALL + elements * np.maximum(_READ, each * ROWS)


def csr_times(numbers: int, inner: int, columns: int) -> Times:
    """``csr_product`` of a matrix (inner, columns) with so many numbers that are not zero."""
    each = np.where(ROWS < 2, _SINGLE, np.maximum(_NUMBER, _multiplication()[1] * ROWS))
    return _CSR + numbers * each + _TURNED * ROWS * (inner + columns)


def compact_times(rows: int, kept: int, inner: int, columns: int) -> Times:
    """``compact_product`` of a matrix (inner, columns) of which some rows and columns are kept."""
    copied = _TAKEN * (rows * (rows < inner) + columns * (kept < columns))
    return _COMPACT + copied * ROWS + dense_times(rows * kept)


def gathered_times(rows: int, panels: int, width: int, inner: int) -> Times:
    """``gathered_product`` with the rows that all panels keep, each of ``width`` columns."""
    calls = _GATHERED + panels * _PANEL
    copied = _TURNED * inner + _TAKEN_TURNED * rows
    return calls * np.maximum(1, ROWS / _BLOCK) + copied * ROWS + dense_times(rows * width, _SMALL)
