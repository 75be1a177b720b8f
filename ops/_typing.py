"""The types in operators' signatures: arrays, ONNX element types, subgraphs."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Value: TypeAlias = "Array | list[Any] | Mapping[Any, Any] | None"
"""What an ONNX edge carries: a tensor, a sequence of tensors or maps, a map, or nothing."""

# TensorProto.DataType of onnx.proto; the names that NumPy lacks are ml_dtypes' names.
_NAMES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "object",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8_e4m3fn",
    18: "float8_e4m3fnuz",
    19: "float8_e5m2",
    20: "float8_e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4_e2m1fn",
    24: "float8_e8m0fnu",
    25: "uint2",
    26: "int2",
    27: "float6_e2m3fn",
    28: "float6_e3m2fn",
}
_CODES = {name: code for code, name in _NAMES.items()}


class Body(Protocol):
    """A subgraph that an operator calls: a branch of ``If``, the body of ``Loop`` or ``Scan``."""

    inputs: Sequence[tuple[np.dtype[Any], tuple[int | None, ...]] | None]
    """Declared dtype and shape of each input, ``None`` where nothing is declared."""
    outputs: Sequence[tuple[np.dtype[Any], tuple[int | None, ...]] | None]
    """The same of each output."""

    def __call__(self, *inputs: Value) -> tuple[Any, ...]:
        """The values of the subgraph's outputs."""


@functools.cache
def dtype_of(code: int) -> np.dtype[Any]:
    """The NumPy dtype of an ONNX element type; strings are Python ``str`` in an object array.

    >>> dtype_of(1), dtype_of(8)
    (dtype('float32'), dtype('O'))

    Raises ValueError for a number that is no element type. Spec: onnx.proto, TensorProto.DataType.
    """
    if code not in _NAMES:
        raise ValueError(f"{code} is not an ONNX element type (1 to {max(_NAMES)})")
    name = _NAMES[code]
    if name in ("object", "bool") or hasattr(np, name):
        return np.dtype(name)
    import ml_dtypes

    return np.dtype(getattr(ml_dtypes, name))


def code_of(dtype: np.dtype[Any]) -> int:
    """The ONNX element type of a NumPy dtype.

    >>> code_of(np.dtype("float32"))
    1

    Raises TypeError for a dtype that ONNX lacks.
    """
    if dtype.kind in "UST":
        return 8
    if dtype.name not in _CODES:
        raise TypeError(f"ONNX has no element type for NumPy's {dtype}")
    return _CODES[dtype.name]


def is_foreign(dtype: np.dtype[Any]) -> bool:
    """True for the dtypes of ml_dtypes, whose ``kind`` does not tell floats from integers.

    >>> is_foreign(dtype_of(19)), is_foreign(np.dtype("float32"))
    (True, False)
    """
    return dtype.isbuiltin == 2


def native(x: Array) -> Array:
    """Dtypes of ml_dtypes converted exactly to float32 or int32, all others as they are."""
    if not is_foreign(x.dtype):
        return x
    return x.astype(np.float32 if is_floating(x.dtype) else np.int32)


def zero_of(dtype: np.dtype[Any]) -> Array:
    """The scalar 0, 0.0, False or empty string of a dtype.

    >>> zero_of(np.dtype("int8")), zero_of(np.dtype(object))
    (array(0, dtype=int8), array('', dtype=object))
    """
    return np.array("", object) if dtype == object else np.zeros((), dtype)


def is_float8(dtype: np.dtype[Any]) -> bool:
    """True for the floats of 8 bits.

    >>> is_float8(dtype_of(17)), is_float8(dtype_of(2))
    (True, False)
    """
    return dtype.itemsize == 1 and is_floating(dtype)


def is_floating(dtype: np.dtype[Any]) -> bool:
    """True for NumPy's floats and for ml_dtypes' (bfloat16, float8, float6, float4).

    >>> is_floating(np.dtype("float16")), is_floating(np.dtype("int8"))
    (True, False)
    """
    return dtype.kind == "f" or (dtype.kind == "V" and "float" in dtype.name)
