"""Arithmetic, element by element. Binary operators broadcast as NumPy does."""

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

    Operands of one numeric dtype, which the result has too; TypeError otherwise.

    >>> add(np.array([1, 2]), np.array(10))
    array([11, 12])

    Spec: Add-14.
    """
    same_numbers(a, b)
    return np.asarray(a + b)


@op("Sub", since=7, rounds=True)
def sub(a: Array, b: Array, /) -> Array:
    """``A - B``; integers wrap around.

    Operands of one numeric dtype, which the result has too; TypeError otherwise.

    >>> sub(np.array([1, 2]), np.array(10))
    array([-9, -8])

    Spec: Sub-14.
    """
    same_numbers(a, b)
    return np.asarray(a - b)


@op("Mul", since=7, rounds=True)
def mul(a: Array, b: Array, /) -> Array:
    """``A * B``; integers wrap around.

    Operands of one numeric dtype, which the result has too; TypeError otherwise.

    >>> mul(np.array([1, 2]), np.array(10))
    array([10, 20])

    Spec: Mul-14.
    """
    same_numbers(a, b)
    return np.asarray(a * b)


@op("Div", since=7, rounds=True)
def div(a: Array, b: Array, /) -> Array:
    """``A / B``; integers truncate towards zero, as in C.

    Operands of one numeric dtype, which the result has too; TypeError otherwise. An integer divided
    by zero raises ZeroDivisionError, a float gives inf or NaN; the smallest integer over -1 wraps.

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

    Operands of one numeric dtype, which the result has too; TypeError otherwise. Floats need
    ``fmod=1`` before opset 28. An integer modulo zero raises ZeroDivisionError.

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

    Integer powers of integers are exact modulo the dtype's width; negative ones truncate
    (``2 ** -1`` is 0) and raise ZeroDivisionError for a base of 0. Other powers of integers are
    computed in float64 and become integers by the rules of Cast.

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
    # In uint64, where the size of every exponent has its place and products wrap around.
    size = y.astype(np.uint64)
    size = np.where(negative, np.negative(size), size)
    power = np.power(x.astype(np.uint64), size).astype(x.dtype)
    # Of the reciprocals only those of 1 and -1 do not truncate to 0.
    return np.where(negative & (np.abs(x) != 1), np.zeros((), x.dtype), power)


def _refuse_zero(divisor: Array) -> None:
    if not np.all(divisor):
        raise ZeroDivisionError("an integer is divided by zero")


@op("Neg", since=6)
def neg(x: Array, /) -> Array:
    """``-X``, in the signed dtype of X; the smallest integer stays itself.

    >>> neg(np.array([1.0, -2.0]))
    array([-1.,  2.])

    Spec: Neg-13.
    """
    return np.asarray(np.negative(x))


@op("Abs", since=6)
def abs_(x: Array, /) -> Array:
    """``|X|``, in the dtype of X; the smallest signed integer stays itself.

    >>> abs_(np.array([1.0, -2.0]))
    array([1., 2.])

    Spec: Abs-13.
    """
    return np.asarray(np.abs(x))


@op("Sign", since=9)
def sign(input: Array, /) -> Array:
    """-1, 0 or 1 as each element is below, at or above zero; NaN stays NaN.

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
    """The largest of the inputs at each place; NaN wherever one of them is NaN.

    Any number (at least one) of inputs of one dtype, broadcast against each other.

    >>> max_(np.array([1, 5]), np.array([3, 2]), np.array(2))
    array([3, 5])

    Spec: Max-13.
    """
    same_numbers(*data_0)
    return np.asarray(functools.reduce(np.maximum, data_0))


@op("Min", since=8)
def min_(*data_0: Array) -> Array:
    """The smallest of the inputs at each place; NaN wherever one of them is NaN.

    Any number (at least one) of inputs of one dtype, broadcast against each other.

    >>> min_(np.array([1, 5]), np.array([3, 2]), np.array(2))
    array([1, 2])

    Spec: Min-13.
    """
    same_numbers(*data_0)
    return np.asarray(functools.reduce(np.minimum, data_0))


@op("Sum", since=8, rounds=True)
def sum_(*data_0: Array) -> Array:
    """The sum of the inputs at each place, half-precision ones accumulated in float32.

    Any number (at least one) of floating inputs of one dtype, broadcast against each other.

    >>> sum_(np.array([1.0, 5.0]), np.array([3.0, 2.0]), np.array(2.0))
    array([6., 9.])

    Spec: Sum-13.
    """
    same_numbers(*data_0)
    return np.asarray(functools.reduce(np.add, data_0))


@op("Mean", since=8, rounds=True)
def mean(*data_0: Array) -> Array:
    """The mean of the inputs at each place, half-precision ones accumulated in float32.

    Any number (at least one) of floating inputs of one dtype, broadcast against each other.

    >>> mean(np.array([1.0, 5.0]), np.array([3.0, 2.0]), np.array(2.0))
    array([2., 3.])

    Spec: Mean-13.
    """
    return np.asarray(sum_(*data_0) / len(data_0))
