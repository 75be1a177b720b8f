"""Short words for tensors, given or drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from embedx.ops import Array
from tests.strategies import DType

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
