"""Normalization fused with the additions in front of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import normalization
from .._checks import axis_in
from .._registry import op
from .._typing import Array, dtype_of
from ..reduction import mean_over


class SkipLayerNormalization(NamedTuple):
    """What SkipLayerNormalization and SkipSimplifiedLayerNormalization return."""

    output: Array
    mean: Array
    inv_std_var: Array
    input_skip_bias_sum: Array


@op("SkipLayerNormalization", since=1, domain="com.microsoft", rounds=(0, 3))
def skip_layer_normalization(
    input: Array,
    skip: Array,
    gamma: Array,
    beta: Array | None = None,
    bias: Array | None = None,
    /,
    *,
    epsilon: float = 1e-12,
) -> SkipLayerNormalization:
    """The LayerNormalization of ``input + skip + bias``, its statistics, and the sum.

    ``skip`` may lack the batch axis; ``gamma``, ``beta`` and ``bias`` are vectors. Raises
    ValueError for shapes that do not fit, TypeError for different dtypes.

    >>> one = np.ones(2)
    >>> skip_layer_normalization(np.array([[[0.0, 2.0]]]), one, one).output.round(3)
    array([[[-1.,  1.]]])

    Spec: com.microsoft.SkipLayerNormalization-1.
    """
    total = _total(input, skip, bias)
    normal = normalization.layer_normalization(total, gamma, beta, epsilon=epsilon)
    return SkipLayerNormalization(*normal, total)


@op("SkipSimplifiedLayerNormalization", since=1, domain="com.microsoft", rounds=(0, 3))
def skip_simplified_layer_normalization(
    input: Array, skip: Array, gamma: Array, bias: Array | None = None, /, *, epsilon: float = 1e-12
) -> SkipLayerNormalization:
    """The RMS normalization of ``input + skip + bias``, its statistics, and the sum.

    There is no mean to subtract: that output is zeros. Raises ValueError for shapes that do not
    fit.

    >>> one = np.ones(2)
    >>> skip_simplified_layer_normalization(np.array([[[2.0, 2.0]]]), one, one).output.round(3)
    array([[[1., 1.]]])

    Spec: com.microsoft.SkipSimplifiedLayerNormalization-1.
    """
    total = _total(input, skip, bias)
    output, inv_std_var = simplified_layer_normalization(total, gamma, epsilon=epsilon)
    return SkipLayerNormalization(output, np.zeros_like(inv_std_var), inv_std_var, total)


class SimplifiedLayerNormalization(NamedTuple):
    """What SimplifiedLayerNormalization returns."""

    y: Array
    inv_std_var: Array


@op("SimplifiedLayerNormalization", since=1, rounds=(0,), like=(1,))
def simplified_layer_normalization(
    x: Array, scale: Array, /, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> SimplifiedLayerNormalization:
    """``X`` divided by its root mean square over every axis from ``axis`` on, times ``scale``.

    ``scale`` gives the result its dtype. onnxruntime defines this operator in the standard's
    domain. Raises ValueError for an axis that does not exist and a scale that does not broadcast.

    >>> simplified_layer_normalization(np.array([[3.0, -3.0]]), np.array([1.0, 2.0])).y.round(3)
    array([[ 1., -2.]])

    Spec: onnxruntime, SimplifiedLayerNormalization-1; Zhang and Sennrich 2019.
    """
    axes = tuple(range(axis_in(axis, x.ndim), x.ndim))
    inv_std_var = 1 / np.sqrt(mean_over(np.square(x), axes) + epsilon)
    y = (x * inv_std_var * scale).astype(scale.dtype, copy=False)
    return SimplifiedLayerNormalization(y, inv_std_var.astype(dtype_of(stash_type), copy=False))


def _total(input: Array, skip: Array, bias: Array | None) -> Array:
    total = input + skip
    return np.asarray(total if bias is None else total + bias)
