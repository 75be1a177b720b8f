"""ONNX files: read into a Graph, and written from one. Nothing else touches the onnx package.

The C++ shape inference and full check of onnx are never called: small hostile files make them end
the process. What is not checked here is checked in Python by the plan and by the operators.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, ModelProto, helper, numpy_helper

from embedx.errors import InputError, ModelError
from embedx.external_data import ExternalData, mapped_file
from embedx.graph import (
    Array,
    Function,
    Graph,
    Node,
    OptionalType,
    Reference,
    SequenceType,
    SparseTensor,
    TensorType,
    Type,
    Value,
)
from embedx.ops import code_of, dtype_of, resolve
from embedx.tensor_proto import decode_sparse_tensor, decode_tensor
from embedx.wire import without_weights

MAX_FILE_BYTES = 2**31
MAX_NESTING = 32
_SMALL_BYTES = 1024

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
        data = mapped_file(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return _read(data, str(path), ExternalData(path))


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
    opsets = _opsets(model.opset_import, "the model")
    functions = {}
    for proto in model.functions:
        function = _function(proto, opsets, external)
        key = (function.domain, function.name, function.overload)
        if key in functions:
            raise ModelError(f"function {function.name!r} is defined twice")
        functions[key] = function
    return _graph(
        model.graph,
        opsets,
        external,
        functions=functions,
        metadata={p.key: p.value for p in model.metadata_props},
        ir_version=model.ir_version,
        raw=raw,
    )


def _opsets(imports: Iterable[Any], where: str) -> dict[str, int]:
    opsets: dict[str, int] = {}
    for entry in imports:
        domain = _domain(entry.domain)
        if opsets.setdefault(domain, entry.version) != entry.version:
            raise ModelError(f"{where} imports two versions of domain {domain or 'ai.onnx'!r}")
        newest = onnx.defs.onnx_opset_version()
        if domain == "" and not 1 <= entry.version <= newest:
            raise ModelError(f"{where} imports opset {entry.version}, supported are 1 to {newest}")
    return opsets


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _graph(
    proto: Any,
    opsets: Mapping[str, int],
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
        nodes=tuple(_node(n, i, opsets, external, depth) for i, n in enumerate(proto.node)),
        initializers=initializers,
        opsets=opsets,
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


def _node(
    proto: Any, index: int, opsets: Mapping[str, int], external: ExternalData, depth: int
) -> Node:
    domain = _domain(proto.domain)
    attributes: dict[str, Any] = {}
    for attribute in proto.attribute:
        if attribute.name in attributes:
            raise ModelError(
                f"{proto.op_type} (node {index}) has the attribute {attribute.name!r} twice"
            )
        where = f"{proto.op_type} (node {index}), attribute {attribute.name!r}"
        attributes[attribute.name] = _attribute(attribute, where, opsets, external, depth)
    # Contrib domains are often used without an import; they have one version.
    opset = opsets.get(domain, 0 if domain == "" else 1)
    if domain == "" and proto.op_type == "LayerNormalization" and "com.microsoft" in opsets:
        opset = max(opset, 17)  # onnxruntime's optimizers write it into models of any opset
    inputs, outputs = tuple(proto.input), tuple(proto.output)
    kind, name, overload = proto.op_type, proto.name, proto.overload
    return Node(kind, inputs, outputs, attributes, domain, name, overload, opset, index)


def _attribute(
    proto: Any, where: str, opsets: Mapping[str, int], external: ExternalData, depth: int
) -> Any:
    if proto.ref_attr_name:
        return Reference(proto.ref_attr_name)

    def graph(g: Any) -> Graph:
        return _graph(g, opsets, external, depth + 1)

    def tensor(t: Any) -> Array:
        return decode_tensor(t, external, where)

    def sparse(t: Any) -> SparseTensor:
        return decode_sparse_tensor(t, external, where)

    one = {
        AttributeProto.FLOAT: ("f", float),
        AttributeProto.INT: ("i", int),
        AttributeProto.STRING: ("s", _text),
        AttributeProto.TENSOR: ("t", tensor),
        AttributeProto.GRAPH: ("g", graph),
        AttributeProto.SPARSE_TENSOR: ("sparse_tensor", sparse),
        AttributeProto.TYPE_PROTO: ("tp", _type),
    }
    several = {
        AttributeProto.FLOATS: ("floats", float),
        AttributeProto.INTS: ("ints", int),
        AttributeProto.STRINGS: ("strings", _text),
        AttributeProto.TENSORS: ("tensors", tensor),
        AttributeProto.GRAPHS: ("graphs", graph),
        AttributeProto.SPARSE_TENSORS: ("sparse_tensors", sparse),
        AttributeProto.TYPE_PROTOS: ("type_protos", _type),
    }
    if proto.type in one:
        field, decode = one[proto.type]
        return decode(getattr(proto, field))  # type: ignore[operator]
    if proto.type in several:
        field, decode = several[proto.type]
        return tuple(decode(v) for v in getattr(proto, field))  # type: ignore[operator]
    raise ModelError(f"{where} has the unknown type {proto.type}")


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


def _function(proto: Any, opsets: Mapping[str, int], external: ExternalData) -> Function:
    where = f"function {proto.name!r}"
    own = {**opsets, **_opsets(proto.opset_import, where)}
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
    tensor = getattr(proto, kind) if kind in ("tensor_type", "sparse_tensor_type") else None
    if tensor is None or tensor.elem_type == 0:
        return None
    try:
        dtype = dtype_of(tensor.elem_type)
    except ValueError as error:
        raise ModelError(f"a declared type: {error}") from error
    if not tensor.HasField("shape"):
        return TensorType(dtype)
    return TensorType(dtype, tuple(_dim(d) for d in tensor.shape.dim))


def _dim(proto: Any) -> int | str | None:
    kind = proto.WhichOneof("value")
    if kind == "dim_value":
        # Exporters write 0 or -1 where they know no size.
        return int(proto.dim_value) if proto.dim_value > 0 else None
    return str(proto.dim_param) or None if kind == "dim_param" else None


def write_model(graph: Graph, path: Path, *, external_data: bool = False) -> None:
    """Write a graph without local functions as an ONNX file, whole or not at all.

    With ``external_data`` the weights go into ``<name>.data`` beside it. Raises ModelError for a
    graph that one file cannot hold: above 2 GiB without external data, or with nodes written in
    different versions of one domain's operators.
    """
    model = _encode(graph)
    data_name = f"{path.name}.data"
    folder = path.parent
    with tempfile.TemporaryDirectory(prefix=".embedx-", dir=folder) as scratch:
        made = [(Path(scratch) / path.name, path)]
        if external_data:
            made.insert(0, (Path(scratch) / data_name, folder / data_name))
            _move_weights(model, made[0][0], data_name)
        if model.ByteSize() >= MAX_FILE_BYTES:
            raise ModelError("the model is larger than 2 GiB; write it with external data")
        made[-1][0].write_bytes(model.SerializeToString())
        for temporary, final in made:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, final)


def _encode(graph: Graph) -> ModelProto:
    for node in graph.walk():
        imported = graph.opsets.get(node.domain, 1)
        if node.opset != imported and resolve(node.op_type, node.opset, node.domain) != resolve(
            node.op_type, imported, node.domain
        ):
            raise ModelError(f"{node} is written in opset {node.opset}, the model in {imported}")
    model = helper.make_model(
        _graph_proto(graph),
        producer_name="embedx",
        ir_version=graph.ir_version,
        opset_imports=[helper.make_opsetid(d, v) for d, v in graph.opsets.items()],
    )
    helper.set_model_props(model, dict(graph.metadata))
    return model


def _graph_proto(graph: Graph) -> Any:
    proto = helper.make_graph(
        [_node_proto(node) for node in graph.nodes],
        graph.name or "graph",
        [helper.make_value_info(v.name, _type_proto(v.type)) for v in graph.inputs],
        [helper.make_value_info(v.name, _type_proto(v.type)) for v in graph.outputs],
        value_info=[
            helper.make_value_info(name, _type_proto(kind))
            for name, kind in graph.values.items()
            if kind is not None and any(name in node.outputs for node in graph.nodes)
        ],
    )
    for name, value in graph.initializers.items():
        if isinstance(value, SparseTensor):
            proto.sparse_initializer.append(_sparse_proto(value, name))
        else:
            proto.initializer.append(_tensor_proto(value, name))
    return proto


def _node_proto(node: Node) -> Any:
    proto = helper.make_node(
        node.op_type, node.inputs, node.outputs, name=node.name or None, domain=node.domain,
        overload=node.overload or None,
    )  # fmt: skip
    for name, value in node.attributes.items():
        if isinstance(value, Graph):
            value = _graph_proto(value)
        elif isinstance(value, np.ndarray):
            value = _tensor_proto(value, "")
        elif isinstance(value, SparseTensor):
            value = _sparse_proto(value, "")
        elif isinstance(value, TensorType | SequenceType | OptionalType):
            value = _type_proto(value)
        kind = AttributeProto.INTS if value == () else None
        proto.attribute.append(helper.make_attribute(name, value, attr_type=kind))
    return proto


def _tensor_proto(value: Array, name: str) -> Any:
    return numpy_helper.from_array(value, name)


def _sparse_proto(value: SparseTensor, name: str) -> Any:
    values = _tensor_proto(value.values, name)
    indices = _tensor_proto(value.places, f"{name}_indices")
    return helper.make_sparse_tensor(values, indices, list(value.shape))


def _type_proto(kind: Type) -> Any:
    if isinstance(kind, SequenceType):
        return helper.make_sequence_type_proto(_type_proto(kind.element))
    if isinstance(kind, OptionalType):
        return helper.make_optional_type_proto(_type_proto(kind.element))
    if kind is None:
        return onnx.TypeProto()
    return helper.make_tensor_type_proto(code_of(kind.dtype), kind.shape)


def _move_weights(model: ModelProto, path: Path, name: str) -> None:
    with path.open("wb") as file:
        for tensor in model.graph.initializer:
            data = tensor.raw_data
            if len(data) < _SMALL_BYTES:
                continue  # shapes and axes, which others' shape inference wants to see
            file.write(b"\0" * (-file.tell() % 64))  # so that mapped weights are aligned
            entries = (("location", name), ("offset", file.tell()), ("length", len(data)))
            file.write(data)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in entries:
                tensor.external_data.add(key=key, value=str(value))
