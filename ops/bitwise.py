"""Integers as bit patterns."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._checks import same_type
from ._registry import op
from ._typing import Array, dtype_of, is_floating, is_foreign


@op("BitShift", since=11)
def bit_shift(x: Array, y: Array, /, *, direction: str) -> Array:
    """``X`` shifted by ``Y`` bits, ``"LEFT"`` or ``"RIGHT"``.

    A shift by the width or more gives 0 (or -1). Raises ValueError for another direction, TypeError
    for operands of different dtypes.

    >>> bit_shift(np.array([16, 4], "uint8"), np.array([1, 9], "uint8"), direction="RIGHT")
    array([8, 0], dtype=uint8)

    Spec: BitShift-28.
    """
    same_type(x, y)
    if direction not in ("LEFT", "RIGHT"):
        raise ValueError(f"direction is LEFT or RIGHT, not {direction!r}")
    return np.asarray(np.left_shift(x, y) if direction == "LEFT" else np.right_shift(x, y))


@op("BitwiseAnd", since=18)
def bitwise_and(a: Array, b: Array, /) -> Array:
    """The bitwise AND of two integers of one dtype.

    Raises TypeError for other dtypes, ValueError for shapes that do not broadcast.

    >>> bitwise_and(np.array([6, 5]), np.array(3))
    array([2, 1])

    Spec: BitwiseAnd-18.
    """
    same_type(a, b)
    return np.asarray(np.bitwise_and(a, b))


@op("BitwiseOr", since=18)
def bitwise_or(a: Array, b: Array, /) -> Array:
    """The bitwise OR of two integers of one dtype.

    Raises TypeError for other dtypes, ValueError for shapes that do not broadcast.

    >>> bitwise_or(np.array([6, 5]), np.array(3))
    array([7, 7])

    Spec: BitwiseOr-18.
    """
    same_type(a, b)
    return np.asarray(np.bitwise_or(a, b))


@op("BitwiseXor", since=18)
def bitwise_xor(a: Array, b: Array, /) -> Array:
    """The bitwise XOR of two integers of one dtype.

    Raises TypeError for other dtypes, ValueError for shapes that do not broadcast.

    >>> bitwise_xor(np.array([6, 5]), np.array(3))
    array([5, 6])

    Spec: BitwiseXor-18.
    """
    same_type(a, b)
    return np.asarray(np.bitwise_xor(a, b))


@op("BitwiseNot", since=18)
def bitwise_not(x: Array, /) -> Array:
    """Each integer with all its bits flipped.

    >>> bitwise_not(np.array([0, 5], "uint8"))
    array([255, 250], dtype=uint8)

    Spec: BitwiseNot-18.
    """
    return np.asarray(np.bitwise_not(x))


@op("BitCast", since=26)
def bit_cast(input: Array, /, *, to: int) -> Array:
    """The same bits read as element type ``to``, whose width must be the input's.

    Read as bool, every byte but 0 is True. Raises TypeError if the widths differ or a type is
    string.

    >>> bit_cast(np.array([1.0], "float32"), to=7 - 1)
    array([1065353216], dtype=int32)

    Spec: BitCast-26.
    """
    dtype = dtype_of(to)
    if "O" in (dtype.kind, input.dtype.kind) or _width(dtype) != _width(input.dtype):
        raise TypeError(f"the bits of {input.dtype} cannot be read as {dtype}")
    if dtype == bool:  # NumPy's bools are 0 or 1
        return np.asarray(input.view(np.uint8) != 0)
    return np.asarray(np.ascontiguousarray(input).reshape(input.shape).view(dtype))


def _width(dtype: np.dtype[Any]) -> int:
    if not is_foreign(dtype):
        return 8 * dtype.itemsize
    import ml_dtypes

    return (ml_dtypes.finfo if is_floating(dtype) else ml_dtypes.iinfo)(dtype).bits
