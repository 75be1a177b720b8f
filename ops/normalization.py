"""Normalization over the last axes, or along one axis."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ._checks import axis_in, one_type
from ._registry import op
from ._typing import Array, dtype_of
from .reduction import mean_over


class LayerNormalization(NamedTuple):
    """What LayerNormalization returns."""

    y: Array
    mean: Array
    inv_std_dev: Array


@op("LayerNormalization", since=1, rounds=(0,), like=(1,))
def layer_normalization(
    x: Array,
    scale: Array,
    b: Array | None = None,
    /,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> LayerNormalization:
    """``X`` normalized over every axis from ``axis`` on, then scaled and shifted.

    ``scale`` and ``b`` have one dtype, which the result has, too, and broadcast to the shape of X.
    The statistics are computed in ``stash_type`` at least and returned in it, with size 1 for each
    normalized axis. Raises TypeError for a scale and bias of different dtypes, ValueError for
    shapes that do not broadcast and an axis that does not exist.

    The standard has the operator from opset 17 on, for X of the dtype of ``scale``; onnxruntime
    writes and runs it at any opset, also with another float type for X.

    >>> layer_normalization(np.array([[1.0, 3.0]]), np.ones(2), np.array([0.0, 10.0])).y.round(3)
    array([[-1., 11.]])

    Spec: LayerNormalization-17; Ba et al. 2016.
    """
    one_type(scale, *(() if b is None else (b,)))
    axes = tuple(range(axis_in(axis, x.ndim), x.ndim))
    stash = _stashed(x, stash_type)
    mean = mean_over(stash, axes)
    centred = stash - mean
    inv_std_dev = 1 / np.sqrt(mean_over(np.square(centred), axes) + epsilon)
    wide = np.promote_types(x.dtype, scale.dtype)
    y = (centred * inv_std_dev).astype(wide, copy=False) * _fitted(scale, x)
    y = y if b is None else y + _fitted(b, x)
    returned = dtype_of(stash_type)
    return LayerNormalization(
        y.astype(scale.dtype, copy=False),
        mean.astype(returned, copy=False),
        inv_std_dev.astype(returned, copy=False),
    )


@op("RMSNormalization", since=23, rounds=True, like=(1,))
def rms_normalization(
    x: Array, scale: Array, /, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Array:
    """``X`` divided by its root mean square over every axis from ``axis`` on, times ``scale``.

    ``scale`` broadcasts to the shape of X and gives the result its dtype. The mean is computed in
    ``stash_type`` at least. Raises ValueError for an axis that does not exist and for a scale that
    does not broadcast.

    >>> rms_normalization(np.array([[3.0, -3.0]]), np.array([1.0, 2.0]), epsilon=0.0)
    array([[ 1., -2.]])

    Spec: RMSNormalization-23; Zhang and Sennrich 2019.
    """
    axes = tuple(range(axis_in(axis, x.ndim), x.ndim))
    stash = _stashed(x, stash_type)
    rms = np.sqrt(mean_over(np.square(stash), axes) + epsilon)
    normalized = (stash / rms).astype(x.dtype, copy=False)
    return np.asarray(_fitted(scale, x) * normalized.astype(scale.dtype, copy=False))


def _fitted(parameter: Array, x: Array) -> Array:
    return np.broadcast_to(parameter, x.shape)


def _stashed(x: Array, stash_type: int) -> Array:
    # Never narrower than X: a double model would otherwise lose half of its digits.
    return x.astype(np.promote_types(x.dtype, dtype_of(stash_type)), copy=False)


@op("LpNormalization", since=1, rounds=True)
def lp_normalization(input: Array, /, *, axis: int = -1, p: int = 2) -> Array:
    """The input divided by its L1 (``p=1``) or L2 norm along ``axis``; 0 where the norm is 0.

    Raises ValueError for another ``p`` and for an axis that does not exist.

    >>> lp_normalization(np.array([3.0, 4.0]))
    array([0.6, 0.8])

    Spec: LpNormalization-22.
    """
    if p not in (1, 2):
        raise ValueError(f"p is 1 or 2, not {p}")
    axis = axis_in(axis, input.ndim)
    norm = np.linalg.norm(input, ord=p, axis=axis, keepdims=True)
    return np.asarray(np.divide(input, norm, out=np.zeros_like(input), where=norm != 0))
