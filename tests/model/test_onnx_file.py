"""Reading and writing files: what is refused, and that nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, helper

from embedx.errors import EmbedxError, InputError, ModelError
from embedx.model.graph import TensorType
from embedx.model.onnx_file import read_model
from embedx.model.onnx_writer import write_model
from embedx.run.engine import Engine
from tests.model.protos import NEG, edited, tensor_with
from tests.models import model
from tests.tiny import bert


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no graph"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "HTML"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"\x1f\x8brest", "gzip"),
        (b'{"a": 1}', "JSON"),
        (b"\xff" * 40, "not an ONNX model"),
        (bert().SerializeToString()[:-100], "not an ONNX model|takes"),
    ],
)
def test_files_that_are_no_models_are_recognised(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    for source in (path, data):
        with pytest.raises(ModelError, match=message):
            read_model(source)


def test_missing_files_and_folders_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_model(tmp_path / "nothing.onnx")
    with pytest.raises(InputError, match="cannot read"):
        read_model(tmp_path)


@given(st.data())
def test_damaged_files_raise_nothing_but_our_own_errors(data: st.DataObject) -> None:
    blob = bytearray(model(NEG).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    message = ""
    try:
        Engine(bytes(blob)).run([np.ones(2, np.float32)])
    except EmbedxError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) <= 2000


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda p: setattr(p, "ir_version", 99), "ir_version 99"),
        (lambda p: setattr(p.opset_import[0], "version", 999), "opset 999, supported are 1 to"),
        (lambda p: p.ClearField("opset_import"), "does not say which version"),
        (lambda p: p.graph.initializer.append(p.graph.initializer[0]), "occurs twice"),
        (tensor_with(dims=[-1], data_type=1), r"has the dimensions \(-1,\)"),
        (tensor_with(dims=[2**40, 2**40], data_type=1), "has the dimensions"),
        (tensor_with(dims=[0, 2**40], data_type=1), r"has the dimensions \(0, 1099511627776\)"),
        (tensor_with(dims=[2], data_type=99), "99 is not an ONNX element type"),
        (tensor_with(dims=[2], data_type=1, raw_data=b"1234"), "takes 8 bytes, not 4"),
        (tensor_with(dims=[2], data_type=1, float_data=[1.0]), "has 1 of 2 elements"),
        (tensor_with(dims=[2], data_type=1, int64_data=[1, 2]), "in int64_data, not float_data"),
        (tensor_with(dims=[1], data_type=3, int32_data=[300]), "outside int8"),
        (tensor_with(dims=[1], data_type=1, raw_data=b"1234", float_data=[1.0]), "data twice"),
        (tensor_with(dims=[1], data_type=8, string_data=[b"\xff"]), "not UTF-8"),
    ],
)
def test_contradictory_files_are_refused(edit: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_model(edited(edit))


# Versions of the operators.

SOFTMAX = "g (float[2,2,2] x) => (float[2,2,2] z) { z = Softmax(x) }"


def _imported(text: str, *versions: tuple[str, int]) -> onnx.ModelProto:
    proto = model(text)
    del proto.opset_import[:]
    proto.opset_import.extend(helper.make_opsetid(*version) for version in versions)
    return proto


@pytest.mark.parametrize(
    "versions",
    [
        [("", 13), ("", 13)],
        [("", 13), ("ai.onnx", 13), ("com.microsoft", 1), ("com.microsoft", 1)],
        [("", 17), ("", 13)],  # which mean the same Softmax
    ],
)
def test_domains_may_be_imported_twice_where_that_makes_no_difference(versions: Any) -> None:
    graph = read_model(_imported(SOFTMAX, *versions))
    assert (graph.nodes[0].opset, graph.opsets[""]) == (13, 13)


@pytest.mark.parametrize("versions", [[("", 11), ("", 13)], [("", 13), ("ai.onnx", 11)]])
def test_versions_that_differ_in_an_operator_are_refused(versions: Any) -> None:
    with pytest.raises(ModelError, match=r"Softmax \(node 0\) differs between the versions 1\d"):
        read_model(_imported(SOFTMAX, *versions))


def test_of_a_domain_that_is_not_imported_it_is_the_newest_version(tmp_path: Path) -> None:
    graph = read_model(_imported(SOFTMAX, ("com.microsoft", 1)))
    assert graph.nodes[0].opset == onnx.defs.onnx_opset_version()
    proto = model(NEG)
    proto.graph.node[0].op_type, proto.graph.node[0].domain = "Scaler", "ai.onnx.ml"
    graph = read_model(proto)
    assert graph.nodes[0].opset == 5
    write_model(graph, tmp_path / "model.onnx")
    assert read_model(tmp_path / "model.onnx").opsets == {"": 17, "ai.onnx.ml": 5}


@pytest.mark.parametrize("opset", [8, 11, 16, 17])
@pytest.mark.parametrize("imports", ["", ', "com.microsoft" : 1'])
def test_layer_normalization_is_known_at_any_opset(opset: int, imports: str) -> None:
    text = "g (float[1,2] x, float[2] s) => (float[1,2] z) { z = LayerNormalization(x, s) }"
    engine = Engine(model(text, opset=opset, imports=imports))
    x, scale = np.array([[1, 3]], np.float32), np.array([1, 2], np.float32)
    np.testing.assert_allclose(engine.run([x, scale])[0], [[-1, 2]], rtol=1e-5)


# Attributes.


def _fill(**fields: Any) -> Any:
    def edit(attribute: Any) -> None:
        for name, value in fields.items():
            if isinstance(value, list):
                getattr(attribute, name).extend(value)
            else:
                setattr(attribute, name, value)

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_fill(type=0), "the unknown type 0"),
        (_fill(floats=[1.0]), "its value in 'i', it has floats, i"),
        (_fill(ints=[1]), "its value in 'i', it has i, ints"),
        (_fill(f=1.0), "its value in 'i', it has f, i"),
        (_fill(type=AttributeProto.INTS), "its value in 'ints', it has i"),
        (_fill(type=AttributeProto.FLOAT), "its value in 'f', it has i"),
        (_fill(ref_attr_name="axis"), "has a value and refers to 'axis'"),
        (lambda a: (a.ClearField("i"), _fill(type=AttributeProto.GRAPH)(a)), "no value in 'g'"),
        (lambda a: (a.ClearField("i"), _fill(floats=[1.0])(a)), "its value in 'i', it has floats"),
    ],
)
def test_values_are_where_their_type_says(edit: Any, message: str) -> None:
    proto = model("g (float[2] x) => (float[2] z) { z = Softmax<axis = 0>(x) }")
    proto.graph.node[0].name = "last"
    edit(proto.graph.node[0].attribute[0])
    with pytest.raises(
        ModelError, match=rf"^Softmax 'last' \(node 0\), attribute 'axis' .*{message}"
    ):
        read_model(proto)


def test_numbers_that_are_left_out_are_zero() -> None:
    proto = model("g (float[2,2] x) => (float[2,2] z) { z = Softmax<axis = 1>(x) }")
    proto.graph.node[0].attribute[0].ClearField("i")
    assert read_model(proto).nodes[0].attributes == {"axis": 0}


def test_declared_types_are_kept() -> None:
    graph = read_model(model("g (float[N,2] x, seq(int64[1]) s) => (float[N,2] z) { z = Neg(x) }"))
    assert graph.inputs[0].type == TensorType(np.dtype(np.float32), ("N", 2))
    assert [str(v.type) for v in graph.inputs] == ["float32[N, 2]", "sequence(int64[1])"]


def test_nesting_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedx.model.onnx_file.MAX_NESTING", 2)
    body = "z = Neg(x)"
    for i in range(3):
        inner = f"then_branch = t () => (float[N] z) {{ {body} }}"
        body = f"z = If(c) <{inner}, else_branch = e{i} () => (float[N] q) {{ q = Neg(x) }}>"
    with pytest.raises(ModelError, match="nested deeper than 2"):
        read_model(model(f"g (bool c, float[N] x) => (float[N] z) {{ {body} }}"))
