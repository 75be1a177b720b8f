"""Other ways to compute what an operator does: plain Python, one element after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from embedx.ops import Array


def elementwise(
    function: Callable[..., Any], *arrays: Array, dtype: npt.DTypeLike = np.float64
) -> Array:
    """A function of Python numbers applied to the elements of arrays that are broadcast."""
    wide = [x.astype(np.float64) if x.dtype.isbuiltin == 2 else x for x in arrays]
    spread = np.broadcast_arrays(*wide)
    rows = zip(*(x.reshape(-1).tolist() for x in spread), strict=True)
    return np.array([function(*row) for row in rows], dtype).reshape(spread[0].shape)
