"""Elementwise activation functions. The results have the dtype and shape of the input."""

from __future__ import annotations

import math

import numpy as np

from ._checks import same_numbers
from ._registry import op
from ._typing import Array


@op("Relu", since=6)
def relu(x: Array, /) -> Array:
    """``max(X, 0)``, in the signed dtype of X; NaN stays.

    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])

    Spec: Relu-14.
    """
    return np.asarray(np.maximum(x, np.zeros((), x.dtype)))


@op("Sigmoid", since=6, rounds=True)
def sigmoid(x: Array, /) -> Array:
    """``1 / (1 + exp(-X))``, without overflow for either sign.

    >>> sigmoid(np.array([0.0, -1e9, 1e9]))
    array([0.5, 0. , 1. ])

    Spec: Sigmoid-13.
    """
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, np.ones((), x.dtype), small) / (1 + small))


@op("Softplus", since=1, rounds=True)
def softplus(x: Array, /) -> Array:
    """``log(1 + exp(X))``, without overflow.

    >>> softplus(np.array([-1e9, 1e9]))
    array([0.e+00, 1.e+09])

    Spec: Softplus-22.
    """
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


@op("Softsign", since=1, rounds=True)
def softsign(input: Array, /) -> Array:
    """``x / (1 + |x|)``.

    >>> softsign(np.array([-1.0, 3.0]))
    array([-0.5 ,  0.75])

    Spec: Softsign-22.
    """
    return np.asarray(input / (1 + np.abs(input)))


@op("Gelu", since=20, rounds=True)
def gelu(x: Array, /, *, approximate: str = "none") -> Array:
    """``X`` times the cumulative distribution function of the normal distribution at X.

    ``approximate="tanh"`` replaces that function by ``(1 + tanh(u)) / 2`` with ``u = sqrt(2 / pi)
    (X + 0.044715 X**3)``. Needs SciPy. Raises ValueError for another ``approximate`` than "none"
    and "tanh".

    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(6)
    array([-0.158655,  0.      ,  0.841345])

    Spec: Gelu-20; Hendrycks and Gimpel 2016.
    """
    if approximate == "tanh":
        u = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
        return np.asarray(x * sigmoid(2 * u))  # (1 + tanh(u)) / 2 cancels for X below 0
    if approximate != "none":
        raise ValueError(f"approximate is none or tanh, not {approximate!r}")
    from scipy import special

    return np.asarray(x * special.ndtr(x))  # 1 + erf cancels, too


@op("Swish", since=24, rounds=True)
def swish(x: Array, /, *, alpha: float = 1.0) -> Array:
    """``X * sigmoid(alpha * X)``, called SiLU for ``alpha=1``.

    >>> swish(np.array([0.0, 100.0]))
    array([  0., 100.])

    Spec: Swish-24; Ramachandran et al. 2017.
    """
    return np.asarray(x * sigmoid(alpha * x))


@op("SwiGLU", since=28, rounds=True)
def swiglu(a: Array, b: Array, /, *, alpha: float = 1.0) -> Array:
    """``Swish(A) * B``, for a gate A and a value B of one shape.

    Raises TypeError for different dtypes, ValueError for shapes that do not broadcast.

    >>> swiglu(np.array([0.0, 100.0]), np.array([5.0, 2.0]))
    array([  0., 200.])

    Spec: SwiGLU-28; Shazeer 2020.
    """
    same_numbers(a, b)
    return np.asarray(swish(a, alpha=alpha) * b)


@op("HardSigmoid", since=6, rounds=True)
def hard_sigmoid(x: Array, /, *, alpha: float = 0.2, beta: float = 0.5) -> Array:
    """``alpha * X + beta``, clipped to [0, 1].

    >>> hard_sigmoid(np.array([-9.0, 0.0, 9.0]))
    array([0. , 0.5, 1. ])

    Spec: HardSigmoid-22.
    """
    return np.asarray(np.clip(alpha * x + beta, 0, 1))


@op("HardSwish", since=14, rounds=True)
def hard_swish(x: Array, /) -> Array:
    """``X`` times its HardSigmoid with slope 1/6.

    >>> hard_swish(np.array([-9.0, 0.0, 3.0]))
    array([-0.,  0.,  3.])

    Spec: HardSwish-22; Howard et al. 2019.
    """
    return np.asarray(x * np.clip(x / 6 + 0.5, 0, 1))


