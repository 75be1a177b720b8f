"""Graphs as plain data: what they tell about their nodes and edges."""

from __future__ import annotations

from tests.models import graph as parsed


def test_graphs_print_one_node_a_line() -> None:
    text = str(parsed("g (float[N] x) => (float[N] z) { y = Neg(x)  z = Softmax<axis = 0>(y) }"))
    assert text.splitlines() == [
        "graph g(x: float32[N])",
        "  y = Neg(x)",
        "  z = Softmax<axis=0>(y)",
        "  return z",
    ]
