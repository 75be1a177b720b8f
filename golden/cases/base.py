"""What a hand-chosen case is, and short words for its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from oracles import Array, Value

INF, NAN = np.inf, np.nan
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


@dataclass(frozen=True, eq=False)
class Case:
    """One node: what goes in, and which outputs are asked for."""

    id: str
    opset: int
    inputs: Sequence[Value]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: Sequence[bool] = (True,)
    constant: Sequence[int] = ()
    """The inputs that onnxruntime gets as initializers: some kernels prepare those."""
    by_onnxruntime: bool = False
    """Ask onnxruntime although there is a formula."""
    same_as: tuple[int, Sequence[Value], Mapping[str, Any]] | None = None
    """Opset, inputs and attributes that mean the same, for opsets that onnxruntime lacks."""


@dataclass(frozen=True, eq=False)
class Model:
    """A small model, in ONNX's text form or as such, for operators that call subgraphs."""

    id: str
    source: str | onnx.ModelProto
    inputs: Sequence[Value]


def f16(*values: Any) -> Array:
    with np.errstate(over="ignore"):  # to infinity
        return np.array(values, np.float16)


def f32(*values: Any) -> Array:
    return np.array(values, np.float32)


def f64(*values: Any) -> Array:
    return np.array(values, np.float64)


def bf16(*values: Any) -> Array:
    return np.array(values, np.float32).astype(BFLOAT16)


def i64(*values: Any) -> Array:
    return np.array(values, np.int64)


def ints(dtype: str, *values: Any) -> Array:
    return np.array(values, dtype)


def bools(*values: Any) -> Array:
    return np.array(values, bool)


def words(*values: Any) -> Array:
    return np.array(values, object)


def scalar(value: Any, dtype: str = "float32") -> Array:
    return np.array(value, dtype)


def some(*shape: int, dtype: Any = "float32", seed: int = 0, scale: float = 1.0) -> Array:
    """Normally distributed numbers with two digits behind the point."""
    values = np.random.default_rng(seed).normal(0, scale, shape).round(2)
    return np.asarray(values, np.float32).astype(dtype)


def octets(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def signed(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)


def empty(*shape: int, dtype: str = "float32") -> Array:
    return np.zeros(shape, dtype)


def counting(*shape: int, dtype: str = "float32") -> Array:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def tensor(values: Any, dtype: str) -> Array:
    return np.asarray(values, dtype)
