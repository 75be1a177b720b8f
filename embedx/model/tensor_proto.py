"""From a TensorProto to a NumPy array, with every claim of the proto checked first."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from embedx.errors import ModelError
from embedx.model.external_data import ExternalData
from embedx.model.graph import Array, SparseTensor
from embedx.ops import dtype_of

_EXTERNAL = 1  # TensorProto.DataLocation.EXTERNAL

# Which repeated field holds the elements when raw_data does not, and in which dtype.
_FIELDS = {
    "float_data": (np.float32, {1, 14}),
    "int32_data": (np.int32, {2, 3, 4, 5, 6, 9, 10, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26}),
    "string_data": (np.object_, {8}),
    "int64_data": (np.int64, {7}),
    "double_data": (np.float64, {11, 15}),
    "uint64_data": (np.uint64, {12, 13}),
}
_BITS = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2}
"""Element types that share bytes, the first element in the lowest bits."""
_PLACES = 2**24
"""What an empty tensor's other dimensions may make up: no bytes pay for the loops round them."""


def decode_tensor(
    proto: Any, external: ExternalData, where: str = "", raw: memoryview | None = None
) -> Array:
    """The array in a TensorProto; read-only where it shares the file's bytes.

    ``raw`` is the proto's raw_data if that was cut out of it.

    Raises ModelError naming the tensor (or ``where`` it stands) for an unknown type, dimensions
    that are negative, data of the wrong length, or data given twice.
    """
    name = proto.name or where
    shape = tuple(proto.dims)
    places = math.prod(n or 1 for n in shape)
    if min(shape, default=0) < 0 or len(shape) > 64 or places >= (_PLACES if 0 in shape else 2**62):
        raise ModelError(f"tensor {name!r} has the dimensions {shape}")
    if proto.HasField("segment"):
        raise ModelError(f"tensor {name!r} is stored in segments, which is not supported")
    try:
        dtype = dtype_of(proto.data_type)
    except ValueError as error:
        raise ModelError(f"tensor {name!r}: {error}") from error
    filled = [field for field in _FIELDS if len(getattr(proto, field))]
    filled += ["raw_data"] * (raw is not None or proto.HasField("raw_data"))
    outside = proto.data_location == _EXTERNAL
    if len(filled) + outside > 1:
        raise ModelError(
            f"tensor {name!r} has its data twice: {', '.join(filled)}{', external' * outside}"
        )
    if outside or filled == ["raw_data"]:
        size = math.ceil(math.prod(shape) * _bits(proto.data_type, dtype) / 8)
        inside = proto.raw_data if raw is None else raw
        data = _outside(proto, external, name, size) if outside else inside
        if dtype == object or len(data) != size:
            raise ModelError(
                f"tensor {name!r}, {dtype}{list(shape)}, takes {size} bytes, not {len(data)}"
            )
        return _from_bytes(np.frombuffer(data, np.uint8), proto.data_type, dtype, shape)
    return _from_field(proto, filled[0] if filled else None, dtype, shape, name)


def _bits(code: int, dtype: np.dtype[Any]) -> int:
    return _BITS.get(code, 8 * dtype.itemsize)


def _outside(proto: Any, external: ExternalData, name: str, size: int) -> memoryview:
    return external.read(name, [(e.key, e.value) for e in proto.external_data], size)


def _from_bytes(data: Array, code: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    if code in _BITS:
        return _unpacked(data, code, dtype, shape)
    if dtype == bool:
        return (data != 0).reshape(shape)  # a byte of 2 would be a bool that is not True
    if sys.byteorder == "big" and dtype.itemsize > 1:
        data = data.reshape(-1, dtype.itemsize)[:, ::-1].copy().reshape(-1)
    return data.view(dtype).reshape(shape)


def _unpacked(data: Array, code: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    bits, count = _BITS[code], math.prod(shape)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    fields = (data[:, None] >> shifts & (2**bits - 1)).reshape(-1)[:count]
    if code == 23:
        return fields.view(dtype).reshape(shape)  # ml_dtypes keeps float4 in the low bits of a byte
    sign = np.uint8(2 ** (bits - 1)) if dtype.name.startswith("int") else np.uint8(0)
    return ((fields ^ sign).view(np.int8) - sign.view(np.int8)).astype(dtype).reshape(shape)


def _from_field(
    proto: Any, field: str | None, dtype: np.dtype[Any], shape: tuple[int, ...], name: str
) -> Array:
    code = proto.data_type
    expected = next(f for f, (_, codes) in _FIELDS.items() if code in codes)
    if field not in (None, expected):
        raise ModelError(f"tensor {name!r} of type {dtype} has its data in {field}, not {expected}")
    if field == "string_data":
        items = list(_decoded(proto.string_data, name))
        data = np.empty(len(items), object)
        data[:] = items
    else:
        data = np.array(getattr(proto, expected), _FIELDS[expected][0])
    count = math.prod(shape)
    pieces = {14: 2 * count, 15: 2 * count}.get(code, math.ceil(count * _BITS.get(code, 8) / 8))
    if len(data) != pieces:
        raise ModelError(
            f"tensor {name!r}, {dtype}{list(shape)}, has {len(data)} of {pieces} elements"
        )
    if code in (14, 15):
        return data.view(dtype).reshape(shape)
    if code in _BITS or (dtype.kind in "fV" and expected == "int32_data"):
        width = np.uint16 if dtype.itemsize == 2 else np.uint8
        return _from_bytes(_narrowed(data, width, name).view(np.uint8), code, dtype, shape)
    return _narrowed(data, dtype, name).reshape(shape)


def _narrowed(data: Array, dtype: Any, name: str) -> Array:
    narrow = data.astype(dtype)
    if data.dtype.kind in "iu" and dtype != bool and not np.array_equal(narrow, data):
        raise ModelError(f"tensor {name!r} holds numbers outside {np.dtype(dtype)}")
    return narrow


def _decoded(strings: Any, name: str) -> Any:
    try:
        return [text.decode("utf-8") for text in strings]
    except UnicodeDecodeError as error:
        raise ModelError(f"tensor {name!r} has a string that is not UTF-8") from error


def decode_sparse_tensor(proto: Any, external: ExternalData, where: str = "") -> SparseTensor:
    """The tensor in a SparseTensorProto, its indices linear or one row a value.

    Raises ModelError for indices that are out of range, repeated, or out of order.
    """
    values = decode_tensor(proto.values, external, where)
    indices = decode_tensor(proto.indices, external, where).astype(np.int64)
    name, shape = proto.values.name or where, tuple(proto.dims)
    if min(shape, default=0) < 0 or math.prod(shape) >= 2**62 or values.ndim != 1:
        raise ModelError(
            f"sparse tensor {name!r} has the dimensions {shape}, values {values.shape}"
        )
    if indices.shape not in ((len(values),), (len(values), len(shape))):
        raise ModelError(
            f"sparse tensor {name!r}: indices of shape {indices.shape} for {len(values)} values"
        )
    if indices.ndim == 2:
        if ((indices < 0) | (indices >= np.array(shape))).any():
            raise ModelError(f"sparse tensor {name!r} has an index outside {shape}")
        indices = np.ravel_multi_index(tuple(indices.T), shape) if len(values) else indices[:, 0]
    if ((indices < 0) | (indices >= math.prod(shape))).any() or (np.diff(indices) <= 0).any():
        raise ModelError(
            f"sparse tensor {name!r}: indices must ascend, without repeats, inside {shape}"
        )
    return SparseTensor(values, indices, shape)
