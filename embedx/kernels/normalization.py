"""Normalisation over the last axis in float32, with the additions in front of it."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from embedx import ops
from embedx.kernels._blocks import over_rows, result_for, rows_of
from embedx.kernels._buffers import unbuffered
from embedx.kernels._registry import Constants, Prepared, replaces
from embedx.kernels.memory import fresh
from embedx.kernels.storage import Storage
from embedx.model.graph import Array, Node


class _Normalized(NamedTuple):
    y: Array
    mean: Array
    inv_std: Array
    total: Array


@replaces(ops.layer_normalization, overwrites=(0,), rows=(0,))
def layer_normalization(
    x: Array, scale: Array, b: Array | None = None, /, *,
    axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1, out: Array | None = None,
) -> ops.normalization.LayerNormalization:  # fmt: skip
    """LayerNormalization-17; within 4 ulp of what is added up, and one more for each 1024 elements.

    That is ``|y - b| + |b| + |scale| * max|x| / deviation``.
    """
    if stash_type != 1 or axis not in (-1, x.ndim - 1) or not _fits(x, scale, b):
        return NotImplemented
    return ops.normalization.LayerNormalization(*_normalized(x, scale, b, epsilon, out)[:3])


@replaces(ops.rms_normalization, overwrites=(0,), rows=(0,))
def rms_normalization(
    x: Array, scale: Array, /, *,
    axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1, out: Array | None = None,
) -> Array:  # fmt: skip
    """RMSNormalization-23; within 4 ulp, and one more for each 1024 elements of a row."""
    if stash_type != 1 or axis not in (-1, x.ndim - 1) or not _fits(x, scale):
        return NotImplemented
    return _normalized(x, scale, None, epsilon, out, centre=False).y


@replaces(ops.microsoft.simplified_layer_normalization, overwrites=(0,), rows=(0,))
def simplified_layer_normalization(
    x: Array, scale: Array, /, *,
    axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1, out: Array | None = None,
) -> ops.microsoft.normalization.SimplifiedLayerNormalization:  # fmt: skip
    """SimplifiedLayerNormalization; as good as :func:`rms_normalization`."""
    if stash_type != 1 or axis not in (-1, x.ndim - 1) or not _fits(x, scale):
        return NotImplemented
    y, _, inv_std, _ = _normalized(x, scale, None, epsilon, out, centre=False)
    return ops.microsoft.normalization.SimplifiedLayerNormalization(y, inv_std)


def _without_sum(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    """The sum is written over, unless the node has it among its outputs."""
    if any(node.outputs[3:]):
        return None
    if node.op_type == "SkipLayerNormalization":
        call = partial(skip_layer_normalization, keep_sum=False, order=_order(node))
        return Prepared(call, rows=(0, 1))
    return Prepared(partial(skip_simplified_layer_normalization, keep_sum=False), rows=(0, 1))


def _order(node: Node) -> tuple[int, ...]:
    """In which order the graph as it was written adds input, skip and bias."""
    edges = [*node.inputs[:2], *node.inputs[4:5]]
    sums = [] if node.literal is None else [n for n in node.literal.nodes if n.op_type == "Add"]
    inner = [i for i, edge in enumerate(edges) if sums and edge in sums[0].inputs]
    return tuple(sorted(range(3), key=lambda i: i not in inner)) if len(inner) == 2 else (0, 1, 2)


@replaces(ops.microsoft.skip_layer_normalization, overwrites=(0,), prepare=_without_sum)
def skip_layer_normalization(
    input: Array, skip: Array, gamma: Array, beta: Array | None = None, bias: Array | None = None,
    /, *, epsilon: float = 1e-12, out: Array | None = None, keep_sum: bool = True,
    order: tuple[int, ...] = (0, 1, 2),
) -> ops.microsoft.normalization.SkipLayerNormalization:  # fmt: skip
    """com.microsoft.SkipLayerNormalization; as good as :func:`layer_normalization`.

    ``order`` is that in which input, skip and bias are added.
    """
    if not _fits(input, gamma, beta, bias) or not _adds(input, skip):
        return NotImplemented
    done = _normalized(input, gamma, beta, epsilon, out, skip, bias, keep_sum=keep_sum, order=order)
    return ops.microsoft.normalization.SkipLayerNormalization(*done)


@replaces(ops.microsoft.skip_simplified_layer_normalization, overwrites=(0,), prepare=_without_sum)
def skip_simplified_layer_normalization(
    input: Array, skip: Array, gamma: Array, bias: Array | None = None, /, *,
    epsilon: float = 1e-12, out: Array | None = None, keep_sum: bool = True,
) -> ops.microsoft.normalization.SkipLayerNormalization:  # fmt: skip
    """com.microsoft.SkipSimplifiedLayerNormalization; within 4 ulp of what is added up."""
    if not _fits(input, gamma, bias) or not _adds(input, skip):
        return NotImplemented
    done = _normalized(
        input, gamma, None, epsilon, out, skip, bias, centre=False, keep_sum=keep_sum
    )
    return ops.microsoft.normalization.SkipLayerNormalization(*done)


def _fits(x: Array, *parameters: Array | None) -> bool:
    """Whether the fast formula applies: float32, and vectors along the last axis."""
    return (
        x.dtype == np.float32
        and x.ndim > 0
        and x.size > 0
        and all(p is None or (p.dtype, p.shape) == (x.dtype, x.shape[-1:]) for p in parameters)
    )


def _adds(x: Array, skip: Array) -> bool:
    return skip.dtype == x.dtype and skip.ndim <= x.ndim and skip.shape[-1:] == x.shape[-1:]


def _in_rows(x: Array) -> Array:
    """The rows of a tensor, each in one piece."""
    rows = rows_of(x)
    return rows if rows.strides[-1] == rows.itemsize else np.ascontiguousarray(rows)


def _normalized(
    x: Array, scale: Array, shift: Array | None, epsilon: float, out: Array | None,
    skip: Array | None = None, bias: Array | None = None, *,
    centre: bool = True, keep_sum: bool = False, order: tuple[int, ...] = (0, 1, 2),
) -> _Normalized:  # fmt: skip
    """``x + skip + bias`` standardised row by row, with its statistics and itself.

    ``order`` is that of the additions. Without ``keep_sum`` the sum is overwritten by the result.
    """
    if skip is not None and skip.shape != x.shape:
        shape = np.broadcast_shapes(x.shape, skip.shape)
        x, skip = np.broadcast_to(x, shape), np.broadcast_to(skip, shape)
        out = None
    y = result_for(x, out)
    total = fresh(y.shape, y.dtype) if keep_sum else y
    rows, width = rows_of(y).shape
    mean, inv_std = np.zeros((rows, 1), np.float32), np.empty((rows, 1), np.float32)
    ones, eps = np.ones(width, np.float32), np.float32(epsilon)
    # Sums add up in another order where elements lie apart, as they may for one batch alone.
    given = (_in_rows(x), skip if skip is None else rows_of(skip), bias)
    sources = [a for a in (given[i] for i in order) if a is not None]
    sums, target = rows_of(total), rows_of(y)

    def work(block: slice, square: Array) -> None:
        row, done = sums[block], target[block]
        first, *others = (a if a is bias else a[block] for a in sources)
        for i, other in enumerate(others, 1):
            # The row may be that of the input, so only the last sum goes there.
            first = np.add(first, other, out=row if i == len(others) else square)
        if centre:
            mean[block, 0] = np.vecdot(first, ones) / np.float32(width)
            first = np.subtract(first, mean[block], out=done)
        variance = np.vecdot(first, first) / np.float32(width)
        inv_std[block, 0] = 1 / np.sqrt(variance + eps)
        np.multiply(first, inv_std[block], out=done)
        np.multiply(done, scale, out=done)
        if shift is not None:
            np.add(done, shift, out=done)

    with unbuffered():
        over_rows(work, rows, width, scratch=1)
    kept = (*y.shape[:-1], 1)
    return _Normalized(y, mean.reshape(kept), inv_std.reshape(kept), total)
