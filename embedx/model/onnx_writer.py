"""ONNX files, written from a Graph."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, helper, numpy_helper

from embedx.errors import ModelError
from embedx.model.graph import (
    Array,
    Graph,
    MapType,
    Node,
    OptionalType,
    SequenceType,
    SparseTensor,
    TensorType,
    Type,
)
from embedx.model.onnx_file import MAX_FILE_BYTES, behaviour
from embedx.ops import code_of
from embedx.output_file import writing

_SMALL_BYTES = 1024


def write_model(graph: Graph, path: Path, *, external_data: bool = False) -> None:
    """Write a graph without local functions as an ONNX file, whole or not at all.

    With ``external_data`` the weights go into ``<name>.data`` beside it. Raises ModelError for a
    graph that one file cannot hold: above 2 GiB without external data, or with nodes written in
    different versions of one domain's operators; ConfigError or OutputError if it cannot be
    written.
    """
    model = _encode(graph)
    with contextlib.ExitStack() as files:
        # What is opened last is exchanged first: without its data, a model would be a broken one.
        file = files.enter_context(writing(path))
        if external_data:
            beside = path.with_name(f"{path.name}.data")
            _move_weights(model, files.enter_context(writing(beside)), beside.name)
        if model.ByteSize() >= MAX_FILE_BYTES:
            raise ModelError("the model is larger than 2 GiB; write it with external data")
        file.write(model.SerializeToString())


def model_bytes(graph: Graph) -> bytes:
    """The ONNX file of a graph without local functions; see :func:`write_model`."""
    return bytes(_encode(graph).SerializeToString())


def _encode(graph: Graph) -> ModelProto:
    opsets = {**{node.domain: node.opset for node in graph.walk()}, **graph.opsets}
    for node in graph.walk():
        versions = (node.opset, opsets[node.domain])
        if len({behaviour(node.op_type, version, node.domain) for version in versions}) > 1:
            raise ModelError(f"{node} is written in opset {node.opset}, the model in {versions[1]}")
    model = helper.make_model(
        _graph_proto(graph),
        producer_name="embedx",
        ir_version=graph.ir_version,
        opset_imports=[helper.make_opsetid(d, v) for d, v in opsets.items()],
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
        elif isinstance(value, TensorType | SequenceType | MapType | OptionalType):
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
    if isinstance(kind, MapType):
        return helper.make_map_type_proto(code_of(kind.key), _type_proto(kind.value))
    if kind is None:
        return onnx.TypeProto()
    return helper.make_tensor_type_proto(code_of(kind.dtype), kind.shape)


def _move_weights(model: ModelProto, file: BinaryIO, name: str) -> None:
    offset = 0
    for tensor in model.graph.initializer:
        data = tensor.raw_data
        if len(data) < _SMALL_BYTES:
            continue  # shapes and axes, which others' shape inference wants to see
        offset += file.write(b"\0" * (-offset % 64))  # so that mapped weights are aligned
        entries = (("location", name), ("offset", offset), ("length", len(data)))
        offset += file.write(data)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in entries:
            tensor.external_data.add(key=key, value=str(value))
