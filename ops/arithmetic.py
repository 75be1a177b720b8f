"""Elementwise arithmetic. Binary operators broadcast as in NumPy."""

from __future__ import annotations

import functools

import numpy as np

from ._budget import reserve_broadcast
from ._checks import numbers, same_numbers
from ._registry import op
from ._typing import Array, code_of
from .casting import cast


@op("Add", since=7, rounds=True)
def add(a: Array, b: Array, /) -> Array:
    """``A + B``; integers wrap around.

    The operands have one numeric dtype, which the result has, too. Raises TypeError for other
    dtypes, ValueError for shapes that do not broadcast.

    >>> add(np.array([1, 2]), np.array(10))
    array([11, 12])

    Spec: Add-14.
    """
    same_numbers(a, b)
    return np.asarray(a + b)


@op("Sub", since=7, rounds=True)
def sub(a: Array, b: Array, /) -> Array:
    """``A - B``; integers wrap around.

    The operands have one numeric dtype, which the result has, too. Raises TypeError for other
    dtypes, ValueError for shapes that do not broadcast.

    >>> sub(np.array([1, 2]), np.array(10))
    array([-9, -8])

    Spec: Sub-14.
    """
    same_numbers(a, b)
    return np.asarray(a - b)


@op("Mul", since=7, rounds=True)
def mul(a: Array, b: Array, /) -> Array:
    """``A * B``; integers wrap around.

    The operands have one numeric dtype, which the result has, too. Raises TypeError for other
    dtypes, ValueError for shapes that do not broadcast.

    >>> mul(np.array([1, 2]), np.array(10))
    array([10, 20])

    Spec: Mul-14.
    """
    same_numbers(a, b)
    return np.asarray(a * b)


