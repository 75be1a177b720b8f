"""Files that hold one value each, as ONNX's test data has them: ``input_0.pb`` and such.

A file does not say of which kind its value is; the declared type of the edge does.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from embedx.errors import InputError, ModelError
from embedx.model.external_data import ExternalData
from embedx.model.graph import MapType, OptionalType, SequenceType, TensorType, Type
from embedx.model.onnx_file import MAX_FILE_BYTES
from embedx.model.tensor_proto import decode_tensor
from embedx.ops import Value, code_of
from embedx.output_file import writing


class _Kind(NamedTuple):
    """A kind of values: its proto, and how sequences and optionals hold some of it."""

    proto: Any
    several: str
    one: str
    code: int
    """SequenceProto.DataType and OptionalProto.DataType, which are alike."""


_KINDS = {
    TensorType: _Kind(onnx.TensorProto, "tensor_values", "tensor_value", 1),
    SequenceType: _Kind(onnx.SequenceProto, "sequence_values", "sequence_value", 3),
    MapType: _Kind(onnx.MapProto, "map_values", "map_value", 4),
    OptionalType: _Kind(onnx.OptionalProto, "optional_values", "optional_value", 5),
}
_AROUND = {"name", "elem_type"}


def _kind(declared: Type) -> _Kind:
    """What is not declared is a tensor, which says itself of which type it is."""
    return _KINDS[type(declared)] if declared is not None else _KINDS[TensorType]


def read_value(path: Path, declared: Type = None) -> tuple[str, Value]:
    """The name, which may be ``""``, and the value in a file of test data.

    The file holds a TensorProto, SequenceProto, MapProto or OptionalProto, as ``declared`` says; a
    tensor's element type and shape are the file's own. Raises InputError naming the file for one
    that cannot be read, is no such proto, or claims what its bytes do not hold.
    """
    proto = _kind(declared).proto()
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:
            raise InputError(f"{path} is no regular file of at most 2 GiB")
        proto.ParseFromString(path.read_bytes())
        return str(proto.name), _decoded(proto, declared)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (DecodeError, RecursionError) as error:
        raise InputError(f"{path} is no {type(proto).__name__}, or cut off") from error
    except ModelError as error:
        raise InputError(f"{path}: {error}") from error


def _decoded(proto: Any, declared: Type) -> Value:
    if isinstance(declared, OptionalType):
        field = _only(proto, _kind(declared.element).one)
        return _decoded(getattr(proto, field), declared.element) if field else None
    if isinstance(declared, SequenceType):
        field = _only(proto, _kind(declared.element).several)
        return [_decoded(item, declared.element) for item in getattr(proto, field)] if field else []
    if isinstance(declared, MapType):
        return _decoded_map(proto, declared)
    array = decode_tensor(proto, ExternalData(None), "without a name")
    return array if array.flags.writeable else array.copy()


def _only(proto: Any, expected: str) -> str:
    """The field with the values, ``""`` if there is none. Raises ModelError for another."""
    filled = {field.name for field, _ in proto.ListFields()} - _AROUND
    if filled - {expected}:
        found = ", ".join(sorted(filled))
        raise ModelError(f"{type(proto).__name__} {proto.name!r} has {found}, expected {expected}")
    return expected if filled else ""


def _decoded_map(proto: Any, declared: MapType) -> dict[Any, Any]:
    keys = list(proto.keys)
    if declared.key == object:
        keys = [_text(key) for key in proto.string_keys]
    values = _decoded(proto.values, SequenceType(declared.value))
    assert isinstance(values, list)
    if len(set(keys)) != len(keys) or len(keys) != len(values):
        raise ModelError(
            f"map {proto.name!r} has {len(set(keys))} different keys and {len(values)} values"
        )
    return {k: v[()] if isinstance(v, np.ndarray) else v for k, v in zip(keys, values, strict=True)}


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError("a map's key is not UTF-8") from error


def write_value(path: Path, name: str, value: Value, declared: Type = None) -> None:
    """Write a value as a file of the proto that its declared type asks for, whole or not at all.

    Raises InputError for a value that is not of this kind, or that no such file can hold;
    ConfigError or OutputError if it cannot be written.
    """
    try:
        proto = _encoded(value, declared, name)
        if proto.ByteSize() >= MAX_FILE_BYTES:
            raise ValueError("it takes more than 2 GiB")
    except (TypeError, ValueError) as error:
        raise InputError(f"{name!r} cannot be written to {path}: {error}") from error
    with writing(path) as file:
        file.write(proto.SerializeToString())


def _encoded(value: Any, declared: Type, name: str = "") -> Any:
    if isinstance(declared, OptionalType):
        inner = _kind(declared.element)
        proto = onnx.OptionalProto(name=name or None, elem_type=inner.code)
        if value is not None:
            getattr(proto, inner.one).CopyFrom(_encoded(value, declared.element))
        return proto
    if isinstance(declared, SequenceType):
        if not isinstance(value, list | tuple):
            raise TypeError(f"expected a sequence, got {type(value).__name__}")
        inner = _kind(declared.element)
        proto = onnx.SequenceProto(name=name or None, elem_type=inner.code)
        getattr(proto, inner.several).extend(_encoded(item, declared.element) for item in value)
        return proto
    if isinstance(declared, MapType):
        if not isinstance(value, Mapping):
            raise TypeError(f"expected a map, got {type(value).__name__}")
        proto = onnx.MapProto(name=name or None, key_type=code_of(declared.key))
        if declared.key == object:
            proto.string_keys.extend(str(key).encode() for key in value)
        else:
            proto.keys.extend(int(key) for key in value)
        values = [_typed(item, declared.value) for item in value.values()]
        proto.values.CopyFrom(_encoded(values, SequenceType(declared.value)))
        return proto
    if not isinstance(value, np.ndarray | np.generic):
        raise TypeError(f"expected a tensor, got {type(value).__name__}")
    array = np.asarray(value)
    if code_of(array.dtype) == onnx.TensorProto.STRING:
        texts = [item if isinstance(item, bytes) else str(item).encode() for item in array.flat]
        return helper.make_tensor(name, onnx.TensorProto.STRING, array.shape, texts)
    return numpy_helper.from_array(array, name)


def _typed(item: Any, declared: Type) -> Any:
    """A map's value, which may be a plain number, in its declared type."""
    return np.asarray(item, declared.dtype) if isinstance(declared, TensorType) else item
