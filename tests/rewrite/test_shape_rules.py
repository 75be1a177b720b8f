"""The shapes that are followed through a graph are those that a run makes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.backend.test.loader import load_model_tests

from embedx.errors import EmbedxError
from embedx.model.graph import Node
from embedx.model.onnx_file import read_model
from embedx.rewrite.shape_rules import edges_of
from embedx.rewrite.sizes import Sizes
from embedx.run.engine import Engine
from tests.models import model
from tests.tiny import bert


def followed_and_seen(
    proto: onnx.ModelProto, feeds: Sequence[Any] | None = None
) -> tuple[int, int]:
    """How many edges a run makes, and of how many the shape is known; it must be the run's."""
    engine = Engine(proto, optimize=False)
    given = engine.generate_random_inputs(2, 5) if feeds is None else feeds
    sizes = Sizes()
    shapes = {
        value.name: np.shape(feed) for value, feed in zip(engine.graph.feeds, given, strict=True)
    }
    edges = edges_of(engine.graph, shapes, sizes)
    outermost = {id(node) for node in engine.graph.nodes}
    made, known = 0, 0

    def compare(node: Node, _: Sequence[Any], outputs: Sequence[Any]) -> None:
        nonlocal made, known
        for name, output in zip(node.outputs, outputs, strict=False):
            if id(node) in outermost and name and isinstance(output, np.ndarray):
                shape = edges.shape(name)
                made += 1
                known += shape is not None
                if shape is not None:
                    pairs = zip(shape, output.shape, strict=True)
                    assert all(isinstance(a, str) or a == b for a, b in pairs), (node, shape)

    engine.run(given, observe=compare)
    assert sizes.contradictions == 0
    return made, known


@pytest.mark.parametrize("opset", [11, 17, 20])
@pytest.mark.parametrize("pre_norm", [False, True])
def test_all_shapes_of_a_transformer_are_known(opset: int, pre_norm: bool) -> None:
    made, known = followed_and_seen(bert(opset=opset, pre_norm=pre_norm, head=True))
    assert made == known > 50


def test_shapes_of_the_suite() -> None:
    """Of one operator a model, with feeds of the suite's own; most shapes are known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the suite's own NumPy
        cases = load_model_tests(kind="node")
    made, known = 0, 0
    for case in cases[::5]:
        inputs, _ = case.data_sets[0]
        if "expanded" in case.name or not all(isinstance(x, np.ndarray) for x in inputs):
            continue
        try:
            one, other = followed_and_seen(case.model, inputs)
        except EmbedxError:
            continue
        made, known = made + one, known + other
    assert known > made / 2 > 100


def test_bodies_hide_what_has_the_same_name_outside() -> None:
    text = """g (float[2, 3] x, bool c) => (float[] y) {
        h = MatMul(x, w)
        z = If (c) <
            then_branch = t () => (float[] a) { h = Transpose(x) a = MatMul(h, x) },
            else_branch = e () => (float[] b) { b = MatMul(w, w) }>
        y = Add(h, h)
    }"""
    proto = model(text)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((3, 3), np.float32), "w"))
    followed_and_seen(proto)


def test_nodes_that_make_no_sense_contradict_and_nothing_fails() -> None:
    texts = [
        "y = Transpose<perm=[0, 7]>(x)", "y = Slice<starts=[0], ends=[1], axes=[9]>(x)",
        "y = MatMul(x, x)", "y = Concat<axis=1>(x, v)", "y = Split<split=[7, 7]>(x)",
        "y = Squeeze<axes=[1]>(x)", "y = Reshape(x, s)", "y = AveragePool<kernel_shape=[9]>(v3)",
    ]  # fmt: skip
    weights = {"v": np.ones((7, 1)), "s": np.array([5]), "v3": np.ones((1, 1, 2))}
    for text in texts:
        proto = model(f"g (float[2, 3] x) => (float[] y) {{ {text} }}", opset=9)
        for name, value in weights.items():
            kind = np.int64 if name == "s" else np.float32
            proto.graph.initializer.append(onnx.numpy_helper.from_array(value.astype(kind), name))
        sizes = Sizes()
        edges_of(read_model(proto), {"x": (2, 3)}, sizes)
        assert sizes.contradictions == ("perm" not in text), text


@pytest.mark.parametrize(("sizes", "other"), [("[N, 4]", 5), ("[N, M]", 5), ("[2, 4]", 4)])
def test_a_shape_in_which_minus_one_is_replaced_is_known(sizes: str, other: int) -> None:
    """As exporters write x.expand(n, -1)."""
    text = f"""g (float{sizes} x, float[1, K] v) => (float[A, B] y)
    <int64[1] two = {{2}}, int64[1] minus = {{-1}}, int64[2] ones> {{
    s = Shape(x)  a = Slice<starts = [0], ends = [1]>(s)  w = Concat<axis = 0>(a, minus)
    o = ConstantOfShape<value = int64[1] {{1}}>(two)  n = Mul(o, minus)  c = Equal(w, n)
    t = Where(c, o, w)  y = Expand(v, t) }}""".replace(", int64[2] ones", "")
    proto = model(text, opset=9)
    edges = edges_of(read_model(proto), {"x": ("n", "m"), "v": (1, other)}, Sizes())
    assert edges.shape("y") == ("n", other)
    followed_and_seen(proto, [np.ones((2, 4), np.float32), np.ones((1, other), np.float32)])
