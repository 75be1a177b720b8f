"""Every rule against the graph as it was written: where it matches, and where it nearly does."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from embedx.model.graph import Graph
from embedx.model.onnx_file import read_model
from embedx.rewrite.normal import normal_form
from embedx.rewrite.rule import Rule
from embedx.run.engine import Engine
from embedx.run.fold import fold_constants
from embedx.run.prepare import RULES, prepare
from tests.differential import difference, feeds_for, graphs, parsed

EXAMPLES = [
    pytest.param(rule, example, id=f"{rule.name}-{i}")
    for rule in dict.fromkeys(RULES)
    for i, example in enumerate(rule.examples)
]


@pytest.mark.parametrize(("rule", "example"), EXAMPLES)
def test_a_rule_rewrites_its_examples_and_keeps_what_they_compute(rule: Rule, example: str) -> None:
    model = parsed(example, opset=20)
    graph = normal_form(read_model(model))
    assert str(prepare(graph)) != str(prepare(graph, skip=[rule.name])) or _folds(rule, graph)
    for seed in range(5):
        assert not difference(model, feeds_for(model, example, np.random.default_rng(seed)))


def _folds(rule: Rule, graph: Graph) -> bool:
    """Constants are folded before all rules, too, so leaving the last one out shows nothing."""
    return rule is fold_constants and len(rule(graph).nodes) < len(graph.nodes)


@pytest.mark.parametrize("seed", range(8))
def test_graphs_that_rules_nearly_match_keep_their_meaning(seed: int) -> None:
    for name, model, feeds in itertools.islice(graphs(seed), 250):
        what = difference(model, feeds)
        assert not what, f"{name}: {what}\n{model}"


@pytest.mark.load
def test_twenty_thousand_graphs_keep_their_meaning() -> None:
    for name, model, feeds in itertools.islice(graphs(2026), 20_000):
        what = difference(model, feeds)
        assert not what, f"{name}: {what}\n{model}"


HEADS = "float[B, 2, T, 4] q, float[B, 2, 4, T] k, float[B, 2, T, 4] v"
ONE_NAME_TWICE = {
    "mask": f"""g ({HEADS}) => (float[B, 2, T, 4] y) {{
        p = MatMul(q, k)  a = Add(p, p)  w = Softmax<axis = -1>(a)  y = MatMul(w, v) }}""",
    "scaled mask": f"""g ({HEADS}) => (float[B, 2, T, 4] y) <float s = {{2}}> {{
        p = MatMul(q, k)  d = Mul(p, s)  a = Add(d, p)  w = Softmax<axis = -1>(a)
        y = MatMul(w, v) }}""",
    "values": """g (float[B, 2, 4, 4] q, float[B, 2, 4, 4] k) => (float[B, 2, 4, 4] y) {
        p = MatMul(q, k)  w = Softmax<axis = -1>(p)  y = MatMul(w, w) }""",
    "scale": """g (uint8[N, 3] a) => (float[N, 3] y)
        <int8[3, 3] w = {1, -2, 3, 4, -5, 6, 7, 8, -9}, uint8 z = {7}> {
        i = MatMulInteger(a, w, z)  f = Cast<to = 1>(i)  y = Mul(f, f) }""",
    "residual": """g (float[N, 4] x) => (float[N, 4] y)
        <float[4] w = {1, 2, 3, 4}, float[4] b = {1, 0, 0, 1}> {
        p = Add(x, b)  s = Add(p, p)  y = LayerNormalization(s, w) }""",
    "gate": """g (float[N, 4] x) => (float[N, 4] y) <float two = {2}> {
        a = Mul(x, two)  s = Sigmoid(a)  y = Mul(a, s) }""",
}
"""Graphs in which an edge inside a formula is one of its names as well."""


@pytest.mark.parametrize("text", ONE_NAME_TWICE.values(), ids=ONE_NAME_TWICE)
def test_a_formula_may_meet_its_own_edges(text: str) -> None:
    model = parsed(text, opset=20)
    for seed in range(5):
        assert not difference(model, feeds_for(model, text, np.random.default_rng(seed)))


SUMS = {
    "masks": f"""g ({HEADS}, float[B, 1, 1, T] m, float[B, 1, 1, T] n) => (float[B, 2, T, 4] y) {{
        p = MatMul(q, k)  ORDER  w = Softmax<axis = -1>(s)  y = MatMul(w, v) }}""",
    "residuals": """g (float[N, 4] p, float[N, 4] m) => (float[N, 4] y)
        <float[4] n = {1, -2, 3, 0.5}, float[4] w = {1, 2, 3, 4}> {
        ORDER  y = LayerNormalization(s, w) }""",
}


@pytest.mark.parametrize("text", SUMS.values(), ids=SUMS)
@pytest.mark.parametrize(
    "order",
    [
        f"a = Add({a}, {b}) s = Add({c}, a)"
        for a, b, c in itertools.permutations(("p", "m", "n"), 3)
    ],
)
def test_terms_are_added_in_the_order_of_the_graph(text: str, order: str) -> None:
    """1e8 - 1e8 + x is not 1e8 + x - 1e8."""
    text = text.replace("ORDER", order)
    model = parsed(text, opset=20)
    feeds = feeds_for(model, text, np.random.default_rng(3))
    large = np.float32(1e8)
    feeds["m"] = np.full_like(feeds["m"], large)
    if "n" in feeds:
        feeds["n"] = np.full_like(feeds["n"], -large)
    else:
        feeds["p"] = feeds["p"] - large
    engine, literal = Engine(model), Engine(model, optimize=False)
    assert len(engine.plan.steps) < len(literal.plan.steps)
    (found,), (right,) = engine.run(feeds), literal.run(feeds)
    np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("scale", "q", "k"), [(1e5, 1e35, 1e-38), (1e-3, 1e20, 1e19)])
def test_what_overflows_is_what_overflows_in_the_graph(scale: float, q: float, k: float) -> None:
    text = f"""g ({HEADS}) => (float[B, 2, T, 4] y) <float s = {{{scale}}}> {{
        p = MatMul(q, k)  d = Mul(p, s)  w = Softmax<axis = -1>(d)  y = MatMul(w, v) }}"""
    model = parsed(text, opset=20)
    shape = (1, 2, 3, 4)
    feeds = {
        "q": np.full(shape, q, np.float32),
        "k": np.full((1, 2, 4, 3), k, np.float32),
        "v": np.ones(shape, np.float32),
    }
    (found,), (right,) = Engine(model).run(feeds), Engine(model, optimize=False).run(feeds)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(right))
