"""Rounding to a narrower float type, once, whatever types are in between."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._typing import Array, is_foreign


def rounded(x: Array, dtype: np.dtype[Any]) -> Array:
    """``x`` in the floating type ``dtype``, rounded to nearest, ties to even.

    >>> rounded(np.array([1.0 + 2.0**-11 + 2.0**-30]), np.dtype(np.float16)) > 1
    array([ True])
    """
    # ml_dtypes converts through float32, where a number next to a tie could become the tie.
    detour = is_foreign(dtype) and x.dtype.kind in "iuf" and x.dtype.itemsize > 2
    return (_to_odd(x) if detour and x.dtype != np.float32 else x).astype(dtype)


def _to_odd(x: Array) -> Array:
    """``x`` in float32, rounded to odd: truncated, with the last bit set if that is not exact.

    Source: Boldo and Melquiond 2008, Emulation of FMA and correctly rounded sums.
    """
    wide = x.astype(np.float64)
    nearest = wide.astype(np.float32)
    truncated = nearest.view(np.int32) - (np.abs(nearest) > np.abs(wide))
    return np.asarray((truncated | (nearest != wide)).astype(np.int32)).view(np.float32)
