"""Reading and writing files: what is refused, and that nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from embedx.errors import EmbedxError, ExternalDataError, InputError, ModelError, OutputError
from embedx.model.graph import SparseTensor, TensorType
from embedx.model.onnx_file import read_model
from embedx.model.onnx_writer import write_model
from embedx.rewrite.normal import sort_nodes
from embedx.run.engine import Engine
from tests.models import model
from tests.tiny import bert

NEG = "g (float[N] x) => (float[N] z) { z = Neg(x) }"


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


def _edited(edit: Any) -> onnx.ModelProto:
    proto = model("g (float[N] x) => (float[N] z) <float[2] w = {1, 2}> { z = Add(x, w) }")
    edit(proto)
    return proto


def _tensor(**fields: Any) -> Any:
    def edit(proto: onnx.ModelProto) -> None:
        tensor = proto.graph.initializer[0]
        tensor.CopyFrom(TensorProto(name="w", **fields))

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda p: setattr(p, "ir_version", 99), "ir_version 99"),
        (lambda p: setattr(p.opset_import[0], "version", 999), "opset 999, supported are 1 to"),
        (lambda p: p.ClearField("opset_import"), "does not say which version"),
        (lambda p: p.graph.initializer.append(p.graph.initializer[0]), "occurs twice"),
        (_tensor(dims=[-1], data_type=1), r"has the dimensions \(-1,\)"),
        (_tensor(dims=[2**40, 2**40], data_type=1), "has the dimensions"),
        (_tensor(dims=[0, 2**40], data_type=1), r"has the dimensions \(0, 1099511627776\)"),
        (_tensor(dims=[2], data_type=99), "99 is no ONNX element type"),
        (_tensor(dims=[2], data_type=1, raw_data=b"1234"), "takes 8 bytes, not 4"),
        (_tensor(dims=[2], data_type=1, float_data=[1.0]), "has 1 of 2 elements"),
        (_tensor(dims=[2], data_type=1, int64_data=[1, 2]), "in int64_data, not float_data"),
        (_tensor(dims=[1], data_type=3, int32_data=[300]), "outside int8"),
        (_tensor(dims=[1], data_type=1, raw_data=b"1234", float_data=[1.0]), "data twice"),
        (_tensor(dims=[1], data_type=8, string_data=[b"\xff"]), "not UTF-8"),
    ],
)
def test_contradictory_files_are_refused(edit: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_model(_edited(edit))


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


@pytest.mark.parametrize(
    "array",
    [
        np.array([1.5, -2], np.float32),
        np.array([1.5, -2], np.float16),
        np.array([1, -2], np.int8),
        np.array([1, 2], np.uint64),
        np.array([True, False]),
        np.array(["a", "é"], object),
        np.array([1 + 2j, 3], np.complex64),
        np.array([1.5, -2], ml_dtypes.bfloat16),
        np.array([1.5, -2], ml_dtypes.float8_e4m3fn),
        np.array([-8, 7, 3], ml_dtypes.int4),
        np.array([15, 7, 3], ml_dtypes.uint4),
        np.array([1.5, -6, 0], ml_dtypes.float4_e2m1fn),
        np.zeros((0, 3), np.float32),
    ],
    ids=lambda a: a.dtype.name,
)
@pytest.mark.parametrize("raw", [True, False])
def test_every_element_type_is_read_from_either_field(array: Any, raw: bool) -> None:
    tensor = numpy_helper.from_array(array, "w")
    if not raw and tensor.HasField("raw_data"):
        tensor = helper.make_tensor("w", tensor.data_type, array.shape, array.flatten())
    proto = model(NEG)
    proto.graph.initializer.append(tensor)
    found = read_model(proto).initializers["w"]
    assert isinstance(found, np.ndarray)
    assert found.dtype == (object if array.dtype.kind == "O" else array.dtype)
    assert found.shape == array.shape
    np.testing.assert_array_equal(found.astype(object), array.astype(object))


def test_a_bool_stored_as_two_is_true() -> None:
    proto = _edited(_tensor(dims=[2], data_type=9, raw_data=b"\x02\x00"))
    found = read_model(proto).initializers["w"]
    assert isinstance(found, np.ndarray)
    assert found.view(np.uint8).tolist() == [1, 0]


@pytest.mark.parametrize("linear", [True, False])
def test_sparse_initializers_in_both_index_layouts(linear: bool) -> None:
    dense = np.array([[0, 1.5, 0], [0, 0, -2]], np.float32)
    indices = np.array([1, 5]) if linear else np.array([[0, 1], [1, 2]])
    values = numpy_helper.from_array(dense[dense != 0], "w")
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(indices, "i"), [2, 3])
    proto = model("g (float[2,2] x) => (float[2,3] z) { z = MatMul(x, w) }")
    proto.graph.sparse_initializer.append(sparse)
    found = read_model(proto).initializers["w"]
    assert isinstance(found, SparseTensor)
    np.testing.assert_array_equal(found.dense(), dense)
    x = np.eye(2, dtype=np.float32)
    np.testing.assert_array_equal(Engine(proto).run([x])[0], dense)


@pytest.mark.parametrize("indices", [[1, 9], [-1, 2], [2, 2], [5, 1], [1]])
def test_sparse_indices_must_ascend_inside_the_shape(indices: list[int]) -> None:
    values = numpy_helper.from_array(np.ones(2, np.float32), "w")
    places = numpy_helper.from_array(np.array(indices), "i")
    proto = model("g (float[2,2] x) => (float[2,3] z) { z = MatMul(x, w) }")
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [2, 3]))
    with pytest.raises(ModelError, match="indices"):
        read_model(proto)


def test_declared_types_are_kept() -> None:
    graph = read_model(model("g (float[N,2] x, seq(int64[1]) s) => (float[N,2] z) { z = Neg(x) }"))
    assert graph.inputs[0].type == TensorType(np.dtype(np.float32), ("N", 2))
    assert [str(v.type) for v in graph.inputs] == ["float32[N, 2]", "sequence(int64[1])"]


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


def test_nesting_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedx.model.onnx_file.MAX_NESTING", 2)
    body = "z = Neg(x)"
    for i in range(3):
        inner = f"then_branch = t () => (float[N] z) {{ {body} }}"
        body = f"z = If(c) <{inner}, else_branch = e{i} () => (float[N] q) {{ q = Neg(x) }}>"
    with pytest.raises(ModelError, match="nested deeper than 2"):
        read_model(model(f"g (bool c, float[N] x) => (float[N] z) {{ {body} }}"))


def _with_external(folder: Path, entries: dict[str, str], data: bytes = b"\0" * 8) -> Path:
    proto = model("g (float[2] x) => (float[2] z) { z = Add(x, w) }")
    tensor = TensorProto(name="w", data_type=1, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "weights.bin", **entries}.items():
        tensor.external_data.add(key=key, value=value)
    proto.graph.initializer.append(tensor)
    folder.mkdir(exist_ok=True)
    (folder / "weights.bin").write_bytes(data)
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_external_data_is_mapped_from_its_offset(tmp_path: Path) -> None:
    data = np.array([9, 1, 2], np.float32).tobytes()
    path = _with_external(tmp_path, {"offset": "4", "length": "8"}, data)
    weight = read_model(path).initializers["w"]
    assert isinstance(weight, np.ndarray)
    assert not weight.flags.owndata
    assert weight.tolist() == [1, 2]


def test_external_data_may_lie_beside_a_linked_model(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    _with_external(blobs, {})
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for name in ("model.onnx", "weights.bin"):
        (snapshot / name).symlink_to(blobs / name)
    assert read_model(snapshot / "model.onnx").initializers


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "../weights.bin"}, "not a path inside"),
        ({"location": "a/../../weights.bin"}, "not a path inside"),
        ({"location": "/etc/passwd"}, "not a path inside"),
        ({"location": "C:\\weights.bin"}, "not a path inside"),
        ({"location": "https://example.com/w"}, "not a path inside"),
        ({"location": "weights\0.bin"}, "not a path inside"),
        ({"location": ""}, "not a path inside"),
        ({"location": "missing.bin"}, "cannot find"),
        ({"location": "link.bin"}, "leads out"),
        ({"location": "folder"}, "no regular file"),
        ({"location": "pipe"}, "no regular file"),
        ({"offset": "4"}, "past its end"),
        ({"offset": "-4"}, "no count"),
        ({"offset": "٤"}, "no count"),
        ({"offset": "99999999999999999999"}, "no count"),
        ({"length": "4"}, "declares 4"),
    ],
)
def test_external_data_outside_the_folder_is_never_read(
    tmp_path: Path, entries: dict[str, str], message: str
) -> None:
    folder = tmp_path / "model"
    path = _with_external(folder, entries)
    (tmp_path / "weights.bin").write_bytes(b"\0" * 8)
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    with pytest.raises(ExternalDataError, match=message):
        read_model(path)


def test_keys_of_external_data_that_only_others_understand_are_ignored(tmp_path: Path) -> None:
    entries = {"prepacked_0": "w|0;8;", "basepath": "/", "__class__": "x", "checksum": "0" * 40}
    assert read_model(_with_external(tmp_path, entries)).initializers


@pytest.mark.parametrize("key", ["location", "offset", "length", "checksum"])
def test_the_standard_keys_of_external_data_occur_once(tmp_path: Path, key: str) -> None:
    path = _with_external(tmp_path, {"offset": "0", "length": "8", "checksum": "0"})
    proto = onnx.load(path, load_external_data=False)
    entries = proto.graph.initializer[0].external_data
    entries.add().CopyFrom(next(entry for entry in entries if entry.key == key))
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ExternalDataError, match="once each"):
        read_model(path)


def test_external_data_needs_the_path(tmp_path: Path) -> None:
    data = _with_external(tmp_path, {}).read_bytes()
    with pytest.raises(ExternalDataError, match="give the model's path"):
        read_model(data)


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
