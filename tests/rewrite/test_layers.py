"""Layers are found by structure, whatever they are called and however they are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from embedx.errors import ConfigError
from embedx.model.graph import Graph
from embedx.model.onnx_file import read_model
from embedx.rewrite.cut import truncate
from embedx.rewrite.layers import edge_of, find_layers, is_pooled
from embedx.rewrite.normal import sort_nodes
from embedx.run.engine import Engine
from embedx.run.fold import fold_constants
from tests.models import model
from tests.tiny import HIDDEN, bert


def loaded(**options: object) -> Graph:
    return sort_nodes(read_model(bert(**options)))  # type: ignore[arg-type]


@pytest.mark.parametrize("opset", [11, 17, 20])
@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_head_is_cut_off_where_the_headless_model_ends(
    opset: int, pre_norm: bool, layers: int
) -> None:
    headed = loaded(opset=opset, pre_norm=pre_norm, layers=layers, head=True)
    plain = Engine(loaded(opset=opset, pre_norm=pre_norm, layers=layers))
    found = find_layers(headed)
    assert len(found) == layers
    feeds = plain.generate_random_inputs(2, 7)
    np.testing.assert_array_equal(
        Engine(truncate(headed, found[-1])).run(feeds)[0], plain.run(feeds)[0]
    )


def test_without_a_head_the_last_layer_is_the_output() -> None:
    assert find_layers(loaded())[-1] == "last_hidden_state"


def test_names_do_not_matter() -> None:
    proto = bert(prefix="", head=True)
    for node in proto.graph.node:
        node.name = ""
    renamed = sort_nodes(read_model(proto))
    assert find_layers(renamed) == find_layers(loaded(head=True))


def test_folding_constants_changes_nothing() -> None:
    assert find_layers(fold_constants(loaded(head=True))) == find_layers(loaded(head=True))


def test_layers_are_named_by_index_node_or_edge() -> None:
    graph = loaded(head=True)
    first, last = find_layers(graph)
    makers = graph.producers()
    assert edge_of(graph, 0) == edge_of(graph, -2) == edge_of(graph, first) == first
    assert edge_of(graph, -1) == edge_of(graph, makers[last].name) == last


@pytest.mark.parametrize("layer", [2, -3])
def test_layers_that_do_not_exist_are_refused(layer: int) -> None:
    with pytest.raises(ConfigError, match="the model has 2 layers"):
        edge_of(loaded(), layer)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="no node or edge 'nothing'"):
        edge_of(loaded(), "nothing")


def test_a_graph_without_layers_ends_at_its_output() -> None:
    graph = read_model(model("g (float[N] x) => (float[N] z) { z = Neg(x) }"))
    assert find_layers(graph) == []
    assert edge_of(graph, -1) is None
    with pytest.raises(ConfigError, match="has 0 layers"):
        edge_of(graph, 0)


def test_the_file_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(bert(head=True).SerializeToString())
    before = path.read_bytes()
    Engine(truncate(sort_nodes(read_model(path)), find_layers(sort_nodes(read_model(path)))[0]))
    assert path.read_bytes() == before


class Head:
    """Nodes behind the last hidden state of a tiny BERT, as the only output or beside it."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.proto = proto
        self.opset = proto.opset_import[0].version
        self.count = 0

    def const(self, value: Any) -> str:
        self.count += 1
        name = f"head_{self.count}"
        array = np.asarray(value)
        self.proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        self.count += 1
        name = f"head_{self.count}"
        self.proto.graph.node.append(onnx.helper.make_node(kind, inputs, [name], **attributes))
        return name

    def over(self, kind: str, x: str, axis: int, keepdims: int = 0) -> str:
        """A reduction, or Squeeze and Unsqueeze, whose axes are an attribute or an input."""
        since = {"ReduceSum": 13, "Squeeze": 13, "Unsqueeze": 13}.get(kind, 18)
        options = {} if "queeze" in kind else {"keepdims": keepdims}
        if self.opset < since:
            return self.op(kind, x, axes=[axis], **options)
        return self.op(kind, x, self.const(np.array([axis])), **options)

    def mask(self, axis: int = -1) -> str:
        return self.op("Cast", self.over("Unsqueeze", "attention_mask", axis), to=FLOAT)

    def finished(self, x: str, *, beside: bool) -> Graph:
        self.proto.graph.node.append(onnx.helper.make_node("Identity", [x], ["pooled"]))
        if not beside:
            del self.proto.graph.output[:]
        output = onnx.helper.make_tensor_value_info("pooled", FLOAT, ["batch", HIDDEN])
        self.proto.graph.output.append(output)
        return sort_nodes(read_model(self.proto))


