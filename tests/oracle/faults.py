"""Faults, planted into files and into a runtime."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from embedx.oracle.bisect import Bisection, bisect
from tests.tiny import bert

LAYER = "bert.encoder.layer.1."
Fault: TypeAlias = Callable[[onnx.ModelProto], None]


def weight(model: onnx.ModelProto, name: str) -> Any:
    return next(t for t in model.graph.initializer if t.name == name)


def reader(model: onnx.ModelProto, name: str) -> Any:
    """The first node that reads an edge."""
    return next(n for n in model.graph.node if name in n.input)


def set_weight(
    model: onnx.ModelProto, name: str, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    proto = weight(model, name)
    array = change(numpy_helper.to_array(proto).copy())
    proto.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))


def scaled_column(model: onnx.ModelProto) -> None:
    def change(w: NDArray[Any]) -> NDArray[Any]:
        w[:, 3] *= np.float32(1.01)
        return w

    set_weight(model, f"{LAYER}attention.self.query.weight", change)


def transposed(model: onnx.ModelProto) -> None:
    set_weight(model, f"{LAYER}attention.output.dense.weight", np.transpose)


def other_epsilon(model: onnx.ModelProto) -> None:
    reader(model, f"{LAYER}attention.output.LayerNorm.weight").attribute[0].f = 1e-3


def other_axis(model: onnx.ModelProto) -> None:
    softmax = [n for n in model.graph.node if n.op_type == "Softmax"][1]
    softmax.attribute[0].i = -2


def no_bias(model: onnx.ModelProto) -> None:
    node = reader(model, f"{LAYER}intermediate.dense.bias")
    (product,) = (name for name in node.input if not name.startswith("bert."))
    for other in model.graph.node:
        for i, name in enumerate(other.input):
            if name == node.output[0]:
                other.input[i] = product
    model.graph.node.remove(node)


FAULTS: dict[Fault, tuple[str, str]] = {
    scaled_column: ("MatMul_47", f"{LAYER}attention.self.query.weight"),
    transposed: ("MatMul_66", f"{LAYER}attention.output.dense.weight"),
    other_epsilon: ("LayerNormalization_69", "LayerNormalization_69.epsilon"),
    other_axis: ("Softmax_58", "Softmax_58.axis"),
    no_bias: ("Add_71", "Add_71"),
}
"""Each fault's node in a tiny BERT, and what has to be put back."""


@functools.cache
def bisected(fault: Fault, engine: str) -> Bisection:
    """What a bisection finds where a file has a fault."""
    changed = bert()
    fault(changed)
    return bisect(bert(), changed, with_=engine)


def scaling() -> onnx.ModelProto:
    """Large values that are scaled down before a product.

    onnxruntime's optimizer MatMulScaleFusion scales the product instead, which overflows by then.
    """
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="relu"),
        helper.make_node("Mul", ["r", "s"], ["rs"], name="scale"),
        helper.make_node("MatMul", ["rs", "w"], ["y"], name="product"),
        helper.make_node("Relu", ["y"], ["out"], name="last"),
    ]
    random = np.random.default_rng(0)
    weights = {
        "s": np.float32(1e-20),
        "w": (1e20 * random.normal(size=(8, 8))).astype(np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "scaling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def large() -> NDArray[np.float32]:
    """An input of ``scaling`` that overflows."""
    return (1e25 * np.random.default_rng(1).normal(size=(4, 8))).astype(np.float32)


_PROGRAM = """
import sys
import numpy as np, onnx, onnxruntime
from onnx import helper, numpy_helper

model = onnx.load(sys.argv[1])
made = {name: node for node in model.graph.node for name in node.output}
for node in list(model.graph.node):
    before = made.get(node.input[0]) if node.input else None
    if node.op_type == "Softmax" and (before is None or before.op_type) in ALLOWED:
        (name,) = node.output
        node.output[0] = name + "_right"
        wrong = helper.make_node("Mul", [name + "_right", "factor_of_fault"], [name])
        model.graph.node.insert(list(model.graph.node).index(node) + 1, wrong)
model.graph.initializer.append(numpy_helper.from_array(np.float32(1.01), "factor_of_fault"))
options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
session = onnxruntime.InferenceSession(
    model.SerializeToString(), options, providers=["CPUExecutionProvider"]
)
with np.load(sys.argv[2]) as file:
    feeds = dict(file)
names = [output.name for output in model.graph.output]
np.savez(sys.argv[3], **dict(zip(names, session.run(names, feeds))))
"""


def faulty_softmax(folder: Path, *, behind_add: bool = False) -> str:
    """An engine whose Softmax is one percent too large: always, or only behind an Add.

    It is onnxruntime with a changed model, so that what comes later is computed from what is wrong.
    The second kind stands for an optimizer that fuses two nodes and gets that wrong.
    """
    allowed = ["Add"] if behind_add else ["Add", True]
    script = folder / "engine.py"
    script.write_text(_PROGRAM.replace("ALLOWED", repr(allowed)))
    words = shlex.join([sys.executable, str(script)])
    return f"cmd:{words} {{model}} {{inputs}} {{outputs}}"


def divided_the_wrong_way() -> onnx.ModelProto:
    """A layer norm written out whose last division is of the deviation by the centred values.

    onnxruntime's optimizer takes it for a layer norm (onnxruntime 1.32).
    """
    model = bert(opset=13)
    node = next(n for n in reversed(model.graph.node) if n.op_type == "Div")
    node.input[:] = reversed(node.input)
    return model


def in_half_precision(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with float16 weights and casts at its output."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    for proto in half.graph.initializer:
        array = numpy_helper.to_array(proto)
        if array.dtype == np.float32:
            array = np.clip(array, -65504, 65504).astype(np.float16)
            proto.CopyFrom(numpy_helper.from_array(array, proto.name))
    for node in half.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    last = half.graph.node[-1]
    assert last.op_type == "Identity"
    last.op_type = "Cast"
    last.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
    return half
