"""Elementwise comparisons and logic, whose results are bool, and selection."""

from __future__ import annotations

import numpy as np

from ._budget import reserve_broadcast
from ._checks import one_type, same_numbers, same_type
from ._registry import op
from ._typing import Array


@op("Equal", since=7)
def equal(a: Array, b: Array, /) -> Array:
    """Where ``A == B``; NaN equals nothing.

    The operands have one dtype, strings included. Raises TypeError for different dtypes, ValueError
    for shapes that do not broadcast.

    >>> equal(np.array([1, 2]), np.array(2))
    array([False,  True])

    Spec: Equal-19.
    """
    same_type(a, b)
    return np.asarray(a == b, dtype=bool)


@op("Greater", since=7)
def greater(a: Array, b: Array, /) -> Array:
    """Where ``A > B``.

    The operands have one numeric dtype and broadcast. Raises TypeError for other dtypes, ValueError
    for shapes that do not broadcast.

    >>> greater(np.array([1, 3]), np.array(2))
    array([False,  True])

    Spec: Greater-13.
    """
    same_numbers(a, b)
    return np.asarray(a > b)


@op("GreaterOrEqual", since=12)
def greater_or_equal(a: Array, b: Array, /) -> Array:
    """Where ``A >= B``.

    The operands have one numeric dtype and broadcast. Raises TypeError for other dtypes, ValueError
    for shapes that do not broadcast.

    >>> greater_or_equal(np.array([1, 2]), np.array(2))
    array([False,  True])

    Spec: GreaterOrEqual-16.
    """
    same_numbers(a, b)
    return np.asarray(a >= b)


@op("Less", since=7)
def less(a: Array, b: Array, /) -> Array:
    """Where ``A < B``.

    The operands have one numeric dtype and broadcast. Raises TypeError for other dtypes, ValueError
    for shapes that do not broadcast.

    >>> less(np.array([1, 3]), np.array(2))
    array([ True, False])

    Spec: Less-13.
    """
    same_numbers(a, b)
    return np.asarray(a < b)


@op("LessOrEqual", since=12)
def less_or_equal(a: Array, b: Array, /) -> Array:
    """Where ``A <= B``.

    The operands have one numeric dtype and broadcast. Raises TypeError for other dtypes, ValueError
    for shapes that do not broadcast.

    >>> less_or_equal(np.array([2, 3]), np.array(2))
    array([ True, False])

    Spec: LessOrEqual-16.
    """
    same_numbers(a, b)
    return np.asarray(a <= b)


@op("And", since=7)
def and_(a: Array, b: Array, /) -> Array:
    """Where both bool inputs are True.

    Raises TypeError for inputs that are not bool, ValueError for shapes that do not broadcast.

    >>> and_(np.array([True, False]), np.array(True))
    array([ True, False])

    Spec: And-7.
    """
    return np.asarray(np.logical_and(*_bools(a, b)))


@op("Or", since=7)
def or_(a: Array, b: Array, /) -> Array:
    """Where at least one bool input is True.

    Raises TypeError for inputs that are not bool, ValueError for shapes that do not broadcast.

    >>> or_(np.array([True, False]), np.array(False))
    array([ True, False])

    Spec: Or-7.
    """
    return np.asarray(np.logical_or(*_bools(a, b)))


@op("Xor", since=7)
def xor(a: Array, b: Array, /) -> Array:
    """Where exactly one bool input is True.

    Raises TypeError for inputs that are not bool, ValueError for shapes that do not broadcast.

    >>> xor(np.array([True, False]), np.array(True))
    array([False,  True])

    Spec: Xor-7.
    """
    return np.asarray(np.logical_xor(*_bools(a, b)))


@op("Not", since=1)
def not_(x: Array, /) -> Array:
    """Where the bool input is False.

    Raises TypeError for another dtype.

    >>> not_(np.array([True, False]))
    array([False,  True])

    Spec: Not-1.
    """
    return np.asarray(np.logical_not(*_bools(x)))


def _bools(*arrays: Array) -> tuple[Array, ...]:
    for array in arrays:
        if array.dtype != bool:
            raise TypeError(f"expected bool, got {array.dtype}")
    same_type(*arrays)
    return arrays


@op("Where", since=9)
def where(condition: Array, x: Array, y: Array, /) -> Array:
    """``X`` where ``condition`` is True, else ``Y``; all three broadcast.

    X and Y have one dtype, which the result has, too. Raises TypeError for different dtypes or a
    condition that is not bool, ValueError for shapes that do not broadcast.

    >>> where(np.array([True, False]), np.array([1, 2]), np.array(0))
    array([1, 0])

    Spec: Where-16.
    """
    one_type(x, y)
    (choice,) = _bools(condition)
    reserve_broadcast(choice, x, y)
    return np.asarray(np.where(choice, x, y))


@op("IsNaN", since=9)
def isnan(x: Array, /) -> Array:
    """Where the floating input is NaN.

    >>> isnan(np.array([np.nan, np.inf]))
    array([ True, False])

    Spec: IsNaN-20.
    """
    return np.asarray(np.isnan(x))


@op("IsInf", since=10)
def isinf(x: Array, /, *, detect_negative: int = 1, detect_positive: int = 1) -> Array:
    """Where the floating input is infinite, for the signs that are asked for.

    >>> isinf(np.array([np.inf, -np.inf, 0.0]), detect_negative=0)
    array([ True, False, False])

    Spec: IsInf-20.
    """
    wanted = np.where(np.signbit(x), bool(detect_negative), bool(detect_positive))
    return np.asarray(np.isinf(x) & wanted)
