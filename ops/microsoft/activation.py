"""Activations fused with a bias, and those that other fused operators name."""

from __future__ import annotations

import math

import numpy as np

from .. import activation
from .._checks import same_type
from .._recurrence import activations
from .._registry import op
from .._typing import Array


@op("Gelu", since=1, domain="com.microsoft", rounds=True)
def gelu(x: Array, /) -> Array:
    """``X`` times the cumulative distribution function of the normal distribution at X.

    Needs SciPy.

    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(6)
    array([-0.158655,  0.      ,  0.841345])

    Spec: com.microsoft.Gelu-1.
    """
    return activation.gelu(x)


@op("BiasGelu", since=1, domain="com.microsoft", rounds=True)
def bias_gelu(a: Array, b: Array, /) -> Array:
    """The Gelu of ``A + B``, with B a vector along the last axis.

    Needs SciPy. Raises ValueError for shapes that do not fit, TypeError for different dtypes.

    >>> bias_gelu(np.array([[-2.0, 0.0]]), np.array([1.0, 1.0])).round(6)
    array([[-0.158655,  0.841345]])

    Spec: com.microsoft.BiasGelu-1.
    """
    same_type(a, b)
    return activation.gelu(a + b)


@op("FastGelu", since=1, domain="com.microsoft", rounds=True)
def fast_gelu(x: Array, bias: Array | None = None, /) -> Array:
    """The Gelu of ``X + bias``, approximated by tanh.

    Raises ValueError for shapes that do not fit, TypeError for different dtypes.

    >>> fast_gelu(np.array([-1.0, 0.0, 1.0])).round(6)
    array([-0.158808,  0.      ,  0.841192])

    Spec: com.microsoft.FastGelu-1.
    """
    if bias is not None:
        same_type(x, bias)
        x = x + bias
    return activation.gelu(x, approximate="tanh")


@op("QuickGelu", since=1, domain="com.microsoft", rounds=True)
def quick_gelu(x: Array, /, *, alpha: float = 1.702) -> Array:
    """``X * sigmoid(alpha * X)``.

    >>> quick_gelu(np.array([0.0, 100.0]))
    array([  0., 100.])

    Spec: com.microsoft.QuickGelu-1.
    """
    return activation.swish(x, alpha=alpha)


@op("BiasSplitGelu", since=1, domain="com.microsoft", rounds=True)
def bias_split_gelu(x: Array, bias: Array, /) -> Array:
    """The left half of ``X + bias`` times the Gelu of its right half, along the last axis.

    Needs SciPy. Raises ValueError for shapes that do not fit, TypeError for different dtypes.

    >>> bias_split_gelu(np.array([[[3.0, 100.0]]]), np.array([0.0, 0.0]))
    array([[[300.]]])

    Spec: com.microsoft.BiasSplitGelu-1.
    """
    same_type(x, bias)
    left, right = np.split(x + bias, 2, axis=-1)
    return np.asarray(left * activation.gelu(right))


_FUSED = ("Clip", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh")


def activated(x: Array, name: str | None, alpha: float | None, beta: float | None) -> Array:
    """The activation that a fused operator names, of ``x``; ``x`` itself without a name.

    Raises ValueError for a name that onnxruntime does not fuse.

    >>> activated(np.array([-1.0]), "LeakyRelu", 0.5, None)
    array([-0.5])
    """
    if not name:
        return x
    if name not in _FUSED:
        raise ValueError(f"the activation is one of {', '.join(_FUSED)}, not {name!r}")
    if name == "Clip":
        return np.clip(x, -math.inf if alpha is None else alpha, math.inf if beta is None else beta)
    alphas, betas = ([] if number is None else [number] for number in (alpha, beta))
    (function,) = activations([name], alphas, betas, None)
    return function(x)
