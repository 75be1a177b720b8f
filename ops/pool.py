"""Pooling: one number per window of each channel. X is (batch, channels, *size)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ._budget import reserve
from ._checks import int_list
from ._registry import op
from ._typing import Array, is_floating
from ._windows import Windows, per_axis, windows


class MaxPool(NamedTuple):
    """What MaxPool returns."""

    y: Array
    indices: Array


@op("MaxPool", since=1)
def max_pool(
    x: Array,
    /,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: tuple[int, ...] | None = None,
    kernel_shape: tuple[int, ...],
    pads: tuple[int, ...] | None = None,
    storage_order: int = 0,
    strides: tuple[int, ...] | None = None,
) -> MaxPool:
    """The maximum of each window without its padding, and where it is; NaN if there is one.

    ``indices`` (int64) point into the flattened X, to the first of several maxima. With
    ``storage_order=1`` the spatial axes are flattened in column-major order. Raises ValueError for
    attributes that do not fit each other or the shape of X.

    >>> max_pool(np.array([[[1, 7, 5, 3]]]), kernel_shape=(2,), strides=(2,))
    MaxPool(y=array([[[7, 5]]]), indices=array([[[1, 2]]]))

    Spec: MaxPool-22.
    """
    places = windows(
        x.shape[2:], kernel_shape, auto_pad=auto_pad, ceil_mode=ceil_mode, dilations=dilations,
        pads=pads, strides=strides,
    )  # fmt: skip
    seen = places.padded(x, _lowest(x.dtype))
    y = np.full((*x.shape[:2], *places.counts), _lowest(x.dtype), x.dtype)
    for _, view in places.positions():
        np.maximum(y, seen[view], out=y)
    return MaxPool(y, _where_found(y, seen, places, storage_order))


def _lowest(dtype: np.dtype[Any]) -> Any:
    return -np.inf if is_floating(dtype) else np.iinfo(dtype).min


def _where_found(y: Array, seen: Array, places: Windows, storage_order: int) -> Array:
    """The flat index of the first element of each window that equals ``y`` (or is NaN)."""
    batch, channels = y.shape[:2]
    grid, size = places.grid(), places.size
    known = places.known()
    flat = np.ravel_multi_index(tuple(grid), size, mode="clip", order="F" if storage_order else "C")
    found = np.zeros(y.shape, np.int64)
    open_ = np.ones(y.shape, bool)
    for place, view in places.positions():
        here = open_ & known[place] & ((seen[view] == y) | np.isnan(seen[view]))
        np.copyto(found, flat[place], where=here)
        open_ &= ~here
    planes = np.arange(batch * channels).reshape(batch, channels, *[1] * len(size))
    return found + planes * math.prod(size)


@op("AveragePool", since=1, rounds=True)
def average_pool(
    x: Array,
    /,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: tuple[int, ...] | None = None,
    kernel_shape: tuple[int, ...],
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """The mean of each window, without its padding or with it (``count_include_pad``).

    What a last window has beyond the padding (``ceil_mode``) never counts. The mean of no elements
    is 0. Raises ValueError for attributes that do not fit each other or the shape of X.

    >>> average_pool(np.array([[[2.0, 4.0, 6.0]]]), kernel_shape=(2,), pads=(1, 0))
    array([[[2., 3., 5.]]])

    Spec: AveragePool-22.
    """
    places = windows(
        x.shape[2:], kernel_shape, auto_pad=auto_pad, ceil_mode=ceil_mode, dilations=dilations,
        pads=pads, strides=strides,
    )  # fmt: skip
    counted = places.known(with_padding=bool(count_include_pad))
    counts = counted.sum(axis=tuple(range(len(places.kernel)))).astype(x.dtype)
    return np.asarray(_window_sums(x, places) / np.maximum(counts, 1))


def _window_sums(x: Array, places: Windows) -> Array:
    seen = places.padded(x)
    total = np.zeros((*x.shape[:2], *places.counts), x.dtype)
    for _, view in places.positions():
        total += seen[view]
    return total


@op("LpPool", since=2, rounds=True)
def lp_pool(
    x: Array,
    /,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: tuple[int, ...] | None = None,
    kernel_shape: tuple[int, ...],
    p: int = 2,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """The Lp norm of each window: the ``p``-th root of the sum of ``|X| ** p``.

    Raises ValueError for attributes that do not fit each other or the shape of X.

    >>> lp_pool(np.array([[[3.0, 4.0, 0.0]]]), kernel_shape=(2,))
    array([[[5., 4.]]])

    Spec: LpPool-22.
    """
    places = windows(
        x.shape[2:], kernel_shape, auto_pad=auto_pad, ceil_mode=ceil_mode, dilations=dilations,
        pads=pads, strides=strides,
    )  # fmt: skip
    return np.asarray(_window_sums(np.abs(x) ** p, places) ** (1 / p))


@op("LpPool", since=1, rounds=True)
def lp_pool_1(
    x: Array,
    /,
    *,
    auto_pad: str = "NOTSET",
    kernel_shape: tuple[int, ...] | None = None,
    p: float = 2.0,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """The Lp norm of each window; ``p`` is a float.

    Raises ValueError for attributes that do not fit each other or the shape of X.

    >>> lp_pool_1(np.array([[[3.0, 4.0, 0.0]]]), kernel_shape=(2,))
    array([[[5., 4.]]])

    Spec: LpPool-1.
    """
    places = windows(x.shape[2:], kernel_shape or (), auto_pad=auto_pad, pads=pads, strides=strides)
    return np.asarray(_window_sums(np.abs(x) ** p, places) ** (1 / p))


@op("GlobalMaxPool", since=1)
def global_max_pool(x: Array, /) -> Array:
    """The maximum of each channel; the spatial dimensions become 1.

    Raises ValueError for a rank below 2.

    >>> global_max_pool(np.array([[[1.0, 3.0], [5.0, 2.0]]]))
    array([[[3.],
            [5.]]])

    Spec: GlobalMaxPool-22.
    """
    return x.max(axis=_spatial(x), keepdims=True)


@op("GlobalAveragePool", since=1, rounds=True)
def global_average_pool(x: Array, /) -> Array:
    """The mean of each channel; the spatial dimensions become 1.

    Raises ValueError for a rank below 2.

    >>> global_average_pool(np.array([[[1.0, 3.0], [5.0, 2.0]]]))
    array([[[2. ],
            [3.5]]])

    Spec: GlobalAveragePool-22.
    """
    return x.mean(axis=_spatial(x), keepdims=True)


@op("GlobalLpPool", since=2, rounds=True)
def global_lp_pool(x: Array, /, *, p: int = 2) -> Array:
    """The Lp norm of each channel; the spatial dimensions become 1.

    Raises ValueError for a rank below 2.

    >>> global_lp_pool(np.array([[[3.0, 4.0]]]))
    array([[[5.]]])

    Spec: GlobalLpPool-22.
    """
    return (np.abs(x) ** p).sum(axis=_spatial(x), keepdims=True) ** (1 / p)


@op("GlobalLpPool", since=1, rounds=True)
def global_lp_pool_1(x: Array, /, *, p: float = 2.0) -> Array:
    """The Lp norm of each channel; ``p`` is a float.

    Raises ValueError for a rank below 2.

    >>> global_lp_pool_1(np.array([[[3.0, 4.0]]]))
    array([[[5.]]])

    Spec: GlobalLpPool-1.
    """
    return (np.abs(x) ** p).sum(axis=_spatial(x), keepdims=True) ** (1 / p)


def _spatial(x: Array) -> tuple[int, ...]:
    if x.ndim < 2:
        raise ValueError(f"expected (batch, channels, ...), got shape {x.shape}")
    return tuple(range(2, x.ndim))


@op("MaxUnpool", since=9)
def max_unpool(
    x: Array,
    i: Array,
    output_shape: Array | None = None,
    /,
    *,
    kernel_shape: tuple[int, ...],
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """Zeros with the elements of ``X`` at the indices ``I`` that MaxPool returned for them.

    The indices point into the smallest tensor from which MaxPool makes X; a larger ``output_shape``
    has it in its first corner. Raises IndexError for an index outside of it, ValueError for an
    ``output_shape`` that is smaller and attributes that do not fit.

    >>> max_unpool(np.array([[[7, 5]]]), np.array([[[1, 2]]]), kernel_shape=(2,), strides=(2,))
    array([[[0, 7, 5, 0]]])

    Spec: MaxUnpool-22.
    """
    rank = x.ndim - 2
    steps = per_axis("strides", strides, rank, least=1)
    margins = per_axis("pads", pads, 2 * rank, least=0, default=0)
    kernel = per_axis("kernel_shape", kernel_shape, rank, least=1)
    spatial = np.subtract(x.shape[2:], 1) * steps + kernel - np.reshape(margins, (2, -1)).sum(0)
    shape = (*x.shape[:2], *spatial.tolist())
    reserve(shape, x.dtype)
    image = np.zeros(shape, x.dtype)
    if x.shape != i.shape or ((i < 0) | (i >= image.size)).any():
        raise IndexError(f"indices of shape {i.shape} for X {x.shape} must lie in {shape}")
    image.reshape(-1)[i] = x
    if output_shape is None:
        return image
    wanted = int_list(output_shape)
    reserve(wanted, x.dtype)
    if len(wanted) != len(shape) or np.any(np.less(wanted, shape)):
        raise ValueError(f"output_shape {wanted} does not hold {shape}")
    return np.pad(image, [(0, n - m) for n, m in zip(wanted, shape, strict=True)])
