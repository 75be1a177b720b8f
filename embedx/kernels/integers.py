"""Exact products of 8-bit integers at the speed of float32 products.

A float32 holds every integer up to 2**24, so a sum of integer products is exact, in whatever order
BLAS adds, as long as the sum of the products' sizes stays below that. Left elements are at most 255
in size, so for a constant matrix W this is certain where ``255 * sum(|W[:, j]|)`` does for every
column j. Where it does not, W is cut into runs of rows for each of which it does, and their sums
are added in float64, which is exact to 2**53.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedx import ops
from embedx.kernels._blocks import CACHED, blocks, over_products, rows_of
from embedx.kernels._registry import Constants, Prepared, fused, replaces
from embedx.kernels.memory import fresh
from embedx.kernels.quantization import to_narrow
from embedx.kernels.storage import Storage, StoredMatrix, stored
from embedx.model.graph import Array, Node, SparseTensor, full
from embedx.ops import reserve

_EXACT = 2**24
_LARGEST = 255


@dataclass(frozen=True)
class IntegerMatrix:
    """``W - zero point`` (inner, columns) for exact products from the left."""

    runs: tuple[tuple[slice, StoredMatrix], ...]
    """Rows of W, and what they hold."""
    sums: Array
    """The sum of each column, int64."""

    @property
    def shape(self) -> tuple[int, int]:
        """(inner, columns)."""
        return self.runs[-1][0].stop, len(self.sums)

    def product(self, rows: Array) -> Array:
        """``rows @ W``, exact: in float32 if one run is enough, else in float64."""
        part = fresh((len(rows), self.shape[1]), np.float32)
        total = np.zeros(part.shape) if len(self.runs) > 1 else part
        for span, matrix in self.runs:
            matrix.multiply(rows[:, span].astype(np.float32), part)
            if total is not part:
                total += part
        return total

    def to_float(self, whole: Array, out: Array) -> None:
        """Write ``whole @ W`` for whole float32 numbers, as int32 that is cast to float32."""
        if len(self.runs) == 1:
            self.runs[0][1].multiply(whole, out)
        else:
            np.copyto(out, ops.integer.to_int32(self.product(whole)), casting="same_kind")

    def __str__(self) -> str:
        runs = f" in {len(self.runs)} runs of rows" * (len(self.runs) > 1)
        return f"{self.runs[0][1]}; exact in float32{runs}"


def centred(weight: Array | SparseTensor, zero_point: Array | None) -> Array:
    """An 8-bit matrix minus its zero point, one or one per column, in float32."""
    whole = full(weight)
    values = whole.astype(np.float32)
    if zero_point is not None:
        values -= ops.integer.aligned(zero_point, whole, -1).astype(np.float32)
    return values


def integer_matrix(centred: Array, storage: Storage) -> IntegerMatrix:
    """The prepared form of a matrix of whole numbers between -255 and 255."""
    runs: list[tuple[slice, StoredMatrix]] = []
    start = 0
    while start < len(centred) or not runs:
        stop = start + exact_rows(centred[start:])
        runs.append((slice(start, stop), stored(centred[start:stop], storage)))
        start = stop
    return IntegerMatrix(tuple(runs), centred.sum(axis=0, dtype=np.float64).astype(np.int64))


def exact_rows(centred: Array) -> int:
    """How many of the first rows no sum of products can exceed what float32 counts exactly."""
    sizes = np.abs(centred)
    if _LARGEST * sizes.sum(axis=0, dtype=np.float64).max(initial=0) < _EXACT:
        return len(centred)
    reach = _LARGEST * np.cumsum(sizes, axis=0, dtype=np.float64).max(axis=1, initial=0)
    return max(int(np.searchsorted(reach, _EXACT)), 1)


_Use = Callable[[Array, slice], None]
"""Takes exact int32 sums, a block of rows, and the place of these rows in the result."""


def _over_sums(
    a: Array, matrix: IntegerMatrix, a_zero: Array | None, addend: Array | None, use: _Use
) -> None:
    """Call ``use`` with ``(a - a_zero) @ matrix + addend`` block by block, on all threads."""
    columns = matrix.shape[1]
    rows, shift = rows_of(a), _shift(a, matrix, a_zero, addend)

    def piece(start: int, stop: int) -> None:
        sums = matrix.product(rows[start:stop])
        for block in blocks(start, stop, max(1, CACHED // max(columns, 1))):
            part = sums[block.start - start : block.stop - start]
            whole = (
                part.astype(np.int32) if part.dtype == np.float32 else ops.integer.to_int32(part)
            )
            np.add(whole, shift if shift.ndim == 1 else shift[block], out=whole)
            use(whole, block)

    over_products(piece, len(rows), matrix.shape)


def _shift(a: Array, matrix: IntegerMatrix, a_zero: Array | None, addend: Array | None) -> Array:
    """What comes to the sums, int32 modulo 2**32: (columns,), or (rows, columns)."""
    added = np.zeros(1, np.int64) if addend is None else addend.astype(np.int64)
    if a_zero is None:
        return np.broadcast_to(added, matrix.sums.shape).astype(np.int32)
    zero = ops.integer.aligned(a_zero, a, -2).astype(np.int64)
    shift = (added - zero * matrix.sums).astype(np.int32)
    return (
        shift
        if zero.ndim == 0
        else rows_of(np.broadcast_to(shift, (*a.shape[:-1], shift.shape[-1])))
    )


def _result(a: Array, matrix: IntegerMatrix, dtype: np.dtype[Any] | type) -> Array:
    """Memory for ``a @ matrix``. Raises as the operator does if ``a`` does not fit."""
    if a.dtype not in (np.uint8, np.int8):
        raise TypeError(f"A must be uint8 or int8, not {a.dtype}")
    if a.ndim == 0 or a.shape[-1] != matrix.shape[0]:
        raise ValueError(f"shapes {a.shape} and {matrix.shape} cannot be multiplied")
    shape = (*a.shape[:-1], matrix.shape[1])
    reserve(shape, dtype)
    return fresh(shape, dtype)


def _matrix(
    node: Node, constants: Constants, storage: Storage, weight: int, zero_point: int
) -> IntegerMatrix | None:
    """The node's matrix and its zero point at these inputs, if both are constant."""
    values = [constants[i] if i < len(constants) else None for i in (weight, zero_point)]
    named = [i < len(node.inputs) and node.inputs[i] != "" for i in (weight, zero_point)]
    w, zero = values
    if w is None or len(w.shape) != 2 or w.dtype not in (np.int8, np.uint8):
        return None
    if (named[1] and zero is None) or isinstance(zero, SparseTensor):
        return None
    return integer_matrix(centred(w, zero), storage)


