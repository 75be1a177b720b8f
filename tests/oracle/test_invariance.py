"""A text alone and with others, in models that keep them apart and in some that do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from embedx.oracle.invariance import Invariance
from embedx.oracle.quant import study
from tests.oracle.quantized import TEXTS, dynamic, folder
from tests.tiny import bert


def looked_at(source: Path) -> Invariance:
    ((_, found),) = study(source, None, TEXTS, invariant=True).invariance
    return found


def ways(found: Invariance) -> set[str]:
    return {b.way for b in found.breaches}


def first(found: Invariance, way: str) -> set[str]:
    nodes = [b.node for b in found.breaches if b.way == way]
    return {"" if node is None else node.name for node in nodes}


def inserted(model: onnx.ModelProto, *nodes: onnx.NodeProto) -> onnx.ModelProto:
    """The model with nodes in front of the last one, which then reads what they make."""
    last = model.graph.node[-1]
    hidden = last.input[0]
    for node in nodes:
        node.input[:] = [hidden if name == "HIDDEN" else name for name in node.input]
        model.graph.node.insert(len(model.graph.node) - 1, node)
    last.input[0] = nodes[-1].output[0]
    return model


@pytest.mark.parametrize("opset", [11, 17, 20])
def test_a_healthy_model_keeps_texts_apart(tmp_path: Path, opset: int) -> None:
    found = looked_at(folder(tmp_path, bert(opset=opset)))
    assert found.breaches == ()
    assert found.impossible == {}
    assert all(count == len(TEXTS) for count in found.checked.values())


def test_a_scale_of_the_whole_batch_is_named(tmp_path: Path) -> None:
    source = folder(tmp_path / "float")
    found = looked_at_beside(source, dynamic(source, tmp_path / "int8.onnx"))
    assert "batched" in ways(found)
    graph = onnx.load(tmp_path / "int8.onnx").graph
    dynamic_nodes = {n.name for n in graph.node if n.op_type == "DynamicQuantizeLinear"}
    assert first(found, "batched") <= dynamic_nodes


def looked_at_beside(source: Path, target: Path) -> Invariance:
    found = study(source, target, TEXTS, regain_texts=1, invariant=True)
    assert not found.passed
    return found.invariance[1][1]


def test_a_mask_that_lets_padding_through_is_named(tmp_path: Path) -> None:
    model = bert()
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.shape == () and value < -1e30:
            tensor.CopyFrom(numpy_helper.from_array(np.float32(-3), tensor.name))
    found = looked_at(folder(tmp_path, model))
    assert ways(found) == {"padded"}
    softmax = next(n for n in model.graph.node if n.op_type == "Softmax")
    assert first(found, "padded") == {softmax.name}


def test_a_mean_over_the_batch_is_named(tmp_path: Path) -> None:
    model = inserted(
        bert(),
        helper.make_node("ReduceMean", ["HIDDEN"], ["mean"], name="mean", axes=[0]),
        helper.make_node("Sub", ["HIDDEN", "mean"], ["centred"], name="centred"),
    )
    found = looked_at(folder(tmp_path, model))
    assert ways(found) == {"batched"}
    assert first(found, "batched") == {"mean"}


def test_a_sum_in_the_order_of_texts_is_named(tmp_path: Path) -> None:
    axis = numpy_helper.from_array(np.array(0), "axis")
    model = inserted(bert(), helper.make_node("CumSum", ["HIDDEN", "axis"], ["sum"], name="sum"))
    model.graph.initializer.append(axis)
    found = looked_at(folder(tmp_path, model))
    assert ways(found) == {"batched", "reordered"}
    assert first(found, "reordered") == {"sum"}


def test_a_width_that_counts_is_named(tmp_path: Path) -> None:
    model = inserted(
        bert(),
        helper.make_node("Shape", ["input_ids"], ["shape"], name="shape"),
        helper.make_node("Cast", ["shape"], ["sizes"], name="sizes", to=1),
        helper.make_node("ReduceMax", ["sizes"], ["width"], name="width"),
        helper.make_node("Div", ["HIDDEN", "width"], ["scaled"], name="scaled"),
    )
    found = looked_at(folder(tmp_path, model))
    assert "padded" in ways(found)
    assert first(found, "padded") == {"scaled"}


def test_a_single_text_is_looked_at_with_itself_turned(tmp_path: Path) -> None:
    ((_, found),) = study(folder(tmp_path), None, ["a cat"], invariant=True).invariance
    assert found.breaches == ()
    assert set(found.checked.values()) == {1}


def test_what_cannot_be_tried_is_told(tmp_path: Path) -> None:
    model = bert()
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
        value.type.tensor_type.shape.dim[1].dim_value = 16
    found = looked_at(folder(tmp_path, model))
    assert "batched" in found.impossible
    assert "padded" in found.impossible
    assert found.breaches == ()
