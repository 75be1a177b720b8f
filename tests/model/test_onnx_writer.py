"""Models that are written are valid, whole, and compute the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from embedx.errors import OutputError
from embedx.model.onnx_file import read_model
from embedx.model.onnx_writer import model_bytes, write_model
from embedx.rewrite.normal import sort_nodes
from embedx.run.engine import Engine
from tests.model.protos import NEG
from tests.models import model
from tests.tiny import bert


def test_maps_are_read_and_written(tmp_path: Path) -> None:
    proto = model(NEG)
    kind = helper.make_map_type_proto(
        TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, ())
    )
    rows = helper.make_sequence_type_proto(kind)
    proto.graph.input.append(helper.make_value_info("m", kind))
    proto.graph.output.append(helper.make_value_info("rows", rows))
    proto.graph.node.append(helper.make_node("Identity", ["rows_in"], ["rows"]))
    proto.graph.input.append(helper.make_value_info("rows_in", rows))
    graph = read_model(proto)
    expected = ["map(string, float32[])", "sequence(map(string, float32[]))"]
    assert [str(v.type) for v in graph.inputs[1:]] == expected
    write_model(graph, tmp_path / "model.onnx")
    assert read_model(tmp_path / "model.onnx").inputs == graph.inputs


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("opset", [11, 17])
def test_written_models_are_valid_and_compute_the_same(
    tmp_path: Path, external: bool, opset: int
) -> None:
    proto = bert(opset=opset, head=True)
    path = tmp_path / "copy.onnx"
    write_model(sort_nodes(read_model(proto)), path, external_data=external)
    onnx.checker.check_model(str(path))
    assert (tmp_path / "copy.onnx.data").exists() == external
    engine = Engine(proto)
    feeds = engine.generate_random_inputs(2, 5)
    np.testing.assert_array_equal(Engine(path).run(feeds)[0], engine.run(feeds)[0])


def test_written_models_keep_subgraphs_and_attributes(tmp_path: Path) -> None:
    proto = model(
        """g (bool c, float[2,2] x) => (float[2,2] z) {
        z = If(c) <then_branch = t () => (float[2,2] a) { a = Transpose<perm = [1, 0]>(x) },
                   else_branch = e () => (float[2,2] b) { b = Gelu<approximate = "tanh">(x) }> }""",
        opset=20,
    )
    path = tmp_path / "copy.onnx"
    write_model(read_model(proto), path)
    x = np.arange(4, dtype=np.float32).reshape(2, 2)
    for choice in (True, False):
        feeds = [np.array(choice), x]
        np.testing.assert_array_equal(Engine(path).run(feeds)[0], Engine(proto).run(feeds)[0])


def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="disk full"):
        write_model(read_model(model(NEG)), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_model_in_bytes_is_the_file(tmp_path: Path) -> None:
    graph = read_model(model("agraph (float[2] x) => (float[2] y) { y = Abs(x) }"))
    write_model(graph, tmp_path / "model.onnx")
    assert model_bytes(graph) == (tmp_path / "model.onnx").read_bytes()
