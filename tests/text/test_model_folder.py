"""What a model folder is read as: where its embeddings are, and whether it has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from embedx.errors import InputError
from embedx.text.model_folder import read_folder
from embedx.text.text_model import TextModel
from tests.text.test_text_model import CAT, tokens
from tests.tiny import HIDDEN, bert, deployment


def with_outputs(*nodes: tuple[str, str], attributes: dict[str, Any]) -> onnx.ModelProto:
    proto = bert()
    for kind, name in nodes:
        node = onnx.helper.make_node(kind, ["last_hidden_state"], [name], **attributes)
        proto.graph.node.append(node)
        output = onnx.helper.make_tensor_value_info(name, 1, ["batch", HIDDEN])
        proto.graph.output.append(output)
    return proto


REDUCED = {"axes": [1], "keepdims": 0}


def test_auto_prefers_what_a_graph_pools_unless_a_file_says_how(tmp_path: Path) -> None:
    proto = with_outputs(("ReduceMax", "sentence_embedding"), attributes=REDUCED)
    plain, recipe = deployment(tmp_path / "a", proto), deployment(tmp_path / "b", proto, pooling={})
    assert read_folder(plain).usual_edge() == "last_hidden_state"
    assert read_folder(plain).usual_edge(pooled=True) == "sentence_embedding"
    assert TextModel(read_folder(plain), "sentence_embedding").pools
    assert read_folder(recipe).usual_edge(pooled=True) == "last_hidden_state"


@pytest.mark.parametrize("shaped", [True, False])
def test_auto_knows_a_pooling_under_any_name(tmp_path: Path, shaped: bool) -> None:
    proto = with_outputs(("ReduceMax", "output_0"), attributes=REDUCED)
    del proto.graph.output[0]
    if not shaped:
        proto.graph.output[0].type.tensor_type.ClearField("shape")
    place = deployment(tmp_path, proto)
    assert read_folder(place).usual_edge(pooled=True) == "output_0"
    assert read_folder(place).usual_edge() == "last_hidden_state"
    ((_, hidden),) = TextModel(read_folder(place), "output_0").embed([tokens(2, CAT, 3)], 1)
    assert hidden.shape == (1, HIDDEN)


def test_auto_takes_no_classes_for_an_embedding(tmp_path: Path) -> None:
    proto = bert()
    weight = np.ones((HIDDEN, 2), np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "classes"))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.int64(0), "first"))
    for node in (
        onnx.helper.make_node("Gather", ["last_hidden_state", "first"], ["one"], axis=1),
        onnx.helper.make_node("MatMul", ["one", "classes"], ["scores"]),
    ):
        proto.graph.node.append(node)
    del proto.graph.output[:]
    proto.graph.output.append(onnx.helper.make_tensor_value_info("scores", 1, ["batch", 2]))
    place = deployment(tmp_path, proto)
    assert read_folder(place).usual_edge(pooled=True) == "last_hidden_state"


def test_a_tokenizer_may_be_elsewhere(tmp_path: Path) -> None:
    """As for a file that was cut from another."""
    whole = deployment(tmp_path / "whole")
    (tmp_path / "cut").mkdir()
    (whole / "model.onnx").rename(tmp_path / "cut" / "cut.onnx")
    for tokenizer in (whole, whole / "tokenizer.json", str(whole)):
        folder = read_folder(tmp_path / "cut" / "cut.onnx", tokenizer=tokenizer)
        found = TextModel(folder, folder.usual_edge())
        assert found.tokenizer.encode(["cat"], 9)[0].ids == [2, CAT, 3]
        assert found.deployment.max_seq_length == 48
    with pytest.raises(InputError, match=r"no such file or folder: .*nowhere"):
        read_folder(tmp_path / "cut" / "cut.onnx", tokenizer=tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "1_Pooling/config.json"])
def test_a_stamp_changes_with_each_file(tmp_path: Path, name: str) -> None:
    place = deployment(tmp_path, pooling={})
    before = read_folder(place).stamp()
    assert read_folder(place).stamp() == before
    content = (place / name).read_bytes()
    (place / name).unlink()
    (place / name).write_bytes(content + b" " * name.endswith("json"))
    assert read_folder(place).stamp() != before


@pytest.mark.parametrize(("shape", "declared"), [(("N", "M"), False), (("N", 7), True)])
def test_a_declared_length_is_known(tmp_path: Path, shape: Any, declared: bool) -> None:
    proto = bert()
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        del dims[:]
        for size in shape:
            dims.add(**{"dim_param" if isinstance(size, str) else "dim_value": size})
    assert read_folder(deployment(tmp_path, proto)).declares_length is declared
