"""A fused node stands for the nodes that it covers, and goes back to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from embedx import ops
from embedx.model.graph import FUSED_DOMAIN, Graph, Node
from embedx.rewrite.fusion import Found, fusion
from embedx.rewrite.patterns import Edge, Number, call
from embedx.rewrite.rule import Rule
from embedx.run.engine import Engine
from tests.models import graph as parsed
from tests.tiny import bert

TANH = "g (float[N] x) => (float[N] y) { y = Tanh(x) }"
_x = Edge("x")


def doubling(domain: str = "") -> Rule:
    @fusion(_x + _x, examples=[TANH])
    def double(found: Found) -> Node:
        """Twice the same becomes a product."""
        return found.node("Twice", found.edges("x"), domain)

    return double


def shown(graph: Graph) -> list[str]:
    return [f"{node.op_type}{node.inputs}" for node in graph.nodes]


def test_the_new_node_has_the_old_ones_inside() -> None:
    graph = parsed("g (float[N] x) => (float[N] z) { a = Neg(x)  y = Add(a, a)  z = Abs(y) }")
    found = doubling()(graph)
    assert shown(found) == ["Neg('x',)", "Twice('a',)", "Abs('y',)"]
    twice = found.nodes[1]
    assert [node.op_type for node in twice.covers] == ["Add"]
    assert twice.literal is not None
    assert [v.name for v in twice.literal.inputs] == ["a"]
    assert [v.name for v in twice.literal.outputs] == ["y"]


def test_what_is_fused_twice_still_covers_the_files_nodes() -> None:
    @fusion(call("Twice", _x) + _x, examples=[TANH])
    def triple(found: Found) -> Node:
        """Two and one become three."""
        return found.node("Thrice", found.edges("x"), FUSED_DOMAIN)

    graph = parsed("g (float[N] x) => (float[N] y) { a = Add(x, x)  y = Add(a, x) }")
    (node,) = triple(doubling(FUSED_DOMAIN)(graph)).nodes
    assert node.op_type == "Thrice"
    assert [n.op_type for n in node.covers] == ["Add", "Add"]


def test_a_builder_may_leave_it_alone() -> None:
    @fusion(_x + _x, examples=[TANH])
    def nothing(found: Found) -> None:
        """Nothing becomes nothing."""

    graph = parsed("g (float[N] x) => (float[N] y) { y = Add(x, x) }")
    assert nothing(graph) is graph


def test_inner_edges_that_others_read_are_not_swallowed() -> None:
    @fusion(call(ops.tanh, _x) * Number("n"), examples=[TANH])
    def scaled(found: Found) -> Node:
        """A scaled tanh becomes one node."""
        return found.node("ScaledTanh", found.edges("x"), n=found.number("n"))

    text = "g (float[N] x) => (float[N] y@) <float n = {3}> { t = Tanh(x)  y = Mul(t, n) }"
    (node,) = scaled(parsed(text.replace("@", ""))).nodes
    assert node.attributes == {"n": 3.0}
    for graph in (
        parsed(text.replace("@", ", float[N] t")),
        parsed(text.replace("y@", "y, float[N] u").replace("Mul(t, n)", "Mul(t, n)  u = Neg(t)")),
    ):
        assert [node.op_type for node in scaled(graph).nodes][:2] == ["Tanh", "Mul"]


def test_what_is_found_tells_its_vectors_and_nodes() -> None:
    seen: list[Any] = []

    @fusion(_x + Edge("b", weight=True), examples=[TANH])
    def look(found: Found) -> None:
        """Looks only."""
        (edge,) = found.edges("b")
        seen.append((found.are_vectors(edge), found.edges("none"), found.nodes("Add")[0].op_type))

    for weight in ("float[2] b = {1, 2}", "float[1, 2] b = {1, 2}"):
        look(parsed(f"g (float[N] x) => (float[N] y) <{weight}> {{ y = Add(x, b) }}"))
    assert seen == [(True, [""], "Add"), (False, [""], "Add")]


@pytest.mark.parametrize("opset", [12, 17, 20])
def test_in_a_transformer_every_node_is_covered_at_most_once(opset: int) -> None:
    """By the plan, in whose steps no node of the file may be computed twice."""
    engine = Engine(bert(opset=opset))
    covered = [node.index for step in engine.plan.walk() for node in step.node.covers]
    assert len(covered) == len(set(covered))
    feeds = engine.generate_random_inputs(2, 7)
    (plain,) = Engine(bert(opset=opset), optimize=False).run(feeds)
    np.testing.assert_allclose(engine.run(feeds)[0], plain, atol=2e-6)