@op("Mish", since=18, rounds=True)
def mish(x: Array, /) -> Array:
    """``X * tanh(softplus(X))``.

    >>> mish(np.array([0.0, 100.0]))
    array([  0., 100.])

    Spec: Mish-22; Misra 2019.
    """
    return np.asarray(x * np.tanh(softplus(x)))


@op("Elu", since=6, rounds=True)
def elu(x: Array, /, *, alpha: float = 1.0) -> Array:
    """``X`` above zero, ``alpha * (exp(X) - 1)`` below.

    >>> elu(np.array([-np.inf, 2.0]), alpha=0.5)
    array([-0.5,  2. ])

    Spec: Elu-22; Clevert et al. 2015.
    """
    return np.asarray(np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x))


@op("Celu", since=12, rounds=True)
def celu(x: Array, /, *, alpha: float = 1.0) -> Array:
    """``X`` above zero, ``alpha * (exp(X / alpha) - 1)`` below.

    >>> celu(np.array([-np.inf, 2.0]), alpha=0.5)
    array([-0.5,  2. ])

    Spec: Celu-28; Barron 2017.
    """
    return np.asarray(np.maximum(x, 0) + np.minimum(alpha * np.expm1(x / alpha), 0))


@op("Selu", since=6, rounds=True)
def selu(
    x: Array,
    /,
    *,
    alpha: float = 1.67326319217681884765625,
    gamma: float = 1.05070102214813232421875,
) -> Array:
    """``gamma`` times the Elu of ``X``.

    >>> selu(np.array([-np.inf, 1.0]), alpha=1.0, gamma=2.0)
    array([-2.,  2.])

    Spec: Selu-22; Klambauer et al. 2017.
    """
    return np.asarray(gamma * elu(x, alpha=alpha))


@op("LeakyRelu", since=6, rounds=True)
def leaky_relu(x: Array, /, *, alpha: float = 0.01) -> Array:
    """``X`` above zero, ``alpha * X`` below.

    >>> leaky_relu(np.array([-1.0, 2.0]), alpha=0.5)
    array([-0.5,  2. ])

    Spec: LeakyRelu-16.
    """
    return np.asarray(np.where(x < 0, alpha * x, x))


@op("PRelu", since=7, rounds=True)
def prelu(x: Array, slope: Array, /) -> Array:
    """``X`` above zero, ``slope * X`` below; ``slope`` broadcasts to the shape of X.

    Raises TypeError for different dtypes, ValueError for a slope that does not broadcast.

    >>> prelu(np.array([-1.0, 2.0]), np.array([0.5]))
    array([-0.5,  2. ])

    Spec: PRelu-16; He et al. 2015.
    """
    same_numbers(x, slope)
    return np.asarray(np.where(x < 0, np.broadcast_to(slope, x.shape) * x, x))


@op("PRelu", since=1, rounds=True)
def prelu_1(x: Array, slope: Array, /) -> Array:
    """``X`` above zero, ``slope * X`` below, with one slope per channel (axis 1), or one for all.

    Raises TypeError for different dtypes, ValueError for another number of slopes.

    >>> prelu_1(np.full((1, 2, 1), -1.0), np.array([0.5, 2.0])).ravel()
    array([-0.5, -2. ])

    Spec: PRelu-6.
    """
    channels = slope.reshape(()) if slope.size == 1 else slope.reshape(-1, *[1] * (x.ndim - 2))
    return prelu(x, channels)


@op("ThresholdedRelu", since=1)
def thresholded_relu(x: Array, /, *, alpha: float = 1.0) -> Array:
    """``X`` where it is above ``alpha``, else 0.

    >>> thresholded_relu(np.array([0.5, 2.0]))
    array([0., 2.])

    Spec: ThresholdedRelu-22.
    """
    return np.asarray(np.where(x > alpha, x, np.zeros((), x.dtype)))


@op("Shrink", since=9, rounds=True)
def shrink(input: Array, /, *, bias: float = 0.0, lambd: float = 0.5) -> Array:
    """Each element moved by ``bias`` towards zero where ``|x| > lambd``, else 0.

    >>> shrink(np.array([-2.0, 0.1, 2.0]), bias=1.0)
    array([-1.,  0.,  1.])

    Spec: Shrink-9.
    """
    moved = np.where(input > lambd, input - bias, input + bias)
    return np.asarray(np.where(np.abs(input) > lambd, moved, 0).astype(input.dtype))
