"""Graphs as plain data: what they tell about their nodes and edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.model.graph import (
    Graph,
    MapType,
    Node,
    OptionalType,
    SequenceType,
    SparseTensor,
    TensorType,
    Value,
    captures,
    reads,
)
from tests.models import graph as parsed


def test_graphs_print_one_node_a_line() -> None:
    text = str(parsed("g (float[N] x) => (float[N] z) { y = Neg(x)  z = Softmax<axis = 0>(y) }"))
    assert text.splitlines() == [
        "graph g(x: float32[N])",
        "  y = Neg(x)",
        "  z = Softmax<axis=0>(y)",
        "  return z",
    ]


F32 = TensorType(np.dtype(np.float32), ("N", 3, None))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (F32, "float32[N, 3, ?]"),
        (TensorType(np.dtype(object)), "string[?]"),
        (SequenceType(OptionalType(F32)), "sequence(optional(float32[N, 3, ?]))"),
        (MapType(np.dtype(np.int64), None), "map(int64, None)"),
    ],
)
def test_types_as_messages_show_them(kind: object, text: str) -> None:
    assert str(kind) == text


@given(st.integers(0, 4), st.integers(0, 4), st.data())
def test_a_sparse_tensor_is_its_values_in_their_places(
    rows: int, columns: int, data: st.DataObject
) -> None:
    cells = rows * columns
    places = sorted(data.draw(st.sets(st.integers(0, cells - 1)))) if cells else []
    values = np.arange(1, len(places) + 1, dtype=np.float16)
    sparse = SparseTensor(values, np.array(places, np.int64), (rows, columns))
    wanted = [0.0] * cells
    for place, value in zip(places, values.tolist(), strict=True):
        wanted[place] = value
    assert sparse.dense().dtype == sparse.dtype == np.float16
    assert sparse.dense().tolist() == np.reshape(wanted, (rows, columns)).tolist()


IF = """g (bool c, float[N] x, float[N] u) => (float[N] z) <float[1] k = {1}> {
  a = Neg(x)
  z = If(c) <then_branch = t () => (float[N] y) { y = Add(a, k) },
             else_branch = e () => (float[N] a) { a = Abs(x) }>
}"""


def test_edges_are_followed_into_subgraphs() -> None:
    graph = parsed(IF)
    readers = {name: [n.op_type for n in nodes] for name, nodes in graph.consumers().items()}
    assert readers["x"] == ["Neg", "If"]
    assert readers["k"] == ["If"]
    assert "u" not in readers
    assert {name: node.op_type for name, node in graph.producers().items()}["z"] == "If"
    assert sorted(node.op_type for node in graph.walk()) == ["Abs", "Add", "If", "Neg"]
    branch = next(n for n in graph.nodes if n.op_type == "If")
    assert {"c", "x", "k"} <= {*reads(branch)}
    assert {*captures(branch.subgraphs["else_branch"])} == {"x"}


def test_an_initializer_that_is_an_input_is_a_default_and_no_constant() -> None:
    w, v = np.ones(1, np.float32), np.zeros(1, np.float32)
    graph = Graph("g", (Value("x"), Value("w")), (), (), {"w": w, "v": v})
    assert [feed.name for feed in graph.feeds] == ["x"]
    assert list(graph.constants) == ["v"]


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (Node("Add", (), (), index=3), "Add (node 3)"),
        (Node("Gelu", (), (), domain="my", name="g"), "my::Gelu 'g' (node 0)"),
        (Node("Add", (), (), name="x" * 200), f"Add '{'x' * 120}' (node 0)"),
    ],
)
def test_nodes_as_messages_call_them(node: Node, text: str) -> None:
    assert str(node) == text