FLOAT, H = onnx.TensorProto.FLOAT, "last_hidden_state"


def masked_mean(h: Head) -> str:
    mask = h.op("Cast", h.op("Expand", h.over("Unsqueeze", "attention_mask", -1),
                             h.op("Shape", H)), to=FLOAT)  # fmt: skip
    count = h.op("Clip", h.over("ReduceSum", mask, 1), h.const(np.float32(1e-9)))
    return h.op("Div", h.over("ReduceSum", h.op("Mul", H, mask), 1), count)


def masked_sum_over_root(h: Head) -> str:
    total = h.over("ReduceSum", h.op("Mul", h.mask(), H), -2)
    return h.op("Div", total, h.op("Sqrt", h.over("ReduceSum", h.mask(), 1)))


def weights_of_one_in_all(h: Head) -> str:
    share = h.op("Div", h.mask(), h.over("ReduceSum", h.mask(), 1, keepdims=1))
    return h.over("ReduceSum", h.op("Mul", H, share), 1)


def masked_product(h: Head) -> str:
    total = h.over("Squeeze", h.op("MatMul", h.mask(1), H), 1)
    count = h.over("ReduceSum", "attention_mask", 1, keepdims=1)
    return h.op("Div", total, h.op("Cast", count, to=FLOAT))


def masked_product_of_transposed(h: Head) -> str:
    turned = h.op("Transpose", H, perm=[0, 2, 1])
    return h.over("Squeeze", h.op("MatMul", turned, h.mask()), 2)


def masked_max(h: Head) -> str:
    far = h.op("Mul", h.op("Sub", h.mask(), h.const(np.float32(1))), h.const(np.float32(1e9)))
    return h.over("ReduceMax", h.op("Add", H, far), 1)


def last_token(h: Head) -> str:
    count = h.over("ReduceSum", "attention_mask", 1, keepdims=1)
    return h.op("GatherND", H, h.op("Sub", count, h.const(np.array([1]))), batch_dims=1)


def first_token(h: Head) -> str:
    edges = (h.const(np.array([n])) for n in (0, 1, 1))
    return h.over("Squeeze", h.op("Slice", H, *edges), 1)


def pooled_as_an_image(h: Head) -> str:
    wide = h.over("Unsqueeze", h.op("Transpose", H, perm=[0, 2, 1]), 3)
    return h.op("Flatten", h.op("GlobalAveragePool", wide))


def halves(h: Head) -> str:
    half = h.op("Cast", H, to=onnx.TensorProto.FLOAT16)
    return h.op("Cast", h.over("ReduceMean", half, 1), to=FLOAT)


def normal_tokens(h: Head) -> str:
    squares = h.over("ReduceSum", h.op("Mul", H, H), -1, keepdims=1)
    length = h.op("Sqrt", h.op("Add", squares, h.const(np.float32(1e-12))))
    return h.over("ReduceMean", h.op("Div", H, length), 1)


def masked_and_centred(h: Head) -> str:
    masked = h.op("Mul", H, h.mask())
    return h.over("ReduceSum", h.op("Sub", masked, h.over("ReduceMean", masked, -1, keepdims=1)), 1)


POOLINGS: list[Callable[[Head], str]] = [
    masked_mean,
    masked_sum_over_root,
    weights_of_one_in_all,
    masked_product,
    masked_product_of_transposed,
    masked_max,
    last_token,
    first_token,
    pooled_as_an_image,
    halves,
    normal_tokens,
    masked_and_centred,
    lambda h: h.over("ReduceMean", H, 1),
    lambda h: h.over("Squeeze", h.over("ReduceMean", H, -2, keepdims=1), 1),
    lambda h: h.over("ReduceMax", H, 1),
    lambda h: h.op("Gather", H, h.const(np.int64(0)), axis=1),
    lambda h: h.op("Add", h.over("ReduceMean", H, 1), h.over("ReduceMax", H, 1)),
]


