"""Elementwise operators on 8-bit tensors: computed for all 256 bytes, then looked up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from embedx import ops
from embedx.kernels._registry import replaces
from embedx.model.graph import Array

_WORTH_A_TABLE = 1024
"""Elements below which computing each of them is as fast."""


def _by_table(formula: Callable[..., Array]) -> None:
    """Register a kernel that is bit for bit what ``formula`` gives."""

    @replaces(formula)
    def looked_up(x: Array, /, *parameters: Array | None, **attributes: Any) -> Array:
        single = all(p is None or p.size == 1 for p in parameters)
        if x.size < _WORTH_A_TABLE or x.itemsize != 1 or not single:
            return NotImplemented
        every = np.arange(256, dtype=np.uint8).view(x.dtype)
        return np.asarray(formula(every, *parameters, **attributes)[x.view(np.uint8)])


_by_table(ops.microsoft.qlinear_sigmoid)
_by_table(ops.microsoft.qlinear_leaky_relu)
