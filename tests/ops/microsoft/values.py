"""Short words for tensors, given or drawn."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from hypothesis import strategies as st

from embedx.ops import Array
from tests.oracles import elementwise
from tests.strategies import DType, tensors

F32: DType = np.dtype(np.float32)
BYTES: list[DType] = [np.dtype(np.uint8), np.dtype(np.int8)]


def f32(values: Any) -> Array:
    return np.array(values, np.float32)


def u8(values: Any) -> Array:
    return np.array(values, np.uint8)


def s8(values: Any) -> Array:
    return np.array(values, np.int8)


def i32(values: Any) -> Array:
    return np.array(values, np.int32)


def numbers(rng: np.random.Generator, *shape: int) -> Array:
    """Normally distributed float32."""
    return np.asarray(rng.standard_normal(shape), np.float32)


def octets(rng: np.random.Generator, dtype: DType, *shape: int) -> Array:
    """Any integers of a type."""
    info = np.iinfo(dtype)
    return np.asarray(rng.integers(info.min, info.max + 1, shape), dtype)


# Quantized numbers, and what they stand for, in exact fractions.

Point: TypeAlias = tuple[Any, Any]
"""A scale, and a zero point or None."""
scales = st.tuples(st.integers(-3, 3), st.sampled_from([1, 1, -1])).map(
    lambda pair: np.array(pair[1] * 2.0 ** pair[0], np.float32)
)


@st.composite
def points(draw: st.DrawFn, dtype: DType, *, optional: bool = True) -> Point:
    """A scale and a zero point."""
    missing = optional and draw(st.booleans())
    return draw(scales), None if missing else draw(tensors(dtype, ()))


def real(x: Array, point: Point) -> Array:
    """The numbers for which quantized ones stand, as fractions."""
    scale, zero = Fraction(float(point[0])), 0 if point[1] is None else int(point[1])
    return elementwise(lambda v: (int(v) - zero) * scale, x, dtype=object)


def quantized(x: Array, point: Point, dtype: DType, *, rounded_last: bool = False) -> Array:
    scale, zero = Fraction(float(point[0])), 0 if point[1] is None else int(point[1])
    info = np.iinfo(dtype)

    def one(v: Fraction) -> int:
        whole = round(v / scale + zero) if rounded_last else round(v / scale) + zero
        return min(max(whole, int(info.min)), int(info.max))

    return elementwise(one, x, dtype=dtype)