def unit(h: Head, x: str) -> str:
    length = h.op("Clip", h.over("ReduceL2", x, -1, keepdims=1), h.const(np.float32(1e-12)))
    return h.op("Div", x, h.op("Expand", length, h.op("Shape", x)))


def quantized(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Products as onnxruntime's dynamic quantization writes them."""
    weights = {t.name: t for t in proto.graph.initializer}
    nodes = []
    for node in proto.graph.node:
        if node.op_type != "MatMul" or node.input[1] not in weights:
            nodes.append(node)
            continue
        weight = onnx.numpy_helper.to_array(weights[node.input[1]])
        scale = np.float32(np.abs(weight).max() / 127)
        made = {"q": np.rint(weight / scale).astype(np.int8), "s": scale, "z": np.int8(0)}
        names = {key: f"{node.output[0]}_{key}" for key in (*made, "x", "xs", "xz", "i", "f", "p")}
        for key, value in made.items():
            array = onnx.numpy_helper.from_array(np.asarray(value), names[key])
            proto.graph.initializer.append(array)
        for kind, inputs, outputs in (
            ("DynamicQuantizeLinear", [node.input[0]], [names[k] for k in ("x", "xs", "xz")]),
            ("MatMulInteger", [names[k] for k in ("x", "q", "xz", "z")], [names["i"]]),
            ("Mul", [names["xs"], names["s"]], [names["p"]]),
        ):
            nodes.append(onnx.helper.make_node(kind, inputs, outputs))
        nodes.append(onnx.helper.make_node("Cast", [names["i"]], [names["f"]], to=FLOAT))
        nodes.append(onnx.helper.make_node("Mul", [names["f"], names["p"]], [node.output[0]]))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return proto


@pytest.mark.parametrize("opset", [11, 17, 20])
@pytest.mark.parametrize("integers", [False, True])
@pytest.mark.parametrize("pool", POOLINGS)
def test_a_pooling_is_no_layer(pool: Callable[[Head], str], integers: bool, opset: int) -> None:
    def tiny(*, pre_norm: bool = False) -> onnx.ModelProto:
        proto = bert(opset=opset, pre_norm=pre_norm)
        return quantized(proto) if integers else proto

    for pre_norm in (False, True):
        expected = find_layers(sort_nodes(read_model(tiny(pre_norm=pre_norm))))
        for normalized in (False, True):
            for beside in (False, True):
                head = Head(tiny(pre_norm=pre_norm))
                x = pool(head)
                x = unit(head, x) if normalized else x
                graph = head.finished(x, beside=beside)
                assert find_layers(graph) == expected
                assert is_pooled(graph, "pooled")


@pytest.mark.parametrize("kind", ["MatMul", "Gemm"])
def test_a_projection_is_no_pooling(kind: str) -> None:
    head = Head(bert())
    first = head.op("Gather", H, head.const(np.int64(0)), axis=1)
    weight = head.const(np.eye(HIDDEN, dtype=np.float32))
    graph = head.finished(head.op("Tanh", head.op(kind, first, weight)), beside=True)
    assert find_layers(graph)[-1] == H
    assert not is_pooled(graph, "pooled")
    assert is_pooled(graph, H)


@pytest.mark.parametrize("form", [[-1, HIDDEN], [0, -1, 2, HIDDEN // 2]])
def test_what_a_head_makes_of_the_form_is_no_layer(form: list[int]) -> None:
    head = Head(bert())
    formed = head.op("Reshape", H, head.const(np.array(form)))
    product = head.op("MatMul", formed, head.const(np.eye(form[-1], dtype=np.float32)))
    assert find_layers(head.finished(product, beside=False))[-1] == H


def test_a_padding_mask_behind_every_layer_belongs_to_it() -> None:
    """As XLM has it, the last layer included where no head follows."""
    proto = bert()
    head = Head(proto)
    proto.graph.node[-1].output[0] = "unmasked"
    masked = head.op("Mul", "unmasked", head.mask())
    proto.graph.node.append(onnx.helper.make_node("Identity", [masked], [H]))
    assert find_layers(sort_nodes(read_model(proto)))[-1] == H