def _total(a: Array, matrix: IntegerMatrix, a_zero: Array | None) -> Array:
    total = _result(a, matrix, np.int32)
    rows = rows_of(total)

    def use(whole: Array, place: slice) -> None:
        rows[place] = whole

    _over_sums(a, matrix, a_zero, None, use)
    return total


def _prepared_matmul_integer(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    matrix = _matrix(node, constants, storage, 1, 3)
    if matrix is None:
        return None

    def call(a: Array, b: None, a_zero: Array | None = None, b_zero: None = None, /) -> Array:
        return _total(a, matrix, a_zero)

    return Prepared(call, (1, 3), 1, str(matrix))


@replaces(ops.matmul_integer, prepare=_prepared_matmul_integer)
def matmul_integer(
    a: Array, b: Array, a_zero_point: Array | None = None, b_zero_point: Array | None = None, /
) -> Array:
    """MatMulInteger-10, bit for bit: in float32 where no sum can be beyond 2**24."""
    pairs = ((a, a_zero_point), (b, b_zero_point))
    narrow = all(
        x.dtype in (np.uint8, np.int8) and (zero is None or zero.dtype == x.dtype)
        for x, zero in pairs
    )
    if not narrow or a.ndim < 2 or a.shape[-1] * _LARGEST**2 >= _EXACT:
        return NotImplemented
    x, y = a.astype(np.float32), b.astype(np.float32)
    if a_zero_point is not None:
        x -= ops.integer.aligned(a_zero_point, a, -2).astype(np.float32)
    if b_zero_point is not None:
        y -= ops.integer.aligned(b_zero_point, b, -1).astype(np.float32)
    return ops.matmul(x, y).astype(np.int32)


def _scaled(
    a: Array, matrix: IntegerMatrix, a_zero: Array | None, addend: Array | None, scale: Array,
    bias: Array | None,
) -> Array:  # fmt: skip
    """``float32(sums) * scale + bias`` with a scale that is one number or one per column."""
    y = _result(a, matrix, np.float32)
    rows = rows_of(y)

    def finish(part: Array) -> None:
        np.multiply(part, scale, out=part)
        if bias is not None:
            np.add(part, bias, out=part)

    def use(whole: Array, place: slice) -> None:
        np.copyto(rows[place], whole, casting="same_kind")
        finish(rows[place])

    if addend is None and len(matrix.runs) == 1:
        # No sum of (a - zero point) * W is beyond 2**24 either: all is exact in float32.
        _sum_in_place(a, matrix, a_zero, rows, finish)
    else:
        _over_sums(a, matrix, a_zero, addend, use)
    return y


def _sum_in_place(
    a: Array, matrix: IntegerMatrix, a_zero: Array | None, rows: Array,
    finish: Callable[[Array], None],
) -> None:  # fmt: skip
    """Write ``(a - a_zero) @ matrix`` into ``rows``, and call ``finish`` with blocks of them."""
    left, shift = rows_of(a), _shift(a, matrix, a_zero, None).astype(np.float32)
    columns = matrix.shape[1]

    def piece(start: int, stop: int) -> None:
        matrix.runs[0][1].multiply(left[start:stop].astype(np.float32), rows[start:stop])
        for block in blocks(start, stop, max(1, CACHED // max(columns, 1))):
            part = rows[block]
            if a_zero is not None:
                np.add(part, shift if shift.ndim == 1 else shift[block], out=part)
            finish(part)

    over_products(piece, len(rows), matrix.shape)


def _fits(a: Array, matrix: IntegerMatrix, *values: Array | None) -> bool:
    """Whether each is float32, and one number or one for each column, and adds no axes to ``a``."""
    columns = matrix.shape[1:]
    return a.ndim > 0 and all(
        v is None or (v.dtype == np.float32 and v.shape in ((), (1,), columns)) for v in values
    )


def _prepared_scaled(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    matrix = _matrix(node, constants, storage, 1, 3)
    if matrix is None:
        return None

    def call(
        a: Array, b: None, a_zero: Array | None, b_zero: None, scale: Array,
        addend: Array | None = None, bias: Array | None = None, /,
    ) -> Array:  # fmt: skip
        columns = matrix.shape[1:]
        whole = addend is None or (addend.dtype == np.int32 and addend.shape == columns)
        if not whole or not _fits(a, matrix, scale, bias):
            return NotImplemented
        return _scaled(a, matrix, a_zero, addend, scale, bias)

    return Prepared(call, matrix=1, note=str(matrix))


@fused("ScaledMatMulInteger", prepare=_prepared_scaled)
def scaled_matmul_integer(
    a: Array, b: Array, a_zero_point: Array | None, b_zero_point: Array | None, scale: Array,
    addend: Array | None = None, bias: Array | None = None, /,
) -> Array:  # fmt: skip
    """``float32(MatMulInteger + addend) * scale + bias``, each step rounded as on its own.

    With a constant ``b``, ``addend`` is int32, ``scale`` and ``bias`` are float32; each is one
    number for each column, and the scale may be one for all. Without, the scale is one number and
    there is nothing else, as for the products of attention.
    """
    if addend is not None or bias is not None or scale.dtype != np.float32 or scale.size != 1:
        return NotImplemented
    sums = matmul_integer(a, b, a_zero_point, b_zero_point)
    if sums is NotImplemented or scale.ndim > sums.ndim:
        return NotImplemented
    return np.multiply(sums.astype(np.float32), scale)


def _prepared_to_float(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    matrix = _matrix(node, constants, storage, 1, 5)
    if matrix is None:
        return None

    def call(
        a: Array, b: None, a_scale: Array, b_scale: Array, a_zero: Array | None = None,
        b_zero: None = None, bias: Array | None = None, /,
    ) -> Array:  # fmt: skip
        if a_scale.size != 1 or not _fits(a, matrix, a_scale, b_scale, bias):
            return NotImplemented
        return _scaled(a, matrix, a_zero, None, np.asarray(a_scale * b_scale), bias)

    return Prepared(call, matrix=1, note=str(matrix))


@replaces(ops.microsoft.matmul_integer_to_float, prepare=_prepared_to_float)
def matmul_integer_to_float(
    a: Array, b: Array, a_scale: Array, b_scale: Array, a_zero_point: Array | None = None,
    b_zero_point: Array | None = None, bias: Array | None = None, /,
) -> Array:  # fmt: skip
    """com.microsoft.MatMulIntegerToFloat, bit for bit; with a constant ``b`` only."""
    return NotImplemented


def _prepared_qlinear(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    matrix = _matrix(node, constants, storage, 3, 5)
    if matrix is None:
        return None

    def call(
        a: Array, a_scale: Array, a_zero: Array, b: None, b_scale: Array, b_zero: None,
        y_scale: Array, y_zero: Array, /,
    ) -> Array:  # fmt: skip
        scales = [s.astype(np.float32) for s in (a_scale, b_scale, y_scale)]
        single = a_scale.size == y_scale.size == y_zero.size == 1
        if not single or not _fits(a, matrix, *scales):
            return NotImplemented
        scale = scales[0] * scales[1] / scales[2]
        if not np.isfinite(scale).all():
            return NotImplemented
        y = _result(a, matrix, y_zero.dtype)
        rows = rows_of(y)

        def use(whole: Array, place: slice) -> None:
            part = whole.astype(np.float32)
            np.multiply(part, scale, out=part)
            to_narrow(np.rint(part, out=part), y_zero, rows[place])

        _over_sums(a, matrix, a_zero, None, use)
        return y

    return Prepared(call, matrix=3, note=str(matrix))


@replaces(ops.qlinear_matmul, prepare=_prepared_qlinear)
def qlinear_matmul(
    a: Array, a_scale: Array, a_zero_point: Array, b: Array, b_scale: Array, b_zero_point: Array,
    y_scale: Array, y_zero_point: Array, /,
) -> Array:  # fmt: skip
    """QLinearMatMul-21, bit for bit; with a constant ``b`` only."""
    return NotImplemented
