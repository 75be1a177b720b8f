"""When two results are the same."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from embedx.ops import Array


def assert_equal(found: Any, expected: Array) -> None:
    """Assert one type, shape, dtype and equal elements; NaN equals NaN."""
    assert type(found) is np.ndarray
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if found.dtype.isbuiltin == 2:  # ml_dtypes, which float64 holds exactly
        found, expected = found.astype(np.float64), expected.astype(np.float64)
    np.testing.assert_array_equal(found, expected)


def assert_close(
    found: Any, exact: npt.ArrayLike, dtype: np.dtype[Any], *, ulps: float = 4, floor: float = 0
) -> None:
    """Assert that ``found`` has the dtype and is within ``ulps`` of the float64 values ``exact``.

    ``floor`` is an error that is granted at any size, in units of the dtype's last place at 1.
    """
    assert type(found) is np.ndarray
    assert (found.dtype, found.shape) == (dtype, np.shape(exact))
    info: Any = ml_dtypes.finfo(dtype)
    wanted, got = np.asarray(exact, np.float64), found.astype(np.float64)
    with np.errstate(all="ignore"):
        granted = float(info.eps) * (ulps * np.abs(wanted) + floor) + float(info.smallest_subnormal)
        nearest = wanted.astype(dtype).astype(np.float64)
        fine = (np.abs(got - wanted) <= granted) | (got == nearest)
    fine |= np.isnan(got) & np.isnan(nearest)
    assert fine.all(), f"{got[~fine]} instead of {wanted[~fine]}"
