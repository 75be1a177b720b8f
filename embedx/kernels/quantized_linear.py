"""Products with 8-bit matrices of a tensor that is quantized on the way, bit for bit.

What DynamicQuantizeLinear would write as bytes stays in float32, as whole numbers minus the zero
point, and goes into the product block by block. Nothing has to be clipped where the ends of the
range, rounded like all numbers between them, are in range.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from embedx import ops
from embedx.kernels._blocks import CACHED, blocks, over_products, rows_of
from embedx.kernels._registry import Constants, Prepared, fused
from embedx.kernels.dense import height_of_blocks
from embedx.kernels.integers import centred, integer_matrix
from embedx.kernels.memory import fresh
from embedx.kernels.storage import Storage
from embedx.model.graph import Array, Node, SparseTensor
from embedx.ops import reserve

_LAST = np.float32(255)


class _Range(NamedTuple):
    """How the rows of a text become whole numbers."""

    scale: np.float32
    zero: np.float32
    clips: bool
    """Whether numbers may round to something outside of uint8."""
    whole: Array | None
    """They are here already, if some are not finite."""


def _prepared_quantized(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    count = len(node.inputs) // 4
    given = [c for c in constants[1:] if not isinstance(c, SparseTensor)]
    weights, scales, zeros, biases = (given[i * count : (i + 1) * count] for i in range(4))
    columns = [w.shape[1] for w in weights if w is not None]
    if len(columns) < count or len(biases) < count:
        return None
    parts = [centred(w, z) for w, z in zip(weights, zeros, strict=True) if w is not None]
    matrix = integer_matrix(np.concatenate(parts, axis=1), storage)
    weight_scale, bias = _row(scales, columns), _row(biases, columns)
    biased = any(b is not None for b in biases)

    def call(x: Array, *parameters: Array | None, by_text: int = 0) -> Array:
        inner = matrix.shape[0]
        if x.dtype != np.float32 or x.ndim <= by_text or x.shape[-1] != inner:
            return NotImplemented
        shape = (*x.shape[:-1], sum(columns))
        reserve(shape, np.float32)
        y = fresh(shape, np.float32)
        rows, out = rows_of(x), rows_of(y)
        length = max(1, len(rows) // len(x)) if by_text and len(x) else max(1, len(rows))
        ranges = [_range(rows[part]) for part in blocks(0, len(rows), length)]

        def piece(start: int, stop: int) -> None:
            for block in blocks(start, stop, height_of_blocks()):
                first = block.start
                whole = fresh((block.stop - first, inner), np.float32)
                for text, part in _spans(block, length, CACHED // inner):
                    _round(rows, ranges[text], part, text * length, whole[_less(part, first)])
                matrix.to_float(whole, out[block])
                for text, part in _spans(block, length, CACHED // len(bias)):
                    np.multiply(out[part], ranges[text].scale * weight_scale, out=out[part])
                    if biased:
                        np.add(out[part], bias, out=out[part])

        over_products(piece, len(rows), matrix.shape)
        return y

    return Prepared(call, matrix=1, note=str(matrix))


def _row(vectors: Sequence[Array | None], columns: Sequence[int]) -> Array:
    """One number for each column of all matrices, 0 where none is given."""
    zero = np.zeros((), np.float32)
    pairs = zip(vectors, columns, strict=True)
    return np.concatenate([np.broadcast_to(zero if v is None else v, n) for v, n in pairs])


def _range(rows: Array) -> _Range:
    low, high = rows.min(initial=0), rows.max(initial=0)
    scale = (high - low) / _LAST
    if not np.isfinite(scale):
        quantized, own_scale, own_zero = ops.dynamic_quantize_linear(rows)
        whole = quantized.astype(np.float32) - own_zero.astype(np.float32)
        return _Range(np.float32(own_scale), np.float32(own_zero), False, whole)
    scale = scale or np.float32(1)
    zero = np.clip(np.rint(0 - low / scale), np.float32(0), _LAST)
    clips = np.rint(low / scale) + zero < 0 or np.rint(high / scale) + zero > _LAST
    return _Range(scale, zero, bool(clips), None)


def _spans(block: slice, length: int, most: int) -> Iterator[tuple[int, slice]]:
    """The rows of a block, at most so many at once, and the text of ``length`` rows they are of."""
    for text in range(block.start // length, -(-block.stop // length)):
        start, stop = max(block.start, text * length), min(block.stop, (text + 1) * length)
        for part in blocks(start, stop, max(1, most)):
            yield text, part


def _less(part: slice, start: int) -> slice:
    return slice(part.start - start, part.stop - start)


def _round(rows: Array, found: _Range, part: slice, start: int, out: Array) -> None:
    """Write some rows as whole numbers minus zero; ``start`` is where their text begins."""
    if found.whole is not None:
        np.copyto(out, found.whole[_less(part, start)])
        return
    np.divide(rows[part], found.scale, out=out)
    np.rint(out, out=out)
    if found.clips:
        np.clip(out, -found.zero, _LAST - found.zero, out=out)


@fused("QuantizedLinear", prepare=_prepared_quantized)
def quantized_linear(x: Array, /, *parameters: Array | None, by_text: int = 0) -> Array:
    """``DynamicQuantizeLinear(x) @ w``, back in floats, plus ``b``, for several ``w`` side by side.

    As MatMulInteger, Cast, Mul and Add would have it, bit for bit. After ``x`` (..., inner) come
    the constants: as many ``w``, their scales, their zero points and their ``b``, the last two of
    which may be left out. ``w`` is (inner, columns) of 8 bits; the others are one number or one for
    each column. With ``by_text`` each element of the first axis has a scale of its own, as if it
    were alone.
    """
    return NotImplemented
