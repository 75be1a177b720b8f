"""ONNX files: read into a Graph, and written from one. Nothing else touches the onnx package.

The C++ shape inference and full check of onnx are never called: small hostile files make them end
the process. What is not checked here is checked in Python by the plan and by the operators.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, ModelProto

from embedx.errors import InputError, ModelError
from embedx.model.external_data import ExternalData, mapped_file
from embedx.model.graph import (
    Array,
    Function,
    Graph,
    MapType,
    Node,
    OptionalType,
    Reference,
    SequenceType,
    SparseTensor,
    TensorType,
    Type,
    Value,
)
from embedx.model.tensor_proto import decode_sparse_tensor, decode_tensor
from embedx.model.wire import without_weights
from embedx.ops import Op, dtype_of, resolve

_Imports: TypeAlias = Mapping[str, tuple[int, ...]]
"""By domain the versions of its operators that a file imports: one, or all that it names."""

MAX_FILE_BYTES = 2**31
MAX_NESTING = 32

_MAGIC = {
    b"version https://git-lfs": "a Git LFS pointer; fetch the real file with 'git lfs pull'",
    b"<!DOCTYPE": "an HTML page, perhaps a failed download",
    b"<html": "an HTML page, perhaps a failed download",
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"PK\x03\x04": "a zip archive (a PyTorch file?); an ONNX file is expected",
    b"\x80\x02": "a Python pickle; an ONNX file is expected",
    b"\x80\x04": "a Python pickle; an ONNX file is expected",
    b"{": "JSON; an ONNX file is expected",
}


def read_model(source: str | os.PathLike[str] | bytes | ModelProto) -> Graph:
    """The graph in an ONNX file, in its bytes, or in a parsed ModelProto.

    Weights are read-only views of the mapped file, or of files beside it, which must stay as they
    are while the graph is in use. Raises
    ModelError if the source is no ONNX model or an invalid one, ExternalDataError for data beside
    it that is missing or out of bounds, InputError if there is no such file.
    """
    if isinstance(source, ModelProto):
        return _model(source, ExternalData(None))
    if isinstance(source, bytes):
        return _read(memoryview(source), "the bytes", ExternalData(None))
    path = Path(source)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelError(
                f"{path}: protobuf files end at 2 GiB; keep the weights beside the model"
            )
        file = mapped_file(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    external = ExternalData(path)
    graph = _read(file.data, str(path), external)
    return replace(graph, files=(file, *external.files))


def _read(data: memoryview, where: str, external: ExternalData) -> Graph:
    for start, meaning in _MAGIC.items():
        if data[: len(start)] == start:
            raise ModelError(f"{where}: this is {meaning}")
    model = ModelProto()
    rest, raw = without_weights(data)
    try:
        model.ParseFromString(rest)
    except (DecodeError, RecursionError) as error:
        raise ModelError(f"{where}: not an ONNX model, or cut off ({len(data)} bytes)") from error
    return _model(model, external, raw)


def _model(
    model: ModelProto, external: ExternalData, raw: Mapping[int, memoryview] | None = None
) -> Graph:
    if not model.HasField("graph") or not model.graph.output:
        raise ModelError("the model has no graph with outputs; is the file complete?")
    if not 3 <= model.ir_version <= onnx.IR_VERSION + 1:
        raise ModelError(
            f"ir_version {model.ir_version} is not supported (3 to {onnx.IR_VERSION + 1})"
        )
    imports = _imports(model.opset_import, "the model")
    if not imports:
        raise ModelError("the model does not say which version of the operators it is written in")
    functions = {}
    for proto in model.functions:
        function = _function(proto, imports, external)
        key = (function.domain, function.name, function.overload)
        if key in functions:
            raise ModelError(f"function {function.name!r} is defined twice")
        functions[key] = function
    return _graph(
        model.graph,
        imports,
        external,
        functions=functions,
        metadata={p.key: p.value for p in model.metadata_props},
        ir_version=model.ir_version,
        raw=raw,
    )


def _imports(entries: Iterable[Any], where: str) -> _Imports:
    imports: dict[str, tuple[int, ...]] = {}
    for entry in entries:
        domain, newest = _domain(entry.domain), onnx.defs.onnx_opset_version()
        if domain == "" and not 1 <= entry.version <= newest:
            raise ModelError(f"{where} imports opset {entry.version}, supported are 1 to {newest}")
        others = (version for version in imports.get(domain, ()) if version != entry.version)
        imports[domain] = (*others, entry.version)
    return imports


def _opset(node: Node, imports: _Imports) -> int:
    """The version in which a node is written.

    Of a domain that is imported several times it is the last one, and that must make no difference;
    of a domain that is not imported, as is often forgotten, the newest one. onnxruntime chooses
    so, too. Raises ModelError if the versions mean different operators.
    """
    versions = imports.get(node.domain) or (_newest(node.domain),)
    behaviours = {behaviour(node.op_type, version, node.domain) for version in versions}
    if len(behaviours) > 1:
        listed = " and ".join(map(str, versions))
        raise ModelError(
            f"{node} differs between the versions {listed} of {node.domain or 'ai.onnx'!r}, "
            "which are both imported; keep the one that is meant"
        )
    return versions[-1]


@functools.cache
def _newest(domain: str) -> int:
    """The newest version of a domain. Of those that the standard lacks there is one."""
    schemas = onnx.defs.get_all_schemas()
    return max((s.since_version for s in schemas if s.domain == domain), default=1)


def behaviour(op_type: str, opset: int, domain: str) -> Op | None:
    """What an operator does at an opset; None where embedx has no such operator."""
    try:
        return resolve(op_type, opset, domain)
    except LookupError:
        return None


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _graph(
    proto: Any,
    imports: _Imports,
    external: ExternalData,
    depth: int = 0,
    *,
    functions: Mapping[tuple[str, str, str], Function] | None = None,
    metadata: Mapping[str, str] | None = None,
    ir_version: int = 8,
    raw: Mapping[int, memoryview] | None = None,
) -> Graph:
    if depth > MAX_NESTING:
        raise ModelError(f"subgraphs are nested deeper than {MAX_NESTING}")
    initializers: dict[str, Array | SparseTensor] = {}
    for i, tensor in enumerate(proto.initializer):
        whole = decode_tensor(tensor, external, raw=raw.get(i) if raw else None)
        _add(initializers, tensor.name, whole)
    for tensor in proto.sparse_initializer:
        _add(initializers, tensor.values.name, decode_sparse_tensor(tensor, external))
    return Graph(
        name=proto.name,
        inputs=tuple(_value(v) for v in proto.input),
        outputs=tuple(_value(v) for v in proto.output),
        nodes=tuple(_node(n, i, imports, external, depth) for i, n in enumerate(proto.node)),
        initializers=initializers,
        opsets={domain: versions[-1] for domain, versions in imports.items()},
        functions=functions or {},
        values={v.name: _type(v.type) for v in proto.value_info},
        metadata=metadata or {},
        ir_version=ir_version,
    )


def _add(
    initializers: dict[str, Array | SparseTensor], name: str, value: Array | SparseTensor
) -> None:
    if not name or name in initializers:
        raise ModelError(f"the initializer {name!r} has no name, or occurs twice")
    initializers[name] = value


def _node(proto: Any, index: int, imports: _Imports, external: ExternalData, depth: int) -> Node:
    node = Node(
        proto.op_type, tuple(proto.input), tuple(proto.output), {}, _domain(proto.domain),
        proto.name, proto.overload, index=index,
    )  # fmt: skip
    attributes: dict[str, Any] = {}
    for attribute in proto.attribute:
        if attribute.name in attributes:
            raise ModelError(f"{node} has the attribute {attribute.name!r} twice")
        where = f"{node}, attribute {attribute.name!r}"
        attributes[attribute.name] = _attribute(attribute, where, imports, external, depth)
    return replace(node, attributes=attributes, opset=_opset(node, imports))


def _attribute(
    proto: Any, where: str, imports: _Imports, external: ExternalData, depth: int
) -> Any:
    def graph(g: Any) -> Graph:
        return _graph(g, imports, external, depth + 1)

    def tensor(t: Any) -> Array:
        return decode_tensor(t, external, where)

    def sparse(t: Any) -> SparseTensor:
        return decode_sparse_tensor(t, external, where)

    filled = {field.name for field, _ in proto.ListFields()} - _AROUND_THE_VALUE
    if proto.ref_attr_name:
        if filled:
            raise ModelError(f"{where} has a value and refers to {proto.ref_attr_name!r}")
        return Reference(proto.ref_attr_name)
    decoders: dict[int, tuple[str, Callable[[Any], Any]]] = {
        AttributeProto.FLOAT: ("f", float),
        AttributeProto.INT: ("i", int),
        AttributeProto.STRING: ("s", _text),
        AttributeProto.TENSOR: ("t", tensor),
        AttributeProto.GRAPH: ("g", graph),
        AttributeProto.SPARSE_TENSOR: ("sparse_tensor", sparse),
        AttributeProto.TYPE_PROTO: ("tp", _type),
        AttributeProto.FLOATS: ("floats", float),
        AttributeProto.INTS: ("ints", int),
        AttributeProto.STRINGS: ("strings", _text),
        AttributeProto.TENSORS: ("tensors", tensor),
        AttributeProto.GRAPHS: ("graphs", graph),
        AttributeProto.SPARSE_TENSORS: ("sparse_tensors", sparse),
        AttributeProto.TYPE_PROTOS: ("type_protos", _type),
    }
    if proto.type not in decoders:
        raise ModelError(f"{where} has the unknown type {proto.type}")
    declared, decode = decoders[proto.type]
    if filled - {declared}:
        found = ", ".join(sorted(filled))
        raise ModelError(f"{where} is declared to have its value in {declared!r}, it has {found}")
    if declared in _LISTS:
        return tuple(map(decode, getattr(proto, declared)))
    if not filled and declared not in _OMITTED_IF_ZERO:
        raise ModelError(f"{where} has no value in {declared!r}")
    return decode(getattr(proto, declared))


_AROUND_THE_VALUE = {"name", "type", "doc_string", "ref_attr_name"}
_LISTS = {
    "floats", "ints", "strings", "tensors", "graphs", "sparse_tensors", "type_protos"
}  # fmt: skip
_OMITTED_IF_ZERO = {"f", "i", "s"}
"""Writers that follow proto3 leave out a number that is 0, and a text without letters."""


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


def _function(proto: Any, imports: _Imports, external: ExternalData) -> Function:
    where = f"function {proto.name!r}"
    own = {**imports, **_imports(proto.opset_import, where)}
    defaults: dict[str, Any] = dict.fromkeys(proto.attribute)
    for attribute in proto.attribute_proto:
        defaults[attribute.name] = _attribute(attribute, where, own, external, 0)
    return Function(
        proto.name,
        _domain(proto.domain),
        proto.overload,
        tuple(proto.input),
        tuple(proto.output),
        defaults,
        tuple(_node(n, i, own, external, 0) for i, n in enumerate(proto.node)),
    )


def _value(proto: Any) -> Value:
    return Value(proto.name, _type(proto.type))


def _type(proto: Any) -> Type:
    kind = proto.WhichOneof("value")
    if kind == "sequence_type":
        return SequenceType(_type(proto.sequence_type.elem_type))
    if kind == "optional_type":
        return OptionalType(_type(proto.optional_type.elem_type))
    if kind == "map_type":
        return MapType(_element_type(proto.map_type.key_type), _type(proto.map_type.value_type))
    tensor = getattr(proto, kind) if kind in ("tensor_type", "sparse_tensor_type") else None
    if tensor is None or tensor.elem_type == 0:
        return None
    dtype = _element_type(tensor.elem_type)
    if not tensor.HasField("shape"):
        return TensorType(dtype)
    return TensorType(dtype, tuple(_dim(d) for d in tensor.shape.dim))


def _element_type(code: int) -> np.dtype[Any]:
    try:
        return dtype_of(code)
    except ValueError as error:
        raise ModelError(f"a declared type: {error}") from error


def _dim(proto: Any) -> int | str | None:
    kind = proto.WhichOneof("value")
    if kind == "dim_value":
        # Exporters write 0 or -1 where they know no size.
        return int(proto.dim_value) if proto.dim_value > 0 else None
    return str(proto.dim_param) or None if kind == "dim_param" else None
