"""Elementary functions of one variable, rounding and clipping."""

from __future__ import annotations

import numpy as np

from ._checks import same_numbers
from ._registry import op
from ._typing import Array

_FLOAT32_MAX = float(np.finfo(np.float32).max)  # the default bounds of Clip-6


@op("Exp", since=6, rounds=True)
def exp(input: Array, /) -> Array:
    """The exponential of each element, in its floating dtype.

    >>> exp(np.array([0.0, -np.inf]))
    array([1., 0.])

    Spec: Exp-13.
    """
    return np.asarray(np.exp(input))


@op("Log", since=6, rounds=True)
def log(input: Array, /) -> Array:
    """The natural logarithm of each element; -inf at zero, NaN below.

    >>> log(np.array([1.0, np.inf]))
    array([ 0., inf])

    Spec: Log-13.
    """
    return np.asarray(np.log(input))


@op("Erf", since=9, rounds=True)
def erf(input: Array, /) -> Array:
    """The error function: ``2 / sqrt(pi)`` times the integral of ``exp(-t**2)`` from 0 to x.

    >>> erf(np.array([0.0, 0.5, np.inf])).round(6)
    array([0.    , 0.5205, 1.    ])

    Spec: Erf-13; Abramowitz and Stegun 7.1.1.
    """
    from scipy import special

    return np.asarray(special.erf(input)).astype(input.dtype, copy=False)


@op("Tanh", since=6, rounds=True)
def tanh(input: Array, /) -> Array:
    """The hyperbolic tangent of each element.

    >>> tanh(np.array([0.0, np.inf]))
    array([0., 1.])

    Spec: Tanh-13.
    """
    return np.asarray(np.tanh(input))


@op("Sin", since=7, rounds=True)
def sin(input: Array, /) -> Array:
    """The sine of each element, in radians.

    >>> sin(np.array([0.0, np.pi / 2]))
    array([0., 1.])

    Spec: Sin-22.
    """
    return np.asarray(np.sin(input))


@op("Cos", since=7, rounds=True)
def cos(input: Array, /) -> Array:
    """The cosine of each element, in radians.

    >>> cos(np.array([0.0, np.pi]))
    array([ 1., -1.])

    Spec: Cos-22.
    """
    return np.asarray(np.cos(input))


@op("Tan", since=7, rounds=True)
def tan(input: Array, /) -> Array:
    """The tangent of each element, in radians.

    >>> tan(np.array([0.0]))
    array([0.])

    Spec: Tan-22.
    """
    return np.asarray(np.tan(input))


@op("Asin", since=7, rounds=True)
def asin(input: Array, /) -> Array:
    """The angle in radians whose sine is each element; NaN outside [-1, 1].

    >>> asin(np.array([0.0]))
    array([0.])

    Spec: Asin-22.
    """
    return np.asarray(np.arcsin(input))


@op("Acos", since=7, rounds=True)
def acos(input: Array, /) -> Array:
    """The angle in radians whose cosine is each element; NaN outside [-1, 1].

    >>> acos(np.array([1.0]))
    array([0.])

    Spec: Acos-22.
    """
    return np.asarray(np.arccos(input))


@op("Atan", since=7, rounds=True)
def atan(input: Array, /) -> Array:
    """The angle in radians whose tangent is each element.

    >>> atan(np.array([0.0]))
    array([0.])

    Spec: Atan-22.
    """
    return np.asarray(np.arctan(input))


@op("Sinh", since=9, rounds=True)
def sinh(input: Array, /) -> Array:
    """The hyperbolic sine of each element.

    >>> sinh(np.array([0.0]))
    array([0.])

    Spec: Sinh-22.
    """
    return np.asarray(np.sinh(input))


@op("Cosh", since=9, rounds=True)
def cosh(input: Array, /) -> Array:
    """The hyperbolic cosine of each element.

    >>> cosh(np.array([0.0]))
    array([1.])

    Spec: Cosh-22.
    """
    return np.asarray(np.cosh(input))


@op("Asinh", since=9, rounds=True)
def asinh(input: Array, /) -> Array:
    """The inverse hyperbolic sine of each element.

    >>> asinh(np.array([0.0]))
    array([0.])

    Spec: Asinh-22.
    """
    return np.asarray(np.arcsinh(input))


@op("Acosh", since=9, rounds=True)
def acosh(input: Array, /) -> Array:
    """The inverse hyperbolic cosine of each element; NaN below 1.

    >>> acosh(np.array([1.0]))
    array([0.])

    Spec: Acosh-22.
    """
    return np.asarray(np.arccosh(input))


@op("Atanh", since=9, rounds=True)
def atanh(input: Array, /) -> Array:
    """The inverse hyperbolic tangent of each element; NaN outside [-1, 1].

    >>> atanh(np.array([0.0]))
    array([0.])

    Spec: Atanh-22.
    """
    return np.asarray(np.arctanh(input))


@op("Floor", since=6)
def floor(x: Array, /) -> Array:
    """The largest integer not above each element, in its floating dtype.

    >>> floor(np.array([1.5, -1.5]))
    array([ 1., -2.])

    Spec: Floor-13.
    """
    return np.asarray(np.floor(x))


@op("Ceil", since=6)
def ceil(x: Array, /) -> Array:
    """The smallest integer not below each element, in its floating dtype.

    >>> ceil(np.array([1.5, -1.5]))
    array([ 2., -1.])

    Spec: Ceil-13.
    """
    return np.asarray(np.ceil(x))


@op("Round", since=11)
def round_(x: Array, /) -> Array:
    """The nearest integer to each element, ties to even, in its floating dtype.

    >>> round_(np.array([0.5, 1.5, -2.6]))
    array([ 0.,  2., -3.])

    Spec: Round-22.
    """
    return np.asarray(np.rint(x))


@op("Clip", since=11)
def clip(input: Array, min: Array | None = None, max: Array | None = None, /) -> Array:
    """Each element clipped to ``[min, max]``, in the input's dtype; NaN stays.

    Each bound is a scalar of that dtype, or missing; where ``min > max`` the result is ``max``.
    Raises TypeError for a bound of another dtype, ValueError for one that is not a scalar.

    >>> clip(np.array([-5, 1, 9]), None, np.array(4))
    array([-5,  1,  4])

    Spec: Clip-13.
    """
    for bound in (min, max):
        if bound is not None:
            same_numbers(input, bound)
            if bound.ndim > 1 or bound.size != 1:
                raise ValueError(f"a bound is a scalar, not a tensor of shape {bound.shape}")
    low = input if min is None else np.maximum(input, min.reshape(()))
    return np.asarray(low if max is None else np.minimum(low, max.reshape(())))


@op("Clip", since=6)
def clip_6(input: Array, /, *, min: float = -_FLOAT32_MAX, max: float = _FLOAT32_MAX) -> Array:
    """Each floating element clipped to ``[min, max]``, which are attributes.

    >>> clip_6(np.array([-5.0, 1.0, 9.0]), min=0.0)
    array([0., 1., 9.])

    Spec: Clip-6.
    """
    with np.errstate(over="ignore"):  # in float16 the default bounds are infinite
        low, high = np.array([min, max]).astype(input.dtype)
    return np.asarray(np.minimum(np.maximum(input, low), high))
