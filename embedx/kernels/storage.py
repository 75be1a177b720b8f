"""How a constant matrix is stored: dense, or with its zeros left out in one of several ways.

Which way is fastest depends on how the zeros lie, on the number of rows that a product has, and on
the kind of processor, never on a timing, so that all processes of a machine choose alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import numpy as np

from embedx.kernels.dense import Multiply, dense_product
from embedx.kernels.estimates import Times, compact_times, csr_times, dense_times, gathered_times
from embedx.kernels.sparse import compact_product, csr_product, gathered_product
from embedx.model.graph import Array, SparseTensor, full

Storage: TypeAlias = Literal["auto", "dense", "sparse"]
"""``auto`` leaves zeros out where that is faster, ``sparse`` stores each number that is none."""

_SAMPLE = 32
_WORTH_A_COUNT = 0.1
"""With a smaller share of zeros in a sample of so many rows the rest is not even counted."""
_SPARSER = 0.99
"""With a larger share of zeros a sparse tensor is not made dense to look for their order."""
_WIDTHS = (32, 64, 128, 256)
_USUAL = 128
"""Rows of the product that decides which form a matrix gets beside the dense one."""
_MARGIN = 0.9
"""A form is chosen if it is estimated to take less than this share of a dense product's time."""


@dataclass(frozen=True)
class StoredMatrix:
    """A float32 matrix (inner, columns), ready to be multiplied from the left."""

    shape: tuple[int, int]
    form: str
    """``dense``, or what is left out, and for which numbers of rows if not for all."""
    why: str
    multiply: Multiply

    def __str__(self) -> str:
        inner, columns = self.shape
        return f"{inner}x{columns}, {self.form}: {self.why}"


@dataclass(frozen=True)
class _Form:
    """A way to leave zeros out."""

    name: str
    times: Times
    product: Callable[[], Multiply]


def stored(weight: Array | SparseTensor, storage: Storage) -> StoredMatrix:
    """The matrix in the form that is asked for, or in that in which its products are fastest."""
    inner, columns = weight.shape
    if storage == "auto":
        return _fastest(weight)
    if storage == "sparse":
        return StoredMatrix((inner, columns), "csr", "asked for", csr_product(weight))
    return StoredMatrix((inner, columns), "dense", "asked for", dense_product(full(weight)))


def _fastest(weight: Array | SparseTensor) -> StoredMatrix:
    inner, columns = weight.shape
    if not inner * columns or _share_of_zeros(weight, _SAMPLE) < _WORTH_A_COUNT:
        return StoredMatrix((inner, columns), "dense", "few zeros", dense_product(full(weight)))
    zeros = _share_of_zeros(weight, inner)
    if zeros < _SPARSER:
        weight = full(weight)
    dense = dense_times(inner * columns)
    best = min(_forms(weight, zeros), key=lambda form: form.times[_USUAL])
    ratio = best.times / dense
    estimate = f"about {ratio[_USUAL]:.2f} of a dense product's time with {_USUAL} rows"
    if ratio[_USUAL] >= _MARGIN:
        why = f"{zeros:.1%} zeros, leaving them out would take {estimate}"
        return StoredMatrix((inner, columns), "dense", why, dense_product(full(weight)))
    worth = ratio < _MARGIN
    form, multiply = best.name, best.product()
    if not worth[1:].all():
        form += f" {_told(worth)} rows, else dense"
        multiply = _by_rows(multiply, weight, worth)
    return StoredMatrix((inner, columns), form, f"{zeros:.1%} zeros, {estimate}", multiply)


def _share_of_zeros(weight: Array | SparseTensor, rows: int) -> float:
    """The share of zeros in so many rows of the matrix."""
    inner, columns = weight.shape
    if isinstance(weight, SparseTensor):
        return 1 - np.count_nonzero(weight.values) / (inner * columns)
    if rows < inner:
        # Multiples of the golden ratio lie evenly, and in step with no pattern of the matrix.
        weight = weight[(np.arange(rows) * 0.6180339887498949 % 1 * inner).astype(np.intp)]
    return 1 - np.count_nonzero(weight) / weight.size


def _by_rows(form: Multiply, weight: Array | SparseTensor, worth: Array) -> Multiply:
    """The form where it is worth it, and the dense product with other numbers of rows."""
    last = len(worth) - 1
    most = int(np.flatnonzero(~worth)[-1]) if worth[last] else np.inf
    dense = dense_product(full(weight), most)

    def multiply(rows: Array, out: Array) -> None:
        (form if worth[min(len(rows), last)] else dense)(rows, out)

    return multiply


def _told(worth: Array) -> str:
    """The numbers of rows, from 1 on, in words such as ``for 1 and from 12``."""
    ranges = []
    for chosen, run in itertools.groupby(range(1, len(worth)), lambda count: bool(worth[count])):
        first, *_, last = 2 * list(run)
        if chosen and last == len(worth) - 1:
            ranges.append(f"from {first}")
        elif chosen:
            ranges.append(f"for {first}" if first == last else f"for {first} to {last}")
    return " and ".join(ranges)


def _forms(weight: Array | SparseTensor, zeros: float) -> Iterator[_Form]:
    """The ways in which this matrix can be stored without its zeros."""
    inner, columns = weight.shape
    numbers = round((1 - zeros) * inner * columns)
    yield _Form("csr", csr_times(numbers, inner, columns), partial(csr_product, weight))
    if isinstance(weight, SparseTensor):
        return
    mask = weight != 0
    rows, all_rows = np.flatnonzero(mask.any(axis=1)), np.arange(inner)
    others, all_columns = np.flatnonzero(mask.any(axis=0)), np.arange(columns)
    for what, kept in {
        "rows": (rows, all_columns),
        "columns": (all_rows, others),
        "rows and columns": (rows, others),
    }.items():
        if len(kept[0]) * len(kept[1]) == inner * columns:
            continue
        yield _Form(
            f"without {what} of zeros",
            compact_times(len(kept[0]), len(kept[1]), inner, columns),
            partial(compact_product, weight, *kept),
        )
    for width in _WIDTHS:
        if width >= columns:
            break
        panels = np.logical_or.reduceat(mask, np.arange(0, columns, width), axis=1)
        yield _Form(
            f"without rows of zeros in panels of {width} columns",
            gathered_times(int(panels.sum()), panels.shape[1], width, inner),
            partial(gathered_product, weight, width),
        )
