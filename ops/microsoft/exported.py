"""Operators that exporters write where the standard lacks, or lacked, one of its own.

Those of PyTorch: Trilu, Inverse and GridSample; of scikit-learn: CDist; of Keras: ExpandDims.
"""

from __future__ import annotations

import numpy as np

from .. import creation, sampling, shape
from .._budget import reserve, turn
from .._checks import one_type
from .._registry import op
from .._typing import Array


@op("Trilu", since=1, domain="com.microsoft")
def trilu(x: Array, k: Array | None = None, /, *, upper: int = 1) -> Array:
    """The triangle on and above (or below) the ``k``-th diagonal of each matrix, zeros elsewhere.

    Raises ValueError for a tensor of rank below 2, TypeError for a ``k`` that is not an integer.

    >>> trilu(np.ones((2, 2)), upper=0)
    array([[1., 0.],
           [1., 1.]])

    Spec: com.microsoft.Trilu-1.
    """
    return creation.trilu(x, k, upper=upper)


@op("ExpandDims", since=1, domain="com.microsoft")
def expand_dims(x: Array, axis: Array, /) -> Array:
    """``X`` with a dimension of size 1 at ``axis``, an int32 scalar in [-rank - 1, rank].

    Raises ValueError for an axis outside that range, or more than one.

    >>> expand_dims(np.ones((2, 3)), np.int32(-1)).shape
    (2, 3, 1)

    Spec: com.microsoft.ExpandDims-1.
    """
    if axis.size != 1:
        raise ValueError(f"axis must be one number, its shape is {axis.shape}")
    return shape.unsqueeze(x, axis.reshape(1))


@op("Inverse", since=1, domain="com.microsoft", rounds=True)
def inverse(x: Array, /) -> Array:
    """The inverse of each matrix.

    Raises ValueError (numpy.linalg.LinAlgError) for matrices that are singular or not square.

    >>> inverse(np.array([[2.0, 0.0], [0.0, 4.0]]))
    array([[0.5 , 0.  ],
           [0.  , 0.25]])

    Spec: com.microsoft.Inverse-1.
    """
    return np.asarray(np.linalg.inv(x))


@op("GridSample", since=1, domain="com.microsoft", rounds=True)
def grid_sample(
    x: Array,
    grid: Array,
    /,
    *,
    align_corners: int = 0,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
) -> Array:
    """``X`` at the points of ``grid``, interpolated, as in GridSample-16.

    Raises ValueError for unknown modes and shapes that do not fit.

    >>> grid_sample(np.array([[[[10.0, 20.0]]]]), np.array([[[[0.0, 0.0]]]]))
    array([[[[15.]]]])

    Spec: com.microsoft.GridSample-1.
    """
    return sampling.grid_sample_16(
        x, grid, align_corners=align_corners, mode=mode, padding_mode=padding_mode
    )


@op("CDist", since=1, domain="com.microsoft", rounds=True)
def cdist(a: Array, b: Array, /, *, metric: str = "sqeuclidean") -> Array:
    """The distances between the rows of ``A`` and the rows of ``B``: (rows of A, rows of B).

    ``metric`` is "euclidean", or "sqeuclidean" for its square. Raises ValueError for another one
    and shapes that do not fit, TypeError for different dtypes.

    >>> cdist(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1.0]]), metric="euclidean")
    array([[5., 1.]])

    Spec: com.microsoft.CDist-1.
    """
    one_type(a, b)
    if metric not in ("euclidean", "sqeuclidean"):
        raise ValueError(f"metric is euclidean or sqeuclidean, not {metric!r}")
    if a.ndim != 2 or b.shape[1:] != a.shape[1:]:
        raise ValueError(f"rows of {a.shape} and of {b.shape} have no distance")
    reserve((len(a), len(b)), a.dtype)
    squares = np.zeros((len(a), len(b)), a.dtype)
    for feature in range(a.shape[1]):
        turn()
        squares += np.square(a[:, feature, None] - b[:, feature])
    return np.sqrt(squares) if metric == "euclidean" else squares
