"""Products of one tensor as one product."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from embedx.run.engine import Engine
from tests.rewrite.fusing import engine_of, near, operators

QKV = """g (float[B, T, 3] x) => (float[B, T, 4] q, float[B, T, 2] k, float[B, T, 4] v) {
    p = MatMul(x, a)  q = Add(p, h)  k = MatMul(x, b)  r = MatMul(x, c)  v = Add(i, r) }"""


def weights(seed: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    shapes = {"a": (3, 4), "h": (4,), "b": (3, 2), "c": (3, 4), "i": (4,)}
    return {name: random.standard_normal(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("lead", [(2, 5), (1, 1), (0, 5)])
def test_three_become_one(lead: tuple[int, ...]) -> None:
    assert operators(QKV, **weights()) == ["Linear", "Split"]
    x = np.random.default_rng(1).standard_normal((*lead, 3)).astype(np.float32)
    w = {k: v.astype(np.float32).astype(np.float64) for k, v in weights().items()}
    wide = x.astype(np.float64)
    right = [wide @ w["a"] + w["h"], wide @ w["b"], wide @ w["c"] + w["i"]]
    for found, exact in zip(engine_of(QKV, **weights()).run([x]), right, strict=True):
        if exact.size:
            near(found, exact, 1e-6)
        assert found.shape == exact.shape


@pytest.mark.parametrize(
    ("old", "new", "left"),
    [
        ("k = MatMul(x, b)", "k = MatMul(q, b)", ["Linear", "Split", "MatMul"]),
        ("q = Add(p, h)", "q = Add(p, x)", ["Linear", "Split", "Add"]),
        ("q = Add(p, h)", "q = Sub(p, h)", ["Linear", "Split", "Sub"]),
        ("float[B, T, 4] q,", "float[B, T, 4] q, float[B, T, 4] p,", ["Linear", "Split", "Add"]),
    ],
)
def test_only_what_has_to_be_is_joined(old: str, new: str, left: list[str]) -> None:
    square = {**weights(), "a": np.ones((3, 3)), "h": np.ones(3), "b": np.ones((3, 2))}
    text = QKV.replace(old, new)
    assert old in QKV
    assert operators(text, **square) == left


def test_a_vector_that_widens_its_product_is_added_behind_it() -> None:
    assert operators(QKV, **{**weights(), "h": np.ones((1, 1, 4))}) == ["Linear", "Split", "Add"]
    assert operators(QKV, **{**weights(), "h": np.ones(1)}) == ["Linear", "Split", "Add"]


QUANTIZED = """g (float[B, T, 3] x) => (float[B, T, 2] y, float[B, T, 2] z) {
    q, s, p = DynamicQuantizeLinear(x)
    i = MatMulInteger(q, w, p)  f = Cast<to = 1>(i)  c = Mul(s, ws)  m = Mul(f, c)  y = Add(m, b)
    j = MatMulInteger(q, v, p)  g = Cast<to = 1>(j)  d = Mul(vs, s)  z = Mul(d, g) }"""
BYTES: dict[str, Any] = {
    "w": np.array([[1, -2], [3, 4], [-5, 127]], np.int8),
    "v": np.array([[7, -2], [30, 4], [5, -128]], np.int8),
    "ws": np.float32(0.5),
    "vs": np.array([0.25, 2], np.float32),
    "b": np.array([1, -1], np.float32),
}


def test_quantized_products_are_one_with_the_quantization() -> None:
    assert operators(QUANTIZED, **BYTES) == ["QuantizedLinear", "Split"]
    x = np.random.default_rng(1).standard_normal((2, 5, 3)).astype(np.float32)
    found = engine_of(QUANTIZED, **BYTES).run([x])
    right = engine_of(QUANTIZED, optimize=False, **BYTES).run([x])
    for one, other in zip(found, right, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(float[B, T, 2] y,", "(float[B, T, 2] y, uint8[B, T, 3] q,"),
        ("(float[B, T, 2] y,", "(float[B, T, 2] y, float s,"),
        ("c = Mul(s, ws)", "c = Mul(s, s)"),
        ("c = Mul(s, ws)", "c = Div(ws, s)"),
        ("MatMulInteger(q, v, p)", "MatMulInteger(q, v)"),
        ("y = Add(m, b)", "o = Add(m, b)  y = Add(o, s)"),
    ],
)
def test_what_is_quantized_for_others_too_stays(old: str, new: str) -> None:
    assert old in QUANTIZED
    text = QUANTIZED.replace(old, new)
    assert "DynamicQuantizeLinear" in operators(text, **BYTES)
    x = np.random.default_rng(1).standard_normal((2, 5, 3)).astype(np.float32)
    for one, other in zip(
        engine_of(text, **BYTES).run([x]),
        engine_of(text, optimize=False, **BYTES).run([x]),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_new_edges_have_names_of_their_own() -> None:
    text = """g (float[N, 3] x, float[N, 3] t) => (float[N, 4] y, float[N, 2] k, float[N, 3] w) {
        y = MatMul(x, a)  k = MatMul(x, b)  w = Tanh(t) }"""
    random = np.random.default_rng(0)
    x, t = (random.standard_normal((5, 3)).astype(np.float32) for _ in range(2))
    engine = engine_of(text, **weights())
    graph = engine.graph
    names = {"t": "y~joined"}
    renamed_graph = replace(
        graph,
        inputs=tuple(replace(v, name=names.get(v.name, v.name)) for v in graph.inputs),
        nodes=tuple(
            replace(n, inputs=tuple(names.get(i, i) for i in n.inputs)) for n in graph.nodes
        ),
    )
    for found, right in zip(Engine(renamed_graph).run([x, t]), engine.run([x, t]), strict=True):
        np.testing.assert_array_equal(found, right)


def test_weights_that_are_still_to_be_cast_are_not_joined() -> None:
    halves = {k: v.astype(np.float16) for k, v in weights().items()}
    text = QKV.replace("float[", "float16[")
    x = np.random.default_rng(1).standard_normal((2, 5, 3)).astype(np.float16)
    (q, *_) = engine_of(text, **halves).run([x])
    proto = engine_of(text, **halves).graph
    (other, *_) = Engine(proto, skip_rules=["fold_constants"]).run([x])
    np.testing.assert_allclose(q.astype(np.float32), other.astype(np.float32), rtol=1e-2)
