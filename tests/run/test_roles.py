"""What nodes expect in inputs that are no plain data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.model.graph import Node
from embedx.model.onnx_file import read_model
from embedx.rewrite.edges import Edges
from embedx.rewrite.sizes import Sizes
from embedx.run.random_feeds import table_rows
from embedx.run.roles import expected, reached, readers, table_of
from tests.models import graph as parsed
from tests.models import model
from tests.run.making import ROWS, WIDTH, made, shapes, weighted


@pytest.mark.parametrize(
    ("node", "rows"),
    [
        ("y = Gather(table, i)", ROWS),
        ("y = Gather<axis=1>(table, i)", WIDTH),
        ("y = Gather<axis=-1>(table, i)", WIDTH),
        ("c = Cast<to=7>(i) y = Gather(table, c)", ROWS),
        ("c = Unsqueeze(i, zero) d = Identity(c) y = Gather(table, d)", ROWS),
        ("c = Transpose(i) y = Gather<axis=1>(table, c)", WIDTH),
        ("t = Transpose(table) y = Gather(t, i)", WIDTH),
        (
            "a = Gather<axis=1>(table, i) b = Gather(table, i)"
            " c = ReduceSum<keepdims=0>(a) d = ReduceSum<keepdims=0>(b) y = Add(c, d)",
            WIDTH,
        ),
    ],
)
def test_indices_stay_inside_their_tables(node: str, rows: int) -> None:
    proto = weighted(
        f"g (int32[batch, sequence] i) => (float[] y) {{ {node} }}",
        table=np.ones((ROWS, WIDTH)), zero=np.array([0]),
    )  # fmt: skip
    assert table_rows(read_model(proto)) == {"i": rows}
    (indices,) = made(proto, 40, 40).values()
    assert (indices.min(), indices.max()) == (0, rows - 1)


def test_what_is_no_lookup_into_a_weight_has_no_rows() -> None:
    text = (
        "g (int64[n] i, float[m, 3] x) => (int64[] y, float[] z) { y = Add(w, i) z = Gather(x, i) }"
    )
    proto = weighted(text, w=np.ones(7, np.int64))
    assert table_rows(read_model(proto)) == {}
    feeds = made(proto, 9)
    assert (feeds["i"] < len(feeds["x"])).all()


@pytest.mark.parametrize(
    "text",
    [
        "g (float[2, 3, 4] x, int64[{n}] s) => (float[] y) {{ y = Reshape(x, s) }}",
        "g (float[3, 1] x, int64[{n}] s) => (float[] y) {{ y = Expand(x, s) }}",
        "g (float[3, 4] x, int64[{n}] s) => (float[] y) {{ y = Tile(x, s) }}",
        "g (int64[{n}] s) => (float[] y) {{ y = ConstantOfShape(s) }}",
        "g (float[6, 2] x, int64[{n}] s) => (float[] y, float[] z) {{ y, z = Split(x, s) }}",
        "g (float[9, 6, 4] x, int64[{n}] a, int64[{n}] b, int64[{n}] c, int64[{n}] d)"
        " => (float[] y) {{ y = Slice(x, a, b, c, d) }}",
        "g (float[9, 6, 4] x, int64[{n}] a) => (float[] y) {{ y = ReduceSum(x, a) }}",
        "g (float[9, 6, 4] x, int64[{n}] a) => (float[] y) {{ y = Unsqueeze(x, a) }}",
        "g (float[9, 1, 1] x, int64[{n}] a) => (float[] y) {{ y = Squeeze(x, a) }}",
    ],
)
@pytest.mark.parametrize("length", ["2", "?", ""])
def test_vectors_that_nodes_read_as_shapes_axes_and_lengths(text: str, length: str) -> None:
    shapes(model(text.format(n=length)))


@pytest.mark.parametrize(
    "text",
    [
        "g (float[1, 1, 4, 4] x, float[4] s) => (float[] y) { y = Resize(x, , s) }",
        "g (float[1, 1, 4, 4] x, int64[4] s) => (float[] y) { y = Resize(x, , , s) }",
        "g (float[2, 9] x, int64[1] k) => (float[] y, int64[] i) { y, i = TopK(x, k) }",
        "g (float[5] x, int32 axis) => (float[] y) { y = CumSum(x, axis) }",
        "g (int64[3] i, int64 depth, float[2] v) => (float[] y) { y = OneHot(i, depth, v) }",
        "g (int32[9] a, int32[9] b) => (int32[] y, int32[] z) { y = Div(a, b) z = Mod(a, b) }",
        "g (float[2, 3, 4] x, int64[2, 2] i) => (float[] y) { y = GatherND(x, i) }",
        "g (float[4, 5] x, int64[2, 1] i, float[2, 5] u) => (float[] y) { y = ScatterND(x, i, u) }",
        "g (int64 n, bool c, float[3] x) => (float[] y) { y = Loop (n, c, x)"
        " <body = b (int64 i, bool k, float[3] s) => (bool l, float[3] t)"
        " { l = Identity(k) t = Neg(s) }> }",
        "g (float[2] x) => (double[] y) { y = Bernoulli<dtype=11>(x) }",
        "g (float[1, 1, 9, 9] x, float[3, 4] r, int64[3] i) => (float[] y) {"
        " y = RoiAlign(x, r, i) }",
        "g (string[batch] x) => (float[] y) { y = Cast<to=1>(x) }",
        "g (string[batch] x, string[batch] z) => (string[] y) { y = StringConcat(x, z) }",
        "g (seq(float[N]) x, seq(float[N]) z, int64 i) => (float[] y) {"
        " a = SequenceAt(x, i) b = SequenceAt(z, i) y = Add(a, b) }",
        "g (optional(float[N, 3]) x, float[M, 3] z) => (float[] y) {"
        " a = OptionalGetElement(x) y = Add(a, z) }",
    ],
)
def test_values_that_nodes_expect(text: str) -> None:
    made(model(text, opset=21))


@given(st.integers(1, 5), st.integers(1, 4), st.sampled_from([0, 1, -1]))
def test_indices_are_as_many_as_their_axis_is_long(rows: int, columns: int, axis: int) -> None:
    known = Edges({"table": (rows, columns), "i": ("N",)}, Sizes())
    node = Node("Gather", ("table", "i"), ("y",), {"axis": axis}, opset=13)
    assert table_of(node, 1) == "table"
    assert expected(known, node, 1, 3) == range(columns if axis else rows)
    assert table_of(node, 0) is None
    assert expected(known, node, 0, 3) is None


def test_values_arrive_through_what_keeps_them_and_nothing_else() -> None:
    graph = parsed(
        "g (int64[N] i, float[9] t, int64[2] s) => (float[A, B] y, int64[N] z) {"
        " c = Cast<to = 6>(i)  r = Reshape(c, s)  y = Gather(t, r)  n = Neg(i)  z = Abs(n) }"
    )
    found = [(node.op_type, place) for node, place in reached("i", readers(graph))]
    assert found == [("Cast", 0), ("Neg", 0), ("Reshape", 0), ("Gather", 1)]


def test_an_attribute_that_makes_no_sense_tells_nothing() -> None:
    known = Edges({"table": (3,), "i": ("N",)}, Sizes())
    node = Node("Gather", ("table", "i"), ("y",), {"axis": 7}, opset=13)
    assert expected(known, node, 1, 2) is None
