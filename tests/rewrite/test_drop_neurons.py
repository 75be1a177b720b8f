"""Neurons without effect: left out where nothing can tell, and computed where something can."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.model.graph import Array
from embedx.observe.inspection import inspect_plan, plan_as_text
from embedx.ops import gelu
from tests.rewrite.fusing import engine_of, near, operators

HEAD = "g (float[B, T, 5] x) => (float[B, T, 3] y)"
GELU = f"""{HEAD} <float r = {{1.4142135}}, float one = {{1}}, float half = {{0.5}}> {{
    p = MatMul(x, a)  s = Add(b, p)  v = Div(s, r)  e = Erf(v)  o = Add(e, one)  q = Mul(s, o)
    h = Mul(q, half)  y = MatMul(h, c) }}"""
RELU = f"{HEAD} {{ p = MatMul(x, a)  s = Add(p, b)  h = Relu(s)  y = MatMul(h, c) }}"
TANH = f"{HEAD} {{ p = MatMul(x, a)  h = Tanh(p)  y = MatMul(h, c) }}"
SQUARE = f"{HEAD} {{ p = MatMul(x, a)  r = Relu(p)  h = Mul(r, r)  y = MatMul(h, c) }}"
FAST = f"{HEAD} {{ p = MatMul(x, a)  h = com.microsoft.FastGelu(p, b)  y = MatMul(h, c) }}"
PLAIN = f"{HEAD} {{ p = MatMul(x, a)  h = com.microsoft.FastGelu(p)  y = MatMul(h, c) }}"
GATED = f"""{HEAD} {{ p = MatMul(x, a)  s = Sigmoid(p)  g = Mul(p, s)  q = MatMul(x, d)
    u = Add(q, b)  h = Mul(g, u)  y = MatMul(h, c) }}"""
MASKED = f"{HEAD} {{ p = MatMul(x, a)  s = Tanh(p)  h = Mul(s, b)  y = MatMul(h, c) }}"
SIGMOID = f"{HEAD} {{ p = MatMul(x, a)  h = Sigmoid(p)  y = MatMul(h, c) }}"
WAYS: dict[str, tuple[str, Any]] = {
    "gelu": (GELU, lambda p, b, q: gelu(p + b)),
    "relu": (RELU, lambda p, b, q: np.maximum(p + b, 0)),
    "tanh": (TANH, lambda p, b, q: np.tanh(p)),
    "square": (SQUARE, lambda p, b, q: np.maximum(p, 0) ** 2),
    "fast": (FAST, lambda p, b, q: gelu(p + b, approximate="tanh")),
    "plain": (PLAIN, lambda p, b, q: gelu(p, approximate="tanh")),
    "gated": (GATED, lambda p, b, q: p / (1 + np.exp(-p)) * (q + b)),
    "masked": (MASKED, lambda p, b, q: np.tanh(p) * b),
    "sigmoid": (SIGMOID, lambda p, b, q: 1 / (1 + np.exp(-p))),
}
"""Graphs, and what they make of ``p = x @ a``, ``b`` and ``q = x @ d``."""


def weights(seed: int = 0, neurons: int = 8) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    shapes = {"a": (5, neurons), "b": (neurons,), "c": (neurons, 3), "d": (5, neurons)}
    made = {name: random.standard_normal(shape) for name, shape in shapes.items()}
    return {name: value.astype(np.float32) for name, value in made.items()}


def left_out(text: str, **given_weights: Any) -> int:
    plan = engine_of(text, **given_weights).plan
    return sum(step.node.attributes.get("left_out", 0) for step in plan.steps)


@given(st.data())
def test_any_zeros_are_left_out_and_nothing_changes(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(WAYS)))
    text, formula = WAYS[name]
    w = weights(data.draw(st.integers(0, 99)), data.draw(st.sampled_from([1, 8, 40])))
    count = len(w["b"])
    chosen = st.lists(st.booleans(), min_size=count, max_size=count).map(np.array)
    for edge in w:
        if data.draw(st.booleans()):
            zeros = data.draw(chosen)
            (w[edge] if edge == "c" else w[edge].T)[zeros] = data.draw(st.sampled_from([0.0, -0.0]))
    lead = data.draw(st.sampled_from([(1, 1), (2, 3), (0, 2), (3, 120)]))
    x = np.random.default_rng(1).standard_normal((*lead, 5)).astype(np.float32)
    wide = {k: v.astype(np.float64) for k, v in w.items()}

    def hidden(x: Array) -> Array:
        return np.asarray(formula(x @ wide["a"], wide["b"], x @ wide["d"]))

    (found,) = engine_of(text, **w).run([x])
    if x.size:
        near(found, hidden(x.astype(np.float64)) @ wide["c"], 2e-6)
    assert found.shape == (*lead, 3)
    # What is zero for many x is zero for all.
    many = hidden(np.random.default_rng(2).standard_normal((50, 5)))
    idle = (many == 0).all(axis=0) if name not in ("relu", "square") else dead_relus(w, name)
    without = int((idle | ~wide["c"].any(axis=1)).sum())
    assert left_out(text, **w) == (without if without >= max(1, 0.1 * count) else 0)


def dead_relus(w: dict[str, Array], name: str) -> Array:
    constant = ~w["a"].any(axis=0)
    return np.asarray(constant & (w["b"] <= 0) if name == "relu" else constant)


def pruned(count: int = 4) -> dict[str, Any]:
    """Weights of which so many neurons have no effect."""
    w = weights()
    w["c"][:count] = 0
    return w


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf, 3e38, -1e30])
def test_what_is_not_finite_spoils_what_it_would_in_the_graph(name: str, strange: float) -> None:
    w = pruned()
    w["a"][:, 0] = w["d"][:, 0] = 1e9  # overflows, and alone
    x = np.random.default_rng(1).standard_normal((2, 300, 5)).astype(np.float32)
    x[1, 200, 2] = strange
    text, _ = WAYS[name]
    (found,), (right,) = (engine_of(text, optimize=o, **w).run([x]) for o in (True, False))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(right))
    np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-5)
    (again,) = engine_of(text, **w).run([x[:1]])
    np.testing.assert_allclose(again, right[:1], rtol=1e-4, atol=1e-5)


def test_neurons_are_in_neither_matrix_nor_in_the_bias() -> None:
    engine = engine_of(GELU, **pruned())
    assert [s.node.op_type for s in engine.plan.steps] == ["MatMul", "BiasGelu", "PrunedMatMul"]
    shapes = [v.shape for v in engine.plan.template if v is not None]
    assert shapes == [(4,)]  # all that is not in the products: the bias
    assert [s.note.partition(",")[0] for s in engine.plan.steps] == ["5x4", "", "4x3"]


def test_gated_layers_read_their_input_once() -> None:
    assert operators(GATED, **pruned()) == [
        "Linear", "Split", "Swish", "Mul", "PrunedMatMul",
    ]  # fmt: skip


def test_a_plan_tells_what_is_left_out_and_covers_each_node_once() -> None:
    engine = engine_of(GELU, **pruned())
    covered = [node.index for step in engine.plan.walk() for node in step.node.covers]
    assert sorted(covered) == list(range(8))
    text = plan_as_text(inspect_plan(engine.plan))
    assert "4 neurons without effect are left out" in text.splitlines()[-1]
    assert "c~0~kept" in text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(float[B, T, 3] y)", "(float[B, T, 3] y, float[B, T, 8] h)"),
        ("(float[B, T, 3] y)", "(float[B, T, 3] y, float[B, T, 8] p)"),
        ("h = Relu(s)", "h = Softmax<axis = -1>(s)"),
        ("h = Relu(s)", "r = Cast<to = 10>(s)  h = Cast<to = 1>(r)"),
        ("s = Add(p, b)", "s = Add(p, t)  t = ReduceMax<axes = [-1]>(x)"),
        ("y = MatMul(h, c)", "z = MatMul(h, c)  m = ReduceMax<keepdims = 0>(h)  y = Add(z, m)"),
        ("MatMul(h, c)", "Gemm(h, c)"),
    ],
)
def test_what_others_need_or_is_no_step_stays(old: str, new: str) -> None:
    assert old in RELU
    text = RELU.replace(old, new)
    w = {k: v for k, v in pruned().items() if k != "d"}
    assert left_out(RELU, **w) == 4
    assert left_out(text, **w) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"c": np.float32(np.inf)}, {"a": np.float32(np.nan)}, {"b": np.float32(np.inf)},
        {"b": np.float32(3e38)},
    ],
)  # fmt: skip
def test_zeros_that_meet_what_is_not_finite_stay(change: dict[str, Any]) -> None:
    w = {k: v for k, v in weights().items() if k != "d"}
    w["a"][:, 0], w["b"][0] = 0, 0
    assert left_out(RELU, **w) == 1
    for edge, value in change.items():
        w[edge][..., 0] = value
    if "c" not in change:
        w["c"][0] = 0
    assert left_out(RELU, **w) == 0
    x = np.ones((1, 2, 5), np.float32)
    (found,), (right,) = (engine_of(RELU, optimize=o, **w).run([x]) for o in (True, False))
    np.testing.assert_allclose(found, right, rtol=1e-5)


def test_layers_with_the_same_weights_share_what_is_left_of_them() -> None:
    text = """g (float[N, 3] x) => (float[N, 3] y) { p = MatMul(x, a)  h = Relu(p)
        z = MatMul(h, c)  w = Tanh(z)  q = MatMul(w, a)  i = Relu(q)  y = MatMul(i, c) }"""
    w: dict[str, Any] = {"a": np.ones((3, 8), np.float32), "c": np.ones((8, 3), np.float32)}
    w["c"][2:] = 0
    steps = engine_of(text, **w).plan.steps
    assert [s.node.op_type for s in steps].count("PrunedMatMul") == 2
    assert len({s.matrix for s in steps if s.matrix}) == 2


def test_a_matrix_between_two_layers_of_neurons_is_one_of_the_second() -> None:
    """It could be one of both, but then it would stand for more than the nodes that it covers."""
    text = """g (float[N, 3] x) => (float[N, 3] y) { p = MatMul(x, a)  h = Relu(p)
        q = MatMul(h, c)  i = Relu(q)  y = MatMul(i, d) }"""
    w = {"a": (3, 8), "c": (8, 8), "d": (8, 3)}
    given_weights: dict[str, Any] = {k: np.ones(shape, np.float32) for k, shape in w.items()}
    given_weights["c"][:4] = given_weights["d"][4:] = 0
    assert left_out(text, **given_weights) == 4
    x = np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)
    (found,), (right,) = (
        engine_of(text, optimize=o, **given_weights).run([x]) for o in (True, False)
    )
    np.testing.assert_allclose(found, right, rtol=1e-5)


def test_long_ways_between_matrices_are_not_gone() -> None:
    steps = "".join(f"  h{i + 1} = Relu(h{i})" for i in range(3000))
    text = f"{HEAD} {{ h0 = MatMul(x, a){steps}  y = MatMul(h3000, c) }}"
    w = {k: v for k, v in pruned().items() if k in "ac"}
    assert left_out(text, **w) == 0


@pytest.mark.parametrize("power", [3, 7])
def test_a_neuron_that_may_overflow_on_the_way_stays(power: int) -> None:
    squares = "".join(f"  h{i + 1} = Mul(h{i}, h{i})" for i in range(power))
    text = f"{HEAD} {{ h0 = MatMul(x, a){squares}  y = MatMul(h{power}, c) }}"
    w = {k: v for k, v in pruned().items() if k in "ac"}
    assert math.log2(2.0**30) * 2**power > 120
    assert left_out(text, **w) == 0


@pytest.mark.parametrize(
    "scalar", [np.float32(0.5), np.ones(1, np.float32), np.zeros(5, np.float32)]
)
@pytest.mark.parametrize(
    "steps",
    [
        "m = Mul(p, s) r = Relu(m)",
        "m = Relu(p) r = Mul(s, m)",
        "q = Mul(s, p) g = Tanh(q) r = Mul(p, g)",
    ],
)
def test_numbers_on_the_way_are_no_obstacle(scalar: Any, steps: str) -> None:
    text = f"g (float[N, 3] x) => (float[N, 2] y) {{ p = MatMul(x, a) {steps} y = MatMul(r, c) }}"
    random = np.random.default_rng(0)
    weights = {
        "a": random.standard_normal((3, 5)),
        "c": random.standard_normal((5, 2)),
        "s": scalar,
    }
    x = random.standard_normal((7, 3)).astype(np.float32)
    (found,), (right,) = (
        engine_of(text, optimize=way, **weights).run([x]) for way in (True, False)
    )
    np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-6)
