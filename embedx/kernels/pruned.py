"""Products with what hidden neurons give, when some of the neurons were left out."""

from __future__ import annotations

import numpy as np

from embedx.kernels._registry import Constants, Prepared, fused
from embedx.kernels.products import multiplied
from embedx.kernels.storage import Storage, stored
from embedx.model.graph import Array, Node


def _prepared(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    weight = constants[1]
    if weight is None:
        return None
    matrix = stored(weight, storage)

    def call(
        h: Array, w: None, x: Array, /, *,
        largest: float, left_out: int, out: Array | None = None,
    ) -> Array:  # fmt: skip
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            if not (np.vecdot(x, x) <= largest**2).all():
                return NotImplemented
        return multiplied(h, matrix, out)

    note = f"{matrix}; {node.attributes['left_out']} neurons without effect are left out"
    return Prepared(call, (1,), 1, note, rows=(0, 2))


@fused("PrunedMatMul", prepare=_prepared)
def pruned_matmul(h: Array, w: Array, x: Array, /, *, largest: float, left_out: int) -> Array:
    """``h @ w`` of the neurons ``h`` that are computed from ``x``, ``left_out`` of which are not.

    ``h`` is (..., neurons), ``w`` a constant (neurons, columns), ``x`` (..., inner), all float32.
    As good as :func:`matmul`. Declines if a row of x is longer than ``largest``, or not finite: as
    far as that the neurons that are left out are finite, and have no effect.
    """
    return NotImplemented
