"""Images sampled at the points of a grid, and affine grids."""

from __future__ import annotations

import numpy as np

from ._budget import reserve
from ._checks import int_list
from ._interpolation import Taps, cubic_kernel, linear_kernel, nearest, pick, sample, taps
from ._registry import op
from ._typing import Array, zero_of


@op("GridSample", since=20, rounds=True)
def grid_sample(
    x: Array,
    grid: Array,
    /,
    *,
    align_corners: int = 0,
    mode: str = "linear",
    padding_mode: str = "zeros",
) -> Array:
    """``X`` at the points of ``grid``, interpolated along each axis.

    X is (batch, channels, *size), ``grid`` (batch, *points, rank), each point with the coordinate
    of the last axis first; the result is (batch, channels, *points). -1 and 1 are the outer edges
    of the image, or with ``align_corners`` the centres of its outer elements. ``mode`` is "linear",
    "cubic" or "nearest" (ties to even). Outside of the image ``padding_mode`` "zeros", "border" or
    "reflection" applies. Integers are truncated. Raises ValueError for unknown modes and shapes
    that do not fit.

    >>> x = np.array([[[[10.0, 20.0]]]])
    >>> grid_sample(x, np.array([[[[-0.5, 0.0], [0.0, 0.0], [1.0, 0.0]]]]))
    array([[[[10., 15., 10.]]]])

    Spec: GridSample-22; Jaderberg et al. 2015.
    """
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f"padding_mode is zeros, border or reflection, not {padding_mode!r}")
    if mode not in ("linear", "cubic", "nearest"):
        raise ValueError(f"mode is linear, cubic or nearest, not {mode!r}")
    if grid.shape[-1] != x.ndim - 2 or len(grid) != len(x):
        raise ValueError(f"a grid of shape {grid.shape} does not fit X of shape {x.shape}")
    axes = []
    for points, size in zip(np.moveaxis(grid, -1, 0)[::-1], x.shape[2:], strict=True):
        unit = points.reshape(len(points), -1).astype(np.float64)
        place = (unit + 1) / 2 * (size - 1) if align_corners else ((unit + 1) * size - 1) / 2
        axes.append(_taps(place, size, mode, padding_mode, bool(align_corners)))
    shape = (*x.shape[:2], *grid.shape[1:-1])
    reserve(shape, x.dtype)
    if mode == "nearest":
        return _picked(x, axes).reshape(shape)
    return sample(x, axes).astype(x.dtype, copy=False).reshape(shape)


def _taps(place: Array, size: int, mode: str, padding_mode: str, aligned: bool) -> Taps:
    place = np.clip(place, -(2.0**31), 2.0**31)  # fits int64, exactly in float64
    low, high = (0.0, size - 1.0) if aligned else (-0.5, size - 0.5)
    place = np.rint(place) if mode == "nearest" else place
    if mode != "cubic":
        outside = (place < low) | (place > high)
        place = np.where(outside, _moved(place, low, high, padding_mode), place)
    if mode == "nearest":
        found = nearest(place)
    elif mode == "linear":
        found = taps(place, linear_kernel, 1)
    else:
        found = taps(place, cubic_kernel(-0.75), 2)  # the coefficient of the standard
    # The neighbours of a point near the edge may lie outside, too.
    places = _moved(found.places, low, high, padding_mode).astype(np.int64)
    return Taps(places, found.weights)


def _moved(place: Array, low: float, high: float, padding_mode: str) -> Array:
    """The position whose value a position outside of [low, high] has."""
    if padding_mode == "border":
        return np.clip(place, np.ceil(low), np.floor(high))
    if padding_mode == "reflection":
        span = high - low
        phase = np.mod(place - low, 2 * span) if span else np.zeros_like(place)
        return low + np.minimum(phase, 2 * span - phase)
    return place


def _picked(x: Array, axes: list[Taps]) -> Array:
    """The elements themselves, which may be of any type."""
    places = [axis.places[..., 0] for axis in axes]
    sizes = x.shape[2:]
    known = [(p >= 0) & (p < n) for p, n in zip(places, sizes, strict=True)]
    y = pick(x, [np.clip(p, 0, n - 1) for p, n in zip(places, sizes, strict=True)])
    return np.where(np.all(known, axis=0)[:, None], y, zero_of(x.dtype))


@op("GridSample", since=16, rounds=True)
def grid_sample_16(
    x: Array,
    grid: Array,
    /,
    *,
    align_corners: int = 0,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
) -> Array:
    """GridSample for images, whose modes are called "bilinear", "bicubic" and "nearest".

    Raises ValueError for unknown modes and shapes that do not fit.

    >>> x = np.array([[[[10.0, 20.0]]]])
    >>> grid_sample_16(x, np.array([[[[0.0, 0.0]]]]))
    array([[[[15.]]]])

    Spec: GridSample-16.
    """
    words = {"bilinear": "linear", "bicubic": "cubic", "nearest": "nearest"}
    if mode not in words:
        raise ValueError(f"mode is one of {', '.join(words)}, not {mode!r}")
    return grid_sample(
        x, grid, align_corners=align_corners, mode=words[mode], padding_mode=padding_mode
    )


@op("AffineGrid", since=20, rounds=True)
def affine_grid(theta: Array, size: Array, /, *, align_corners: int = 0) -> Array:
    """The points to which each affine map ``theta`` takes the elements of an image.

    ``theta`` is (batch, 2, 3) for images or (batch, 3, 4) for volumes, ``size`` (int64) the shape
    (batch, channels, *size) of the image. The result, for GridSample, is (batch, *size, rank).
    Raises ValueError for shapes that do not fit.

    >>> shift = np.array([[[1.0, 0.0, 0.25], [0.0, 1.0, 0.0]]])
    >>> affine_grid(shift, np.array([1, 1, 1, 2]))
    array([[[[-0.25,  0.  ],
             [ 0.75,  0.  ]]]])

    Spec: AffineGrid-20; Jaderberg et al. 2015.
    """
    batch, _, *spatial = int_list(size)
    if theta.shape != (batch, len(spatial), len(spatial) + 1):
        raise ValueError(f"theta of shape {theta.shape} does not fit size {size.tolist()}")
    reserve((batch, *spatial, len(spatial)), theta.dtype)
    ticks = [_ticks(n, bool(align_corners)).astype(theta.dtype) for n in spatial]
    # The last axis is x, the first coordinate of a point.
    points = np.stack(np.meshgrid(*ticks, indexing="ij")[::-1], axis=-1)
    homogeneous = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)
    flat = homogeneous.reshape(-1, len(spatial) + 1)
    return (flat @ theta.swapaxes(1, 2)).reshape(batch, *spatial, len(spatial))


def _ticks(count: int, align_corners: bool) -> Array:
    """The centres of ``count`` elements between -1 and 1."""
    if align_corners:
        return np.linspace(-1, 1, count) if count > 1 else np.zeros(count)
    return (2 * np.arange(count) + 1) / count - 1
