"""Other views of the same elements, whose shapes the plan knows as far as it can."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import accumulate, pairwise

import numpy as np

from embedx import ops
from embedx.kernels._registry import Constants, Prepared, replaces
from embedx.kernels.storage import Storage
from embedx.model.graph import Array, Node, SparseTensor


def reshaper(shape: Array | SparseTensor | None) -> Callable[[Array, Array], Array]:
    """Reshape-25 to a shape that is a constant, and so looked at once."""
    sizes = shape.tolist() if isinstance(shape, np.ndarray) and shape.ndim == 1 else None
    if sizes is None or min(sizes, default=0) < -1 or sizes.count(-1) > 1:
        return ops.reshape

    def reshaped(data: Array, wanted: Array) -> Array:
        if 0 in data.shape or 0 in sizes[data.ndim :]:
            return ops.reshape(data, wanted)
        return data.reshape([n or data.shape[i] for i, n in enumerate(sizes)])

    return reshaped


def _prepared_reshape(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    if node.attributes.get("allowzero", 0):
        return None
    reshaped = reshaper(constants[1])
    return Prepared(lambda data, shape, allowzero=0: reshaped(data, shape))


@replaces(ops.reshape, prepare=_prepared_reshape)
def reshape(data: Array, shape: Array, /, *, allowzero: int = 0) -> Array:
    """Reshape-25, bit for bit; faster with a constant shape only."""
    return NotImplemented


def _prepared_split(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    lengths = node.attributes.get("split")
    if len(constants) > 1:
        lengths = constants[1]
    if not isinstance(lengths, tuple | np.ndarray) or min(lengths, default=-1) < 0:
        return None
    ends = list(accumulate(map(int, lengths), initial=0))
    return Prepared(partial(_pieces, ends), rows=(0,))


def _pieces(
    ends: list[int], x: Array, lengths: Array | None = None, /, *, axis: int = 0, **_: object
) -> tuple[Array, ...]:
    if axis not in (-1, x.ndim - 1) or x.ndim == 0 or x.shape[-1] != ends[-1]:
        return NotImplemented
    return tuple(x[..., start:stop] for start, stop in pairwise(ends))


def _split(formula: Callable[..., tuple[Array, ...]]) -> None:
    """Register the kernel for the last axis of one of the versions of Split."""

    @replaces(formula, prepare=_prepared_split, rows=(0,))
    def pieces(
        input: Array, *lengths: Array | None, axis: int = 0, **options: int
    ) -> tuple[Array, ...]:
        last = axis in (-1, input.ndim - 1)
        return formula(input, *lengths, axis=axis, **options) if last else NotImplemented


for _formula in (ops.split, ops.joining.split_13, ops.joining.split_2):
    _split(_formula)