@op("Div", since=7, rounds=True)
def div(a: Array, b: Array, /) -> Array:
    """``A / B``; integers truncate towards zero, as in C.

    The operands have one numeric dtype, which the result has, too. A float divided by zero gives
    inf or NaN; the smallest integer divided by -1 wraps around. Raises ZeroDivisionError for an
    integer divided by zero, TypeError for other dtypes, ValueError for shapes that do not
    broadcast.

    >>> div(np.array([7, -7]), np.array(2))
    array([ 3, -3])

    Spec: Div-14.
    """
    same_numbers(a, b)
    if a.dtype.kind not in "iu":
        return np.asarray(a / b)
    _refuse_zero(b)
    return np.asarray((a - np.fmod(a, b)) // b)


@op("Mod", since=10)
def mod(a: Array, b: Array, /, *, fmod: int = 0) -> Array:
    """The remainder of ``A / B``: with the sign of B, or of A if ``fmod`` is 1.

    The operands have one numeric dtype, which the result has, too. Before opset 28 floats need
    ``fmod=1``. Raises ZeroDivisionError for an integer modulo zero, TypeError for other dtypes,
    ValueError for shapes that do not broadcast.

    >>> mod(np.array([7, -7]), np.array(3)), mod(np.array([7, -7]), np.array(3), fmod=1)
    (array([1, 2]), array([ 1, -1]))

    Spec: Mod-28.
    """
    same_numbers(a, b)
    if a.dtype.kind in "iu":
        _refuse_zero(b)
    return np.asarray(np.fmod(a, b) if fmod else np.mod(a, b))


@op("Pow", since=7, rounds=True)
def pow_(x: Array, y: Array, /) -> Array:
    """``X`` to the power ``Y``, in the dtype of X whatever that of Y.

    Integers to integer powers are exact modulo 2 to the dtype's width; negative powers truncate
    (``2 ** -1`` is 0). Integers to other powers are computed in float64 and converted back by the
    rules of Cast. Raises ZeroDivisionError for 0 to a negative integer power, TypeError for bools
    and strings, ValueError for shapes that do not broadcast.

    >>> pow_(np.array([2, 3]), np.array([3.0, 2.0]))
    array([8, 9])

    Spec: Pow-15.
    """
    numbers(x, y)
    reserve_broadcast(x, y)
    if x.dtype.kind in "iu" and y.dtype.kind in "iu":
        return _integer_power(x, y)
    if x.dtype.kind in "iu":
        power = np.asarray(np.power(x.astype(np.float64), y.astype(np.float64)))
        return cast(power, to=code_of(x.dtype))
    return np.asarray(np.power(x, y).astype(x.dtype, copy=False))


def _integer_power(x: Array, y: Array) -> Array:
    negative = y < 0
    if (negative & (x == 0)).any():
        raise ZeroDivisionError("0 cannot be raised to a negative power")
    # In uint64, which holds the absolute value of every exponent, and where products wrap around.
    size = y.astype(np.uint64)
    size = np.where(negative, np.negative(size), size)
    power = np.power(x.astype(np.uint64), size).astype(x.dtype)
    # Only the reciprocals of 1 and -1 do not truncate to 0.
    return np.where(negative & (np.abs(x) != 1), np.zeros((), x.dtype), power)


def _refuse_zero(divisor: Array) -> None:
    if not np.all(divisor):
        raise ZeroDivisionError("an integer is divided by zero")


@op("Neg", since=6)
def neg(x: Array, /) -> Array:
    """``-X``, in the signed dtype of X; the smallest integer is its own negative.

    >>> neg(np.array([1.0, -2.0]))
    array([-1.,  2.])

    Spec: Neg-13.
    """
    return np.asarray(np.negative(x))


@op("Abs", since=6)
def abs_(x: Array, /) -> Array:
    """``|X|``, in the dtype of X; the smallest signed integer is its own absolute value.

    >>> abs_(np.array([1.0, -2.0]))
    array([1., 2.])

    Spec: Abs-13.
    """
    return np.asarray(np.abs(x))


@op("Sign", since=9)
def sign(input: Array, /) -> Array:
    """-1, 0 or 1 for elements below, at or above zero; NaN stays NaN.

    >>> sign(np.array([-3.5, 0.0, 2.0]))
    array([-1.,  0.,  1.])

    Spec: Sign-13.
    """
    return np.asarray(np.sign(input))


@op("Reciprocal", since=6, rounds=True)
def reciprocal(x: Array, /) -> Array:
    """``1 / X``, in the floating dtype of X; zero gives inf.

    >>> reciprocal(np.array([2.0, -4.0]))
    array([ 0.5 , -0.25])

    Spec: Reciprocal-13.
    """
    return np.asarray(1 / x)


@op("Sqrt", since=6, rounds=True)
def sqrt(x: Array, /) -> Array:
    """The square root of each element, in its floating dtype; NaN below zero.

    >>> sqrt(np.array([4.0, 2.25]))
    array([2. , 1.5])

    Spec: Sqrt-13.
    """
    return np.asarray(np.sqrt(x))


@op("Max", since=8)
def max_(*data_0: Array) -> Array:
    """The elementwise maximum of the inputs; NaN wherever one of them is NaN.

    One or more inputs of one numeric dtype, broadcast against each other. Raises TypeError for
    other dtypes, ValueError for shapes that do not broadcast.

    >>> max_(np.array([1, 5]), np.array([3, 2]), np.array(2))
    array([3, 5])

    Spec: Max-13.
    """
    same_numbers(*data_0)
    return np.asarray(functools.reduce(np.maximum, data_0))


@op("Min", since=8)
def min_(*data_0: Array) -> Array:
    """The elementwise minimum of the inputs; NaN wherever one of them is NaN.

    One or more inputs of one numeric dtype, broadcast against each other. Raises TypeError for
    other dtypes, ValueError for shapes that do not broadcast.

    >>> min_(np.array([1, 5]), np.array([3, 2]), np.array(2))
    array([1, 2])

    Spec: Min-13.
    """
    same_numbers(*data_0)
    return np.asarray(functools.reduce(np.minimum, data_0))


@op("Sum", since=8, rounds=True)
def sum_(*data_0: Array) -> Array:
    """The elementwise sum of the inputs; half precision is accumulated in float32.

    One or more floating inputs of one dtype, broadcast against each other. Raises TypeError for
    other dtypes, ValueError for shapes that do not broadcast.

    >>> sum_(np.array([1.0, 5.0]), np.array([3.0, 2.0]), np.array(2.0))
    array([6., 9.])

    Spec: Sum-13.
    """
    same_numbers(*data_0)
    return np.asarray(functools.reduce(np.add, data_0))


@op("Mean", since=8, rounds=True)
def mean(*data_0: Array) -> Array:
    """The elementwise mean of the inputs; half precision is accumulated in float32.

    One or more floating inputs of one dtype, broadcast against each other. Raises TypeError for
    other dtypes, ValueError for shapes that do not broadcast.

    >>> mean(np.array([1.0, 5.0]), np.array([3.0, 2.0]), np.array(2.0))
    array([2., 3.])

    Spec: Mean-13.
    """
    return np.asarray(sum_(*data_0) / len(data_0))
