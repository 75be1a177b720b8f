"""Nodes are left out only where their results are known to be there already."""

from __future__ import annotations

import numpy as np
import pytest

from embedx.model.graph import Graph
from embedx.rewrite.simplify import drop_identities, merge_equals
from embedx.run.engine import Engine
from tests.models import graph as parsed


def kinds(graph: Graph) -> list[str]:
    return [node.op_type for node in graph.nodes]


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ("i = Identity(x) y = Neg(i)", ["Neg"]),
        ("i = Cast<to = 1>(x) y = Neg(i)", ["Neg"]),
        ("i = Cast<to = 11>(x) y = Neg(i)", ["Cast", "Neg"]),
        ("i = Dropout(x) y = Neg(i)", ["Neg"]),
        ("i = Dropout(x, r) y = Neg(i)", ["Neg"]),
        ("i = Dropout(x, r, t) y = Neg(i)", ["Dropout", "Neg"]),
        ("i, m = Dropout(x) c = Cast<to = 1>(m) y = Mul(i, c)", ["Dropout", "Cast", "Mul"]),
        ("y = Identity(x)", ["Identity"]),  # an output keeps its name
    ],
)
def test_what_hands_on_its_input_is_left_out(body: str, kept: list[str]) -> None:
    text = f"g (float[N] x, float r, bool t) => (y) {{ {body} }}"
    assert kinds(drop_identities(parsed(text))) == kept


def test_a_cast_of_an_unknown_type_stays() -> None:
    # NumPy says that None == np.dtype("float64").
    graph = parsed("g (x) => (double[N] y) { c = Cast<to = 11>(x) y = Neg(c) }")
    assert kinds(drop_identities(graph)) == ["Cast", "Neg"]


def test_readers_inside_of_subgraphs_follow() -> None:
    text = """g (bool c, float[N] x) => (float[N] z) {
    i = Identity(x)
    z = If(c) <then_branch = t () => (float[N] a) { a = Neg(i) },
               else_branch = e () => (float[N] b) { b = Abs(i) }> }"""
    graph = drop_identities(parsed(text))
    assert kinds(graph) == ["If"]
    x = np.array([-1.0], np.float32)
    assert Engine(graph).run([np.array(True), x])[0] == 1


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("a = Neg(x) b = Neg(x) y = Add(a, b)", 2),
        ("a = Neg(x) b = Abs(x) y = Add(a, b)", 3),
        ("a = Elu<alpha = 0.5>(x) b = Elu<alpha = 0.25>(x) y = Add(a, b)", 3),
        ("a = RandomNormalLike(x) b = RandomNormalLike(x) y = Add(a, b)", 3),
        ("a = Dropout(x, r, t) b = Dropout(x, r, t) y = Add(a, b)", 3),
        ("a, p = TopK(x, k) b = Neg(a) c, q = TopK(x, k) y = Add(b, c)", 3),
        ('a, p = TopK(x, k) "", q = TopK(x, k) d = Cast<to = 1>(q) y = Add(a, d)', 4),
    ],
)
def test_nodes_that_do_the_same_are_one(body: str, count: int) -> None:
    text = f"g (float[N] x, float r, bool t, int64[1] k) => (float[N] y) {{ {body} }}"
    assert len(merge_equals(parsed(text)).nodes) == count


def test_nodes_of_different_opsets_are_two() -> None:
    functions = """
    <domain: "local", opset_import: ["" : 12]>
    old (x) => (y) { y = Softmax<axis = 1>(x) }
    """
    text = """g (float[2,2,2] x) => (float[2,2,2] z) {
    a = Softmax<axis = 1>(x)  b = local.old(x)  z = Sub(a, b) }"""
    graph = parsed(text, functions=functions, imports=', "local" : 1')
    assert len(merge_equals(graph).nodes) == 3
    (z,) = Engine(graph).run([np.zeros((2, 2, 2), np.float32)])
    np.testing.assert_allclose(z, 0.25)  # a half of two numbers, less a quarter of four


def test_outputs_of_the_graph_keep_their_names() -> None:
    text = "g (float[N] x) => (float[N] y, float[N] z) { y = Neg(x) z = Neg(x) }"
    assert len(merge_equals(parsed(text)).nodes) == 2
